import Codecs
import Disks
import Foundation
import Glibc
import Primitives
import Synchronization
import Testing

@testable import Chunks

/// An index whose disk is full while `isFull`.
private final class FullIndex: IndexStore, @unchecked Sendable {
    // SAFETY: `inner` is safe for threads, and `isFull` and `refusals` are atomic.
    private let inner = SimulatedIndex()
    let isFull = Atomic(false)
    let refusals = Atomic(0)
    /// So many checkpoints find no room, each behind a COMMIT that found some.
    let checkpointsToRefuse = Atomic(0)

    func position() throws(IndexError) -> IndexPosition? { try inner.position() }

    func apply(
        _ position: IndexPosition, _ body: (any IndexTransaction) throws(IndexError) -> Void
    ) throws(IndexError) {
        if isFull.load(ordering: .sequentiallyConsistent) {
            refusals.add(1, ordering: .sequentiallyConsistent)
            throw IndexError("COMMIT: database or disk is full", isNoSpace: true)
        }
        try inner.apply(position, body)
    }

    func checkpoint() throws(IndexError) {
        if checkpointsToRefuse.load(ordering: .sequentiallyConsistent) > 0 {
            checkpointsToRefuse.subtract(1, ordering: .sequentiallyConsistent)
            refusals.add(1, ordering: .sequentiallyConsistent)
            throw IndexError("checkpoint: database or disk is full", isNoSpace: true)
        }
        try inner.checkpoint()
    }

    func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]? { try inner.get(key) }
    func getWithLSN(_ key: [UInt8]) throws(IndexError) -> (value: [UInt8]?, lsn: UInt64) { try inner.getWithLSN(key) }

    func range(
        from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int
    ) throws(IndexError) -> (rows: [(key: [UInt8], value: [UInt8])], lsn: UInt64) {
        try inner.range(from: from, to: to, reverse: reverse, limit: limit)
    }

    func close() {}

    struct Opener: IndexOpener {
        let index: FullIndex
        let copies = 1
        func open(copy: Int) throws(IndexError) -> any IndexStore { index }
        func setAside(copy: Int) throws(IndexError) {}
    }

    /// A sound first copy, and a second one that has no room to be opened.
    struct CrampedOpener: IndexOpener {
        let index: FullIndex
        let asides = Counter()
        let copies = 2
        func open(copy: Int) throws(IndexError) -> any IndexStore {
            if copy == 1 { throw IndexError("open: database or disk is full", isNoSpace: true) }
            return index
        }
        func setAside(copy: Int) throws(IndexError) { asides.value.add(1, ordering: .sequentiallyConsistent) }
    }

    final class Counter: Sendable { let value = Atomic(0) }
}

extension Bench {
    /// A store on this disk, with one copy of the index.
    fileprivate convenience init(
        _ disk: SimulatedDisk, _ index: FullIndex, _ configuration: ChunkStore.Configuration
    ) throws {
        self.init(
            try ChunkStore.open(
                disk: disk, indexes: FullIndex.Opener(index: index), configuration: configuration,
                random: { count in (0..<count).map { _ in UInt8.random(in: 0...255) } }))
    }
}

/// Lets other threads run until `isSo`; false after some minutes.
private func eventually(_ isSo: () throws -> Bool) rethrows -> Bool {
    let start = MonotonicClock.now()
    while MonotonicClock.now() - start < 120_000_000_000 {
        if try isSo() { return true }
        sched_yield()
    }
    return false
}

private func sizes(_ folder: String) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: folder + "/seg").reduce(0) { total, name in
        let attributes = try FileManager.default.attributesOfItem(atPath: folder + "/seg/" + name)
        return total + (attributes[.size] as? Int ?? 0)
    }
}

