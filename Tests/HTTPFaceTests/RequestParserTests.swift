import HTTPFace
import NIOCore
import Primitives
import Testing

/// What a parser made of a stream, with adjacent body pieces joined, so that it can be compared.
enum Parsed: Hashable, CustomStringConvertible {
    case head(verb: String, target: String, framing: BodyFraming, fields: [String])
    case body([UInt8])
    case end
    case failure(HTTPStatus)

    var description: String {
        switch self {
        case .head(let verb, let target, let framing, let fields): "\(verb) \(target) \(framing) \(fields)"
        case .body(let bytes): "body(\(bytes.count))"
        case .end: "end"
        case .failure(let status): "failure \(status)"
        }
    }
}

/// Feeds the pieces one after the other, taking all events after each.
func parse(_ pieces: [[UInt8]], limits: HTTPLimits = HTTPLimits()) -> [Parsed] {
    var parser = RequestParser(limits: limits)
    var buffer = ByteBuffer()
    var out: [Parsed] = []
    for piece in pieces {
        buffer.writeBytes(piece)
        loop: while true {
            switch parser.next(&buffer) {
            case .needsMore: break loop
            case .head(let head):
                out.append(
                    .head(
                        verb: head.verb.description, target: head.target.string, framing: head.framing,
                        fields: head.fieldList().map { "\($0.name): \($0.value)" }))
            case .body(let bytes):
                let bytes = Array(bytes.readableBytesView)
                #expect(!bytes.isEmpty)
                if case .body(let before)? = out.last {
                    out[out.count - 1] = .body(before + bytes)
                } else {
                    out.append(.body(bytes))
                }
            case .end: out.append(.end)
            case .failure(let refusal):
                out.append(.failure(refusal.status))
                return out
            }
        }
    }
    return out
}

func parse(_ text: String, limits: HTTPLimits = HTTPLimits()) -> [Parsed] { parse([Array(text.utf8)], limits: limits) }

let get = "GET /v1/a/c/o HTTP/1.1\r\nHost: h\r\n\r\n"

@Suite struct RequestParserTests {
    static let sound: [String] = [
        get,
        "GET /v1/a/c/a//b/../x%20y?q=1&r HTTP/1.1\r\nHost: h\r\nX-Auth-Token:t\r\n\r\n",
        "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" + get,
        "PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n00A;ext=\"1\"\r\n0123456789\r\n0\r\n\r\n"
            + get,
        "PUT /x HTTP/1.1\r\nHost: h\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nTrailer: t\r\nB: c\r\n\r\n",
        "\r\n\r\n" + get,
        "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h/v1 HTTP/1.1\r\nHost: H\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\nX: \t a b \t \r\nEmpty:\r\n\r\n",
    ]

    @Test("a sound request is read the same however it is cut", arguments: sound)
    func anyCut(_ text: String) {
        let bytes = Array(text.utf8)
        let whole = parse([bytes])
        #expect(!whole.contains { if case .failure = $0 { true } else { false } }, "\(whole)")
        #expect(whole.last == .end)
        #expect(parse(bytes.map { [$0] }) == whole)
        for cut in 0...bytes.count {
            #expect(parse([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole, "cut at \(cut)")
        }
    }

    @Test func aChunkedBodyIsJoinedAndWhatFollowsItIsTheNextRequest() {
        let events = parse(Self.sound[4])
        #expect(events.count == 5)
        #expect(events[1] == .body(Array("a0123456789".utf8)))
        #expect(events[2] == .end)
        #expect(events[3] == .head(verb: "GET", target: "/v1/a/c/o", framing: .none, fields: ["Host: h"]))
    }

    static let refused: [(String, HTTPStatus)] = [
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: X\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip,chunked\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n", 501),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
        ("PUT / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n X: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\nX: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a<>\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        ("GET a/b HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: b\r\n\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("GET / HTTP/1.9\r\nHost: h\r\n\r\n", 505),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"b\r\na\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1 ;a\r\na\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: h\r\n\r\n", 400),
        ("G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n", 417),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
        ("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", 400),
    ]

    @Test("what is not strict HTTP/1.1 is refused with its status", arguments: refused)
    func refusals(_ text: String, _ status: HTTPStatus) {
        let bytes = Array(text.utf8)
        #expect(parse([bytes]).last == .failure(status), "\(parse([bytes]))")
        #expect(parse(bytes.map { [$0] }).last == .failure(status), "fed byte by byte")
    }

