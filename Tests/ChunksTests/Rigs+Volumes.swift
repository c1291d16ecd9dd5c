import Disks
import Primitives

@testable import Chunks

// The orders of events around volumes that are known to be dangerous, each by itself.

extension Rigs {
    private static func volumeRig(_ mutant: Mutant?, atPlace: (@Sendable (String) -> Void)? = nil) throws -> StoreRig {
        var configuration = StoreRig.configuration(mutant)
        configuration.atPlace = atPlace
        let rig = try StoreRig(configuration: configuration)
        try rig.run([.volume(.make(0))])
        return rig
    }

    private static func write(
        _ volume: LayeredVolume, _ byte: UInt8, sector: Int, count: Int = 1
    ) -> Box<Result<Void, ChunkError>> {
        let box = Box<Result<Void, ChunkError>>()
        [UInt8](repeating: byte, count: count * 512).withUnsafeBytes {
            volume.write($0, at: UInt64(sector * 512), sink: InlineSink.shared) { box.set($0) }
        }
        return box
    }

    private static func expect(_ volume: LayeredVolume, sector: Int, _ bytes: [UInt8], _ what: String) throws {
        var read = [UInt8](repeating: 0xEE, count: 512 * bytes.count)
        try read.withUnsafeMutableBytes { try volume.read(at: UInt64(sector * 512), into: $0) }
        for (at, byte) in bytes.enumerated() where read[at * 512] != byte || read[at * 512 + 511] != byte {
            throw RigFailure("\(what): sector \(sector + at) holds \(read[at * 512]), not \(byte)")
        }
    }

    /// Sectors 0 and 1 of one block at once, and a whole block against a part of it: neither undoes the other.
    static func sectorsAtOnce(_ mutant: Mutant? = nil) throws {
        let rig = try volumeRig(mutant)
        let volume = try rig.store.volume("v0", threads: nil)
        let boxes = [write(volume, 1, sector: 0), write(volume, 2, sector: 1), write(volume, 3, sector: 2)]
        for box in boxes { _ = box.wait { rig.store.runPending() } }
        try expect(volume, sector: 0, [1, 2, 3, 0], "three sectors of one block")
        let whole = write(volume, 7, sector: 8, count: 8)
        let part = write(volume, 8, sector: 9)
        for box in [whole, part] { _ = box.wait { rig.store.runPending() } }
        try expect(volume, sector: 8, [7, 8, 7], "a part behind a whole block")
        let first = write(volume, 9, sector: 17)
        let second = write(volume, 10, sector: 16, count: 8)
        for box in [first, second] { _ = box.wait { rig.store.runPending() } }
        try expect(volume, sector: 16, [10, 10, 10], "a whole block behind a part")
        if volume.locks.count != 0 { throw RigFailure("blocks stay locked") }
    }

    /// A snapshot between a write's look at the head and its commit: the write is in the snapshot, or in the volume alone,
    /// and a snapshot never changes.
    static func snapshotBetween(_ mutant: Mutant? = nil) throws {
        let target = Box<(ChunkStore, LayeredVolume)>()
        let taken = Box<Bool>()
        // With threads of its own: the snapshot waits for the log while the write is still on its way there.
        var configuration = StoreRig.configuration(mutant)
        configuration.isThreaded = true
        configuration.atPlace = { place in
            guard place == "head found", let (store, volume) = target.value, taken.value == nil else { return }
            taken.set(false)
            let done = Box<Bool>()
            StoreRig.threads.resume {
                do { try store.snapshot("v0", as: "s0", attributes: []) } catch { done.set(false) }
                done.set(true)
            }
            // Either the gate keeps the snapshot out, or (a bug) it is done before this write goes on.
            while !volume.gate.isClosed, done.value == nil {}
            taken.set(done.value != nil)
        }
        let disk = SimulatedDisk()
        let store = try StoreRig.open(disk, RigIndexes(copies: 2) { disk.cutCount }, configuration)
        try store.createVolume("v0", byteCount: UInt64(StoreRig.volumeBytes), attributes: [])
        let volume = try store.volume("v0", threads: nil)
        _ = write(volume, 1, sector: 0, count: 8).wait {}
        target.set((store, volume))
        _ = write(volume, 2, sector: 0, count: 8).wait {}
        while try store.handle("s0") == nil {}
        let snapshot = try store.volume("s0", threads: nil)
        try expect(volume, sector: 0, [2], "the volume")
        let wasFirst = taken.value == true
        try expect(
            snapshot, sector: 0, [wasFirst ? 1 : 2], "the snapshot, taken \(wasFirst ? "before" : "after") the write")
        if try store.layer(of: "v0").parent != store.layer(of: "s0").id {
            throw RigFailure("the volume does not stand on its snapshot")
        }
        try store.close()
    }

