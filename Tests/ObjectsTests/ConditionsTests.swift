import Codecs
import Primitives
import Testing

@testable import Objects

@Suite struct ConditionsTests {
    static let etag = MD5Digest([UInt8](repeating: 0xAB, count: 16))
    static let hex = String(repeating: "ab", count: 16)
    static let modified = Timestamp(ticks: 140_137_984_214_643)  // shown as Thu, 29 May 2014 16:10:43 GMT

    struct Case: Sendable, CustomTestStringConvertible {
        var headers: [(name: String, value: String)]
        var verdict: Conditions.Verdict
        var testDescription: String { headers.map { "\($0.name): \($0.value)" }.joined(separator: ", ") }
    }

    static let cases: [Case] = [
        Case(headers: [], verdict: .proceed),
        Case(headers: [("If-Match", hex)], verdict: .proceed),
        Case(headers: [("if-match", "\"\(hex)\"")], verdict: .proceed),
        Case(headers: [("If-Match", "\"other\", \"\(hex)\"")], verdict: .proceed),
        Case(headers: [("If-Match", "*")], verdict: .proceed),
        Case(headers: [("If-Match", "\"other\"")], verdict: .preconditionFailed),
        Case(headers: [("If-Match", "")], verdict: .preconditionFailed),
        Case(headers: [("If-None-Match", hex)], verdict: .notModified),
        Case(headers: [("If-None-Match", "W/\"\(hex)\"")], verdict: .notModified),
        Case(headers: [("If-None-Match", "*")], verdict: .notModified),
        Case(headers: [("If-None-Match", "\"other\"")], verdict: .proceed),
        // If-None-Match is looked at before If-Match.
        Case(headers: [("If-Match", "\"other\""), ("If-None-Match", hex)], verdict: .notModified),
        Case(headers: [("If-Modified-Since", "Thu, 29 May 2014 16:10:43 GMT")], verdict: .notModified),
        Case(headers: [("If-Modified-Since", "Thu, 29 May 2014 16:10:42 GMT")], verdict: .proceed),
        Case(headers: [("If-Modified-Since", "yesterday")], verdict: .proceed),
        Case(headers: [("If-Unmodified-Since", "Thu, 29 May 2014 16:10:43 GMT")], verdict: .proceed),
        Case(headers: [("If-Unmodified-Since", "Thu, 29 May 2014 16:10:42 GMT")], verdict: .preconditionFailed),
        Case(
            headers: [("If-Match", hex), ("If-Unmodified-Since", "Thu, 29 May 2014 16:10:42 GMT")],
            verdict: .preconditionFailed),
    ]

    @Test(arguments: cases) func verdictFollowsTheOrderOfTheRules(_ example: Case) {
        #expect(Conditions(example.headers).evaluate(etag: Self.etag, modified: Self.modified) == example.verdict)
    }

    @Test func ifMatchStarFailsOnWhatIsNotThere() {
        #expect(Conditions([("If-Match", "*")]).failsOnAbsent)
        #expect(!Conditions([("If-None-Match", "*")]).failsOnAbsent)
        #expect(!Conditions([("If-Match", "\"x\"")]).failsOnAbsent)
    }
}

@Suite struct RangeRequestTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var header: String?
        var size: Int
        var answer: RangeRequest
        init(_ header: String?, _ size: Int, _ answer: RangeRequest) {
            self.header = header
            self.size = size
            self.answer = answer
        }
        var testDescription: String { "\((header ?? "nil").prefix(60)) of \(size)" }
    }

    static let cases: [Case] = [
        Case(nil, 10, .whole),
        Case("bytes=0-4", 10, .ranges([0..<5])),
        Case("bytes=5-", 10, .ranges([5..<10])),
        Case("bytes=-3", 10, .ranges([7..<10])),
        Case("bytes=-30", 10, .ranges([0..<10])),
        Case("bytes=-0", 10, .unsatisfiable),
        Case("bytes=0-99", 10, .ranges([0..<10])),
        Case("bytes=9-9", 10, .ranges([9..<10])),
        Case("bytes=10-", 10, .unsatisfiable),
        Case("bytes=10-20,0-1", 10, .ranges([0..<2])),
        Case("bytes=0-1,4-5,-1", 10, .ranges([0..<2, 4..<6, 9..<10])),
        Case("bytes=0-1,-0", 10, .ranges([0..<2])),
        Case("BYTES = 0 - 4", 10, .ranges([0..<5])),
        Case("0-4", 10, .whole),
        Case("lines=0-4", 10, .whole),
        Case("bytes=", 10, .whole),
        Case("bytes=-", 10, .whole),
        Case("bytes=a-b", 10, .whole),
        Case("bytes=4-2", 10, .whole),
        Case("bytes=1-2-3", 10, .whole),
        Case("bytes=0-1,x", 10, .whole),
        Case("bytes=+1-2", 10, .whole),
        Case("bytes=0-4", 0, .whole),
        Case("bytes=-5", 0, .whole),
        Case("bytes=0-99999999999999999999999999", 10, .ranges([0..<10])),
        Case("bytes=99999999999999999999999999-", 10, .unsatisfiable),
        Case("bytes=-99999999999999999999999999", 10, .ranges([0..<10])),
        Case("bytes=0-9223372036854775807", 10, .ranges([0..<10])),
        // Two overlapping pairs pass, three do not.
        Case("bytes=0-3,2-5,4-7", 10, .ranges([0..<4, 2..<6, 4..<8])),
        Case("bytes=0-3,1-4,2-5", 10, .unsatisfiable),
        Case(
            "bytes=" + (0..<50).map { "\($0 * 2)-\($0 * 2)" }.joined(separator: ","), 100,
            .ranges((0..<50).map { ($0 * 2)..<($0 * 2 + 1) })),
        Case("bytes=" + (0..<51).map { "\($0 * 2)-\($0 * 2)" }.joined(separator: ","), 200, .unsatisfiable),
        Case(
            "bytes=" + (0..<7).reversed().map { "\($0)-\($0)" }.joined(separator: ","), 10,
            .ranges((0..<7).reversed().map { $0..<($0 + 1) })),
        Case("bytes=" + (0..<8).reversed().map { "\($0)-\($0)" }.joined(separator: ","), 10, .unsatisfiable),
    ]

    @Test(arguments: cases) func rangeHeaderSelects(_ example: Case) {
        #expect(RangeRequest.parse(example.header, size: example.size) == example.answer)
    }

    @Test func noHeaderTrapsAndEveryRangeLiesInTheBody() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        let alphabet = Array("bytes=0123456789-, x".utf8)
        for _ in 0..<20_000 {
            let text =
                "bytes="
                + String(
                    decoding: (0..<Int.random(in: 0..<24, using: &random)).map { _ in
                        alphabet.randomElement(using: &random)!
                    }, as: UTF8.self)
            let size = Int.random(in: 0...40, using: &random)
            if case .ranges(let ranges) = RangeRequest.parse(text, size: size) {
                #expect(!ranges.isEmpty && ranges.count <= ObjectLimits.rangeCountMax, "seed \(seed): \(text)")
                #expect(
                    ranges.allSatisfy { !$0.isEmpty && $0.lowerBound >= 0 && $0.upperBound <= size },
                    "seed \(seed): \(text)")
            }
        }
    }
}
