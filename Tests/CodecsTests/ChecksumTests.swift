import CCRC32
import Codecs
import Testing

struct CRC32CTests {
    static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { CRC32C.checksum($0) } }

    /// RFC 3720 appendix B.4, and the usual check value.
    @Test(
        "The vectors of RFC 3720 come out",
        arguments: [
            ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
            ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
            ([UInt8](0..<32), 0x46dd_794e),
            ([UInt8]((0..<32).reversed()), 0x113f_db5c),
            (
                [
                    0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14,
                    0,
                    0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
                ], 0xd996_3a56
            ),
            (Array("123456789".utf8), 0xe306_9283),
            ([], 0),
        ] as [([UInt8], UInt32)])
    func golden(_ bytes: [UInt8], _ expected: UInt32) { #expect(Self.checksum(bytes) == expected) }

    @Test("Tables and the processor's instruction agree on every length to 300")
    func pathsAgree() {
        var generator = SeededGenerator(seed: 21)
        let data = generator.bytes(310)
        data.withUnsafeBytes { data in
            for count in 0...300 {
                for shift in 0..<8 {
                    let start = data.baseAddress! + shift
                    #expect(apus_crc32c(start, count, 7) == apus_crc32c_tables(start, count, 7))
                }
            }
        }
    }

    @Test("Piece by piece gives what the whole gives")
    func pieces() {
        var generator = SeededGenerator(seed: 22)
        let data = generator.bytes(1000)
        for _ in 0..<50 {
            let cut = Int.random(in: 0...1000, using: &generator)
            data.withUnsafeBytes { data in
                let head = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: data[..<cut]))
                let both = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: data[cut...]), seed: head)
                #expect(both == CRC32C.checksum(data))
            }
        }
    }
}

struct MD5Tests {
    @Test(
        "The vectors of RFC 1321 come out",
        arguments: [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
            (
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
                "d174ab98d277d9f5a5611c2c9f419d9f"
            ),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a"
            ),
        ])
    func golden(_ text: String, _ expected: String) {
        let bytes = Array(text.utf8)
        #expect(bytes.withUnsafeBytes { MD5.hash($0) }.hex == expected)
        var pieces = MD5()
        for byte in bytes { [byte].withUnsafeBytes { pieces.update($0) } }
        #expect(pieces.finalize().hex == expected)
    }

    @Test("A copy of a running MD5 goes its own way")
    func copies() {
        var first = MD5()
        Array("a".utf8).withUnsafeBytes { first.update($0) }
        var second = first
        Array("bc".utf8).withUnsafeBytes { second.update($0) }
        #expect(second.finalize().hex == "900150983cd24fb0d6963f7d28e17f72")
        #expect(first.finalize().hex == "0cc175b9c0f1b6a831c399e269772661")
    }
}

struct HexTests {
    @Test("Every byte survives hex, in both cases")
    func roundTrip() {
        let all = [UInt8](0...255)
        let text = Hex.encode(all)
        #expect(text.hasPrefix("000102") && text.hasSuffix("fdfeff") && text == text.lowercased())
        #expect(Hex.decode(text) == all)
        #expect(Hex.decode(text.uppercased()) == all)
    }

    @Test("What is not hex is refused", arguments: ["0", "0g", "g0", " 00", "0x00", "é0", "００"])
    func refused(_ text: String) { #expect(Hex.decode(text) == nil) }
}
