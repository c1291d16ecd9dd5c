import Primitives
import Testing

@testable import Objects

@Suite struct HTTPDateTests {
    @Test func goldenTimestamp() {
        let timestamp = Timestamp(ticks: 140_137_984_214_643)
        #expect(timestamp.description == "1401379842.14643")
        #expect(HTTPDate.lastModified(timestamp) == "Thu, 29 May 2014 16:10:43 GMT")
        #expect(HTTPDate.listing(timestamp) == "2014-05-29T16:10:42.146430")
    }

    @Test(arguments: [
        (Int64(0), "Thu, 01 Jan 1970 00:00:00 GMT"), (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
    ])
    func formatsAndReadsBack(_ seconds: Int64, _ text: String) {
        #expect(HTTPDate.format(seconds: seconds) == text)
        #expect(HTTPDate.parse(text) == seconds)
    }

    @Test func everyDayOfFourCenturiesReadsBack() {
        var random = SeededGenerator(seed: 7)
        for day in stride(from: Int64(-100_000), to: 146_097, by: 1) {
            let seconds = day * 86_400 + Int64.random(in: 0..<86_400, using: &random)
            if HTTPDate.parse(HTTPDate.format(seconds: seconds)) != seconds {
                Issue.record("day \(day): \(HTTPDate.format(seconds: seconds))")
                return
            }
        }
    }

    @Test func readsTheOldForms() {
        #expect(HTTPDate.parse("Thursday, 29-May-14 16:10:43 GMT") == 1_401_379_843)
        #expect(HTTPDate.parse("Thu May 29 16:10:43 2014") == 1_401_379_843)
        #expect(HTTPDate.parse("Thu May  9 16:10:43 2014") == 1_399_651_843)
    }

    @Test(arguments: [
        "", "x", "Thu, 29 May 2014", "Thu, 99 May 2014 16:10:43 GMT", "Thu, 29 Mai 2014 16:10:43 GMT",
        "Thu, 29 May 2014 25:10:43 GMT", "Thu, 29 May 2014 16:10:43 CET", "1401379843",
    ])
    func refusesWhatIsNoDate(_ text: String) { #expect(HTTPDate.parse(text) == nil) }
}

@Suite struct PercentCodingTests {
    @Test func decodesOnce() {
        #expect(PercentCoding.decode(Array("a%2Fb%252F+%c3%A9".utf8)) == Array("a/b%2F+é".utf8))
        for bad in ["%", "%4", "%zz", "a%2"] { #expect(PercentCoding.decode(Array(bad.utf8)) == nil) }
    }

    @Test func everyByteComesBack() {
        let all = (0...255).map { UInt8($0) }
        let text = PercentCoding.encode(all)
        #expect(text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
        #expect(PercentCoding.decode(Array(text.utf8)) == all)
        #expect(PercentCoding.encode("a b/ü".utf8) == "a%20b/%C3%BC")
        #expect(PercentCoding.encode("a/b".utf8, keeping: "") == "a%2Fb")
    }
}

@Suite struct CopyAddressTests {
    @Test(arguments: ["c/o", "/c/o"]) func readsContainerAndObject(_ text: String) throws {
        let path = try CopyAddress.parse(text, header: "Destination", account: "A")
        #expect(path == ObjectPath(account: "A", container: "c", object: "o"))
    }

    @Test func objectMayHoldSlashesAndAnything() throws {
        let path = try CopyAddress.parse("c%20d//a/../%F0%9F%90%A6/", header: "X-Copy-From", account: "A")
        #expect(path == ObjectPath(account: "A", container: "c d", object: "/a/../🐦/"))
    }

    @Test(arguments: ["", "/", "c", "/c", "c/", "//o", "//c/o", "%ff/o", "c/%00", "c/%4"])
    func refusesWhatNamesNoObject(_ text: String) {
        let error = #expect(throws: ObjectError.self) {
            try CopyAddress.parse(text, header: "Destination", account: "A")
        }
        guard case .preconditionFailed? = error else {
            Issue.record("\(text): \(String(describing: error))")
            return
        }
    }
}

@Suite struct ContentTypeTests {
    @Test(arguments: [
        ("a.txt", "text/plain"), ("dir/B.HTML", "text/html"), ("x.tar.gz", "application/gzip"),
        ("noext", ContentTypes.fallback),
        (".txt", ContentTypes.fallback), ("a.txt/b", ContentTypes.fallback), ("a.", ContentTypes.fallback),
        ("a.unknownext", ContentTypes.fallback),
    ])
    func extensionSuggests(_ name: String, _ type: String) { #expect(ContentTypes.guess(Bytes(name)) == type) }
}
