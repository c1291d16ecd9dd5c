private import Glibc
package import NIOCore
import Primitives

/// One client's connection: parses strictly, serves one request at a time, keeps the bounds of `HTTPLimits`.
///
/// ```
/// idle -> head -> exchange (body in, response out) -> idle ...
///            \-> refusal -> lingering -> closed
/// ```
/// Requests that come before the last one's response wait unparsed in `pending`, and above
/// `pipelinedBytesMax` in the socket. So they do while the client does not take the responses: none is begun unless
/// the channel is writable, which bounds what one connection can make the daemon hold.
package final class HTTPConnection: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    let loopContext: LoopContext
    private let limits: HTTPLimits
    private let responder: any RequestResponder
    private let telemetry: HTTPTelemetry
    private let isTLS: Bool
    private var parser: RequestParser
    private var pending = ByteBuffer()
    private var exchange: Exchange?
    private var context: ChannelHandlerContext?

    private var isProcessing = false
    private var isReading = false
    private var needsFlush = false
    private var unflushedBytes = 0
    private var corked = 0
    private var readHeld = false
    private var inputClosed = false
    private var isClosing = false
    /// Set while a refused client's bytes are read and dropped.
    private var lingering: Int?

    // Counted in ticks; see HTTPLimits.
    private var timer: Scheduled<Void>?
    private var quietTicks: Int64 = 0
    private var sawActivity = false
    /// The window over which a body's rate is judged: its ticks, and the bytes that came in it.
    private var bodyTicks: Int64 = 0
    private var bodyBytes = 0
    /// Pieces of output that the socket has not taken yet, and whether it took one since the last tick.
    private var unwritten = 0
    private var sawProgress = false
    /// Bytes of small responses since the last one whose going out is watched.
    private var unwatchedBytes = 0

    package init(
        loopContext: LoopContext, limits: HTTPLimits, responder: any RequestResponder, telemetry: HTTPTelemetry,
        isTLS: Bool
    ) {
        self.loopContext = loopContext
        self.limits = limits
        self.responder = responder
        self.telemetry = telemetry
        self.isTLS = isTLS
        parser = RequestParser(limits: limits)
    }

    // MARK: Channel events

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { start() }
    }

    package func channelActive(context: ChannelHandlerContext) { start() }

    private func start() {
        guard timer == nil, !isClosing else { return }
        loopContext.connections[ObjectIdentifier(self)] = self
        telemetry.accepted.add()
        scheduleTick()
    }

    package func handlerRemoved(context: ChannelHandlerContext) { gone() }

    package func channelInactive(context: ChannelHandlerContext) { gone() }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { closeNow() }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        isReading = true
        sawActivity = true
        telemetry.received.add(bytes.readableBytes)
        // The time of a head counts from its first byte, not from the last response.
        if exchange == nil, lingering == nil, parser.isIdle(pending) { quietTicks = 0 }
        if pending.readableBytes == 0 { pending = bytes } else { pending.writeBuffer(&bytes) }
        process()
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        if needsFlush { flush(context) }
    }

    private func flush(_ context: ChannelHandlerContext) {
        needsFlush = false
        unflushedBytes = 0
        context.flush()
    }

    package func read(context: ChannelHandlerContext) {
        if wantsBytes { context.read() } else { readHeld = true }
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            exchange?.onWritable?()
            if exchange == nil { process() }
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            inputClosed = true
            if lingering != nil { closeNow() } else { process() }
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    // MARK: Input

    private var wantsBytes: Bool {
        if lingering != nil { return true }
        guard let exchange else { return isWritable }
        switch exchange.intake {
        case .waiting, .done: return pending.readableBytes <= limits.pipelinedBytesMax
        case .streaming(_, let paused): return !paused
        case .collecting, .discarding: return true
        }
    }

    private func releaseRead() {
        if readHeld, wantsBytes, let context {
            readHeld = false
            context.read()
        }
    }

    /// Parses and hands on what there is, as far as somebody wants it.
    private func process() {
        guard !isProcessing else { return }
        isProcessing = true
        while step() {}
        isProcessing = false
        releaseRead()
    }

    /// True if there may be more to do at once.
    private func step() -> Bool {
        guard !isClosing else { return false }
        if let left = lingering {
            let count = pending.readableBytes
            pending = ByteBuffer()
            lingering = left - count
            if left - count < 0 { closeNow() }
            return false
        }
        guard let exchange else { return stepHead() }
        switch exchange.intake {
        case .waiting, .done, .streaming(_, paused: true): return false
        case .collecting, .streaming, .discarding: return stepBody(exchange)
        }
    }

    private func stepHead() -> Bool {
        // A client that does not take its responses gets no more of them: `channelWritabilityChanged` goes on.
        guard isWritable else { return false }
        switch parser.next(&pending) {
        case .needsMore:
            if inputClosed || loopContext.isDraining && parser.isIdle(pending) { closeAfterFlush() }
            return false
        case .head(let head):
            begin(head)
            return true
        case .failure(let refusal):
            refuse(refusal)
            return false
        case .body, .end:
            preconditionFailure("a body without a request")
        }
    }

    private func begin(_ head: RequestHead) {
        quietTicks = 0
        bodyTicks = 0
        bodyBytes = 0
        let clock = Clock.read()
        let id = RequestID(seconds: clock.seconds, extra: head.value("x-trans-id-extra"), using: &loopContext.ids)
        let exchange = Exchange(head: head, id: id, startNanoseconds: clock.nanoseconds, connection: self)
        if !parser.isInBody || parser.remainingLength == 0 {
            _ = parser.next(&pending)
            exchange.intake = .done
        }
        self.exchange = exchange
        responder.respond(to: exchange)
    }

    private func stepBody(_ exchange: Exchange) -> Bool {
        switch parser.next(&pending) {
        case .needsMore:
            if inputClosed { fail(exchange, .clientGone) }
            return false
        case .body(let bytes):
            bodyBytes += bytes.readableBytes
            deliver(bytes, to: exchange)
            return true
        case .end:
            let intake = exchange.intake
            exchange.intake = .done
            switch intake {
            case .collecting(let bytes, _, let then): then(.success(bytes ?? ByteBuffer()))
            case .streaming(let consumer, _): consumer.ended()
            case .discarding: finish(exchange)
            case .waiting, .done: break
            }
            return true
        case .failure(let refusal):
            let intake = exchange.intake
            exchange.intake = .done
            switch intake {
            case .collecting(_, _, let then): then(.failure(.malformed))
            case .streaming(let consumer, _): consumer.failed(.malformed)
            case .waiting, .discarding, .done: break
            }
            if case .none = exchange.output { answer(refusal, exchange) } else { closeNow() }
            return false
        case .head:
            preconditionFailure("a head within a body")
        }
    }

    private func deliver(_ bytes: ByteBuffer, to exchange: Exchange) {
        switch exchange.intake {
        case .collecting(let held, let max, let then):
            var bytes = bytes
            guard (held?.readableBytes ?? 0) + bytes.readableBytes <= max else {
                exchange.intake = .waiting
                then(.failure(.tooLarge))
                return
            }
            if var held {
                exchange.intake = .waiting  // so that the buffer is not shared while it grows
                held.writeBuffer(&bytes)
                exchange.intake = .collecting(held, max: max, then: then)
            } else {
                if case .length(let length) = exchange.head.framing, bytes.readableBytes < length {
                    var whole = ByteBufferAllocator().buffer(capacity: length)
                    whole.writeBuffer(&bytes)
                    bytes = whole
                }
                exchange.intake = .collecting(bytes, max: max, then: then)
            }
        case .streaming(let consumer, _):
            if !consumer.received(bytes), case .streaming(_, false) = exchange.intake {
                exchange.intake = .streaming(consumer, paused: true)
            }
        case .discarding(let left):
            if left < bytes.readableBytes {
                exchange.intake = .done
                exchange.closesAfter = true
                finish(exchange)
            } else {
                exchange.intake = .discarding(left: left - bytes.readableBytes)
            }
        case .waiting, .done: break
        }
    }

    /// The responder asked for the body, or for more of it.
    func bodyWanted(_ exchange: Exchange) {
        guard self.exchange === exchange else { return }
        if exchange.head.expectsContinue, !exchange.sentContinue {
            exchange.sentContinue = true
            if pending.readableBytes == 0, parser.isInBody {
                write(ByteBuffer(staticString: "HTTP/1.1 100 Continue\r\n\r\n"))
            }
        }
        process()
    }

    /// The body will never be whole.
    private func fail(_ exchange: Exchange, _ failure: BodyFailure) {
        let intake = exchange.intake
        exchange.intake = .done
        switch intake {
        case .collecting(_, _, let then): then(.failure(failure))
        case .streaming(let consumer, _): consumer.failed(failure)
        case .waiting, .discarding, .done: break
        }
        if failure == .timedOut, case .none = exchange.output {
            telemetry.timeouts.add()
            answer(HTTPRefusal(408, HTTPStatus(408).explanation), exchange)
        } else {
            closeNow()
        }
    }

    // MARK: Output

    var isWritable: Bool { context?.channel.isWritable ?? false }

    func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        telemetry.sent.add(bytes.readableBytes)
        // Now and then one is watched, so that a client that takes small responses slowly is seen to take them.
        unwatchedBytes += bytes.readableBytes
        var promise: EventLoopPromise<Void>?
        if unwatchedBytes >= Self.pieceBytesMax {
            unwatchedBytes = 0
            promise = watch(context)
        }
        if defersFlush(bytes.readableBytes) {
            context.write(wrapOutboundOut(bytes), promise: promise)
        } else {
            context.writeAndFlush(wrapOutboundOut(bytes), promise: promise)
        }
    }

    /// Whether a flush of what is written now, and was before, can wait for the end of a batch. Not when it has become
    /// much: what TLS holds unflushed does not count for `isWritable`.
    private func defersFlush(_ count: Int) -> Bool {
        unflushedBytes += count
        needsFlush = (isReading || corked > 0) && unflushedBytes < Self.unflushedBytesMax
        if !needsFlush { unflushedBytes = 0 }
        return needsFlush
    }

    /// A promise for one write whose going out is the client's progress.
    private func watch(_ context: ChannelHandlerContext) -> EventLoopPromise<Void> {
        unwritten += 1
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in
            unwritten -= 1
            sawProgress = true
        }
        return promise
    }

    /// Bytes of a streamed body, in pieces small enough that their going out shows a slow client's progress.
    func writePart(_ part: ByteBuffer) {
        guard let context else { return }
        telemetry.sent.add(part.readableBytes)
        var rest = part
        while let piece = rest.readSlice(length: min(rest.readableBytes, Self.pieceBytesMax)), piece.readableBytes > 0 {
            context.write(wrapOutboundOut(piece), promise: watch(context))
        }
        if !defersFlush(part.readableBytes) { context.flush() }
    }

    private static let pieceBytesMax = 131_072
    private static let unflushedBytesMax = 524_288

    /// Holds flushes back until `uncork`.
    func cork() { corked += 1 }

    func uncork() {
        corked -= 1
        if corked == 0, needsFlush, !isReading, let context { flush(context) }
    }

    /// Date, the ids, and whether the connection ends with this response.
    func writeStandardFields(_ exchange: Exchange, into builder: inout ResponseBuilder) {
        loopContext.date.write(Clock.read().seconds, into: &builder.buffer)
        builder.buffer.writeStaticString("X-Trans-Id: ")
        exchange.id.write(into: &builder.buffer)
        builder.buffer.writeStaticString("\r\nX-Openstack-Request-Id: ")
        exchange.id.write(into: &builder.buffer)
        builder.buffer.writeStaticString("\r\n")
        if !exchange.head.keepsAlive || loopContext.isDraining || bodyIsTooMuch(exchange) {
            exchange.closesAfter = true
        }
        if exchange.closesAfter {
            builder.buffer.writeStaticString("Connection: close\r\n")
        } else if exchange.head.isHTTP10 {
            builder.buffer.writeStaticString("Connection: keep-alive\r\n")
        }
    }

    /// Whether what is unread of the body is too much to read for the sake of keeping the connection.
    private func bodyIsTooMuch(_ exchange: Exchange) -> Bool {
        if case .done = exchange.intake { return false }
        if exchange.head.expectsContinue, !exchange.sentContinue { return true }
        if let left = parser.remainingLength { return left > limits.drainBytesMax }
        // Nobody knows how much of a chunked body is to come, and a connection that was promised must not be closed
        // later: only one whose end is here already is read to it.
        guard parser.isInBody else { return false }
        var rest = pending
        var ahead = parser
        var count = 0
        while count <= limits.drainBytesMax {
            switch ahead.next(&rest) {
            case .body(let bytes): count += bytes.readableBytes
            case .end: return false
            case .needsMore, .failure, .head: return true
            }
        }
        return true
    }

    func responseEnded(_ exchange: Exchange) {
        guard self.exchange === exchange else { return }
        switch exchange.intake {
        case .done:
            finish(exchange)
        case .waiting, .collecting, .streaming, .discarding:
            if exchange.closesAfter {
                finish(exchange)
            } else {
                exchange.intake = .discarding(left: limits.drainBytesMax)
            }
        }
        process()
    }

    /// The exchange is over: on to the next one, or to the end.
    private func finish(_ exchange: Exchange) {
        guard self.exchange === exchange else { return }
        record(exchange)
        self.exchange = nil
        exchange.connection = nil
        exchange.onWritable = nil
        quietTicks = 0
        sawActivity = true
        if exchange.closesAfter {
            if parser.isInBody || pending.readableBytes > 0 { linger() } else { closeAfterFlush() }
        }
    }

    var clientAddress: ClientAddress { ClientAddress(context?.remoteAddress) }

    private func record(_ exchange: Exchange) {
        let isDenied = exchange.status == 401 || exchange.status == 403
        telemetry.record(
            verb: exchange.head.verb, target: { Redaction.bytes(exchange.head.target.storage) },
            status: exchange.status, bytes: exchange.bytesSent,
            nanoseconds: Clock.read().nanoseconds &- exchange.startNanoseconds, id: exchange.id,
            denied: isDenied ? Denial(caller: exchange.caller, client: clientAddress) : nil)
    }

    /// Answers a stream that is not HTTP, or not ours to serve, and ends it.
    private func refuse(_ refusal: HTTPRefusal) {
        let clock = Clock.read()
        let id = RequestID(seconds: clock.seconds, extra: nil, using: &loopContext.ids)
        var builder = ResponseBuilder(status: refusal.status, buffer: ByteBufferAllocator().buffer(capacity: 768))
        builder.writeStatusLine()
        loopContext.date.write(clock.seconds, into: &builder.buffer)
        builder.add("X-Trans-Id", id.description)
        builder.add("X-Openstack-Request-Id", id.description)
        builder.add("Connection", trusted: "close")
        let body = ErrorPage.html(refusal.status, refusal.text)
        builder.endHead(contentLength: body.utf8.count)
        builder.buffer.writeString(body)
        let bytes = builder.buffer.readableBytes
        write(builder.buffer)
        telemetry.record(
            verb: .other("-"), target: { [0x2d] }, status: refusal.status, bytes: bytes, nanoseconds: 0, id: id)
        linger()
    }

    /// Answers a request whose body turned out to be malformed or too slow, and ends the connection.
    private func answer(_ refusal: HTTPRefusal, _ exchange: Exchange) {
        exchange.closesAfter = true
        var builder = exchange.response(refusal.status)
        let body = ErrorPage.html(refusal.status, refusal.text)
        builder.endHead(contentLength: body.utf8.count)
        builder.buffer.writeString(body)
        exchange.send(builder)
        if !isClosing { linger() }
    }

    // MARK: The end

    /// Reads and drops what the client still sends, so that closing does not reset the response away from it.
    private func linger() {
        guard let context, lingering == nil, !isClosing else { return }
        lingering = limits.lingerBytesMax
        pending = ByteBuffer()
        quietTicks = 0
        flush(context)
        if inputClosed { return closeNow() }
        if !isTLS { context.close(mode: .output, promise: nil) }
        releaseRead()
    }

    private func closeAfterFlush() {
        guard let context, !isClosing else { return }
        isClosing = true
        needsFlush = false
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).assumeIsolated().whenComplete { _ in
            context.close(promise: nil)
        }
    }

    func closeNow() {
        guard let context else { return }
        isClosing = true
        context.close(promise: nil)
    }

    /// Ends the connection so that the client sees an error rather than an end.
    func reset() {
        guard let context else { return }
        // A linger time of zero makes close() send RST. Where that can't be set, the missing bytes still tell.
        if let socket = context.channel as? any SocketOptionProvider {
            socket.setSoLinger(Glibc.linger(l_onoff: 1, l_linger: 0)).whenFailure { _ in }
        }
        closeNow()
    }

    /// The server stops: finish what is under way.
    func drain() {
        if exchange == nil, lingering == nil, parser.isIdle(pending) { closeAfterFlush() }
    }

    private func gone() {
        timer?.cancel()
        timer = nil
        isClosing = true
        loopContext.connections[ObjectIdentifier(self)] = nil
        context = nil
        guard let exchange else { return }
        self.exchange = nil
        let intake = exchange.intake
        exchange.intake = .done
        switch intake {
        case .collecting(_, _, let then): then(.failure(.clientGone))
        case .streaming(let consumer, _): consumer.failed(.clientGone)
        case .waiting, .discarding, .done: break
        }
        if case .complete = exchange.output {} else { exchange.status = HTTPStatus(499) }
        record(exchange)
        exchange.connection = nil
        exchange.onWritable?()
        exchange.onWritable = nil
    }

    // MARK: Time

    private func scheduleTick() {
        timer = loopContext.loop.assumeIsolated().scheduleTask(in: .milliseconds(limits.tickMilliseconds)) {
            [weak self] in self?.tick()
        }
    }

    private func tick() {
        guard timer != nil else { return }
        scheduleTick()
        let active = sawActivity
        sawActivity = false
        func isOver(_ milliseconds: Int64) -> Bool {
            quietTicks += 1
            return quietTicks * limits.tickMilliseconds >= milliseconds
        }
        if lingering != nil {
            if isOver(limits.lingerMilliseconds) { closeNow() }
            return
        }
        if unwritten > 0 || !isWritable, exchange.map({ !isReceiving($0) }) ?? true {
            // Somebody is taking responses, or ought to be; that the next request does not come yet is no wonder.
            if sawProgress {
                quietTicks = 0
            } else if isOver(limits.writeMilliseconds) {
                telemetry.timeouts.add()
                reset()
            }
            sawProgress = false
            return
        }
        guard let exchange else {
            if parser.isIdle(pending) {
                if active { quietTicks = 0 } else if isOver(limits.idleMilliseconds) { closeNow() }
            } else if isOver(limits.headMilliseconds) {
                telemetry.timeouts.add()
                refuse(HTTPRefusal(408, HTTPStatus(408).explanation))
            }
            return
        }
        if isReceiving(exchange) {
            // Judged over the whole window: a burst now and then does not start it afresh.
            bodyTicks += 1
            let elapsed = bodyTicks * limits.tickMilliseconds
            if elapsed >= limits.bodyMilliseconds {
                let isSlow = Int64(bodyBytes) * 1000 < Int64(limits.bodyRateMin) * elapsed
                bodyTicks = 0
                bodyBytes = 0
                if isSlow { fail(exchange, .timedOut) }
            }
        } else {
            quietTicks = 0
        }
    }

    private func isReceiving(_ exchange: Exchange) -> Bool {
        switch exchange.intake {
        case .collecting, .discarding, .streaming(_, paused: false): true
        case .waiting, .done, .streaming(_, paused: true): false
        }
    }
}

/// The wall clock and the monotonic one.
enum Clock {
    static func read() -> (seconds: Int64, nanoseconds: UInt64) {
        var wall = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &wall)
        var steady = timespec()
        clock_gettime(CLOCK_MONOTONIC, &steady)
        return (Int64(wall.tv_sec), UInt64(steady.tv_sec) &* 1_000_000_000 &+ UInt64(steady.tv_nsec))
    }
}
