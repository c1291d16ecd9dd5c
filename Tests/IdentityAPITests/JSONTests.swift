import ControlFace
import Testing

@testable import IdentityAPI

@Suite struct JSONTests {
    private func parse(_ text: String) -> JSON? { JSONParser.parse(Array(text.utf8)) }

    @Test(arguments: [
        "", " ", "{", "}", "[", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "'a'", "\"a", "\"\\x\"", "\"\\u12\"",
        "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "01", "1.", ".5", "+1", "1e", "-", "tru", "nul", "1 2",
        "{} x",
        "{\"a\":1,\"a\":2}", "\"\n\"", "NaN",
    ])
    func whatIsNotJSONIsRefused(_ text: String) {
        #expect(parse(text) == nil)
    }

    @Test(arguments: [
        ("null", "null"), (" true ", "true"), ("[ ]", "[]"), ("{ }", "{}"), ("-0.5e+3", "-0.5e+3"),
        ("{\"a\" : [1, {\"b\":null}]}", "{\"a\":[1,{\"b\":null}]}"), ("\"\\u00e9\\n\\/\"", "\"é\\n/\""),
        ("\"\\ud83d\\ude00\"", "\"😀\""), ("\"\\u0001\\\"\"", "\"\\u0001\\\"\""),
    ])
    func whatIsJSONComesBackCompact(_ text: String, _ compact: String) throws {
        let value = try #require(parse(text))
        #expect(String(decoding: value.utf8, as: UTF8.self) == compact)
        #expect(JSONParser.parse(value.utf8) == value)
    }

    @Test func nestingHasABound() {
        let fits = String(repeating: "[", count: JSON.depthMax) + String(repeating: "]", count: JSON.depthMax)
        #expect(parse(fits) != nil)
        #expect(parse("[" + fits + "]") == nil)
        #expect(parse(String(repeating: "[", count: 100_000)) == nil)
    }

    @Test func illFormedTextIsRefused() {
        #expect(JSONParser.parse([0x22, 0xFF, 0x22]) == nil)
        #expect(JSONParser.parse([0x22, 0xC0, 0x80, 0x22]) == nil)
    }
}
