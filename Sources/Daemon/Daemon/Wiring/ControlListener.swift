import ControlFace
import HTTPFace
import Hummingbird
private import HummingbirdCore
private import HummingbirdTLS
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle

/// A control plane's API on its port, by Hummingbird.
struct ControlListener<Responder: HTTPResponder & Sendable>: Service, UpWaiting, CustomStringConvertible
where Responder.Context == ControlContext {
    let description: String
    private let name: String
    private let settings: ListenerSettings
    private let responder: Responder
    private let takesStreams: Bool
    private let metrics: MetricsRegistry
    private let logger: Logger
    private let up: AsyncStream<Void>
    private let isUp: AsyncStream<Void>.Continuation

    /// A connection that asks nothing for this long is closed.
    private static var idleSeconds: Int64 { 75 }
    /// One whose first request isn't here by then, too.
    private static var firstHeadSeconds: Int64 { 30 }
    /// A connection that sends more than this behind one head is closed. Far above what any request may have, so that
    /// one that is only somewhat too large gets its answer.
    private static var bodyBytesMax: Int { 4 << 20 }
    /// What a body without a bound has to bring in each `idleSeconds`.
    private static var progressBytesMin: Int { 64 << 10 }
    /// Further ones wait in the system's queue.
    private static var connectionsMax: Int { 1024 }
    private static var connectionsPerAddressMax: Int { 768 }

    /// - Parameter takesStreams: whether bodies have no bound here, but have to make progress.
    init(
        _ settings: ListenerSettings, responder: Responder, takesStreams: Bool = false, metrics: MetricsRegistry,
        logger: Logger
    ) {
        name = settings.name
        description = "\(settings.name) listener"
        self.settings = settings
        self.responder = responder
        self.takesStreams = takesStreams
        self.metrics = metrics
        self.logger = logger
        (up, isUp) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingOldest(1))
    }

    func waitUntilUp() async {
        for await _ in up { return }
    }

    func run() async throws {
        let isUp = isUp
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        let connections = OpenConnections(
            max: Self.connectionsMax, perAddressMax: Self.connectionsPerAddressMax)
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                additionalChannelHandlers: [
                    ConnectionAdmission(connections),
                    RequestDeadline(
                        firstSeconds: Self.firstHeadSeconds, seconds: Self.idleSeconds,
                        bodyBytesMax: takesStreams ? .max : Self.bodyBytesMax,
                        progressBytesMin: takesStreams ? Self.progressBytesMin : nil),
                ],
                idleTimeout: .seconds(Self.idleSeconds),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 8192, maxHeaderListSize: 65_535, maxHeaderFieldCount: 126)))
        let application = Application(
            responder: MeasuredResponder(responder, name: name, metrics: metrics),
            server: try tls().map { try .tls(http, tlsConfiguration: $0) } ?? http,
            configuration: ApplicationConfiguration(
                address: .hostname(settings.host, port: settings.port), backlog: 1024,
                availableConnectionsDelegate: .maximum(Self.connectionsMax, logger: quiet)),
            onServerRunning: { _ in isUp.yield() }, logger: quiet)
        do {
            try await application.run()
        } catch let error as IOError {
            throw ListenFailure.explain(error, settings)
        }
    }

    private func tls() throws -> TLSConfiguration? {
        guard let files = settings.tls else { return nil }
        do {
            var tls = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(files.certificate).map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem)))
            tls.minimumTLSVersion = .tlsv12
            tls.applicationProtocols = ["http/1.1"]
            return tls
        } catch {
            throw ListenFailure.explainTLS(error, settings)
        }
    }
}

/// A listener that says when it accepts connections.
protocol UpWaiting: Sendable {
    /// Returns when it accepts connections, or never will.
    func waitUntilUp() async
}

/// Waits for the last listeners, then tells the world.
struct ReadyService: Service, CustomStringConvertible {
    let description = "ready"
    let ready: Ready
    let listeners: [any UpWaiting]

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown {
                for listener in listeners { await listener.waitUntilUp() }
                guard !Task.isCancelled else { return }
                try await ready.announce()
            }
            try await gracefulShutdown()
        } catch is CancellationError {
            // Told to stop before, or while, it was ready.
        }
    }
}
