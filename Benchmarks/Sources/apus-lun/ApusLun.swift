import BlockDevices
import ChunkVolumes
import Chunks
import Disks
import Foundation
import ISCSI
import Primitives
import SCSI

/// One volume over iSCSI and nothing else: what `iscsi-test-cu` and the benchmarks of the target are pointed at.
///
///     apus-lun FOLDER [--size BYTES] [--block 512|4096] [--port N] [--memory] [--write-cache] [--chap NAME SECRET]
///
/// Prints `ready PORT`; ends in order on SIGTERM or SIGINT. The volume keeps what was written to it.
@main
enum ApusLun {
    static func main() throws {
        var arguments = Array(CommandLine.arguments.dropFirst())
        func option(_ name: String, _ count: Int = 1) -> [String]? {
            guard let at = arguments.firstIndex(of: name), at + count < arguments.count else { return nil }
            let values = Array(arguments[at + 1...at + count])
            arguments.removeSubrange(at...at + count)
            return values
        }
        let size = option("--size").flatMap { UInt64($0[0]) } ?? 1 << 30
        let block = option("--block").flatMap { UInt32($0[0]) } ?? 512
        let port = option("--port").flatMap { UInt16($0[0]) } ?? 0
        let chap = option("--chap", 2)
        let inMemory = arguments.contains("--memory")
        let hasWriteCache = arguments.contains("--write-cache")
        guard let folder = arguments.first(where: { !$0.hasPrefix("--") }) else {
            print(
                "usage: apus-lun FOLDER [--size BYTES] [--block 512|4096] [--port N] [--memory] [--write-cache]"
                    + " [--chap NAME SECRET]")
            exit(2)
        }
        tuneAllocator()
        signal(SIGPIPE, SIG_IGN)
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGINT)
        pthread_sigmask(SIG_BLOCK, &signals, nil)

        let threads = WorkThreads(name: "io", count: 8, queueMax: 4096)
        var store: ChunkStore?
        let device: any BlockDevice
        if inMemory {
            device = MemoryBlockDevice(BlockGeometry(byteCount: size, logicalBlockBytes: block))
        } else {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            var configuration = ChunkStore.Configuration(reserveBytes: 1 << 30)
            configuration.holdsBallast = true
            let opened = try ChunkStore.open(
                disk: try SystemDisk(root: folder), indexes: SQLiteIndexes(folder: folder, copies: 2),
                configuration: configuration, random: ISCSIConfiguration.systemRandomBytes)
            store = opened
            if try opened.handle("lun") == nil { try opened.createVolume("lun", byteCount: size, attributes: []) }
            device = ChunkVolumeDevice(
                try opened.volume("lun", threads: threads), logicalBlockBytes: block, hasWriteCache: hasWriteCache)
        }
        let unit = try LogicalUnit(
            device: device,
            identity: LogicalUnitIdentity(
                vendor: "APUS", product: "VOLUME", revision: "0001", serial: "00000000-0000-4000-8000-000000000001"),
            store: MemoryReservationStore(), threads: threads)
        let provider = OneTarget(
            unit: unit, account: chap.map { CHAPAccount(name: $0[0], secret: Secret($0[1])) })
        let server = try ISCSIServer(
            configuration: ISCSIConfiguration(
                portals: [ISCSIPortal(address: "127.0.0.1", port: port)], now: { Int64(Date().timeIntervalSince1970) }),
            provider: provider)
        try server.start()
        print("ready \(server.boundPortals[0].port)")
        fflush(nil)
        var number: Int32 = 0
        sigwait(&signals, &number)
        server.stop(graceMilliseconds: 500)
        try store?.close()
    }
}

/// `iqn.2026-01.org.apus:lun`, LUN 0.
private final class OneTarget: TargetProvider {
    private let name = "iqn.2026-01.org.apus:lun"
    private let unit: LogicalUnit
    private let account: CHAPAccount?

    init(unit: LogicalUnit, account: CHAPAccount?) {
        self.unit = unit
        self.account = account
    }

    var discoveryNeedsAuthentication: Bool { false }
    func discoveryAccount(named name: String) -> CHAPAccount? { account?.name == name ? account : nil }
    func visibleTargets(to initiator: DiscoveringInitiator) -> [String] { [name] }

    func target(named name: String) -> ISCSITarget? {
        guard name.lowercased() == self.name else { return nil }
        return ISCSITarget(name: self.name, account: account, units: [0: unit])
    }
}
