import CXXHash
import Codecs
import Testing

struct XXH3Tests {
    /// What `xxhsum -H3` 0.8.1 says of the first bytes of `pattern`: the public secret gives the unkeyed hash.
    static let published: [(count: Int, hash: UInt64)] = [
        (0, 0x2d06_8005_38d3_94c2), (1, 0xc44b_dff4_074e_ecdb), (3, 0x6811_538b_444f_c6dc),
        (4, 0xed50_3340_c589_a28b), (8, 0xe5b4_3ab0_74c9_c13b), (9, 0x089b_8d25_b20f_b877),
        (16, 0x0a0e_c5ae_8679_cb7f), (17, 0x57c5_2d21_ce49_2c1e), (128, 0x6960_69c4_f1e6_a91a),
        (129, 0xb1ad_a522_8575_7beb), (240, 0xb802_8483_7259_eee4), (241, 0x44db_d318_0a66_4e27),
        (1023, 0xf7eb_9806_eb4a_d2fd), (1024, 0xd1ab_b5db_d520_32f9), (1025, 0xa390_8b11_6ddf_0191),
        (4096, 0x9f54_4112_e3e9_1bb5), (65536, 0xc471_7f32_a25f_9b2b), (1_000_003, 0x7e83_cd51_e1ab_fc36),
    ]
    static let pattern: [UInt8] = (0..<1_000_003).map { UInt8(truncatingIfNeeded: $0 * 131 + ($0 >> 8) * 7) }

    static let publicSecret: HashSecret = {
        var bytes = [UInt8](repeating: 0, count: HashSecret.byteCount)
        bytes.withUnsafeMutableBytes { apus_xxh3_public_secret($0.baseAddress!) }
        return HashSecret(bytes)
    }()

    static func hash(_ bytes: some Collection<UInt8>, _ secret: HashSecret) -> UInt64 {
        Array(bytes).withUnsafeBytes { XXH3.hash($0, secret) }
    }

    static func secret(seed: UInt64) -> HashSecret {
        var generator = SeededGenerator(seed: seed)
        return HashSecret(generator.bytes(HashSecret.byteCount))
    }

    @Test("Under the public secret the hash is xxhsum's", arguments: published)
    func golden(_ vector: (count: Int, hash: UInt64)) {
        #expect(Self.hash(Self.pattern.prefix(vector.count), Self.publicSecret) == vector.hash)
    }

    @Test("The AVX2 and the baseline path agree on every length to 2000, on large ones, at odd addresses")
    func pathsAgree() {
        var generator = SeededGenerator(seed: 11)
        let data = generator.bytes(1 << 20)
        let secret = Self.secret(seed: 12).bytes
        let counts = Array(0...2000) + [4095, 4096, 65535, 65536, 65537, 131_072, (1 << 20) - 3]
        data.withUnsafeBytes { data in
            secret.withUnsafeBytes { secret in
                let key = secret.baseAddress!
                for count in counts {
                    for shift in 0..<3 {
                        let start = data.baseAddress! + shift
                        let baseline = apus_xxh3_64_baseline(start, count, key)
                        #expect(apus_xxh3_64_avx2(start, count, key) == baseline, "\(count) bytes at \(shift)")
                        #expect(apus_xxh3_64(start, count, key) == baseline, "\(count) bytes at \(shift)")
                    }
                }
            }
        }
    }

    @Test("Another secret gives another hash, at every length class")
    func keyed() {
        let data = Self.pattern.prefix(5000)
        for count in [0, 1, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1024, 5000] {
            let hashes = Set((1...50).map { Self.hash(data.prefix(count), Self.secret(seed: $0)) })
            #expect(hashes.count == 50, "\(count) bytes")
        }
    }

    @Test("Any flipped bit and any other length gives another hash")
    func sensitive() {
        let secret = Self.secret(seed: 5)
        for count in [1, 7, 16, 100, 200, 300, 1500] {
            let data = Array(Self.pattern.prefix(count))
            var seen: Set<UInt64> = [Self.hash(data, secret), Self.hash(data + [0], secret)]
            for bit in 0..<count * 8 {
                var flipped = data
                flipped[bit / 8] ^= 1 << UInt8(bit % 8)
                seen.insert(Self.hash(flipped, secret))
            }
            #expect(seen.count == count * 8 + 2)
        }
    }

    @Test("A buffer without an address is the empty string")
    func empty() {
        let secret = Self.secret(seed: 6)
        #expect(XXH3.hash(UnsafeRawBufferPointer(start: nil, count: 0), secret) == Self.hash([], secret))
    }

    @Test("A hash secret does not print its bytes")
    func secretHides() {
        let secret = HashSecret(Array(repeating: 0xab, count: HashSecret.byteCount))
        var dumped = ""
        dump(secret, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), dumped] {
            #expect(!text.contains("171") && text.contains("<secret>"))
        }
    }
}