@Suite struct SpaceTests {
    @Test func aCheckpointThatFindsNoRoomWaitsWhileWritesGoOn() throws {
        let index = FullIndex()
        var configuration = ChunkStore.Configuration(segmentBytes: 1 << 20, reserveBytes: 0)
        configuration.overlayOperationsMax = 10
        let store = try ChunkStore.open(
            disk: SimulatedDisk(), indexes: FullIndex.Opener(index: index), configuration: configuration,
            random: { count in (0..<count).map { _ in UInt8.random(in: 0...255) } })
        let bench = Bench(store)
        let container = try bench.makeContainer("AUTH_a", "c")
        for i in 0..<100 { try bench.put(container, Bytes("o\(i)"), [UInt8(i)]) }
        index.isFull.store(true, ordering: .sequentiallyConsistent)
        for i in 0..<15 { try bench.delete(container, Bytes("o\(i)")) }
        #expect(eventually { index.refusals.load(ordering: .sequentiallyConsistent) > 0 })
        #expect(store.readOnlyReason == nil)
        #expect(store.status().refusesUserWrites)
        #expect(throws: ChunkError.self) { try bench.put(container, "new", [1]) }
        // Deletes go on, what is there stays readable, and there is an end to what memory takes.
        for i in 15..<25 { try bench.delete(container, Bytes("o\(i)")) }
        for i in 0..<100 { #expect(try bench.read(container, Bytes("o\(i)")) == (i < 25 ? nil : [UInt8(i)])) }
        #expect(throws: ChunkError.self) { for i in 25..<100 { try bench.delete(container, Bytes("o\(i)")) } }
        #expect(store.readOnlyReason == nil)
        let before = store.status().checkpoints
        index.isFull.store(false, ordering: .sequentiallyConsistent)
        #expect(eventually { store.status().checkpoints > before && !store.status().refusesUserWrites })
        try bench.put(container, "last", [2])
        #expect(try bench.read(container, "last") == [2])
        try store.close()
    }

    @Test func aStoreThatClosesWithAFullDiskHasLostNothing() throws {
        let index = FullIndex()
        let disk = SimulatedDisk()
        var configuration = ChunkStore.Configuration(segmentBytes: 1 << 20, reserveBytes: 0)
        configuration.overlayOperationsMax = 10
        func open() throws -> Bench { try Bench(disk, index, configuration) }
        let bench = try open()
        let container = try bench.makeContainer("AUTH_a", "c")
        index.isFull.store(true, ordering: .sequentiallyConsistent)
        for i in 0..<5 { try bench.put(container, Bytes("o\(i)"), [UInt8(i)]) }
        try bench.store.close()
        #expect(index.refusals.load(ordering: .sequentiallyConsistent) > 0)
        index.isFull.store(false, ordering: .sequentiallyConsistent)
        let again = try open()
        for i in 0..<5 { #expect(try again.read(container, Bytes("o\(i)")) == [UInt8(i)]) }
        try again.store.close()
    }

    @Test(arguments: [false, true]) func countersAreExactWhenOnlyTheCheckpointFindsNoRoom(withBallast: Bool) throws {
        let index = FullIndex()
        let disk = SimulatedDisk()
        var configuration = ChunkStore.Configuration(segmentBytes: 1 << 20, reserveBytes: 0)
        configuration.overlayOperationsMax = 10
        configuration.holdsBallast = withBallast
        func open() throws -> Bench { try Bench(disk, index, configuration) }
        let bench = try open()
        let container = try bench.makeContainer("AUTH_a", "c")
        for i in 0..<19 { try bench.put(container, Bytes("o\(i)"), [UInt8(i)]) }
        #expect(eventually { bench.store.status().checkpoints == 2 })
        index.checkpointsToRefuse.store(3, ordering: .sequentiallyConsistent)
        for i in 0..<10 { try bench.delete(container, Bytes("o\(i)")) }
        #expect(eventually { bench.store.status().checkpoints == 3 && !bench.store.status().refusesUserWrites })
        #expect(index.refusals.load(ordering: .sequentiallyConsistent) == 3)
        try bench.store.close()
        let again = try open()
        #expect(try again.store.container("AUTH_a", "c")?.objectCount == 9)
        #expect(try again.store.container("AUTH_a", "c")?.byteCount == 9)
        #expect(try again.store.account("AUTH_a")?.objectCount == 9)
        try again.store.close()
    }

    @Test func aStoreStartsOnAFullDiskWithMoreInItsLogThanAnOverlayHolds() throws {
        let index = FullIndex()
        let disk = SimulatedDisk()
        var configuration = ChunkStore.Configuration(segmentBytes: 1 << 20, reserveBytes: 0)
        configuration.overlayOperationsMax = 10
        func open() throws -> Bench { try Bench(disk, index, configuration) }
        let bench = try open()
        let container = try bench.makeContainer("AUTH_a", "c")
        for i in 0..<60 { try bench.put(container, Bytes("o\(i)"), [UInt8(i)]) }
        index.isFull.store(true, ordering: .sequentiallyConsistent)
        for i in 0..<32 { try bench.delete(container, Bytes("o\(i)")) }
        try bench.store.close()
        let again = try open()
        for i in 0..<60 { #expect(try again.read(container, Bytes("o\(i)")) == (i < 32 ? nil : [UInt8(i)])) }
        try again.delete(container, "o32")
        index.isFull.store(false, ordering: .sequentiallyConsistent)
        #expect(eventually { again.store.status().checkpoints > 0 && !again.store.status().refusesUserWrites })
        #expect(try again.store.container("AUTH_a", "c")?.objectCount == 27)
        try again.store.close()
    }

    @Test func anIndexCopyThatOnlyLacksRoomIsLeftAlone() throws {
        let opener = FullIndex.CrampedOpener(index: FullIndex())
        let disk = SimulatedDisk()
        let configuration = ChunkStore.Configuration(segmentBytes: 1 << 20, reserveBytes: 0)
        let random = { (count: Int) in (0..<count).map { _ in UInt8.random(in: 0...255) } }
        try ChunkStore.open(
            disk: disk, indexes: FullIndex.Opener(index: opener.index), configuration: configuration, random: random
        ).close()
        let store = try ChunkStore.open(disk: disk, indexes: opener, configuration: configuration, random: random)
        #expect(store.readOnlyReason == nil)
        #expect(store.status().secondIndexFailed)
        #expect(opener.asides.value.load(ordering: .sequentiallyConsistent) == 0)
        try store.close()
    }

    @Test func halfABallastIsRemovedAtTheStart() throws {
        let disk = SimulatedDisk()
        try disk.open(Ballast.path, .readWrite).allocate(4_096)
        let ballast = try Ballast(disk: disk, byteCount: 8_192)
        #expect(try !disk.list("").contains(Ballast.path))
        #expect(!ballast.release())
        try ballast.hold()
        #expect(ballast.release())
    }

    @Test func theBallastGivesTheLogItsSegmentOnAFullDisk() throws {
        var options = SimulatedDisk.Options()
        options.capacityBytes = 8 << 20
        let disk = SimulatedDisk(options: options)
        try disk.makeDirectory(SegmentTable.folder)
        let superblock = Superblock(
            uuid: [UInt8](repeating: 1, count: 16), sequence: 0, isClean: true, segmentBytes: 1 << 20,
            secret: HashSecret([UInt8](repeating: 2, count: HashSecret.byteCount)))
        let segments = try SegmentTable(disk: disk, superblock: superblock, mutant: nil)
        let ballast = try Ballast(disk: disk, byteCount: 2 << 20)
        try ballast.hold()
        let spares = SpareSegments(segments: segments, zeroFilled: false, ballast: ballast)
        try disk.open("others", .readWrite).allocate(try disk.space().free)
        #expect(try disk.space().free == 0)
        _ = try spares.take()
        _ = try spares.take()
        #expect(throws: DiskError.self) { try spares.take() }
        // And a later process knows that it is gone.
        #expect(try !Ballast(disk: disk, byteCount: 2 << 20).release())
    }

    @Test func eachStartGivesBackWhatTheOneBeforeDidNotUse() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let rounds = 6
        for round in 0..<rounds {
            let bench = Bench(try openTemporary(folder))
            let container = try bench.makeContainer("AUTH_a", Bytes("c\(round)"))
            try bench.upload(container, "o", patterned(300_000, seed: UInt64(round)))
            try bench.store.close()
        }
        // One state segment may be whole; all else is what was stored, and headers.
        #expect(try sizes(folder) < 1 << 20 + rounds * 360_000)
        let bench = Bench(try openTemporary(folder))
        #expect(bench.store.status().bytesStored == Int64(try sizes(folder)))
        for round in 0..<rounds {
            let container = try #require(try bench.store.container("AUTH_a", Bytes("c\(round)")))
            #expect(try bench.read(container, "o") == patterned(300_000, seed: UInt64(round)))
        }
        try bench.store.close()
    }

    @Test func whatAKilledProcessReservedIsGivenBack() throws {
        let folder = temporaryFolder(), copy = temporaryFolder() + "/copy"
        defer {
            try? FileManager.default.removeItem(atPath: folder)
            try? FileManager.default.removeItem(atPath: copy)
        }
        let bench = Bench(try openTemporary(folder))
        let container = try bench.makeContainer("AUTH_a", "c")
        try bench.upload(container, "o", patterned(300_000, seed: 1))
        // As the disk is at a kill, once a segment has been reserved ahead.
        while try sizes(folder) < 3 << 20 { sched_yield() }
        try FileManager.default.copyItem(atPath: folder, toPath: copy)
        try bench.store.close()
        let before = try sizes(copy)
        let again = Bench(try openTemporary(copy))
        try again.makeContainer("AUTH_a", "d")
        #expect(try again.read(container, "o") == patterned(300_000, seed: 1))
        try again.store.close()
        #expect(try sizes(copy) < before - (1 << 19))
    }

    @Test func whatOneIndexCopyCannotGiveComesFromTheOther() throws {
        let folder = temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var etag: [UInt8] = []
        do {
            let bench = Bench(try openTemporary(folder))
            let container = try bench.makeContainer("AUTH_a", "c")
            for i in 0..<100 { try bench.put(container, Bytes("o\(i)"), patterned(100 + i, seed: UInt64(i))) }
            etag = try #require(try bench.store.object(container.id, "o50")).etag.bytes
            try bench.store.close()
        }
        var index = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder + "/index.a")))
        let place = try #require(Data(index).range(of: Data(etag)))
        index[place.lowerBound] ^= 1
        try Data(index).write(to: URL(fileURLWithPath: folder + "/index.a"))
        do {
            let bench = Bench(try openTemporary(folder))
            let container = try #require(try bench.store.container("AUTH_a", "c"))
            #expect(!bench.store.status().leadingIndexDamaged)
            for i in 0..<100 {
                #expect(try bench.read(container, Bytes("o\(i)")) == patterned(100 + i, seed: UInt64(i)))
            }
            let page = try bench.store.objects(in: container.id, NameRange(), reverse: false, limit: 1_000)
            #expect(page.rows.count == 100)
            #expect(bench.store.status().leadingIndexDamaged)
            try bench.put(container, "o50", [1])
            try bench.store.close()
        }
        let bench = Bench(try openTemporary(folder))
        #expect(bench.store.recovery.rebuiltIndexCopies == [0])
        let container = try #require(try bench.store.container("AUTH_a", "c"))
        #expect(try bench.read(container, "o50") == [1])
        #expect(try bench.read(container, "o51") == patterned(151, seed: 51))
        #expect(!bench.store.status().leadingIndexDamaged)
        try bench.store.close()
        let report = try ChunkStore.check(
            disk: SystemDisk(root: folder), indexes: SQLiteIndexes(folder: folder, copies: 2), readsBytes: true)
        #expect(report.problems == [])
    }
}
