import Foundation
import Logging
import Testing

@testable import Daemon

@Suite("Log lines")
struct LineLogHandlerTests {
    private let moment = Date(timeIntervalSince1970: 1_763_892_440.123)

    @Test func aLineHasTimeLevelLabelMessageAndSortedFacts() {
        let line = LineLogHandler.line(
            moment: moment, level: .info, label: "apusd", message: "listener is up",
            metadata: ["port": "8080", "listener": "object"])
        #expect(
            String(decoding: line, as: UTF8.self)
                == "2025-11-23T10:07:20.123Z info apusd listener is up listener=object port=8080\n")
    }

    @Test func whatAClientSentForgesNoLine() {
        let line = LineLogHandler.line(
            moment: moment, level: .warning, label: "apusd", message: "a\nb",
            metadata: ["path": "x y\n2025 info forged=\"1\"\u{1b}[2J\u{2028}", "empty": "", "k\n": "v"])
        let text = String(decoding: line, as: UTF8.self)
        #expect(text.filter { $0 == "\n" }.count == 1)
        #expect(!text.contains("\u{1b}") && !text.contains("\u{2028}"))
        #expect(text.contains("a\\nb"))
        #expect(text.contains("empty=\"\""))
        #expect(text.contains("path=\"x y\\n2025 info forged=\\\"1\\\"\\u{1b}[2J\\u{2028}\""))
    }

    @Test func aLineIsBounded() {
        let line = LineLogHandler.line(
            moment: moment, level: .info, label: "l", message: "m",
            metadata: ["x": "\(String(repeating: "é", count: 10_000))"])
        #expect(line.count <= LineLogHandler.lineBytesMax)
        #expect(line.last == UInt8(ascii: "\n"))
    }
}