    /// A leaf is looked up in the index, and before that is put in memory the overlay goes to the index and is forgotten.
    static func leafAcrossFreeze(_ mutant: Mutant? = nil) throws {
        let target = Box<(ChunkStore, LayeredVolume)>()
        let struck = Box<Bool>()
        let rig = try volumeRig(mutant) { place in
            guard place == "leaf read", let (store, volume) = target.value, struck.value == nil else { return }
            struck.set(true)
            _ = write(volume, 5, sector: 0, count: 8).wait { store.runPending() }
            store.freeze()
        }
        let volume = try rig.store.volume("v0", threads: nil)
        _ = write(volume, 4, sector: 0, count: 8).wait { rig.store.runPending() }
        target.set((rig.store, volume))
        var first = [UInt8](repeating: 0, count: 512)
        try first.withUnsafeMutableBytes { try volume.read(at: 0, into: $0) }
        try expect(volume, sector: 0, [5], "after a write that was acknowledged")
    }

    /// A write across the end of a leaf, read from memory, from the index, and after a crash.
    static func acrossLeaves(_ mutant: Mutant? = nil) throws {
        let rig = try volumeRig(mutant)
        try rig.run([
            .volume(.write(0, sector: 2032, BodySpec(seed: 5, size: 16_384, kind: .noise), isDeferred: false)),
            .volume(.read(0, seed: 1)), .freeze, .crash(seed: 3),
        ])
        try rig.compareAll()
    }

    /// What is trimmed above a snapshot reads as zeros, and not as what the snapshot holds.
    static func trimAboveSnapshot(_ mutant: Mutant? = nil) throws {
        let rig = try volumeRig(mutant)
        try rig.run([
            .volume(.write(0, sector: 0, BodySpec(seed: 5, size: 65_536, kind: .noise), isDeferred: false)),
            .volume(.snapshot(0, as: 3)), .volume(.zero(0, sector: 0, count: 64)), .freeze, .kill,
        ])
        try rig.compareAll()
    }

    /// Blocks of a layer that was dropped leave the index, whether they got there before or with it.
    static func dropBeforeFreeze(_ mutant: Mutant? = nil) throws {
        let rig = try volumeRig(mutant)
        try rig.run([
            .volume(.write(0, sector: 0, BodySpec(seed: 5, size: 65_536, kind: .noise), isDeferred: false)), .freeze,
            .volume(.write(0, sector: 2048, BodySpec(seed: 6, size: 8_192, kind: .noise), isDeferred: false)),
            .volume(.remove(0)), .freeze, .putContainer(0, 0, attributes: 1), .freeze,
        ])
        try leftovers(rig)
    }

    /// Cached writes are in the file: the end of the process takes none of them.
    static func cachedWritesOutliveTheProcess(_ mutant: Mutant? = nil) throws {
        let rig = try volumeRig(mutant)
        try rig.run([
            .volume(.make(1)),
            .volume(.write(1, sector: 0, BodySpec(seed: 5, size: 65_536, kind: .noise), isDeferred: false)),
            .volume(.write(1, sector: 3, BodySpec(seed: 6, size: 1_536, kind: .noise), isDeferred: false)), .kill,
        ])
        try rig.compareAll()
    }

    /// A flush reaches what was written to the segment before, too; and power cuts take no more than what came after it.
    static func cachedWritesAcrossSegments(_ mutant: Mutant? = nil) throws {
        var configuration = StoreRig.configuration(mutant)
        // The checkpoint would flush.
        configuration.overlayLogBytesMax = 64 << 20
        configuration.overlayOperationsMax = 1_000
        let rig = try StoreRig(configuration: configuration)
        try rig.run([.volume(.make(1))])
        for i in 0..<6 {
            let body = BodySpec(seed: UInt64(50 + i), size: 128 << 10, kind: .noise)
            try rig.run([.volume(.write(1, sector: i * 256, body, isDeferred: false))])
        }
        try rig.run([.volume(.flush)])
        var plan = CrashPlan()
        plan.firstCut = rig.disk.cutCount
        let later = BodySpec(seed: 70, size: 8_192, kind: .noise)
        try rig.run([
            .volume(.write(1, sector: 0, later, isDeferred: false)),
            .volume(.write(1, sector: 8, later, isDeferred: false)),
        ])
        var count = CrashCount()
        try crashes(rig, plan, deepEvery: 1_000, mutant, &count)
    }

    /// A checkpoint flushes the log before the index names what lies in it.
    static func cachedWritesThenACheckpoint(_ mutant: Mutant? = nil) throws {
        let rig = try volumeRig(mutant)
        try rig.run([.volume(.make(1))])
        var plan = CrashPlan()
        plan.firstCut = rig.disk.cutCount
        try rig.run([
            .volume(.write(1, sector: 0, BodySpec(seed: 5, size: 65_536, kind: .noise), isDeferred: false)), .freeze,
        ])
        var count = CrashCount()
        try crashes(rig, plan, deepEvery: 1_000, mutant, &count)
    }

    static func volumeInterleavings(_ mutant: Mutant?) throws {
        try sectorsAtOnce(mutant)
        try snapshotBetween(mutant)
        try leafAcrossFreeze(mutant)
        try acrossLeaves(mutant)
        try trimAboveSnapshot(mutant)
        try dropBeforeFreeze(mutant)
        try cachedWritesOutliveTheProcess(mutant)
        try cachedWritesAcrossSegments(mutant)
        try cachedWritesThenACheckpoint(mutant)
    }
}
