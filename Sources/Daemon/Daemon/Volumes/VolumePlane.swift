import ChunkVolumes
private import Glibc
import ISCSI
import Images
import Logging
private import NIOCore
import Primitives
import Records
import ServiceLifecycle
import Volumes

/// Volumes: their driver, their targets and the service that minds them.
struct VolumePlane: Sendable {
    let service: VolumeService
    let exports: VolumeExports
    let server: ISCSIServer
    private let ioThreads: WorkThreads
    private let changeThreads: WorkThreads
    private let backups: ObjectBackups
    private let logger: Logger

    /// Requests of initiators that wait for the disk or for each other; beyond it they are told that the unit is busy.
    private static let ioQueueMax = 16_384
    private static let changeQueueMax = 1_024
    private static let stopGraceMilliseconds = 3_000

    /// Starts the iSCSI target, then the service, which opens the attachments' targets again.
    static func open(
        stores: Stores, control: ControlPlane, images: ImageService, configuration: DaemonConfiguration,
        portal: ListenerSettings,
        logger: Logger
    ) async throws -> VolumePlane {
        try stores.folder.makeFolder(ReservationFiles.folder)
        let cores = System.coreCount
        let ioThreads = WorkThreads(name: "vol-io", count: 4 * cores, queueMax: ioQueueMax)
        let changeThreads = WorkThreads(name: "vol-change", count: 2 * cores, queueMax: changeQueueMax)
        let driver = ChunkVolumeDriver(store: stores.store, ioThreads: ioThreads, changeThreads: changeThreads)
        let exports = VolumeExports(
            driver: driver, reservations: ReservationFiles(files: PrivateFiles(disk: stores.folder.disk)),
            ioThreads: ioThreads, changeThreads: changeThreads, logger: logger)
        var settings = ISCSIConfiguration(
            portals: [
                ISCSIPortal(
                    address: portal.numericHost, port: UInt16(portal.port),
                    publicHost: configuration.publicHost.isEmpty ? nil : configuration.publicHost)
            ], now: { TimestampClock.systemTicks() / Timestamp.ticksPerSecond })
        settings.allowsMD5 = configuration.iscsiAllowsMD5
        settings.onFailedLogin = { failure in
            logger.warning(
                "iSCSI login failed",
                metadata: [
                    "initiator": "\(failure.initiator)", "address": "\(failure.address)",
                    "target": "\(failure.target)", "reason": "\(failure.reason)", "omitted": "\(failure.omitted)",
                ])
        }
        let server: ISCSIServer
        do throws(ISCSIError) {
            server = try ISCSIServer(configuration: settings, provider: exports)
            try server.start()
        } catch {
            throw DaemonError(
                "The iSCSI target can't listen on \(portal.host) port \(portal.port) (\(error)).",
                remedy: "Is another program on that port? Set iscsi.port, or iscsi.host.")
        }
        exports.serve(by: server)
        var service = configuration.volumes.service(systemName: hostName())
        service.onFault = { line in logger.error("volume driver", metadata: ["error": "\(line)"]) }
        let (placement, store) = (stores.placement, stores.store)
        let backups = ObjectBackups(
            store: { path in
                precondition(placement.isLocal(path), "the ring was checked to have no other device")
                return store
            }, clock: stores.clock)
        let volumes = VolumeService(
            records: control.records, driver: driver, exporter: exports,
            images: ImageVolumes(images: images, driver: driver), backups: backups, configuration: service)
        do {
            let report = try await volumes.start()
            exports.completed()
            logger.info("volumes are ready", metadata: ["report": "\(report)"])
        } catch {
            throw DaemonError("Volumes can't start: \(error).")
        }
        return VolumePlane(
            service: volumes, exports: exports, server: server, ioThreads: ioThreads, changeThreads: changeThreads,
            backups: backups, logger: logger)
    }

    /// Stops behind the API's listener: initiators are asked to log out, operations end, threads go.
    func part() -> Part {
        Part("volumes") { [server, service, ioThreads, changeThreads, backups] in
            try await Blocking.run("iscsi") { server.stop(graceMilliseconds: Self.stopGraceMilliseconds) }
            try await Blocking.run("stop") {
                service.stop()
                backups.stop()
                changeThreads.stop()
                ioThreads.stop()
            }
        }
    }

    /// Carries operations out, and sweeps.
    func operations() -> VolumeOperations { VolumeOperations(service: service, logger: logger) }

    private static func hostName() -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count) == 0 else { return "apus" }
        let name = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return name.isEmpty ? "apus" : name
    }
}

struct VolumeOperations: Service, CustomStringConvertible {
    let description = "volume operations"
    let service: VolumeService
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown { [service, logger] in
            await service.run { result in
                switch result {
                case .success(let report): logger.info("volumes were swept", metadata: ["report": "\(report)"])
                case .failure(let error): logger.error("the sweep of volumes failed", metadata: ["error": "\(error)"])
                }
            }
        }
    }
}
