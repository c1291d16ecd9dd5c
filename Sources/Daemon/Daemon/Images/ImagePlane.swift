import ImageAPI
import Images
import Logging
private import NIOCore
private import NIOPosix
import Primitives
import ServiceLifecycle

/// Images: what keeps their bytes, and the service that minds them.
struct ImagePlane: Sendable {
    let service: ImageService
    private let ioThreads: WorkThreads
    private let logger: Logger

    private static let ioQueueMax = 4_096

    static func open(
        stores: Stores, control: ControlPlane, configuration: DaemonConfiguration, logger: Logger
    ) async throws -> ImagePlane {
        let ioThreads = WorkThreads(name: "image-io", count: 2 * System.coreCount, queueMax: ioQueueMax)
        let images = ChunkImages(store: stores.store, threads: ioThreads)
        try stores.folder.makeFolder(QEMUConverter.folderName)
        let converter = QEMUConverter(
            named: configuration.images.converterProgram, searchPath: Terminal.environment["PATH"] ?? "",
            folder: stores.folder.path + "/" + QEMUConverter.folderName, reserveBytes: configuration.reserveBytes,
            logger: logger)
        var settings = configuration.images.service(region: configuration.region)
        settings.cores = System.coreCount
        settings.onNotice = { line in logger.info("image service", metadata: ["notice": "\(line)"]) }
        settings.onFault = { line in logger.error("image service", metadata: ["error": "\(line)"]) }
        let service = ImageService(
            records: control.records, store: images,
            web: configuration.images.fetchesFromWeb
                ? WebFetcher(
                    exceptions: configuration.images.webHosts, group: MultiThreadedEventLoopGroup.singleton)
                    as any WebSource
                : NoWeb(),
            converter: converter, configuration: settings)
        do {
            try await Blocking.run("images") {
                try images.removeUnfinished()
                try converter.removeUnfinished()
            }
            try await service.start()
            try await service.seedDefinitions(StandardDefinitions.name, StandardDefinitions.all())
        } catch {
            throw DaemonError("Images can't start: \(error).")
        }
        return ImagePlane(service: service, ioThreads: ioThreads, logger: logger)
    }

    /// Stops behind the API's listener: imports end, threads go.
    func part() -> Part {
        Part("images") { [service, ioThreads] in
            try await Blocking.run("stop") {
                service.stop()
                ioThreads.stop()
            }
        }
    }

    /// Carries imports out.
    func operations() -> ImageOperations { ImageOperations(service: service) }
}

struct ImageOperations: Service, CustomStringConvertible {
    let description = "image operations"
    let service: ImageService

    func run() async throws { await cancelWhenGracefulShutdown { [service] in await service.run() } }
}
