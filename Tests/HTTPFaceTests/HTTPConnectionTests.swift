import HTTPFace
import Logging
import NIOCore
import NIOEmbedded
import Primitives
import Testing

/// A connection on an embedded channel, with a responder that a test scripts. Single-threaded by nature.
final class Bench: RequestResponder, @unchecked Sendable {
    // SAFETY: an embedded channel has one thread, the test's.
    let channel = EmbeddedChannel()
    let context: LoopContext
    let metrics = MetricsRegistry()
    var onRequest: (Exchange) -> Void = { _ in }
    var exchanges: [Exchange] = []

    init(limits: HTTPLimits = HTTPLimits(), _ onRequest: @escaping (Exchange) -> Void = Bench.echoTarget) throws {
        context = LoopContext(loop: channel.embeddedEventLoop, seed: 7)
        self.onRequest = onRequest
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        try channel.pipeline.syncOperations.addHandler(
            HTTPConnection(
                loopContext: context, limits: limits, responder: self,
                telemetry: HTTPTelemetry(name: "test", metrics: metrics, logger: logger, requestLog: nil), isTLS: false)
        )
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    func respond(to exchange: Exchange) {
        exchanges.append(exchange)
        onRequest(exchange)
    }

    static func echoTarget(_ exchange: Exchange) { reply(exchange, exchange.head.target.string) }

    static func reply(_ exchange: Exchange, _ text: String, _ status: HTTPStatus = 200) {
        var builder = exchange.response(status)
        builder.endHead(contentLength: text.utf8.count)
        builder.buffer.writeString(text)
        exchange.send(builder)
    }

    func send(_ text: String) throws { try channel.writeInbound(ByteBuffer(string: text)) }

    /// All that was written since the last call.
    func received() throws -> String {
        var text = ""
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: bytes) }
        return text
    }

    /// The bodies of the responses written since the last call.
    func bodies() throws -> [String] { Self.split(try received()).map(\.body) }
    func statuses() throws -> [Int] { Self.split(try received()).map(\.status) }

    static func split(_ text: String) -> [(status: Int, head: String, body: String)] {
        var out: [(Int, String, String)] = []
        var rest = Array(text.utf8)[...]
        let gap = Array("\r\n\r\n".utf8)
        while !rest.isEmpty {
            guard let end = rest.indices.first(where: { rest[$0...].starts(with: gap) }) else { break }
            let head = String(decoding: rest[..<end], as: UTF8.self)
            let status = Int(head.split(separator: " ")[1]) ?? 0
            let length =
                head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length: ") }
                .flatMap { Int($0.dropFirst(16)) } ?? 0
            rest = rest[(end + 4)...]
            out.append((status, head, String(decoding: rest.prefix(length), as: UTF8.self)))
            rest = rest.dropFirst(length)
        }
        return out
    }

    func pass(_ milliseconds: Int64) { channel.embeddedEventLoop.advanceTime(by: .milliseconds(milliseconds)) }
    var isClosed: Bool { !channel.isActive }
}

/// Collects what a streamed body brings.
final class Recorder: BodyConsumer {
    var bytes: [UInt8] = []
    var appetite = true
    var isEnded = false
    var failure: BodyFailure?
    func received(_ buffer: ByteBuffer) -> Bool {
        bytes += Array(buffer.readableBytesView)
        return appetite
    }
    func ended() { isEnded = true }
    func failed(_ failure: BodyFailure) { self.failure = failure }
}

