private import Chunks
import HTTPFace
private import Identity
import IdentityAPI
import ImageAPI
import Logging
private import NIOCore
private import NIOPosix
import ObjectAPI
private import Objects
private import Primitives
import ServiceLifecycle
import VolumeAPI

/// The listeners, and the threads that their requests run on.
struct Faces: Sendable {
    let metrics: MetricsRegistry
    private let listeners: [ListenerSettings]
    private let loops: MultiThreadedEventLoopGroup
    private let workThreads: WorkThreads
    private let objectServer: ObjectServer
    private let requestLog: RequestLog
    private let control: ControlPlane
    private let logger: Logger
    /// Of Identity (unless an outside one vouches for tokens), images and volumes.
    let controlListeners: [any Service & UpWaiting]

    /// Requests that may wait for a work thread; more are answered 503.
    private static let workQueueMax = 4096

    /// - Parameter outside: who vouches for tokens; nil: Identity here.
    init(
        configuration: DaemonConfiguration, listeners: [ListenerSettings], stores: Stores, control: ControlPlane,
        outside: OutsideAuthority?, images: ImagePlane, volumes: VolumePlane, logger: Logger
    ) {
        self.listeners = listeners
        self.control = control
        self.logger = logger
        let metrics = MetricsRegistry()
        self.metrics = metrics
        let cores = System.coreCount
        loops = MultiThreadedEventLoopGroup(
            numberOfThreads: configuration.objectEventLoops > 0 ? configuration.objectEventLoops : cores)
        workThreads = WorkThreads(
            name: "work", count: configuration.objectWorkThreads > 0 ? configuration.objectWorkThreads : 4 * cores,
            queueMax: Self.workQueueMax)
        let placement = stores.placement
        let store = stores.store
        let service = ObjectService(
            configuration: ObjectServiceConfiguration(),
            store: { path in
                precondition(placement.isLocal(path), "the ring was checked to have no other device")
                return store
            },
            clock: stores.clock, workThreads: workThreads)
        var settings = ObjectServerConfiguration()
        if let listener = listeners.first(where: { $0.name == "object" }) {
            settings.listener.host = listener.host
            settings.listener.port = listener.port
            settings.listener.tls = listener.tls.map {
                HTTPFace.ListenerConfiguration.TLSFiles(certificate: $0.certificate, key: $0.key)
            }
            settings.listener.limits.graceMilliseconds = Int64(configuration.shutdownSeconds) * 1000
            if !configuration.publicHost.isEmpty {
                settings.publicURL = listener.baseURL(publicHost: configuration.publicHost, port: listener.port)
            }
        }
        let authenticator: any Authenticator = outside ?? IdentityAuthenticator(control.identity)
        let workers = workThreads
        let identityListener = listeners.first { $0.name == "identity" }.map { listener in
            let base = listener.baseURL(publicHost: configuration.publicHost, port: listener.port)
            return ControlListener(
                listener,
                responder: IdentityResponder(identity: control.identity, logger: logger, publicBase: { base }),
                metrics: metrics, logger: logger)
        }
        let identityURL =
            listeners.first { $0.name == "identity" }.map {
                $0.baseURL(publicHost: configuration.publicHost, port: $0.port) + "/v3"
            } ?? configuration.authority.address.map { $0.base + "/v3" } ?? ""
        let imageListener = listeners.first { $0.name == "image" }.map { listener in
            let base = listener.baseURL(publicHost: configuration.publicHost, port: listener.port)
            return ControlListener(
                listener,
                responder: ImageResponder(
                    images: images.service, authenticator: authenticator, threads: workers, logger: logger,
                    publicBase: { base }, identityURL: { identityURL }),
                takesStreams: true, metrics: metrics, logger: logger)
        }
        let volumeListener = listeners.first { $0.name == "volume" }.map { listener in
            let base = listener.baseURL(publicHost: configuration.publicHost, port: listener.port)
            return ControlListener(
                listener,
                responder: VolumeResponder(
                    volumes: volumes.service, authenticator: authenticator, threads: workers, logger: logger,
                    publicBase: { base }),
                metrics: metrics, logger: logger)
        }
        let all: [(any Service & UpWaiting)?] = [identityListener, imageListener, volumeListener]
        controlListeners = all.compactMap { $0 }
        var random = SystemRandomNumberGenerator()
        let requestLog = RequestLog(label: logger.label, write: LineLogHandler.standardError)
        self.requestLog = requestLog
        objectServer = ObjectServer(
            configuration: settings, service: service, authenticator: authenticator,
            workThreads: workThreads, group: loops, metrics: metrics, logger: logger, requestLog: requestLog,
            seed: random.next())
    }

    /// Starts what answers requests; returns the parts in the order of their start.
    func start() async throws -> [Part] {
        var parts: [Part] = []
        for listener in listeners {
            switch listener.name {
            case "object":
                do {
                    _ = try await objectServer.start()
                } catch {
                    throw ListenFailure.explain(error, listener)
                }
                parts.append(
                    Part("object listener") { [objectServer, requestLog, workThreads, loops] in
                        await objectServer.shutdown()
                        requestLog.close()
                        try await Blocking.run("stop") { workThreads.stop() }
                        try await loops.shutdownGracefully()
                    })
            case "metrics":
                let identity = control.identity
                let metrics = metrics
                let server = try await MetricsListener.start(
                    listener, group: MultiThreadedEventLoopGroup.singleton, threads: { identity.run(.tables, $0) },
                    page: { metrics.render() })
                parts.append(Part("metrics listener") { await server.stop() })
            default: break
            }
        }
        return parts
    }
}
