import HTTPFace
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

/// Two readers of one stream that disagree are what request smuggling lives on. What ours takes, NIO's decoder takes as
/// the same requests with the same bodies; that ours refuses more is the point of it.
@Suite struct ParserAgreementTests {
    @Test("what both parsers accept they read the same", arguments: [11, 12, 13, 14])
    func agreement(_ seed: UInt64) {
        var random = IDGenerator(seed: seed)
        print("seed \(seed)")
        var accepted = 0
        for _ in 0..<3000 {
            let sound = RequestParserTests.sound.randomElement(using: &random)!
            let bytes = mutate(Array(sound.utf8), &random)
            let ours = parse([bytes])
            if ours.contains(where: { if case .failure = $0 { true } else { false } }) { continue }
            accepted += 1
            let theirs = decode(bytes)
            if theirs == ours.map(simplified) { continue }
            // They refuse some of what RFC 9112 leaves open and we take: unknown verbs, targets beyond ASCII.
            #expect(
                isBeyondTheirs(ours), "\(String(decoding: bytes, as: UTF8.self).debugDescription): \(theirs)")
        }
        #expect(accepted > 300)
    }

    /// NIO hands absolute-form on as it is, and its own header list holds everything.
    private func simplified(_ event: Parsed) -> Parsed {
        guard case .head(let verb, let target, _, _) = event else { return event }
        return .head(verb: verb, target: target, framing: .none, fields: [])
    }

    private func isBeyondTheirs(_ events: [Parsed]) -> Bool {
        let known = ["GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS"]
        return events.contains {
            guard case .head(let verb, let target, _, _) = $0 else { return false }
            return !known.contains(verb) || target.utf8.contains { $0 >= 0x7f } || target.contains("#")
        } || events.last != .end
    }

    /// What came before the first error: behind the last request that we take may lie the beginning of another.
    private func decode(_ bytes: [UInt8]) -> [Parsed] {
        let channel = EmbeddedChannel()
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        var out: [Parsed] = []
        do {
            try channel.pipeline.syncOperations.addHandler(
                ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes)))
            do {
                try channel.writeInbound(ByteBuffer(bytes: bytes))
            } catch {
                // What came before it counts.
            }
            while let part = try channel.readInbound(as: HTTPServerRequestPart.self) {
                switch part {
                case .head(let head):
                    var target = head.uri
                    for scheme in ["http://", "https://"] where target.lowercased().hasPrefix(scheme) {
                        let rest = target.dropFirst(scheme.count)
                        target = rest.firstIndex(of: "/").map { String(rest[$0...]) } ?? target
                    }
                    out.append(.head(verb: head.method.rawValue, target: target, framing: .none, fields: []))
                case .body(let body):
                    let piece = Array(body.readableBytesView)
                    if case .body(let before)? = out.last {
                        out[out.count - 1] = .body(before + piece)
                    } else {
                        out.append(.body(piece))
                    }
                case .end: out.append(.end)
                }
            }
        } catch {
            Issue.record(error)
        }
        return out
    }
}