@Suite struct HTTPConnectionTests {
    @Test func pipelinedRequestsAreAnsweredInOrderEvenWhenTheFirstIsSlow() throws {
        let bench = try Bench { exchange in
            if exchange.head.target.string != "/slow" { Bench.echoTarget(exchange) }
        }
        try bench.send(
            "GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(try bench.received() == "")
        #expect(bench.exchanges.count == 1)
        Bench.reply(bench.exchanges[0], "slow")
        #expect(try bench.bodies() == ["slow", "/b", "/c"])
        #expect(!bench.isClosed)
    }

    @Test func everyResponseCarriesItsTransactionIdTwiceAndADate() throws {
        let bench = try Bench()
        try bench.send("GET / HTTP/1.1\r\nHost: h\r\nX-Trans-Id-Extra: cli ent\r\n\r\n")
        let head = Bench.split(try bench.received())[0].head
        let id = try #require(head.split(separator: "\r\n").first { $0.hasPrefix("X-Trans-Id: ") }?.dropFirst(12))
        #expect(head.contains("X-Openstack-Request-Id: \(id)"))
        #expect(id.wholeMatch(of: /tx[0-9a-f]{21}-[0-9a-f]{10}-cli_ent/) != nil)
        #expect(head.contains(/\r\nDate: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT/))
    }

    @Test func a100ContinueIsSentOnlyWhenTheBodyIsAskedFor() throws {
        let recorder = Recorder()
        let bench = try Bench { _ in }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try bench.received() == "")
        bench.exchanges[0].streamBody(to: recorder)
        #expect(try bench.received() == "HTTP/1.1 100 Continue\r\n\r\n")
        try bench.send("abc")
        #expect(recorder.isEnded)
        Bench.reply(bench.exchanges[0], "ok", 201)
        #expect(try bench.statuses() == [201])
        #expect(!bench.isClosed)
    }

    @Test func aRefusedExpectationGetsNo100AndTheConnectionCloses() throws {
        let bench = try Bench { Bench.reply($0, "no", 403) }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        let text = try bench.received()
        #expect(text.hasPrefix("HTTP/1.1 403 Forbidden\r\n"))
        #expect(text.contains("Connection: close"))
    }

