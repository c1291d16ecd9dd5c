import Codecs

/// Why an image can't be read as a disk.
package enum ImageReadError: Error, Sendable, Equatable, CustomStringConvertible {
    case malformed(String)
    case unsupported(String)
    /// The disk is larger than may be.
    case tooLarge(UInt64)
    /// What holds the image failed.
    case source(String)

    package var description: String {
        switch self {
        case .malformed(let what): "the image is malformed: \(what)"
        case .unsupported(let what): "the image uses what is not supported: \(what)"
        case .tooLarge(let bytes): "its disk would have \(bytes) bytes"
        case .source(let why): "the image could not be read: \(why)"
        }
    }
}

/// An image file as it is stored.
package protocol ImageSource: Sendable {
    var byteCount: UInt64 { get }
    /// Fills the buffer from there on, which lies within the file. May block.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(ImageReadError)
}

/// Takes a disk's bytes from its beginning to its end.
package protocol DiskSink {
    mutating func data(_ bytes: UnsafeRawBufferPointer) throws(ImageReadError)
    mutating func zeros(_ count: UInt64) throws(ImageReadError)
}

/// Reads the disk out of a qcow2 file, versions 2 and 3, clusters stored as they are or by zlib or zstd (QEMU's
/// docs/interop/qcow2.txt). Its own memory: the first table, one second table, and two buffers of a cluster or 1 MiB.
///
/// Nothing outside the file is ever read. Reference counts and snapshots are not looked at.
package struct QCOW2Reader {
    package let virtualBytes: UInt64
    private let source: any ImageSource
    private let clusterBits: UInt64
    private let version: UInt32
    private let isZstd: Bool
    private let firstTable: [UInt64]

    private var clusterBytes: UInt64 { 1 << clusterBits }
    /// Entries of a second table.
    private var entries: UInt64 { clusterBytes / 8 }
    private static let offsetMask: UInt64 = 0x00FF_FFFF_FFFF_FE00

    /// - Parameter virtualBytesMax: the largest disk that is taken.
    package init(_ source: any ImageSource, virtualBytesMax: UInt64) throws(ImageReadError) {
        self.source = source
        let head = Fields(try Self.bytes(source, at: 0, count: Int(min(112, source.byteCount))))
        guard head.big32(0) == 0x5146_49FB, let version = head.big32(4), let backing = head.big64(8),
            let bits = head.big32(20), let size = head.big64(24), let encryption = head.big32(32),
            let firstCount = head.big32(36), let firstStart = head.big64(40)
        else { throw .malformed("it has no qcow2 header") }
        guard version == 2 || version == 3 else { throw .unsupported("version \(version)") }
        guard backing == 0 else { throw .unsupported("a backing file") }
        guard encryption == 0 else { throw .unsupported("encryption") }
        guard ImageFormatLimits.qcow2ClusterBits.contains(bits) else { throw .malformed("clusters of 2^\(bits) bytes") }
        var isZstd = false
        if version == 3 {
            guard let features = head.big64(72), let headerBytes = head.big32(100), headerBytes >= 104 else {
                throw .malformed("its header is cut off")
            }
            if features & 2 != 0 { throw .malformed("it is marked corrupt") }
            // A dirty mark is about reference counts, which are not used here.
            guard features & ~0b1001 == 0 else { throw .unsupported("incompatible features \(features)") }
            if features & 8 != 0 {
                guard headerBytes > 104, let kind = head.slice(104, 1)?.first, kind <= 1 else {
                    throw .unsupported("its kind of compression")
                }
                isZstd = kind == 1
            }
        }
        guard size <= virtualBytesMax else { throw .tooLarge(size) }
        virtualBytes = size
        clusterBits = UInt64(bits)
        self.version = version
        self.isZstd = isZstd
        let span = UInt64(1) << (2 * UInt64(bits) - 3)
        let needed = size / span + (size % span == 0 ? 0 : 1)
        guard needed <= UInt64(firstCount) else { throw .malformed("its first table is too short") }
        let tableBytes = needed * 8
        guard tableBytes <= UInt64(ImageFormatLimits.qcow2FirstTableBytesMax) else { throw .tooLarge(size) }
        guard firstStart % (1 << UInt64(bits)) == 0, firstStart <= source.byteCount,
            tableBytes <= source.byteCount - firstStart
        else { throw .malformed("its first table lies outside of it") }
        firstTable = Self.words(try Self.bytes(source, at: firstStart, count: Int(tableBytes)))
    }

    /// Hands the whole disk over, zeros as counts.
    ///
    /// - Parameter progress: gets how far it is, in bytes, at least once for each second table; throws to stop.
    package func read(
        into sink: inout some DiskSink, progress: (UInt64) throws(ImageReadError) -> Void
    ) throws(ImageReadError) {
        var pass = Pass(reader: self)
        for table in firstTable {
            try progress(pass.position)
            let start = table & Self.offsetMask
            if start == 0 {
                try pass.skip(entries, &sink)
            } else {
                try pass.clusters(try secondTable(start), &sink)
            }
        }
        try pass.finish(&sink)
    }

    private func secondTable(_ start: UInt64) throws(ImageReadError) -> [UInt64] {
        guard start % clusterBytes == 0, start <= source.byteCount, clusterBytes <= source.byteCount - start else {
            throw .malformed("a second table lies outside of it")
        }
        return Self.words(try Self.bytes(source, at: start, count: Int(clusterBytes)))
    }

    private static func bytes(
        _ source: any ImageSource, at offset: UInt64, count: Int
    ) throws(ImageReadError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var failure: ImageReadError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(ImageReadError) { try source.read(at: offset, into: buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    private static func words(_ bytes: [UInt8]) -> [UInt64] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / 8).map { UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self)) }
        }
    }

    // MARK: One pass over the disk

    private final class Buffer {
        let bytes: UnsafeMutableRawBufferPointer
        init(_ count: Int) { bytes = .allocate(byteCount: count, alignment: 4_096) }
        deinit { bytes.deallocate() }
    }

    /// Gathers neighbours: zeros into one count, clusters that follow one another in the file into one read.
    private struct Pass {
        let reader: QCOW2Reader
        let output: Buffer
        let input: Buffer
        var position: UInt64 = 0
        private var zeroBytes: UInt64 = 0
        private var run: (start: UInt64, count: UInt64)?
        /// What clusters there were, against what the file can hold: each stored cluster has its own bytes.
        private var storedBytes: UInt64 = 0
        private var packedClusters: UInt64 = 0

        init(reader: QCOW2Reader) {
            self.reader = reader
            output = Buffer(max(Int(reader.clusterBytes), ImageFormatLimits.runBytesMax))
            input = Buffer(2 * Int(reader.clusterBytes) + 1_024)
        }

        /// Of the cluster at `position`, what lies within the disk.
        private var length: UInt64 { min(reader.clusterBytes, reader.virtualBytes - position) }

        mutating func skip(_ clusters: UInt64, _ sink: inout some DiskSink) throws(ImageReadError) {
            try flushRun(&sink)
            let (bytes, overflow) = clusters.multipliedReportingOverflow(by: reader.clusterBytes)
            let count = overflow ? reader.virtualBytes - position : min(bytes, reader.virtualBytes - position)
            zeroBytes += count
            position += count
        }

        mutating func clusters(_ table: [UInt64], _ sink: inout some DiskSink) throws(ImageReadError) {
            for entry in table where position < reader.virtualBytes {
                if entry & (1 << 62) != 0 {
                    try packed(entry, &sink)
                    continue
                }
                let start = entry & QCOW2Reader.offsetMask
                let isZero = reader.version == 3 && entry & 1 != 0
                if isZero || start == 0 {
                    try skip(1, &sink)
                } else {
                    try stored(start, &sink)
                }
            }
        }

        private mutating func stored(_ start: UInt64, _ sink: inout some DiskSink) throws(ImageReadError) {
            guard start % reader.clusterBytes == 0, start < reader.source.byteCount else {
                throw .malformed("a cluster lies outside of it")
            }
            storedBytes += reader.clusterBytes
            guard storedBytes <= reader.source.byteCount + reader.clusterBytes else {
                throw .malformed("clusters lie over one another")
            }
            try flushZeros(&sink)
            if let run, run.start + run.count == start,
                run.count + length <= UInt64(ImageFormatLimits.runBytesMax)
            {
                self.run = (run.start, run.count + length)
            } else {
                try flushRun(&sink)
                run = (start, length)
            }
            position += length
        }

        private mutating func packed(_ entry: UInt64, _ sink: inout some DiskSink) throws(ImageReadError) {
            let split = 62 - (reader.clusterBits - 8)
            let start = entry & ((1 << split) - 1)
            let sectors = (entry & ((1 << 62) - 1)) >> split + 1
            guard start < reader.source.byteCount else { throw .malformed("a cluster lies outside of it") }
            let count = min(sectors * 512 - start % 512, reader.source.byteCount - start)
            guard count <= UInt64(input.bytes.count) else { throw .malformed("a packed cluster is too long") }
            packedClusters += 1
            guard packedClusters <= reader.source.byteCount / 8 else {
                throw .malformed("clusters lie over one another")
            }
            try flushZeros(&sink)
            try flushRun(&sink)
            let packed = UnsafeMutableRawBufferPointer(rebasing: input.bytes[..<Int(count)])
            try reader.source.read(at: start, into: packed)
            let cluster = UnsafeMutableRawBufferPointer(rebasing: output.bytes[..<Int(reader.clusterBytes)])
            let isWhole =
                reader.isZstd
                ? BlockInflation.zstd(UnsafeRawBufferPointer(packed), into: cluster)
                : BlockInflation.deflate(UnsafeRawBufferPointer(packed), into: cluster)
            guard isWhole else { throw .malformed("a packed cluster") }
            try sink.data(UnsafeRawBufferPointer(rebasing: cluster[..<Int(length)]))
            position += length
        }

        private mutating func flushRun(_ sink: inout some DiskSink) throws(ImageReadError) {
            guard let run else { return }
            self.run = nil
            let buffer = UnsafeMutableRawBufferPointer(rebasing: output.bytes[..<Int(run.count)])
            // A file may end within its last cluster.
            let there = min(run.count, reader.source.byteCount - run.start)
            try reader.source.read(at: run.start, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(there)]))
            for index in Int(there)..<buffer.count { buffer[index] = 0 }
            try sink.data(UnsafeRawBufferPointer(buffer))
        }

        private mutating func flushZeros(_ sink: inout some DiskSink) throws(ImageReadError) {
            guard zeroBytes > 0 else { return }
            try sink.zeros(zeroBytes)
            zeroBytes = 0
        }

        mutating func finish(_ sink: inout some DiskSink) throws(ImageReadError) {
            try flushRun(&sink)
            zeroBytes += reader.virtualBytes - position
            position = reader.virtualBytes
            try flushZeros(&sink)
        }
    }
}
