import HTTPFace
import NIOCore
import ObjectAPI
import Objects
import Primitives
import Testing

private func endpoint(_ line: String) -> Endpoint? {
    var parser = RequestParser(limits: HTTPLimits())
    var buffer = ByteBuffer(string: "\(line) HTTP/1.1\r\nHost: h\r\n\r\n")
    guard case .head(let head) = parser.next(&buffer) else { return nil }
    return Endpoint(head)
}

@Suite struct EndpointTests {
    static let a = ObjectPath(account: "a")
    static let c = ObjectPath(account: "a", container: "c")
    static func o(_ name: Bytes) -> ObjectPath { ObjectPath(account: "a", container: "c", object: name) }

    static let routes: [(String, Endpoint)] = [
        ("GET /healthcheck", .healthcheck), ("GET /info", .info), ("HEAD /info", .info),
        ("GET /auth/v1.0", .signIn(realm: nil)), ("GET /auth/v1/p/auth", .signIn(realm: "p")),
        ("GET /v1/a", .account(.get, a)), ("GET /v1.0/a/", .account(.get, a)), ("HEAD /v1/a?x=/c", .account(.head, a)),
        ("PUT /v1/a/c", .container(.put, c)), ("DELETE /v1/a/c/", .container(.delete, c)),
        ("GET /v1/a/c/o", .object(.get, o("o"))), ("COPY /v1/a/c/o/", .object(.copy, o("o/"))),
        ("GET /v1/a/c//", .object(.get, o("/"))), ("GET /v1/a/c//x", .object(.get, o("/x"))),
        ("GET /v1/a/c/a//b/../c/.", .object(.get, o("a//b/../c/."))),
        ("GET /v1/a/c/%2E%2e/%252e", .object(.get, o("../%2e"))), ("GET /v1/a/c%2Fo", .object(.get, o("o"))),
        ("GET /v1/a/c/%F0%9F%90%A6", .object(.get, o("🐦"))), ("GET /v1/a/c/a+b%20c", .object(.get, o("a+b c"))),
        ("OPTIONS /v1/a/c/o", .options(allow: .object)), ("OPTIONS *", .options(allow: .object)),
    ]

    @Test("each request has one endpoint", arguments: routes)
    func route(_ line: String, _ expected: Endpoint) { #expect(endpoint(line) == expected) }

    static let refusals: [(String, HTTPStatus, Endpoint.StaticAllow?)] = [
        ("GET /", 412, nil), ("GET /v1", 412, nil), ("GET /v1/", 412, nil), ("GET /v2/a", 400, nil),
        ("GET /foo", 412, nil),
        ("GET //v1/a/c/o", 404, nil), ("GET /v1//c/o", 404, nil), ("GET /v1/a//o", 404, nil), ("GET /v1//", 404, nil),
        ("GET /v1/a/c/%ff", 412, nil), ("GET /v1/a/c/x%00y", 412, nil), ("GET /v1/a%C3/c/o", 412, nil),
        ("PATCH /v1/a", 405, .account), ("BREW /v1/a/c", 405, .container), ("get /v1/a/c/o", 405, .object),
        ("COPY /v1/a/c", 405, .container), ("POST /info", 405, .readOnly), ("POST /auth/v1.0", 405, .signIn),
        ("GET /auth/v9", 404, nil),
    ]

    @Test("a name has its longest length, for every verb", arguments: ["GET", "HEAD", "PUT", "POST", "DELETE"])
    func lengths(_ verb: String) {
        func name(_ count: Int) -> String { String(repeating: "n", count: count) }
        func check(_ path: String, _ text: String?) {
            guard case .refused(let status, let actual, _)? = endpoint("\(verb) /v1/\(path)") else {
                #expect(text == nil, "\(path.utf8.count)")
                return
            }
            #expect(actual == text)
            #expect(status == 400)
        }
        check(name(256), nil)
        check(name(257), "Account name length of 257 longer than 256")
        check("a/" + name(256), nil)
        check("a/" + name(257), "Container name length of 257 longer than 256")
        check("a/c/" + name(1024), nil)
        check("a/c/" + name(1025), "Object name length of 1025 longer than 1024")
        // Counted as bytes, after decoding.
        check("a/c/" + String(repeating: "%41", count: 1024), nil)
        check("a/c/" + String(repeating: "%C3%A9", count: 513), "Object name length of 1026 longer than 1024")
    }

    @Test("what is no resource has its status", arguments: refusals)
    func refusal(_ line: String, _ status: HTTPStatus, _ allow: Endpoint.StaticAllow?) {
        guard case .refused(let actual, _, let actualAllow)? = endpoint(line) else {
            Issue.record("\(line) is not refused: \(String(describing: endpoint(line)))")
            return
        }
        #expect(actual == status)
        #expect(actualAllow == allow)
    }
}

@Suite struct ListingFormatTests {
    static let choices: [(String?, String?, ListingFormat.Choice)] = [
        (nil, nil, .format(.plain)), (nil, "", .format(.plain)), (nil, "*/*", .format(.plain)),
        ("json", "text/plain", .format(.json)), ("XML", nil, .format(.xml)),
        ("odd", "application/json", .format(.plain)),
        (nil, "application/json", .format(.json)), (nil, "text/xml", .format(.textXML)),
        (nil, "application/xml;q=0.5, application/json;q=0.9", .format(.json)),
        (nil, "text/*;q=0.1, application/*", .format(.json)), (nil, "text/plain;q=0, */*;q=0.1", .format(.json)),
        (nil, "Application/JSON; charset=utf-8 ; Q=1.0", .format(.json)),
        (nil, "image/png, */*;q=0.2", .format(.plain)),
        (nil, "image/png", .notAcceptable), (nil, "text/plain;q=0", .notAcceptable), (nil, "text", .malformed),
        (nil, "/", .malformed), (nil, "text/plain/x", .malformed), (nil, "text/plain;q=a", .malformed),
        (nil, "text/plain;q=2", .malformed), (nil, "text /plain", .malformed),
        (nil, ",,application/json,,", .format(.json)),
    ]