    @Test func aSmallUnreadBodyIsDrainedAndTheConnectionGoesOn() throws {
        let bench = try Bench { exchange in
            if exchange.head.verb == .put { Bench.reply(exchange, "no", 403) } else { Bench.echoTarget(exchange) }
        }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
        #expect(try bench.statuses() == [403])
        try bench.send(String(repeating: "x", count: 1000) + "GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(try bench.bodies() == ["/next"])
    }

    @Test func aLargeUnreadBodyClosesTheConnectionAfterTheAnswer() throws {
        let bench = try Bench { Bench.reply($0, "no", 403) }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n")
        #expect(try bench.received().contains("Connection: close"))
        try bench.send(String(repeating: "x", count: 60_000) + get)
        #expect(bench.exchanges.count == 1)
        bench.pass(5000)
        #expect(bench.isClosed)
    }

    @Test func aChunkedBodyThatOutgrowsTheDrainEndsTheConnection() throws {
        let bench = try Bench { Bench.reply($0, "no", 403) }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in 0..<20 where !bench.isClosed {
            try bench.send("2000\r\n" + String(repeating: "x", count: 8192) + "\r\n")
        }
        try bench.send(get)
        #expect(bench.exchanges.count == 1)
        bench.pass(5000)
        #expect(bench.isClosed)
    }

    @Test func aCollectedBodyIsBounded() throws {
        var results: [Result<ByteBuffer, BodyFailure>] = []
        let bench = try Bench { exchange in
            exchange.collectBody(max: 8) {
                results.append($0)
                Bench.reply(exchange, "seen")
            }
        }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n1234")
        try bench.send("5678")
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n123456789")
        try bench.send(
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n")
        #expect(results.count == 3)
        #expect(try results[0].get() == ByteBuffer(string: "12345678"))
        #expect(results[1] == .failure(.tooLarge))
        #expect(results[2] == .failure(.tooLarge))
        #expect(try bench.bodies().count == 3)
    }

    @Test func noMoreIsReadWhileTheConsumerIsFull() throws {
        let recorder = Recorder()
        recorder.appetite = false
        let bench = try Bench { $0.streamBody(to: recorder) }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n")
        #expect(recorder.bytes == Array("a".utf8))
        bench.exchanges[0].resumeBody()
        #expect(recorder.bytes == Array("ab".utf8))
        try bench.send("1\r\nc\r\n0\r\n\r\n")
        #expect(recorder.bytes == Array("ab".utf8))
        recorder.appetite = true
        bench.exchanges[0].resumeBody()
        #expect(recorder.bytes == Array("abc".utf8))
        #expect(recorder.isEnded)
    }

    @Test func aClientThatVanishesMidBodyIsReportedOnce() throws {
        let recorder = Recorder()
        let bench = try Bench { $0.streamBody(to: recorder) }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n123")
        try bench.channel.close().wait()
        #expect(recorder.failure == .clientGone)
        #expect(!recorder.isEnded)
        #expect(!bench.exchanges[0].isOpen)
        Bench.reply(bench.exchanges[0], "nobody hears this")
    }

    @Test func aHalfClosedClientStillGetsItsAnswerButAnUnfinishedBodyFails() throws {
        let bench = try Bench { _ in }
        try bench.send(get)
        bench.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(!bench.isClosed)
        Bench.reply(bench.exchanges[0], "late")
        #expect(try bench.bodies() == ["late"])
        #expect(bench.isClosed)

        let recorder = Recorder()
        let second = try Bench { $0.streamBody(to: recorder) }
        try second.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n123")
        second.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(recorder.failure == .clientGone)
        #expect(second.isClosed)
    }

    @Test func aBodyThatBreaksTheFramingIsAnsweredWith400() throws {
        let recorder = Recorder()
        let bench = try Bench { $0.streamBody(to: recorder) }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n")
        #expect(recorder.failure == .malformed)
        #expect(try bench.statuses() == [400])
        try bench.send(get)
        #expect(bench.exchanges.count == 1)
    }

    @Test func aRefusedStreamIsAnsweredWithItsStatusAndCloses() throws {
        let bench = try Bench()
        try bench.send("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: X\r\n\r\n" + get)
        let text = try bench.received()
        #expect(text.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
        #expect(text.contains("X-Trans-Id: tx"))
        #expect(text.contains("Connection: close"))
        #expect(bench.exchanges.isEmpty)
        bench.pass(3000)
        #expect(bench.isClosed)
    }

    @Test func anIdleConnectionIsClosedAndABusyOneIsNot() throws {
        var limits = HTTPLimits()
        limits.idleMilliseconds = 5000
        let bench = try Bench(limits: limits)
        for _ in 0..<5 {
            bench.pass(3000)
            try bench.send(get)
        }
        #expect(!bench.isClosed)
        bench.pass(7000)
        #expect(bench.isClosed)
    }

    @Test func aHeadThatDripsIsAnsweredWith408() throws {
        var limits = HTTPLimits()
        limits.headMilliseconds = 10_000
        let bench = try Bench(limits: limits)
        for c in "GET / HTTP/1.1\r\nH" where !bench.isClosed {
            try bench.send(String(c))
            bench.pass(1000)
        }
        #expect(try bench.statuses() == [408])
    }

    @Test func aBodyThatDripsIsAnsweredWith408AndAFastOneIsNot() throws {
        var limits = HTTPLimits()
        limits.bodyMilliseconds = 10_000
        limits.bodyRateMin = 100
        let recorder = Recorder()
        let bench = try Bench(limits: limits) { $0.streamBody(to: recorder) }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        for _ in 0..<20 {
            try bench.send(String(repeating: "x", count: 120))
            bench.pass(1000)
        }
        #expect(recorder.failure == nil)
        for _ in 0..<11 where recorder.failure == nil {
            try bench.send("x")
            bench.pass(1000)
        }
        #expect(recorder.failure == .timedOut)
        #expect(try bench.statuses() == [408])
    }

    @Test func burstsDoNotExcuseABodyThatIsSlowOnTheWhole() throws {
        var limits = HTTPLimits()
        limits.bodyMilliseconds = 10_000
        limits.bodyRateMin = 100
        let recorder = Recorder()
        let bench = try Bench(limits: limits) { $0.streamBody(to: recorder) }
        try bench.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        for _ in 0..<6 where recorder.failure == nil {
            try bench.send(String(repeating: "x", count: 200))
            bench.pass(5000)
        }
        #expect(recorder.failure == .timedOut)
    }

    @Test func aHeadHasItsWholeTimeHoweverLongTheConnectionWasIdle() throws {
        var limits = HTTPLimits()
        limits.headMilliseconds = 10_000
        let bench = try Bench(limits: limits)
        try bench.send(get)
        bench.pass(9000)
        try bench.send("GET /late HT")
        bench.pass(5000)
        try bench.send("TP/1.1\r\nHost: h\r\n\r\n")
        #expect(try bench.bodies().last == "/late")
        #expect(!bench.isClosed)
    }

    @Test func anUnreadChunkedBodyClosesUnlessItsEndIsThere() throws {
        let head = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        let open = try Bench { Bench.reply($0, "no", 403) }
        try open.send(head + "1\r\na\r\n")
        #expect(try open.received().contains("Connection: close"))
        let whole = try Bench { Bench.reply($0, "no", 403) }
        try whole.send(head + "1\r\na\r\n0\r\n\r\n" + get)
        let text = try whole.received()
        #expect(!text.contains("Connection: close"))
        #expect(Bench.split(text).map(\.status) == [403, 403])
        #expect(!whole.isClosed)
    }

    @Test func anExchangeIsWantedUntilItIsAnsweredOrItsClientHasGone() throws {
        let bench = try Bench { _ in }
        try bench.send(get)
        #expect(bench.exchanges[0].isWanted)
        Bench.reply(bench.exchanges[0], "x")
        #expect(!bench.exchanges[0].isWanted)
        try bench.send(get)
        #expect(bench.exchanges[1].isWanted)
        try bench.channel.close().wait()
        #expect(!bench.exchanges[1].isWanted)
    }

    @Test func http10ClosesUnlessItAsksToStay() throws {
        let bench = try Bench()
        try bench.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        #expect(try bench.received().contains("Connection: keep-alive"))
        #expect(!bench.isClosed)
        try bench.send("GET /b HTTP/1.0\r\n\r\n")
        #expect(try bench.received().contains("Connection: close"))
        #expect(bench.isClosed)
    }

    @Test func moreBodyThanAnnouncedNeverReachesTheClient() throws {
        let bench = try Bench { exchange in
            var builder = exchange.response(200)
            builder.endHead(contentLength: 4)
            exchange.sendHead(builder)
            exchange.sendPart(ByteBuffer(string: "ab"))
            exchange.sendPart(ByteBuffer(string: "cde"))
        }
        try bench.send(get)
        #expect(try bench.received().hasSuffix("\r\n\r\nab"))
        #expect(bench.isClosed)
    }

    @Test("any mutated stream gets statuses or a close, and nothing traps", arguments: [21, 22, 23])
    func mutations(_ seed: UInt64) throws {
        var random = IDGenerator(seed: seed)
        print("seed \(seed)")
        for _ in 0..<400 {
            let bench = try Bench { exchange in
                switch UInt8.random(in: 0..<3, using: &random) {
                case 0: Bench.reply(exchange, "x", 404)
                case 1: exchange.collectBody(max: 100) { _ in Bench.reply(exchange, "y") }
                default:
                    let recorder = Recorder()
                    exchange.streamBody(to: recorder)
                    Bench.reply(exchange, "z", 201)
                }
            }
            for _ in 0..<3 {
                let text = (RequestParserTests.sound + RequestParserTests.refused.map(\.0)).randomElement(
                    using: &random)!
                if bench.isClosed { break }
                try bench.channel.writeInbound(ByteBuffer(bytes: mutate(Array(text.utf8), &random)))
            }
            for response in Bench.split(try bench.received()) { #expect((100..<600).contains(response.status)) }
            bench.pass(200_000)
            #expect(bench.isClosed)
        }
    }
}

/// Keeps written bytes back until it is told to let them go: a client that reads slowly.
final class Dam: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = ByteBuffer
    private var held: [(NIOAny, EventLoopPromise<Void>?)] = []
    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        held.append((data, promise))
    }
    func flush(context: ChannelHandlerContext) {}
    func release(_ count: Int, context: ChannelHandlerContext) {
        for (data, promise) in held.prefix(count) { context.writeAndFlush(data, promise: promise) }
        held.removeFirst(min(count, held.count))
    }
}

/// A socket whose client does not read: keeps what is written, and is not writable above a mark.
final class Reservoir: ChannelDuplexHandler {
    typealias InboundIn = Never
    typealias OutboundIn = ByteBuffer
    static let mark = 524_288
    private let channel: EmbeddedChannel
    private var held: [(data: NIOAny, count: Int, promise: EventLoopPromise<Void>?)] = []
    private(set) var bytes = 0
    private(set) var reads = 0

