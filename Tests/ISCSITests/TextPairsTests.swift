import Testing

@testable import ISCSI

@Suite struct TextPairsTests {
    private func parse(_ text: String) throws -> [String] {
        try TextPairs.parse(Array(text.utf8)).map { "\($0.key)=\($0.value)" }
    }

    @Test func pairsComeInOrderAndMayBeEmptyOrHoldEqualsSigns() throws {
        #expect(try parse("A=1\0B=\0C=x=y\0") == ["A=1", "B=", "C=x=y"])
        #expect(try parse("") == [])
        #expect(try parse("\0\0A=1\0\0") == ["A=1"])
    }

    @Test(arguments: ["A=1", "A\0", "=1\0", "A B=1\0", "A=1\0B", "Ä=1\0"])
    func malformedTextIsRefused(_ text: String) {
        #expect(throws: TextPairs.Malformed.self) { try parse(text) }
    }

    @Test func longKeysManyKeysAndBadEncodingAreRefused() {
        #expect(throws: TextPairs.Malformed.key) { try parse(String(repeating: "k", count: 64) + "=1\0") }
        #expect(throws: TextPairs.Malformed.tooMany) {
            try parse((0...ISCSILimits.loginKeysMax).map { "k\($0)=1\0" }.joined())
        }
        #expect(throws: TextPairs.Malformed.encoding) { try TextPairs.parse([0x41, 0x3d, 0xff, 0]) }
    }

    @Test(
        arguments: [
            ("0", 0), ("8192", 8192), ("0x1F", 31), ("0Xff", 255), ("", nil), ("-1", nil), ("+1", nil), ("1 ", nil),
            ("0x", nil), ("99999999999999999999", nil), ("1e3", nil),
        ] as [(String, UInt64?)])
    func numbersAreDecimalOrHexadecimal(_ text: String, _ value: UInt64?) {
        #expect(TextPairs.number(text) == value)
    }

    @Test(
        arguments: [
            ("0x0a0B", [10, 11]), ("0xabc", [0x0a, 0xbc]), ("0bAQID", [1, 2, 3]), ("0bAQI=", [1, 2]), ("0BAQ==", [1]),
            ("0b+/+/", [0xfb, 0xff, 0xbf]), ("AQID", nil), ("0x", nil), ("0b", nil), ("0xzz", nil), ("0bAQ=A", nil),
            ("0bA===", nil), ("0b=AAA", nil), ("0bAQI", nil), ("", nil),
        ] as [(String, [UInt8]?)])
    func binaryIsHexadecimalOrBase64(_ text: String, _ bytes: [UInt8]?) {
        #expect(TextPairs.binary(text) == bytes)
    }
}
