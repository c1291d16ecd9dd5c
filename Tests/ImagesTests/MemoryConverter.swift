import Images
import Primitives

/// Makes disks in memory: whatever the image, its disk is the sample, zeros behind it.
struct MemoryConverter: DiskConverter {
    let sample: [UInt8]
    /// Called behind every step.
    let hook: @Sendable () -> Void
    /// What `run` throws, if anything.
    var failure: ImageError?

    func check() throws(ImageError) {}
    func begin(byteCount: Int64) throws(ImageError) -> any DiskConversion {
        hook()
        return Conversion(converter: self)
    }

    private final class Conversion: DiskConversion {
        let converter: MemoryConverter
        private let diskBytes = PosixLocked<Int64>(0)

        init(converter: MemoryConverter) { self.converter = converter }

        func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) { converter.hook() }

        func run(
            format: String, diskBytes: Int64, progress: (Int) throws(ImageError) -> Void
        ) throws(ImageError) {
            self.diskBytes.withLock { $0 = diskBytes }
            try progress(50)
            converter.hook()
            if let failure = converter.failure { throw failure }
        }

        func read(
            data: (UnsafeRawBufferPointer) throws(ImageError) -> Void, zeros: (Int64) throws(ImageError) -> Void
        ) throws(ImageError) {
            var failure: ImageError?
            converter.sample.withUnsafeBytes { bytes in
                do throws(ImageError) { try data(bytes) } catch { failure = error }
            }
            if let failure { throw failure }
            converter.hook()
            try zeros(diskBytes.withLock { $0 } - Int64(converter.sample.count))
        }

        func end() { converter.hook() }
    }

    /// As much of a VMDK as is looked at.
    static func vmdk(sectors: Int) -> [UInt8] {
        func little(_ value: Int, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        }
        var header = Array("KDMV".utf8) + little(1, 4) + little(3, 4) + little(sectors, 8) + little(128, 8)
        header += little(1, 8) + little(20, 8) + little(512, 4) + little(0, 8) + little(21, 8)
        header += [UInt8](repeating: 0, count: 512 - header.count)
        let text = "version=1\ncreateType=\"monolithicSparse\"\nRW \(sectors) SPARSE \"disk.vmdk\"\n"
        return header + Array(text.utf8) + [UInt8](repeating: 0, count: 60_000)
    }
}
