import Disks

/// Page-aligned memory for direct I/O.
final class AlignedBuffer {
    let bytes: UnsafeMutableRawBufferPointer
    init(_ count: Int) {
        bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: diskBlockBytes)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }
    convenience init(_ count: Int, filledWith byte: UInt8) {
        self.init(count)
        bytes.initializeMemory(as: UInt8.self, repeating: byte)
    }
    deinit { bytes.deallocate() }
}

extension DiskFile {
    func write(_ bytes: [UInt8], at offset: Int64) throws {
        let buffer = AlignedBuffer(max(1, bytes.count))
        buffer.bytes.copyBytes(from: bytes)
        try write(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<bytes.count]), at: offset)
    }

    func read(_ count: Int, at offset: Int64) throws -> [UInt8] {
        let buffer = AlignedBuffer(max(1, count))
        let n = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]), at: offset)
        return Array(buffer.bytes[..<n])
    }

    func readCached(_ count: Int, at offset: Int64) throws -> [UInt8]? {
        let buffer = AlignedBuffer(max(1, count))
        guard let n = try readCached(into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<count]), at: offset)
        else { return nil }
        return Array(buffer.bytes[..<n])
    }
}