    @Test func everyLengthHasItsLimit() {
        var limits = HTTPLimits()
        limits.requestLineBytesMax = 64
        limits.headerLineBytesMax = 32
        limits.headerCountMax = 4
        limits.headBytesMax = 160
        limits.chunkLineBytesMax = 16
        limits.trailerBytesMax = 40
        func line(_ count: Int) -> String { "GET /" + String(repeating: "a", count: count - 14) + " HTTP/1.1" }
        let tail = "\r\nHost: h\r\n\r\n"
        #expect(parse(line(64) + tail, limits: limits).last == .end)
        #expect(parse(line(65) + tail, limits: limits).last == .failure(414))
        // A line without an end is refused as soon as it is too long.
        #expect(parse(String(repeating: "a", count: 70), limits: limits).last == .failure(414))
        func header(_ count: Int) -> String { "X: " + String(repeating: "v", count: count - 3) + "\r\n" }
        #expect(parse("GET / HTTP/1.1\r\nHost: h\r\n" + header(32) + "\r\n", limits: limits).last == .end)
        #expect(parse("GET / HTTP/1.1\r\nHost: h\r\n" + header(33) + "\r\n", limits: limits).last == .failure(400))
        #expect(parse("GET / HTTP/1.1\r\nHost: h\r\na:b\r\na:b\r\na:b\r\n\r\n", limits: limits).last == .end)
        #expect(
            parse("GET / HTTP/1.1\r\nHost: h\r\na:b\r\na:b\r\na:b\r\na:b\r\n\r\n", limits: limits).last == .failure(400)
        )
        let big = "GET / HTTP/1.1\r\nHost: h\r\n" + header(32) + header(32)
        #expect(parse(big + header(32) + "\r\n", limits: limits).last == .end)
        limits.headBytesMax = 120
        #expect(parse(big + header(32) + "\r\n", limits: limits).last == .failure(400))
        let put = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        limits.headBytesMax = 160
        #expect(parse(put + "1;" + String(repeating: "e", count: 14) + "\r\n", limits: limits).count == 1)
        #expect(parse(put + "1;" + String(repeating: "e", count: 15) + "\r\n", limits: limits).last == .failure(400))
        #expect(parse(put + String(repeating: "0", count: 99), limits: limits).last == .failure(400))
        #expect(parse(put + "0\r\n" + header(32) + "\r\n", limits: limits).last == .end)
        #expect(parse(put + "0\r\n" + header(32) + header(32) + "\r\n", limits: limits).last == .failure(400))
    }

    @Test func internalHeadersNeverReachAService() {
        let events = parse(
            "PUT / HTTP/1.1\r\nHost: h\r\nX-Backend-Storage-Policy-Index: 1\r\nX-Object-Sysmeta-A: 1\r\nx-timestamp: 1\r\n"
                + "X-ROLES: admin\r\nX-User-Id: me\r\nX-Container-Host: evil\r\nX-Object-Meta-A: 1\r\nX-Delete-At: 5\r\n\r\n"
        )
        guard case .head(_, _, _, let fields)? = events.first else {
            Issue.record("no head")
            return
        }
        #expect(fields == ["Host: h", "X-Object-Meta-A: 1", "X-Delete-At: 5"])
    }

    @Test("mutated requests end in a refusal or a sound request, the same for every cut", arguments: [1, 2, 3, 4])
    func mutations(_ seed: UInt64) {
        var random = IDGenerator(seed: seed)
        print("seed \(seed)")
        for _ in 0..<2500 {
            let bytes = mutate(Array((Self.sound + Self.refused.map(\.0)).randomElement(using: &random)!.utf8), &random)
            let whole = parse([bytes])
            #expect(parse(bytes.map { [$0] }) == whole, "\(String(decoding: bytes, as: UTF8.self).debugDescription)")
        }
    }
}

/// A few random edits: bytes replaced, dropped, doubled, spans moved, interesting bytes put in.
func mutate(_ original: [UInt8], _ random: inout IDGenerator) -> [UInt8] {
    var bytes = original
    let interesting: [UInt8] = [0, 9, 10, 13, 32, 37, 44, 58, 59, 0x30, 0x41, 0x7f, 0x80, 0xc3, 0xff]
    for _ in 0..<Int.random(in: 1...4, using: &random) {
        guard !bytes.isEmpty else { return original }
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: at)
        case 2: bytes.insert(bytes[at], at: at)
        case 3: bytes.insert(interesting.randomElement(using: &random)!, at: at)
        case 4: bytes[at] = interesting.randomElement(using: &random)!
        default:
            let length = min(Int.random(in: 1...12, using: &random), bytes.count - at)
            let span = Array(bytes[at..<(at + length)])
            bytes.insert(contentsOf: span, at: Int.random(in: 0...bytes.count, using: &random))
        }
    }
    return bytes
}
