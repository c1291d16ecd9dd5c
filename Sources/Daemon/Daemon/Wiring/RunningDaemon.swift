private import Chunks
private import Disks
private import Glibc
private import HTTPFace
private import Identity
import Logging
private import NIOPosix
private import ObjectAPI
private import Objects
private import Primitives
private import Records
private import Rings
private import ServiceLifecycle

/// One daemon on one data folder, from its first lock to its last flush.
///
/// It starts bottom-up: folder and lock, ring, store (which recovers), control.db, Identity, and only then the
/// listeners, so nobody is served by half a daemon. It stops in the reverse order: listeners drain, then services
/// end, then the stores close.
package struct RunningDaemon: Sendable {
    private let configuration: DaemonConfiguration
    private let anyPort: Bool
    private let welcome: Bool
    private let logger: Logger

    /// - Parameters:
    ///   - anyPort: take free ports instead of the configured ones, and print `ready`.
    ///   - welcome: say on standard output how to begin.
    package init(configuration: DaemonConfiguration, anyPort: Bool, welcome: Bool) {
        var configuration = configuration
        // A relative folder would mean another one after a change of directory, and in openrc.
        configuration.dataFolder = Self.absolute(configuration.dataFolder)
        self.configuration = configuration
        self.anyPort = anyPort
        self.welcome = welcome
        let level = Logger.Level(rawValue: configuration.logLevel) ?? .info
        logger = Logger(label: "apusd") { label in LineLogHandler(label: label, logLevel: level) }
    }

    /// Serves until the first element of `stops`, then puts everything away. Throws why it could not start, or what
    /// failed so that it had to end.
    package func run(until stops: AsyncStream<Int32>) async throws {
        try configuration.checkListeners()
        let began = ContinuousClock().now
        let folder = try await Blocking.run("folder") { [configuration] in
            try DataFolder(path: configuration.dataFolder, create: true)
        }
        logger.info("starting", metadata: ["version": "\(DaemonVersion.text)", "data": "\(folder.path)"])
        let stores = try await Stores.open(folder: folder, configuration: configuration, logger: logger)
        do {
            try await serve(folder: folder, stores: stores, began: began, until: stops)
        } catch {
            // The group closes the stores in its turn; this is for what failed before there was one.
            await stores.closeAfterFailure(logger: logger)
            throw error
        }
    }

    private func serve(
        folder: DataFolder, stores: Stores, began: ContinuousClock.Instant, until stops: AsyncStream<Int32>
    ) async throws {
        let files = ClientFiles(
            files: PrivateFiles(disk: folder.disk), tellsSignIn: !configuration.authority.isOutside)
        let outside = try await outsideAuthority()
        let listeners = try takePorts(files)
        let endpoints = endpoints(listeners)
        let wasWritten = stores.store.newestTimestamp > .zero
        try await Blocking.run("folder") { try folder.checkControl(objectsWereWritten: wasWritten) }
        let control = try await ControlPlane.open(
            folder: folder, files: files, configuration: configuration, endpoints: endpoints, logger: logger)
        guard let portal = listeners.first(where: { $0.name == "iscsi" }) else {
            preconditionFailure("there is always a portal")
        }
        let images = try await ImagePlane.open(
            stores: stores, control: control, configuration: configuration, logger: logger)
        let volumes = try await VolumePlane.open(
            stores: stores, control: control, images: images.service, configuration: configuration, portal: portal,
            logger: logger)
        let faces = Faces(
            configuration: configuration, listeners: listeners, stores: stores, control: control, outside: outside,
            images: images, volumes: volumes, logger: logger)
        StoreMetrics.register(stores.store, in: faces.metrics)
        TargetMetrics.register(volumes.server, in: faces.metrics)
        let admin = AdminActions(
            stores: stores, control: control,
            volumes: VolumeActions(
                store: stores.store, service: volumes.service, exports: volumes.exports, logger: logger),
            files: files, endpoints: endpoints, hasUsers: outside == nil, metrics: faces.metrics, began: began,
            logger: logger)

        let ready = Ready(
            files: files, endpoints: endpoints, folder: folder.path, printsReady: anyPort, welcome: welcome,
            began: began, logger: logger)
        var services: [any Service] = [
            stores.part(logger: logger), control.part(logger: logger), control.maintenance(logger: logger),
            StoreWatch.part(stores, logger: logger), images.part(), images.operations(), volumes.part(),
            volumes.operations(),
        ]
        services += try await faces.start()
        services.append(try await admin.listen(path: folder.socketPath))
        services += faces.controlListeners
        services.append(ReadyService(ready: ready, listeners: faces.controlListeners))
        var group = ServiceGroupConfiguration(
            services: services.map { ServiceGroupConfiguration.ServiceConfiguration(service: $0) },
            logger: quiet(logger))
        group.maximumGracefulShutdownDuration = .seconds(configuration.shutdownSeconds + 30)
        try await run(ServiceGroup(configuration: group), until: stops)
        logger.info("stopped")
    }

    /// Who vouches for tokens instead of Identity here, where that is configured.
    private func outsideAuthority() async throws -> OutsideAuthority? {
        guard let address = configuration.authority.address else { return nil }
        logger.info("an outside Identity service vouches for tokens", metadata: ["url": "\(address.base)"])
        return try await OutsideAuthority.open(
            configuration.authority, address: address, group: MultiThreadedEventLoopGroup.singleton, logger: logger)
    }

    /// The group's own lines about each of its services are for debugging.
    private func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }

    private func run(_ group: ServiceGroup, until stops: AsyncStream<Int32>) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                for await number in stops {
                    logger.info("told to stop; letting requests finish", metadata: ["signal": "\(number)"])
                    await group.triggerGracefulShutdown()
                    return
                }
            }
            tasks.addTask {
                try await group.run()
                throw Finished()
            }
            do {
                while let _ = try await tasks.next() {}
            } catch is Finished {
                tasks.cancelAll()
            }
        }
    }

    private struct Finished: Error {}

    /// The listeners with certain ports: the catalog has to name them before they are bound.
    private func takePorts(_ files: ClientFiles) throws(DaemonError) -> [ListenerSettings] {
        let last = anyPort ? try files.lastEndpoints() : nil
        var taken: [ListenerSettings] = []
        for var listener in configuration.listeners {
            if anyPort || listener.port == 0 {
                let before = last.flatMap { listener.port(in: $0) }
                // Two listeners that ask the system one after the other may be given the same port.
                repeat {
                    listener.port = try FreePorts.pick(
                        host: listener.host, preferring: taken.contains { $0.port == before } ? nil : before)
                } while taken.contains { $0.port == listener.port }
            }
            taken.append(listener)
        }
        return taken
    }

    private func endpoints(_ listeners: [ListenerSettings]) -> ClientFiles.Endpoints {
        func url(_ name: String) -> String? {
            listeners.first { $0.name == name }.map {
                $0.baseURL(publicHost: name == "metrics" ? "" : configuration.publicHost, port: $0.port)
            }
        }
        return ClientFiles.Endpoints(
            identity: url("identity") ?? configuration.authority.address?.base ?? "", object: url("object") ?? "",
            image: url("image"), volume: url("volume"),
            iscsi: url("iscsi").map { String($0.dropFirst("http://".count)) }, metrics: url("metrics"),
            region: configuration.region, pid: getpid())
    }

    private static func absolute(_ path: String) -> String {
        var whole = path
        if !path.hasPrefix("/") {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            if unsafe getcwd(&buffer, buffer.count) != nil {
                let here = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                whole = here + "/" + path
            }
        }
        while whole.count > 1, whole.hasSuffix("/") { whole.removeLast() }
        return whole
    }
}

extension ListenerSettings {
    /// The port that this listener had in an `endpoints.json`.
    fileprivate func port(in endpoints: ClientFiles.Endpoints) -> Int? {
        let url: String? =
            switch name {
            case "identity": endpoints.identity
            case "object": endpoints.object
            case "image": endpoints.image
            case "volume": endpoints.volume
            case "iscsi": endpoints.iscsi
            default: endpoints.metrics
            }
        guard let url, let colon = url.lastIndex(of: ":") else { return nil }
        return Int(url[url.index(after: colon)...])
    }
}
