import CZlib
import Foundation
import Testing

@testable import ImageFormats

@Suite("Disks read out of qcow2 images") struct QCOW2ReaderTests {
    private struct Source: ImageSource {
        let bytes: [UInt8]
        var byteCount: UInt64 { UInt64(bytes.count) }
        func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(ImageReadError) {
            precondition(offset + UInt64(buffer.count) <= byteCount, "read outside of the file")
            buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + buffer.count])
        }
    }

    private struct Disk: DiskSink {
        var bytes: [UInt8] = []
        mutating func data(_ new: UnsafeRawBufferPointer) throws(ImageReadError) { bytes += new }
        mutating func zeros(_ count: UInt64) throws(ImageReadError) {
            guard UInt64(bytes.count) + count <= 64 << 20 else { throw .tooLarge(count) }
            bytes += [UInt8](repeating: 0, count: Int(count))
        }
    }

    private static func disk(_ image: [UInt8], max: UInt64 = 64 << 20) throws -> [UInt8] {
        var disk = Disk()
        try QCOW2Reader(Source(bytes: image), virtualBytesMax: max).read(into: &disk) { _ throws(ImageReadError) in }
        return disk.bytes
    }

    /// An image of that disk: each cluster stored, packed or left out, by turns.
    private static func image(of disk: [UInt8], bits: UInt64, version: UInt64 = 3) -> [UInt8] {
        let size = 1 << Int(bits)
        let entries = size / 8
        let clusters = (disk.count + size - 1) / size
        let tables = (clusters + entries - 1) / entries
        var image = Made.qcow2Header(version: version, bits: bits, size: UInt64(disk.count))
        let first = ((tables * 8 + size - 1) / size)
        let firstStart = 3 * size
        Made.put(Made.big(UInt64(tables), 4) + Made.big(UInt64(firstStart), 8), at: 36, in: &image)
        var end = firstStart + first * size
        for table in 0..<tables {
            let start = end
            end += size
            Made.put(Made.big(UInt64(start) | 1 << 63, 8), at: firstStart + 8 * table, in: &image)
            Made.put([UInt8](repeating: 0, count: size), at: start, in: &image)
            for entry in 0..<entries where table * entries + entry < clusters {
                let at = (table * entries + entry) * size
                var bytes = Array(disk[at..<min(at + size, disk.count)])
                if bytes.allSatisfy({ $0 == 0 }) {
                    if version == 3, entry % 2 == 0 { Made.put(Made.big(1, 8), at: start + 8 * entry, in: &image) }
                    continue
                }
                bytes += [UInt8](repeating: 0, count: size - bytes.count)
                let word: UInt64
                if entry % 3 == 1 {
                    let packed = deflated(bytes)
                    let place = end + 100
                    Made.put(packed, at: place, in: &image)
                    let sectors = (place + packed.count - 1) / 512 - place / 512
                    let split = 62 - (bits - 8)
                    word = 1 << 62 | UInt64(sectors) << split | UInt64(place)
                    end = (place + packed.count + size - 1) / size * size
                } else {
                    Made.put(bytes, at: end, in: &image)
                    word = UInt64(end) | 1 << 63
                    end += size
                }
                Made.put(Made.big(word, 8), at: start + 8 * entry, in: &image)
            }
        }
        if image.count < end { image += [UInt8](repeating: 0, count: end - image.count) }
        return image
    }

    /// Raw deflate with a window of 4 KiB, as QEMU packs clusters.
    private static func deflated(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        var out = [UInt8](repeating: 0, count: bytes.count * 2 + 1_024)
        var input = bytes
        precondition(
            deflateInit2_(
                &stream, 6, Z_DEFLATED, -12, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
                == Z_OK)
        defer { deflateEnd(&stream) }
        return input.withUnsafeMutableBufferPointer { source in
            out.withUnsafeMutableBufferPointer { target in
                stream.next_in = source.baseAddress
                stream.avail_in = uInt(source.count)
                stream.next_out = target.baseAddress
                stream.avail_out = uInt(target.count)
                precondition(deflate(&stream, Z_FINISH) == Z_STREAM_END)
                return Array(target.prefix(Int(stream.total_out)))
            }
        }
    }

    private static func sample(_ count: Int) -> [UInt8] {
        var random = Xorshift(state: 42)
        var disk = [UInt8](repeating: 0, count: count)
        var at = 0
        while at < count {
            let length = min(count - at, 1 + Int(random.next() % 20_000))
            if random.next() % 3 != 0 {
                let byte = UInt8(truncatingIfNeeded: random.next())
                for index in at..<at + length {
                    disk[index] = index % 7 == 0 ? UInt8(truncatingIfNeeded: random.next()) : byte
                }
            }
            at += length
        }
        return disk
    }

    @Test(
        "the disk is what was put in, whatever the clusters' size and how they are kept", arguments: [9, 12, 16],
        [2, 3])
    func readsBack(bits: UInt64, version: UInt64) throws {
        for count in [512, 70_000 / 512 * 512, 1 << 20] {
            let disk = Self.sample(count)
            #expect(try Self.disk(Self.image(of: disk, bits: bits, version: version)) == disk)
        }
    }

    @Test(
        "what we write is read back as it was, and holds no cluster of zeros",
        arguments: [512, 70_144, 1 << 20, 5 << 20])
    func written(count: Int) async throws {
        var disk = Self.sample(count)
        if count > 1 << 20 { for index in 1 << 20..<4 << 20 { disk[index] = 0 } }
        var map = QCOW2Layout.Map(virtualBytes: UInt64(count))
        let size = QCOW2Layout.clusterBytes
        for start in stride(from: 0, to: count, by: size)
        where disk[start..<min(start + size, count)].contains(where: { $0 != 0 }) {
            map.mark(cluster: start / size)
        }
        let layout = QCOW2Layout(virtualBytes: UInt64(count), map: map)
        var file: [UInt8] = []
        for index in 0..<layout.metadataClusters { file += layout.metadata(index) }
        await layout.forEachDataCluster { cluster in
            let bytes = disk[cluster * size..<min((cluster + 1) * size, count)]
            file += bytes + [UInt8](repeating: 0, count: size - bytes.count)
        }
        #expect(UInt64(file.count) == layout.fileBytes)
        #expect(try Self.disk(file) == disk)
        if count > 1 << 20 { #expect(file.count < 3 << 20) }
    }

    @Test("an image without clusters is zeros")
    func empty() throws {
        #expect(
            try Self.disk(Self.image(of: [UInt8](repeating: 0, count: 1 << 20), bits: 16))
                == [UInt8](repeating: 0, count: 1 << 20))
    }

    @Test("what reaches outside, is encrypted, corrupt or larger than may be is refused before anything is read")
    func refusals() {
        for image in [
            Made.qcow2Header(backing: 512), Made.qcow2Header(features: 4), Made.qcow2Header(features: 2),
            Made.qcow2Header(features: 16),
            Made.qcow2Header(bits: 8), Made.qcow2Header(bits: 22), Made.qcow2Header(size: 1 << 40),
            Made.qcow2Header(version: 4),
            Array(Made.qcow2Header().prefix(40)), [],
        ] {
            #expect(throws: ImageReadError.self) { try Self.disk(image) }
        }
        var encrypted = Made.qcow2Header()
        Made.put(Made.big(1, 4), at: 32, in: &encrypted)
        #expect(throws: ImageReadError.unsupported("encryption")) { try Self.disk(encrypted) }
    }

    @Test("clusters that all lie in one place don't unfold into more than the file has")
    func overlap() throws {
        let disk = Self.sample(1 << 20)
        var image = Self.image(of: disk, bits: 9)
        let size = 512
        // Every entry of the first second table points at one cluster.
        let table = image.withUnsafeBytes {
            Int(UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 3 * size, as: UInt64.self)) & 0xFFFF_FFFF)
        }
        for copy in 0..<32 { Made.put(Made.big(UInt64(table) | 1 << 63, 8), at: 3 * size + 8 * copy, in: &image) }
        for entry in 0..<64 { Made.put(Made.big(UInt64(table + size) | 1 << 63, 8), at: table + 8 * entry, in: &image) }
        image = Array(image.prefix(table + 4 * size))
        #expect(throws: ImageReadError.malformed("clusters lie over one another")) { try Self.disk(image) }
    }

    @Test("no bytes trap it or make it read outside of the file")
    func fuzz() {
        let times = Int(ProcessInfo.processInfo.environment["APUS_TORTURE"] ?? "").map { $0 * 1_000 } ?? 1_000
        let seed = UInt64.random(in: .min ... .max)
        print("qcow2 fuzz seed \(seed)")
        var random = Xorshift(state: seed | 1)
        let images = [
            Self.image(of: Self.sample(60_000 / 512 * 512), bits: 9),
            Self.image(of: Self.sample(65_536), bits: 12, version: 2),
        ]
        for _ in 0..<times {
            var image = images[Int(random.next() % 2)]
            for _ in 0..<(1 + random.next() % 6) {
                let reach = random.next() % 2 == 0 ? 112 : image.count
                image[Int(random.next() % UInt64(reach))] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.next() % 4 == 0 { image.removeLast(Int(random.next() % UInt64(image.count))) }
            do { _ = try Self.disk(image, max: 8 << 20) } catch { continue }
        }
    }
}
