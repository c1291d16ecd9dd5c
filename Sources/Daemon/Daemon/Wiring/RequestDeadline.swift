import HTTPFace
import NIOCore
import NIOHTTPTypes

/// Closes a connection whose client is too slow or sends too much: a head must be here within `seconds` of the last
/// answer (or of the connection's beginning), and the rest of the request within `seconds` of its head. The framework's
/// own timeout starts afresh with each byte, so a byte a minute would hold a connection for ever.
final class RequestDeadline: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let firstLimit: TimeAmount
    private let limit: TimeAmount
    private let bodyBytesMax: Int
    private let progressBytesMin: Int?
    private var bytesAtCheck = 0
    private var timer: Scheduled<Void>?
    private var bodyBytes = 0
    /// Requests that are here in full, less the answers that have gone out.
    private var unanswered = 0

    /// - Parameters:
    ///   - firstSeconds: for the first head of a connection.
    ///   - progressBytesMin: a body that brings so much in each `seconds` may take as long as it wants.
    init(firstSeconds: Int64, seconds: Int64, bodyBytesMax: Int, progressBytesMin: Int? = nil) {
        firstLimit = .seconds(firstSeconds)
        limit = .seconds(seconds)
        self.bodyBytesMax = bodyBytesMax
        self.progressBytesMin = progressBytesMin
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { arm(context, firstLimit) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { disarm() }

    func channelActive(context: ChannelHandlerContext) {
        arm(context, firstLimit)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        disarm()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            bodyBytes = 0
            bytesAtCheck = 0
            if progressBytesMin == nil { arm(context) } else { watch(context) }
        case .body(let bytes):
            bodyBytes += bytes.readableBytes
            guard bodyBytes <= bodyBytesMax else { return context.close(promise: nil) }
        case .end:
            unanswered += 1
            disarm()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .end = unwrapOutboundIn(data) {
            unanswered -= 1
            if unanswered <= 0 { arm(context) }
        }
        context.write(data, promise: promise)
    }

    private func arm(_ context: ChannelHandlerContext, _ limit: TimeAmount? = nil) {
        disarm()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: limit ?? self.limit) { context.close(promise: nil) }
    }

    /// Looks every `limit` whether the body has come on.
    private func watch(_ context: ChannelHandlerContext) {
        disarm()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: limit) { [self] in
            guard bodyBytes - bytesAtCheck >= progressBytesMin ?? 0 else { return context.close(promise: nil) }
            bytesAtCheck = bodyBytes
            watch(context)
        }
    }

    private func disarm() {
        timer?.cancel()
        timer = nil
    }
}

/// Turns away a connection of an address that has too many.
final class ConnectionAdmission: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart

    private let connections: OpenConnections

    init(_ connections: OpenConnections) { self.connections = connections }

    func handlerAdded(context: ChannelHandlerContext) {
        if !connections.admit(context.channel) { context.close(promise: nil) }
    }
}
