package import HTTPFace
package import Logging
package import NIOCore
package import Objects
package import Primitives

/// The object face's configuration.
package struct ObjectServerConfiguration: Sendable {
    /// Where it listens, TLS files, limits.
    package var listener = ListenerConfiguration()
    /// `scheme://host[:port]` that v1 auth publishes as the storage URL's base; nil: what the client's Host header says.
    package var publicURL: String?
    /// Uploads to one account at a time; further ones are answered with 503. Each holds some MiB of memory.
    package var uploadsPerAccountMax = 256
    /// Copies of one account under way at once, answered with 503 beyond: each is an upload that always has more to write.
    package var copiesPerAccountMax = 32
    package init() {}
}

/// The Object API on a port.
///
/// Made by the daemon from parts that it owns: the service, the authenticator, the work threads (the same pool as the
/// service's), the event loops, the metrics registry. Start it last, shut it down first; then stop the work
/// threads, then close the store.
package final class ObjectServer: Sendable {
    private let server: HTTPServer

    /// - Parameters:
    ///   - group: event loops; they must outlive the server.
    ///   - logger: one line a request at `info` (`warning` for 5xx), without secrets.
    ///   - requestLog: takes the lines at `info` instead, if there is one.
    ///   - seed: of the transaction ids; random, different at every start.
    package init(
        configuration: ObjectServerConfiguration, service: ObjectService, authenticator: any Authenticator,
        workThreads: WorkThreads, group: any EventLoopGroup, metrics: MetricsRegistry, logger: Logger,
        requestLog: RequestLog? = nil, seed: UInt64
    ) {
        let responder = ObjectResponder(
            service: service, authenticator: authenticator, workThreads: workThreads, configuration: configuration,
            metrics: metrics, logger: logger)
        server = HTTPServer(
            name: "object", configuration: configuration.listener, group: group, responder: responder,
            metrics: metrics, logger: logger, requestLog: requestLog, seed: seed)
    }

    /// Binds and serves; returns the port. Throws when the address is taken or a TLS file can't be used.
    package func start() async throws -> Int { try await server.start() }

    /// Stops accepting, lets requests under way finish (`HTTPLimits.graceMilliseconds`), closes what is left.
    package func shutdown() async { await server.shutdown() }
}
