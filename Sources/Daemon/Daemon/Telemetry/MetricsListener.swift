package import NIOCore
import NIOHTTP1
private import NIOPosix
private import Synchronization

/// `/metrics` and `/healthcheck` on a listener of their own, apart from what tenants reach: GET and HEAD, no body.
package final class MetricsListener: Sendable {
    package static let connectionsMax = 64
    /// How long a connection may be open without asking anything.
    package static let idleSecondsMax: Int64 = 60

    private let channel: any Channel
    package let port: Int

    private init(channel: any Channel, port: Int) {
        self.channel = channel
        self.port = port
    }

    package static func start(
        _ listener: ListenerSettings, group: any EventLoopGroup, threads: @escaping AdminServer.Threads,
        page: @escaping @Sendable () -> String
    ) async throws -> MetricsListener {
        let open = OpenConnections()
        do {
            let channel = try await ServerBootstrap(group: group)
                .serverChannelOption(ChannelOptions.backlog, value: 64)
                .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { child in
                    child.eventLoop.makeCompletedFuture {
                        try child.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                        try child.pipeline.syncOperations.addHandler(
                            MetricsHandler(open: open, threads: threads, page: page))
                    }
                }
                .bind(host: listener.host, port: listener.port).get()
            return MetricsListener(channel: channel, port: channel.localAddress?.port ?? listener.port)
        } catch {
            throw ListenFailure.explain(error, listener)
        }
    }

    package func stop() async {
        do {
            try await channel.close()
        } catch {
            // Closed already: nothing is left to do.
        }
    }

    fileprivate final class OpenConnections: Sendable {
        let count = Atomic<Int>(0)
    }
}

/// One connection. Its state is touched on its event loop only.
private final class MetricsHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let open: MetricsListener.OpenConnections
    private let threads: AdminServer.Threads
    private let page: @Sendable () -> String
    private var head: HTTPRequestHead?
    private var idle: Scheduled<Void>?

    init(
        open: MetricsListener.OpenConnections, threads: @escaping AdminServer.Threads,
        page: @escaping @Sendable () -> String
    ) {
        self.open = open
        self.threads = threads
        self.page = page
    }

    func channelActive(context: ChannelHandlerContext) {
        if open.count.add(1, ordering: .relaxed).newValue > MetricsListener.connectionsMax {
            return context.close(promise: nil)
        }
        wait(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        open.count.subtract(1, ordering: .relaxed)
        idle?.cancel()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, context: context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
        idle?.cancel()
        guard head.method == .GET || head.method == .HEAD else {
            return send(.methodNotAllowed, "Only GET and HEAD.\n", "text/plain", head, context: context)
        }
        switch head.uri {
        case "/healthcheck": send(.ok, "OK", "text/plain", head, context: context)
        case "/metrics":
            let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
            let loop = context.eventLoop
            let page = page
            let accepted = threads {
                let text = page()
                loop.execute {
                    let (handler, context) = bound.value
                    handler.send(.ok, text, "text/plain; version=0.0.4; charset=utf-8", head, context: context)
                }
            }
            if !accepted { send(.serviceUnavailable, "Busy.\n", "text/plain", head, context: context) }
        default: send(.notFound, "Nothing here; ask for /metrics.\n", "text/plain", head, context: context)
        }
    }

    private func send(
        _ status: HTTPResponseStatus, _ text: String, _ type: String, _ request: HTTPRequestHead,
        context: ChannelHandlerContext
    ) {
        var head = HTTPResponseHead(version: request.version, status: status)
        head.headers.add(name: "Content-Type", value: type)
        head.headers.add(name: "Content-Length", value: String(text.utf8.count))
        if !request.isKeepAlive { head.headers.add(name: "Connection", value: "close") }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        }
        let channel = context.channel
        let done = context.writeAndFlush(wrapOutboundOut(.end(nil)))
        if request.isKeepAlive {
            wait(context)
        } else {
            done.whenComplete { _ in channel.close(promise: nil) }
        }
    }

    private func wait(_ context: ChannelHandlerContext) {
        let channel = context.channel
        idle = context.eventLoop.scheduleTask(in: .seconds(MetricsListener.idleSecondsMax)) {
            channel.close(promise: nil)
        }
    }
}