    @Test("the format follows the query, then Accept", arguments: choices)
    func choose(_ query: String?, _ accept: String?, _ expected: ListingFormat.Choice) {
        #expect(ListingFormat.choose(query: query, accept: accept) == expected)
    }

    @Test func aHostileAcceptHeaderCostsOnePass() {
        let long = String(repeating: "a/b;q=0.1;x=", count: 600) + String(repeating: ",", count: 1000)
        let clock = ContinuousClock()
        let time = clock.measure {
            for _ in 0..<20 { _ = ListingFormat.choose(query: nil, accept: long) }
        }
        #expect(time < .seconds(5))
    }
}

@Suite struct BodyPlanTests {
    @Test("every byte of a plan comes once, in order, in batches of bounded size", arguments: [1, 2, 3])
    func batches(_ seed: UInt64) {
        var random = IDGenerator(seed: seed)
        print("seed \(seed)")
        let data = (0..<1000).map { _ in UInt8.random(in: 0...255, using: &random) }
        for _ in 0..<200 {
            let frameBytes = Int.random(in: 1...300, using: &random)
            var segments: [BodyPlan.Segment] = []
            var expected: [UInt8] = []
            for _ in 0..<Int.random(in: 0...5, using: &random) {
                if Bool.random(using: &random) {
                    segments.append(.literal(ByteBuffer(string: "--x")))
                    expected += Array("--x".utf8)
                } else {
                    let from = Int.random(in: 0..<1000, using: &random)
                    let to = Int.random(in: from...1000, using: &random)
                    segments.append(.range(from..<to))
                    expected += data[from..<to]
                }
            }
            var plan = BodyPlan(segments, frameBytes: frameBytes)
            #expect(plan.length == expected.count)
            var actual: [UInt8] = []
            while !plan.isAtEnd {
                let pieces = plan.nextBatch()
                var frames = 0
                for piece in pieces {
                    switch piece {
                    case .literal(let bytes): actual += Array(bytes.readableBytesView)
                    case .frame(let index, let range):
                        frames += 1
                        #expect(range.upperBound <= frameBytes && !range.isEmpty)
                        actual +=
                            data[(index * frameBytes + range.lowerBound)..<(index * frameBytes + range.upperBound)]
                    }
                }
                #expect(frames <= BodyPlan.framesPerBatch)
            }
            #expect(actual == expected)
        }
    }
}
