private import Glibc
import Images
import Logging
import Primitives

/// One image in its folder, on its way through `qemu-img`.
final class QEMUConversion: DiskConversion {
    /// Bytes per second that the program makes at least, of the image's and the disk's together.
    private static let leastBytesPerSecond: Int64 = 4 << 20
    private static let leastSeconds: Int64 = 120
    private static let fileSlackBytes: UInt64 = 1 << 20
    private static let readBytes = 1 << 20
    /// lseek(2): glibc shows their names to GNU programs only.
    private static let seekData: Int32 = 3
    private static let seekHole: Int32 = 4
    /// By their names in records; each with what makes its size certain.
    private static let drivers = [
        "vmdk": "driver=vmdk", "vhdx": "driver=vhdx", "vdi": "driver=vdi",
        // Else it is guessed from who wrote the file, which of two sizes in it is meant.
        "vhd": "driver=vpc,force_size_calc=current_size",
    ]

    private let program: ConfinedProgram
    private let folder: ConversionFolder
    private let space: ConversionSpace
    private let byteCount: Int64
    private let logger: Logger
    private let image: Int32
    private let disk: Int32
    private let written = PosixLocked<Int64>(0)
    private let diskBytes = PosixLocked<Int64>(0)

    init(
        program: ConfinedProgram, folder: ConversionFolder, space: ConversionSpace, byteCount: Int64, logger: Logger
    ) throws(ImageError) {
        try folder.make()
        let files = [folder.image, folder.disk].map { (path: String) -> Int32 in
            open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        }
        guard files.allSatisfy({ $0 >= 0 }) else {
            let code = errno
            for file in files where file >= 0 { close(file) }
            folder.remove()
            throw .storage("\(folder.path): errno \(code)")
        }
        (image, disk) = (files[0], files[1])
        self.program = program
        self.folder = folder
        self.space = space
        self.byteCount = byteCount
        self.logger = logger
    }

    deinit {
        close(image)
        close(disk)
    }

    func end() { folder.remove() }

    func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        let position = written.withLock { $0 }
        guard Int64(bytes.count) <= byteCount - position else {
            throw .storage("an image is longer than its record says")
        }
        var done = 0
        while done < bytes.count {
            let count = pwrite(image, bytes.baseAddress! + done, bytes.count - done, Int(position) + done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw errno == ENOSPC || errno == EDQUOT ? .full : .storage("a conversion's image: errno \(errno)")
            }
            done += count
        }
        written.withLock { $0 += Int64(bytes.count) }
        try space.check(needing: 0)
    }

    func run(
        format: String, diskBytes: Int64, progress: (Int) throws(ImageError) -> Void
    ) throws(ImageError) {
        guard let driver = Self.drivers[format] else { throw .unsupported("qemu-img is not asked for \(format).") }
        guard ftruncate(disk, Int(diskBytes)) == 0 else { throw .storage("a conversion's disk: errno \(errno)") }
        self.diskBytes.withLock { $0 = diskBytes }
        try folder.giveAway()
        let seconds = Self.leastSeconds + (byteCount + diskBytes) / Self.leastBytesPerSecond
        let bounds = ConfinedProgram.Bounds(
            fileBytes: UInt64(diskBytes) + Self.fileSlackBytes, cpuSeconds: UInt64(seconds), seconds: Int(seconds))
        do {
            let held = try program.run(
                [
                    "convert", "-p", "-n", "--target-is-zero", "--image-opts", "-O", "raw",
                    "\(driver),file.driver=file,file.filename=image", "disk",
                ], in: folder.work, root: folder.root, bounds
            ) { [space] shown in
                try space.check(needing: 0)
                try progress(Self.percent(shown))
            }
            logger.info("qemu-img read an image", metadata: ["format": "\(format)", "held_by": "\(held)"])
        } catch let error as ImageError {
            throw error
        } catch {
            logger.error("qemu-img failed", metadata: ["format": "\(format)", "error": "\(error)"])
            throw .unsupported("No disk can be made from the image: qemu-img: \(error)")
        }
    }

    /// Of the last complete `(12.34/100%)`.
    static func percent(_ shown: String) -> Int {
        guard let end = shown.lastIndex(of: "/"), let start = shown[..<end].lastIndex(of: "(") else { return 0 }
        let whole = shown[shown.index(after: start)..<end].prefix { $0 != "." }
        return Int(whole).map { min(100, max(0, $0)) } ?? 0
    }

    func read(
        data: (UnsafeRawBufferPointer) throws(ImageError) -> Void, zeros: (Int64) throws(ImageError) -> Void
    ) throws(ImageError) {
        let end = diskBytes.withLock { $0 }
        var info = stat()
        guard fstat(disk, &info) == 0, info.st_size == end else {
            throw .storage("a converted disk has not the size that it was given")
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.readBytes, alignment: 4_096)
        defer { buffer.deallocate() }
        var position: Int64 = 0
        while position < end {
            let start = try seek(position, Self.seekData) ?? end
            if start > position { try zeros(start - position) }
            position = start
            let stop = start < end ? try seek(start, Self.seekHole) ?? end : end
            while position < stop {
                let count = pread(disk, buffer.baseAddress, min(buffer.count, Int(stop - position)), Int(position))
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw .storage("a converted disk can't be read: errno \(errno)") }
                try data(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                position += Int64(count)
            }
        }
    }

    /// nil: nothing of the kind is there any more.
    private func seek(_ position: Int64, _ kind: Int32) throws(ImageError) -> Int64? {
        let found = lseek(disk, Int(position), kind)
        if found >= 0 { return Int64(found) }
        if errno == ENXIO { return nil }
        throw .storage("a converted disk can't be read: errno \(errno)")
    }
}
