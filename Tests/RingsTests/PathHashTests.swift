import Primitives
import Rings
import Testing

struct PathHashTests {
    static func hasher(_ prefix: String, _ suffix: String) throws -> RingHasher {
        try RingHasher(prefix: Secret(prefix), suffix: Secret(suffix))
    }

    @Test("The reference's paths have the reference's hashes and partitions")
    func golden() throws {
        let hasher = try Self.hasher("", "changeme")
        #expect(hasher.hash(account: "a").hex == "b8ea67c480b33ac40c79510c7df2b8a8")
        #expect(hasher.hash(account: "a", container: "c").hex == "e8fbcd486a77117e2cd3398aa1f9485f")
        let object = hasher.hash(account: "a", container: "c", object: "o")
        #expect(object.hex == "2f714cd91b0e5d803cde2012b01d7099")
        #expect(object.suffix == "099")
        #expect(object.partition(partPower: 10) == 189)
        #expect(object.partition(partPower: 20) == 194_324)
        #expect(object.partition(partPower: 0) == 0)
        #expect(object.partition(partPower: 32) == 0x2f71_4cd9)
        #expect(
            hasher.hash(account: "AUTH_test", container: "cont", object: "dir/obj é").hex
                == "ece4eefd7c00485f9ff58f286ddcf8c0")
        let prefixed = try Self.hasher("pre", "changeme")
        #expect(
            prefixed.hash(account: "a", container: "c", object: "o").hex == "fba315b44737d80df1355c2f09624118")
    }

    @Test("A cluster without any secret is refused; either one is enough")
    func secretRequired() throws {
        #expect(throws: RingError.hashSecretMissing) { try Self.hasher("", "") }
        _ = try Self.hasher("x", "")
        _ = try Self.hasher("", "x")
    }

    @Test("The bytes of a hash are the bytes it was made of")
    func bytes() {
        let bytes = [UInt8](200..<216)
        #expect(PathHash(bytes).bytes == bytes)
        #expect(PathHash(bytes) == PathHash(bytes) && PathHash(bytes) != PathHash(bytes.reversed()))
    }

    @Test("A hasher does not print its secrets")
    func hides() throws {
        let hasher = try Self.hasher("Pa55word", "Wa1rus")
        var dumped = ""
        dump(hasher, to: &dumped)
        for text in ["\(hasher)", String(reflecting: hasher), dumped] {
            #expect(!text.contains("Pa55") && !text.contains("Wa1rus"))
        }
    }
}
