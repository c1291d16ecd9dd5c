import BlockDevices
import ChunkVolumes
import HTTPFace
import ISCSI
import Logging
import Primitives
import SCSI
import VolumeDrivers

/// The targets: one for each attachment, all of a volume's in front of one logical unit.
///
/// The volume service opens and closes them; the iSCSI server asks at each login.
final class VolumeExports: VolumeExporter, TargetProvider {
    private struct Open {
        var export: VolumeExport
        var target: ISCSITarget
    }

    private struct State {
        /// By the target's name in lower case, as initiators may spell it.
        var byName: [String: Open] = [:]
        var names: [String: String] = [:]
        /// By volume: one for all of its attachments, also for those that may only read, or reservations and resets would
        /// bind only some of its hosts.
        var units: [String: LogicalUnit] = [:]
        var lastPort: UInt16 = 0
        /// The targets of before the restart are open again.
        var isComplete = false
    }

    private let driver: ChunkVolumeDriver
    private let reservations: ReservationFiles
    private let ioThreads: WorkThreads
    private let changeThreads: WorkThreads
    private let state = PosixLocked(State())
    /// Finding or making a unit and opening a target in front of it is one step, and so is dropping it behind the last:
    /// two units of one volume would know nothing of each other's reservations.
    private let unitOrder = PosixMutex()
    private let server = PosixLocked<ISCSIServer?>(nil)
    private let logger: Logger

    init(
        driver: ChunkVolumeDriver, reservations: ReservationFiles, ioThreads: WorkThreads, changeThreads: WorkThreads,
        logger: Logger
    ) {
        self.driver = driver
        self.reservations = reservations
        self.ioThreads = ioThreads
        self.changeThreads = changeThreads
        self.logger = logger
    }

    /// The server that answers for these targets; before the first export.
    func serve(by server: ISCSIServer) { self.server.withLock { $0 = server } }

    /// What was exported before the daemon started is exported again.
    func completed() { state.withLock { $0.isComplete = true } }

    // MARK: VolumeExporter

    func export(_ export: VolumeExport) async throws(DriverError) -> [ExportPortal] {
        try await run { [self] () throws(DriverError) in
            try unitOrder.withLock { () throws(DriverError) in
                let unit = try unit(export.volumeID)
                state.withLock { state in open(export, unit, &state) }
            }
            logger.info(
                "volume is exported",
                metadata: [
                    "volume_id": "\(export.volumeID)", "export_id": "\(export.id)", "target": "\(export.target)",
                ])
            return portals
        }
    }

    private func open(_ export: VolumeExport, _ unit: LogicalUnit, _ state: inout State) {
        let name = export.target.lowercased()
        let port: UInt16
        if let old = state.byName[name] {
            port = old.target.relativePortID
        } else {
            state.lastPort = state.lastPort == .max ? 1 : state.lastPort + 1
            port = state.lastPort
        }
        state.byName[name] = Open(
            export: export,
            target: ISCSITarget(
                name: export.target, relativePortID: port,
                account: CHAPAccount(name: export.chapName, secret: export.chapSecret),
                isReadOnly: export.isReadOnly, units: [0: unit]))
        state.names[export.id] = name
    }

    func unexport(_ id: String) async throws(DriverError) {
        try await run { [self] () throws(DriverError) in
            // First out of sight, so that no login finds it any more; then whoever is in is put out.
            let gone = state.withLock { state -> Open? in
                guard let name = state.names.removeValue(forKey: id) else { return nil }
                return state.byName.removeValue(forKey: name)
            }
            guard let gone else { return }
            server.withLock { $0 }?.endSessions(target: gone.target.name)
            unitOrder.withLock {
                let isUsed = state.withLock { state in
                    let isUsed = state.byName.values.contains { $0.export.volumeID == gone.export.volumeID }
                    if !isUsed { state.units[gone.export.volumeID] = nil }
                    return isUsed
                }
                if !isUsed {
                    driver.release(gone.export.volumeID)
                    forgetReservations(gone.export.volumeID)
                }
            }
            logger.info(
                "volume is exported no more",
                metadata: ["volume_id": "\(gone.export.volumeID)", "export_id": "\(id)"])
        }
    }

    /// The next host that the volume is attached to must not find itself fenced off by one that is gone.
    private func forgetReservations(_ volume: String) {
        do throws(DaemonError) {
            try reservations.forget(volume)
        } catch {
            // They come back if the volume is attached again, and can be preempted then.
            logger.warning("reservations stay", metadata: ["volume_id": "\(volume)", "error": "\(error)"])
        }
    }

    /// The device told its unit already.
    func resized(_ volume: String, to bytes: UInt64) async {}

    func exports() async -> [String: Bool] {
        let used = Set((server.withLock { $0 }?.sessions() ?? []).map { $0.target.lowercased() })
        return state.withLock { state in state.names.mapValues { used.contains($0) } }
    }

    /// The sessions of initiators, oldest first, each with its volume.
    func sessions() -> [(volume: String, session: ISCSISessionInfo)] {
        let all = server.withLock { $0 }?.sessions() ?? []
        return state.withLock { state in
            all.compactMap { session in
                state.byName[session.target.lowercased()].map { ($0.export.volumeID, session) }
            }
        }
    }

    /// Ends one session, once none of its commands runs any more; false if there is none of that number. Its initiator may come
    /// back. Blocks.
    func endSession(_ id: UInt64) -> Bool { server.withLock { $0 }?.endSession(id: id) ?? false }

    private var portals: [ExportPortal] {
        (server.withLock { $0 }?.boundPortals ?? []).map {
            ExportPortal(address: $0.publicHost ?? $0.address, port: Int($0.port))
        }
    }

    /// Under `unitOrder`.
    private func unit(_ volume: String) throws(DriverError) -> LogicalUnit {
        if let unit = state.withLock({ $0.units[volume] }) { return unit }
        let device = try driver.device(volume)
        let made: LogicalUnit
        do throws(ReservationStoreError) {
            made = try LogicalUnit(
                device: device,
                identity: LogicalUnitIdentity(
                    vendor: "APUS", product: "VOLUME", revision: "1", serial: volume),
                store: reservations.store(of: volume), threads: ioThreads)
        } catch {
            throw .failed("\(error)")
        }
        state.withLock { [made] in $0.units[volume] = made }
        return made
    }

    /// Ending sessions waits for their commands: on a thread that may.
    private func run<T: Sendable>(_ body: @escaping @Sendable () throws(DriverError) -> T) async throws(DriverError)
        -> T
    {
        let result: Result<T, DriverError> = await withCheckedContinuation { continuation in
            changeThreads.resume {
                do throws(DriverError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    // MARK: TargetProvider

    func target(named name: String) -> ISCSITarget? { state.withLock { $0.byName[name.lowercased()]?.target } }

    var knowsAllTargets: Bool { state.withLock { $0.isComplete } }

    /// Whoever asks for targets says who they are: each attachment's account sees its own.
    var discoveryNeedsAuthentication: Bool { true }

    func discoveryAccount(named name: String) -> CHAPAccount? {
        state.withLock { state in state.byName.values.first { $0.export.chapName == name }?.target.account }
    }

    func visibleTargets(to initiator: DiscoveringInitiator) -> [String] {
        guard let account = initiator.account else { return [] }
        return state.withLock { state in
            state.byName.values.filter { $0.export.chapName == account }.map(\.target.name).sorted()
        }
    }
}
