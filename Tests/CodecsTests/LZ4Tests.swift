import Codecs
import Testing

struct LZ4Tests {
    /// Compresses into a destination of that capacity, between guard bytes that must stay.
    static func compress(_ source: [UInt8], capacity: Int) -> [UInt8]? {
        var room = [UInt8](repeating: 0xa5, count: capacity + 16)
        let count = source.withUnsafeBytes { source in
            room.withUnsafeMutableBytes { room in
                LZ4.compress(source, into: UnsafeMutableRawBufferPointer(rebasing: room[8..<8 + capacity]))
            }
        }
        #expect(room.prefix(8).allSatisfy { $0 == 0xa5 } && room.suffix(8).allSatisfy { $0 == 0xa5 })
        guard let count else { return nil }
        return Array(room[8..<8 + count])
    }

    /// nil if refused; guard bytes on both sides must stay in any case.
    static func decompress(_ source: [UInt8], count: Int) -> [UInt8]? {
        var room = [UInt8](repeating: 0x5a, count: count + 16)
        let valid = source.withUnsafeBytes { source in
            room.withUnsafeMutableBytes { room in
                LZ4.decompress(source, into: UnsafeMutableRawBufferPointer(rebasing: room[8..<8 + count]))
            }
        }
        #expect(room.prefix(8).allSatisfy { $0 == 0x5a } && room.suffix(8).allSatisfy { $0 == 0x5a })
        return valid ? Array(room[8..<8 + count]) : nil
    }

    @Test("What was compressed comes back, in its exact length only")
    func roundTrip() throws {
        var generator = SeededGenerator(seed: 31)
        for count in [1, 2, 12, 13, 100, 1000, 4096, 65536, 65537, 131_072, 300_000] {
            for source in [generator.bytes(count), generator.text(count), Array(repeating: 7, count: count)] {
                let packed = try #require(Self.compress(source, capacity: count + count / 255 + 16))
                #expect(Self.decompress(packed, count: count) == source)
                #expect(Self.decompress(packed, count: count + 1) == nil)
                #expect(Self.decompress(packed, count: count - 1) == nil)
            }
        }
    }

    @Test("One and the same thread compresses the same bytes alike, whatever came between")
    func statelessAcrossCalls() {
        var generator = SeededGenerator(seed: 32)
        let source = generator.text(65536)
        let first = Self.compress(source, capacity: 70000)
        _ = Self.compress(generator.text(131_072), capacity: 140_000)
        _ = Self.compress(generator.bytes(1000), capacity: 10)
        #expect(Self.compress(source, capacity: 70000) == first)
    }

    @Test("nil when it does not fit; exactly fitting is enough")
    func capacity() throws {
        var generator = SeededGenerator(seed: 33)
        #expect(Self.compress(generator.bytes(65536), capacity: 65536 / 8 * 7) == nil)
        let text = generator.text(65536)
        let packed = try #require(Self.compress(text, capacity: 65536 / 8 * 7))
        #expect(packed.count < 65536 / 8 * 7)
        #expect(Self.compress(text, capacity: packed.count - 1) == nil)
        let exact = try #require(Self.compress(text, capacity: packed.count))
        #expect(Self.decompress(exact, count: text.count) == text)
        #expect(Self.compress(text, capacity: 0) == nil)
    }

    @Test("Nothing is one zero byte, and nothing else is nothing")
    func empty() throws {
        let packed = try #require(Self.compress([], capacity: 16))
        #expect(packed == [0])
        #expect(Self.decompress(packed, count: 0) == [])
        #expect(Self.decompress([1], count: 0) == nil)
        #expect(Self.decompress([0, 0], count: 0) == nil)
        #expect(Self.decompress([], count: 0) == nil)
        #expect(Self.decompress([], count: 10) == nil)
        #expect(!LZ4.decompress(.init(start: nil, count: 0), into: .init(start: nil, count: 0)))
    }

    @Test("What looks random isn't worth a try; text, half-empty blocks, narrow numbers and short pieces are")
    func mayShrink() {
        var generator = SeededGenerator(seed: 77)
        func mayShrink(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { LZ4.mayShrink($0) } }
        var tried = 0
        for _ in 0..<1_000 {
            for count in [4_096, 8_192, 12_288, 16_384] where mayShrink(generator.bytes(count)) { tried += 1 }
        }
        // The sample's spread lets through less than one of a thousand.
        #expect(tried < 20)
        for count in [256, 4_096, 16_384] {
            #expect(mayShrink(generator.text(count)))
            #expect(mayShrink(generator.bytes(count).map { $0 & 0x7F }))
            // Zeros at the start, at the end, and in every fourth byte.
            var bytes = generator.bytes(count)
            for at in 0..<count * 3 / 8 { bytes[at] = 0 }
            #expect(mayShrink(bytes))
            #expect(mayShrink(bytes.reversed()))
            bytes = generator.bytes(count)
            for at in stride(from: 0, to: count, by: 4) { bytes[at] = 0 }
            #expect(mayShrink(bytes))
        }
        // Records of a round size: a random key, and nothing much behind it.
        for record in [64, 128, 256, 512] {
            var bytes = [UInt8](repeating: 0, count: 4_096)
            for start in stride(from: 0, to: bytes.count, by: record) {
                for (at, byte) in generator.bytes(16).enumerated() { bytes[start + at] = byte }
            }
            #expect(mayShrink(bytes))
        }
        for count in [0, 1, 255] { #expect(mayShrink(generator.bytes(count))) }
    }

    @Test("Every truncation is refused")
    func truncation() throws {
        var generator = SeededGenerator(seed: 34)
        let source = generator.text(3000)
        let packed = try #require(Self.compress(source, capacity: 4000))
        for count in 0..<packed.count { #expect(Self.decompress(Array(packed.prefix(count)), count: 3000) == nil) }
    }

    @Test("Damaged and random input never writes outside, and never yields another length")
    func hostile() throws {
        var generator = SeededGenerator(seed: 35)
        let source = generator.text(3000)
        let packed = try #require(Self.compress(source, capacity: 4000))
        var refused = 0
        for _ in 0..<20000 {
            if Self.decompress(generator.mutated(packed), count: 3000) == nil { refused += 1 }
        }
        #expect(refused > 1000)
        for _ in 0..<5000 {
            let junk = generator.bytes(Int.random(in: 1...200, using: &generator))
            _ = Self.decompress(junk, count: Int.random(in: 0...1000, using: &generator))
        }
    }
}
