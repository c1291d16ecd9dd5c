import BlockDevices
import ChunkVolumes
import Chunks
import Disks
import Foundation
import Primitives
import Testing
import VolumeDrivers

/// The default driver on a store of its own.
final class ChunkRig {
    let folder: String
    let store: ChunkStore
    let driver: ChunkVolumeDriver
    private let ioThreads = WorkThreads(name: "io", count: 2, queueMax: 256)
    private let changeThreads = WorkThreads(name: "change", count: 2, queueMax: 256)

    init() throws {
        folder = NSTemporaryDirectory() + "apus-chunk-volumes-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        store = try ChunkStore.open(
            disk: try SystemDisk(root: folder), indexes: SQLiteIndexes(folder: folder, copies: 1),
            configuration: ChunkStore.Configuration(segmentBytes: 4 << 20, reserveBytes: 0)
        ) { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) } }
        driver = ChunkVolumeDriver(store: store, ioThreads: ioThreads, changeThreads: changeThreads)
    }

    func write(_ volume: String, block: UInt64, _ data: [UInt8]) async throws {
        let device = try driver.device(volume)
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            data.withUnsafeBytes {
                device.write($0, at: block * 512, durability: .medium, sink: InlineSink.shared) {
                    continuation.resume(with: $0.mapError { $0 })
                }
            }
        }
        driver.release(volume)
    }

    deinit {
        changeThreads.stop()
        ioThreads.stop()
        try? store.close()
        try? FileManager.default.removeItem(atPath: folder)
    }
}

@Suite struct ChunkVolumesTests {
    @Test func itKeepsTheContractOfDrivers() async throws {
        let rig = try ChunkRig()
        try await checkVolumeDriver(
            rig.driver, write: { try await rig.write($0, block: $1, $2) },
            read: { volume, block in
                let image = try await rig.driver.openImage(.volume(volume), since: nil)
                return try await image.read(block * 512..<(block + 1) * 512)
            })
    }

    @Test func itKeepsTheContractOfImages() async throws {
        let rig = try ChunkRig()
        try await checkVolumeImages(rig.driver) { try await rig.write($0, block: $1, $2) }
    }
}