    init(_ channel: EmbeddedChannel) { self.channel = channel }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let count = unwrapOutboundIn(data).readableBytes
        held.append((data, count, promise))
        bytes += count
        if bytes > Self.mark { set(false, context) }
    }
    func flush(context: ChannelHandlerContext) {}
    func read(context: ChannelHandlerContext) { reads += 1 }

    /// The client reads this many writes.
    func release(_ count: Int, context: ChannelHandlerContext) {
        let taken = held.prefix(count)
        held.removeFirst(taken.count)
        for write in taken {
            bytes -= write.count
            context.writeAndFlush(write.data, promise: write.promise)
        }
        if bytes < Self.mark / 4 { set(true, context) }
    }

    private func set(_ isWritable: Bool, _ context: ChannelHandlerContext) {
        guard channel.isWritable != isWritable else { return }
        channel.isWritable = isWritable
        context.fireChannelWritabilityChanged()
    }
}

@Suite struct NonReaderTests {
    private func make(_ limits: HTTPLimits = HTTPLimits()) throws -> (Bench, Reservoir, ChannelHandlerContext) {
        let bench = try Bench(limits: limits) {
            Bench.reply($0, $0.head.target.string + String(repeating: ".", count: 2000))
        }
        let reservoir = Reservoir(bench.channel)
        try bench.channel.pipeline.syncOperations.addHandler(reservoir, position: .first)
        return (bench, reservoir, try bench.channel.pipeline.syncOperations.context(handler: reservoir))
    }

