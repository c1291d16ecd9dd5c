import Codecs
import Testing

@testable import Identity

@Suite struct FernetTests {
    /// The vector of the Fernet specification (generate.json).
    static let key = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
    static let token =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="

    @Test func theSpecificationsVectorOpensAndSeals() throws {
        let key = try #require(Fernet.Key(text: Self.key))
        #expect(Fernet.open(Self.token, keys: [key]) == Fernet.Opened(payload: Array("hello".utf8), time: 499_162_800))
        let sealed = try Fernet.seal(Array("hello".utf8), key: key, time: 499_162_800, iv: Array(0..<16))
        #expect(sealed + "==" == Self.token)
    }

    @Test func noChangedByteTruncationOrForeignKeyOpens() throws {
        let key = try #require(Fernet.Key(text: Self.key))
        let bytes = try #require(Base64.decodeURL(Self.token.utf8))
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 1
            #expect(Fernet.open(Base64.encodeURL(changed, padded: false), keys: [key]) == nil)
        }
        for count in 0..<bytes.count {
            #expect(Fernet.open(Base64.encodeURL(Array(bytes[..<count]), padded: false), keys: [key]) == nil)
        }
        let other = try #require(Fernet.Key(bytes: Array(repeating: 7, count: 32)))
        #expect(Fernet.open(Self.token, keys: [other]) == nil)
        #expect(Fernet.open(Self.token, keys: [other, key]) != nil)
        #expect(Fernet.open(String(repeating: "A", count: 256), keys: [key]) == nil)
    }

    static let id = "0123456789abcdef0123456789abcdef"
    static let audit = [[UInt8](0..<16), [UInt8](16..<32)]

    @Test(arguments: [
        TokenPayload.Scope.unscoped, .project(id), .project("not-hex"), .domain("default"), .domain(id), .system,
    ])
    func payloadsComeBackAsTheyWere(_ scope: TokenPayload.Scope) throws {
        let payload = TokenPayload(
            userID: Self.id, methods: 6, scope: scope, expiresAt: 1_800_003_600, auditIDs: Self.audit)
        #expect(TokenPayload(payload.encoded()) == payload)
        let key = try #require(Fernet.Key(text: Self.key))
        let token = try Fernet.seal(payload.encoded(), key: key, time: 1, iv: Array(0..<16))
        #expect(token.utf8.count <= Limits.tokenBytesMax)
        for count in 0..<payload.encoded().count {
            #expect(TokenPayload(Array(payload.encoded()[..<count])) == nil)
        }
    }

    /// Written out by hand from the MessagePack specification and identity-api.md 2.1.
    @Test func aProjectPayloadHasTheseBytes() {
        let payload = TokenPayload(
            userID: Self.id, methods: 2, scope: .project("p"), expiresAt: 2, auditIDs: [[UInt8](0..<16)])
        let expected =
            "96" + "02" + "92c3c410" + Self.id + "02" + "92c2a170" + "cb4000000000000000" + "91c410"
            + "000102030405060708090a0b0c0d0e0f"
        #expect(Hex.encode(payload.encoded()) == expected)
    }

    @Test func methodsAreBitsInTheOrderOfConfiguration() {
        #expect(TokenPayload.mask([.password]) == 2)
        #expect(TokenPayload.mask([.password, .token]) == 6)
        #expect(TokenPayload.mask([.application_credential]) == 32)
    }

    @Test(arguments: ["A", "AB", "AA=", "A===", "AAAA=", "AA==A", "A+AA", "AA AA", "AAB", "é"])
    func malformedBase64IsRefused(_ text: String) {
        #expect(Base64.decodeURL(text.utf8) == nil)
    }

    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
    func base64IsTheStandards(_ text: String, _ encoded: String) {
        #expect(Base64.encodePlain(Array(text.utf8), padded: true) == encoded)
        #expect(Base64.decodePlain(encoded.utf8) == Array(text.utf8))
        #expect(Base64.decodePlain(encoded.filter { $0 != "=" }.utf8) == Array(text.utf8))
    }
}
