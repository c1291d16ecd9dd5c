package import Logging
package import NIOCore
import NIOPosix
import NIOSSL
private import Synchronization

/// A listener that turns connections into exchanges for one `RequestResponder`.
///
/// `start` binds; `shutdown` stops accepting, lets requests under way finish for `graceMilliseconds`, then closes.
/// The event loops belong to whoever made them and outlive the server.
package final class HTTPServer: Sendable {
    private let configuration: ListenerConfiguration
    private let group: any EventLoopGroup
    private let responder: any RequestResponder
    private let telemetry: HTTPTelemetry
    private let loops: [ObjectIdentifier: LoopContext]
    private let open: OpenConnections
    private let listener = Mutex<(any Channel)?>(nil)

    /// - Parameters:
    ///   - name: begins the names of the metrics, e.g. `object`.
    ///   - seed: of the request ids.
    package init(
        name: String, configuration: ListenerConfiguration, group: any EventLoopGroup,
        responder: any RequestResponder, metrics: MetricsRegistry, logger: Logger, requestLog: RequestLog?, seed: UInt64
    ) {
        self.configuration = configuration
        self.group = group
        self.responder = responder
        telemetry = HTTPTelemetry(name: name, metrics: metrics, logger: logger, requestLog: requestLog)
        var loops: [ObjectIdentifier: LoopContext] = [:]
        var seeds = IDGenerator(seed: seed)
        for loop in group.makeIterator() {
            loops[ObjectIdentifier(loop)] = LoopContext(loop: loop, seed: seeds.next())
        }
        self.loops = loops
        let open = OpenConnections(
            max: configuration.limits.connectionsMax, perAddressMax: configuration.limits.connectionsPerAddressMax)
        self.open = open
        metrics.gauge("\(name)_connections", help: "Open connections.") { Double(open.count) }
    }

    /// Binds and accepts; returns the port. Throws when the address is taken or the TLS files can't be read.
    package func start() async throws -> Int {
        let tls = try configuration.tls.map { files in
            var tls = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(files.certificate).map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem)))
            tls.minimumTLSVersion = .tlsv12
            tls.applicationProtocols = ["http/1.1"]
            return try NIOSSLContext(configuration: tls)
        }
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Int32(configuration.backlog))
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 128 * 1024, high: 512 * 1024))
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 2048, initial: 8192, maximum: 262_144)
            )
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { [self] channel in accept(channel, tls: tls) }
            .bind(host: configuration.host, port: configuration.port).get()
        listener.withLock { $0 = channel }
        return channel.localAddress?.port ?? configuration.port
    }

    /// Stops accepting, drains, closes. Returns when no connection is left.
    package func shutdown() async {
        let channel = listener.withLock { channel in
            let taken = channel
            channel = nil
            return taken
        }
        // First, so that whoever finds the listener gone is answered by a server that drains; and once more for what
        // was accepted in between.
        for context in loops.values { await drain(context) }
        if let channel {
            do {
                try await channel.close()
            } catch {
                // Closed already.
            }
        }
        for context in loops.values { await drain(context) }
        let clock = ContinuousClock()
        let deadline = clock.now + .milliseconds(configuration.limits.graceMilliseconds)
        while open.count > 0, clock.now < deadline {
            do { try await Task.sleep(for: .milliseconds(10)) } catch { break }
        }
        for context in loops.values { context.loop.execute { context.closeAll() } }
        let last = clock.now + .seconds(2)
        while open.count > 0, clock.now < last {
            do { try await Task.sleep(for: .milliseconds(5)) } catch { break }
        }
    }

    /// Returns when the loop's connections know.
    private func drain(_ context: LoopContext) async {
        do {
            try await context.loop.submit { context.drain() }.get()
        } catch {
            // The loop was shut down: nothing is left on it.
        }
    }

    private func accept(_ channel: any Channel, tls: NIOSSLContext?) -> EventLoopFuture<Void> {
        guard open.admit(channel) else {
            telemetry.turnedAway.add()
            return channel.close()
        }
        guard let context = loops[ObjectIdentifier(channel.eventLoop)] else {
            preconditionFailure("a connection on a foreign event loop")
        }
        return channel.eventLoop.makeCompletedFuture {
            if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
            try channel.pipeline.syncOperations.addHandler(
                HTTPConnection(
                    loopContext: context, limits: configuration.limits, responder: responder, telemetry: telemetry,
                    isTLS: tls != nil))
        }
    }
}
