private import Glibc
import Images
import Logging
import Primitives

/// Disks in the formats that only `qemu-img` reads.
///
/// Each conversion has a folder `conversions/UUID` in the data folder: `work/image` is the image, `work/disk` the disk, and
/// the program, which runs in `work`, can make no further files.
struct QEMUConverter: DiskConverter {
    static let folderName = "conversions"

    /// nil: there is none.
    private let program: ConfinedProgram?
    private let missing: String
    private let folder: String
    /// Free bytes of the file system that stay free.
    private let reserveBytes: Int64
    private let logger: Logger

    /// - Parameters:
    ///   - named: an absolute path, a name to look for, or nothing.
    ///   - searchPath: folders with colons between, as in PATH.
    ///   - folder: of this one's own, empty, an absolute path.
    init(named: String, searchPath: String, folder: String, reserveBytes: Int64, logger: Logger) {
        let found = Self.find(named, searchPath)
        program = found.map { ConfinedProgram(path: $0) }
        missing =
            named.isEmpty
            ? "qemu-img is turned off (image.qemu_img)"
            : "qemu-img is needed, and there is no program \(named) (Debian: qemu-utils; image.qemu_img)"
        self.folder = folder
        self.reserveBytes = reserveBytes
        self.logger = logger
        logger.info("images of other formats", metadata: ["converter": "\(found ?? "none")"])
    }

    private static func find(_ name: String, _ searchPath: String) -> String? {
        guard !name.isEmpty else { return nil }
        let candidates =
            name.hasPrefix("/")
            ? [name] : searchPath.split(separator: ":").filter { $0.hasPrefix("/") }.map { "\($0)/\(name)" }
        // As it is, links resolved: what is started later is what was found.
        for candidate in candidates where access(candidate, X_OK) == 0 {
            guard let resolved = realpath(candidate, nil) else { continue }
            defer { free(resolved) }
            return String(cString: resolved)
        }
        return nil
    }

    /// Removes what a crash left. Before the first conversion; blocks.
    func removeUnfinished() throws(ImageError) {
        guard let stream = opendir(folder) else { throw .storage("\(folder): errno \(errno)") }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { ConversionFolder(path: folder + "/" + name).remove() }
        }
    }

    func check() throws(ImageError) {
        guard program != nil else { throw .unsupported(missing) }
    }

    func begin(byteCount: Int64) throws(ImageError) -> any DiskConversion {
        guard let program else { throw .unsupported(missing) }
        let space = ConversionSpace(folder: folder, reserveBytes: reserveBytes)
        try space.check(needing: byteCount)
        let name = RandomUUID.text(ImageConfiguration.standard().randomBytes(16))
        return try QEMUConversion(
            program: program, folder: ConversionFolder(path: folder + "/" + name), space: space, byteCount: byteCount,
            logger: logger)
    }
}

/// How much the file system has left.
struct ConversionSpace: Sendable {
    let folder: String
    let reserveBytes: Int64

    func check(needing byteCount: Int64) throws(ImageError) {
        var info = statvfs()
        guard statvfs(folder, &info) == 0 else { throw .storage("\(folder): errno \(errno)") }
        let free = Int64(
            clamping: UInt64(info.f_bavail).multipliedReportingOverflow(by: UInt64(info.f_frsize)).partialValue)
        guard free - reserveBytes >= byteCount else { throw .full }
    }
}

/// The folder of one conversion.
struct ConversionFolder: Sendable {
    let path: String
    var work: String { path + "/work" }
    var root: String { path + "/root" }
    var image: String { work + "/image" }
    var disk: String { work + "/disk" }

    func make() throws(ImageError) {
        for folder in [path, work, root] where mkdir(folder, 0o700) != 0 {
            throw .storage("\(folder): errno \(errno)")
        }
    }

    /// The program's user is not the daemon's where that is root.
    func giveAway() throws(ImageError) {
        guard geteuid() == 0 else { return }
        for name in [work, image, disk] where lchown(name, ConfinedProgram.nobody, ConfinedProgram.nobody) != 0 {
            throw .storage("\(name): errno \(errno)")
        }
    }

    func remove() {
        for file in [image, disk] { unlink(file) }
        for folder in [work, root, path] { rmdir(folder) }
    }
}