    private func requests(_ numbers: Range<Int>) -> String {
        numbers.map { "GET /\($0) HTTP/1.1\r\nHost: h\r\n\r\n" }.joined()
    }

    @Test func whoPipelinesAndNeverReadsGetsABoundedNumberOfResponses() throws {
        let (bench, reservoir, context) = try make()
        bench.channel.pipeline.read()
        #expect(reservoir.reads == 1)
        for batch in 0..<50 { try bench.send(requests(batch * 100..<(batch + 1) * 100)) }
        #expect(reservoir.bytes < Reservoir.mark + 4096)
        // Nor is more taken from the socket, until the client reads.
        bench.channel.pipeline.read()
        #expect(reservoir.reads == 1)
        var targets: [String] = []
        for _ in 0..<100 where targets.count < 5000 {
            reservoir.release(.max, context: context)
            #expect(reservoir.bytes < Reservoir.mark + 4096)
            targets += try bench.bodies().map { String($0.prefix { $0 != "." }) }
        }
        #expect(targets == (0..<5000).map { "/\($0)" })
        #expect(reservoir.reads == 2)
        #expect(!bench.isClosed)
    }

    @Test func whoNeverReadsIsCutHoweverMuchTheySend() throws {
        var limits = HTTPLimits()
        limits.writeMilliseconds = 10_000
        let (bench, reservoir, context) = try make(limits)
        try bench.send(requests(0..<5000))
        // Whoever takes something now and then is not.
        for _ in 0..<2 {
            bench.pass(8000)
            reservoir.release(100, context: context)
        }
        #expect(!bench.isClosed)
        for _ in 0..<12 where !bench.isClosed {
            try bench.send(requests(0..<1))
            bench.pass(1000)
        }
        #expect(bench.isClosed)
    }
}

@Suite struct SlowReaderTests {
    @Test func aSlowReaderIsServedAsLongAsItTakesSomethingAndCutWhenItDoesNot() throws {
        var limits = HTTPLimits()
        limits.writeMilliseconds = 10_000
        limits.idleMilliseconds = 5000
        let bench = try Bench(limits: limits) { exchange in
            var builder = exchange.response(200)
            builder.endHead(contentLength: 1 << 20)
            exchange.sendHead(builder)
            exchange.sendPart(ByteBuffer(repeating: 1, count: 1 << 20))
        }
        let dam = Dam()
        try bench.channel.pipeline.syncOperations.addHandler(dam, position: .first)
        try bench.send(get)
        let context = try bench.channel.pipeline.syncOperations.context(handler: dam)
        // The head and seven of eight pieces, one every eight seconds: longer than the idle time-out all in all.
        dam.release(1, context: context)
        for _ in 0..<7 {
            bench.pass(8000)
            dam.release(1, context: context)
        }
        #expect(!bench.isClosed)
        bench.pass(8000)
        #expect(!bench.isClosed)
        bench.pass(5000)
        #expect(bench.isClosed)
    }
}
