import Codecs
import Testing

struct GzipTests {
    /// `printf 'hello\n' | gzip -n`
    static let hello: [UInt8] = [
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 0x02, 0, 0x20, 0x30, 0x3a, 0x36, 6, 0,
        0, 0,
    ]

    @Test("A file of GNU gzip is read")
    func golden() throws {
        #expect(try Gzip.inflate(Self.hello, limit: 100) == Array("hello\n".utf8))
    }

    @Test("Several members come out one after another")
    func members() throws {
        let three = Self.hello + Gzip.deflate([], modificationTime: 0) + Gzip.deflate([1, 2], modificationTime: 9)
        #expect(try Gzip.inflate(three, limit: 8) == Array("hello\n".utf8) + [1, 2])
        #expect(throws: GzipError.tooLong(limit: 7)) { try Gzip.inflate(three, limit: 7) }
    }

    @Test("What was packed comes back, with exactly enough room")
    func roundTrip() throws {
        var generator = SeededGenerator(seed: 41)
        for count in [0, 1, 100, 65535, 65536, 65537, 300_000] {
            for source in [generator.bytes(count), generator.text(count)] {
                let packed = Gzip.deflate(source, modificationTime: 1)
                #expect(try Gzip.inflate(packed, limit: count) == source)
                #expect(try Gzip.inflate(packed, limit: count + 70000) == source)
                if count > 0 {
                    #expect(throws: GzipError.tooLong(limit: count - 1)) {
                        try Gzip.inflate(packed, limit: count - 1)
                    }
                }
            }
        }
    }

    @Test("The same input and time give the same bytes; the time and an unknown system stand in the header")
    func reproducible() {
        let packed = Gzip.deflate(Array("hello\n".utf8), modificationTime: 1_300_507_380)
        #expect(packed == Gzip.deflate(Array("hello\n".utf8), modificationTime: 1_300_507_380))
        #expect(Array(packed.prefix(10)) == [0x1f, 0x8b, 8, 0, 0xf4, 0x2a, 0x84, 0x4d, 2, 255])
    }

    @Test("A bomb stops at the limit")
    func bomb() {
        let packed = Gzip.deflate(Array(repeating: 0, count: 20_000_000), modificationTime: 0)
        #expect(packed.count < 30000)
        #expect(throws: GzipError.tooLong(limit: 1000)) { try Gzip.inflate(packed, limit: 1000) }
        #expect(throws: GzipError.tooLong(limit: 0)) { try Gzip.inflate(packed, limit: 0) }
    }

    @Test("Every truncation is refused as one")
    func truncation() {
        var generator = SeededGenerator(seed: 42)
        for packed in [Self.hello, Gzip.deflate(generator.text(3000), modificationTime: 5)] {
            for count in 0..<packed.count {
                #expect(throws: GzipError.truncated, "\(count) bytes") {
                    try Gzip.inflate(Array(packed.prefix(count)), limit: 10000)
                }
            }
        }
    }

    @Test("Rubbish before, behind and instead is refused")
    func rubbish() {
        #expect(throws: GzipError.corrupt) { try Gzip.inflate(Self.hello + [0x77, 0x88], limit: 100) }
        #expect(throws: GzipError.corrupt) { try Gzip.inflate([0] + Self.hello, limit: 100) }
        #expect(throws: GzipError.corrupt) { try Gzip.inflate(Array("R1NG and so on".utf8), limit: 100) }
    }

    @Test("Damaged input is an error or the whole truth, never a trap")
    func hostile() {
        var generator = SeededGenerator(seed: 43)
        let source = generator.text(2000)
        let packed = Gzip.deflate(source, modificationTime: 5)
        var refused = 0
        for _ in 0..<10000 {
            let damaged = generator.mutated(packed)
            do {
                // Only the header's free fields may differ without anybody noticing.
                #expect(try Gzip.inflate(damaged, limit: 4000) == source)
            } catch {
                refused += 1
            }
        }
        #expect(refused > 9000)
    }
}
