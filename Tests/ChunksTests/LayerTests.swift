import Disks
import Primitives
import Synchronization
import Testing

@testable import Chunks

/// An index that does something behind a read of a range, or answers no more, when a test says so.
private final class HookedIndex: IndexStore, @unchecked Sendable {
    // SAFETY: `inner` is safe for threads; the rest is touched by the one thread of these tests.
    private let inner = SimulatedIndex()
    var behindRange: (() -> Void)?
    var failsReads = false

    func position() throws(IndexError) -> IndexPosition? { try inner.position() }

    func apply(
        _ position: IndexPosition, _ body: (any IndexTransaction) throws(IndexError) -> Void
    ) throws(IndexError) { try inner.apply(position, body) }

    func checkpoint() throws(IndexError) { try inner.checkpoint() }
    func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]? { try inner.get(key) }

    func getWithLSN(_ key: [UInt8]) throws(IndexError) -> (value: [UInt8]?, lsn: UInt64) {
        if failsReads { throw IndexError("the disk does not answer") }
        return try inner.getWithLSN(key)
    }

    func range(
        from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int
    ) throws(IndexError) -> (rows: [(key: [UInt8], value: [UInt8])], lsn: UInt64) {
        let page = try inner.range(from: from, to: to, reverse: reverse, limit: limit)
        let hook = behindRange
        behindRange = nil
        hook?()
        return page
    }

    func close() {}

    struct Opener: IndexOpener {
        let index: HookedIndex
        let copies = 1
        func open(copy: Int) throws(IndexError) -> any IndexStore { index }
        func setAside(copy: Int) throws(IndexError) {}
    }
}

/// What volumes must do when something comes between; each of these failed once.
@Suite struct LayerTests {
    private let index = HookedIndex()
    private let store: ChunkStore

    init() throws {
        store = try ChunkStore.open(
            disk: SimulatedDisk(), indexes: HookedIndex.Opener(index: index), configuration: StoreRig.configuration()
        ) { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) } }
    }

    private static let mebibyte: UInt64 = 1 << 20

    private func make(_ name: Bytes, _ byteCount: UInt64 = mebibyte) throws -> LayeredVolume {
        try store.createVolume(name, byteCount: byteCount, attributes: [])
        return try store.volume(name, threads: nil)
    }

    /// Submitted, not committed.
    @discardableResult
    private func begin(
        _ volume: LayeredVolume, _ byte: UInt8, sector: Int, count: Int = 8, then: @escaping @Sendable () -> Void = {}
    ) -> Box<Result<Void, ChunkError>> {
        let box = Box<Result<Void, ChunkError>>()
        [UInt8](repeating: byte, count: count * 512).withUnsafeBytes {
            volume.write($0, at: UInt64(sector * 512), sink: InlineSink.shared) { result in
                then()
                box.set(result)
            }
        }
        return box
    }

    private func write(_ volume: LayeredVolume, _ byte: UInt8, sector: Int, count: Int = 8) throws {
        try begin(volume, byte, sector: sector, count: count).wait { store.runPending() }.get()
    }

    private static func sector(_ volume: LayeredVolume, _ sector: Int) throws -> UInt8 {
        var bytes = [UInt8](repeating: 0xEE, count: 512)
        try bytes.withUnsafeMutableBytes { try volume.read(at: UInt64(sector * 512), into: $0) }
        return bytes[0]
    }

    /// What was unmanaged may be managed again under another id, although a host was attached before.
    @Test func aVolumeThatNobodyHoldsIsClosed() throws {
        var volume: LayeredVolume? = try make("v")
        let written = begin(try #require(volume), 5, sector: 0)
        store.runPending()
        #expect(throws: Never.self) { try #require(written.value).get() }
        #expect(throws: LayerError.inUse("v")) { try store.rename("v", to: "w", attributes: []) }
        volume = nil
        try store.rename("v", to: "w", attributes: [])
        #expect(try Self.sector(store.volume("w", threads: nil), 0) == 5)
        #expect(throws: LayerError.noSuchHandle("v")) { try store.volume("v", threads: nil) }
    }

    @Test func aWriteThatARevertOvertookDoesNotLandBehindTheVolumesEnd() throws {
        let volume = try make("v")
        try store.snapshot("v", as: "s", attributes: [])
        try store.resize("v", to: 2 * Self.mebibyte)
        // A part of a block has it alone until it is applied, which the revert's own commit does, its gate closed.
        let first = begin(volume, 1, sector: 2049, count: 1)
        let second = begin(volume, 2, sector: 2048)
        let trim = Box<Result<Void, ChunkError>>()
        volume.zero(Self.mebibyte + 3584, 8192, sink: InlineSink.shared) { trim.set($0) }
        try store.revert("v", to: "s")
        try first.wait { store.runPending() }.get()
        #expect(throws: ChunkError.cancelled) { try second.wait { store.runPending() }.get() }
        #expect(throws: ChunkError.cancelled) { try trim.wait { store.runPending() }.get() }
        try store.resize("v", to: 2 * Self.mebibyte)
        #expect(try Self.sector(volume, 2048) == 0)
        #expect(try Self.sector(volume, 2049) == 0)
        #expect(volume.locks.count == 0)
    }

    @Test func aVolumeShowsWhatItHeldBeforeARevertOrTheSnapshotAndNothingBetween() throws {
        let volume = try make("v")
        try write(volume, 1, sector: 0)
        try store.snapshot("v", as: "s", attributes: [])
        try write(volume, 2, sector: 0)
        store.freeze()
        try write(volume, 3, sector: 0)
        let seen = Box<UInt8?>()
        let other = begin(volume, 9, sector: 64) { seen.set(try? Self.sector(volume, 0)) }
        try store.revert("v", to: "s")
        try other.wait { store.runPending() }.get()
        #expect(seen.value == 1 || seen.value == 3)
        #expect(try Self.sector(volume, 0) == 1)
    }

    @Test func aVolumeThatIsRemovedIsReadRightlyOrNotAtAll() throws {
        let volume = try make("v")
        try write(volume, 2, sector: 0)
        store.freeze()
        try write(volume, 3, sector: 0)
        let seen = Box<UInt8?>()
        let other = begin(volume, 9, sector: 64) { seen.set(try? Self.sector(volume, 0)) }
        try store.removeHandle("v")
        try other.wait { store.runPending() }.get()
        #expect(seen.value == .some(nil) || seen.value == 3)
        #expect(throws: ChunkError.cancelled) { try Self.sector(volume, 0) }
    }

    @Test func aSnapshotThatWasTakenStaysAsItIsThoughTheIndexCannotBeRead() throws {
        let volume = try make("v")
        try write(volume, 1, sector: 0)
        try store.snapshot("v", as: "old", attributes: [])
        try write(volume, 2, sector: 0)
        #expect(try Self.sector(volume, 0) == 2)
        store.freeze()
        // From the moment in which the snapshot is durable on.
        let other = begin(volume, 9, sector: 64) { [index] in index.failsReads = true }
        do {
            try store.snapshot("v", as: "s", attributes: [])
        } catch LayerError.store {}
        try other.wait { store.runPending() }.get()
        index.failsReads = false
        try #require(try store.handle("s") != nil)
        try write(volume, 3, sector: 0)
        #expect(try Self.sector(store.volume("s", threads: nil), 0) == 2)
        #expect(try Self.sector(volume, 0) == 3)
    }

    @Test func namesOnTheirWayToTheIndexAreListed() throws {
        _ = try make("v")
        index.behindRange = { [store] in store.freeze() }
        #expect(try store.handles(prefix: Bytes([UInt8]())).map(\.name) == ["v"])
    }

    @Test func aChangeOfTheTreeThatIsNoRecordIsRefused() throws {
        let attributes = [UInt8](repeating: 1, count: Limits.handleAttributesMax)
        let names = (0..<100).map { Bytes("v\($0)") }
        for name in names { try store.createVolume(name, byteCount: Self.mebibyte, attributes: attributes) }
        let requests = names.map { SnapshotRequest(volume: $0, name: Bytes("s/\($0.string)"), attributes: attributes) }
        #expect(throws: LayerError.tooLarge) { try store.snapshot(requests) }
        #expect(try store.handles(prefix: "s/").isEmpty)
        try store.snapshot(Array(requests.prefix(20)))
        #expect(try store.handles(prefix: "s/").count == 20)
    }

    @Test func trimmingAllOfALargeVolumeIsBoundedInMemory() throws {
        let volume = try make("v", 1 << 40)
        try write(volume, 1, sector: 0)
        let outcome = Box<Result<Void, ChunkError>>()
        volume.zero(0, 1 << 40, sink: InlineSink.shared) { outcome.set($0) }
        try outcome.wait { store.runPending() }.get()
        let overlay = store.memory.value.active
        #expect(overlay.blocks.isEmpty && overlay.trims.values.map(\.spans.count) == [1])
        #expect(try Self.sector(volume, 0) == 0)
        try write(volume, 2, sector: 8)
        store.freeze()
        #expect(try [0, 8, 16].map { try Self.sector(volume, $0) } == [0, 2, 0])
    }

    @Test func whatIsTrimmedAboveASnapshotStaysHiddenOnItsWayThroughTheIndex() throws {
        let volume = try make("v", 4 * Self.mebibyte)
        for sector in stride(from: 0, to: 8192, by: 1024) { try write(volume, 1, sector: sector) }
        try store.snapshot("v", as: "s", attributes: [])
        for sector in stride(from: 0, to: 8192, by: 2048) { try write(volume, 2, sector: sector) }
        let outcome = Box<Result<Void, ChunkError>>()
        // The second half of leaf 0, leaves 1 and 2, and the first half of leaf 3.
        volume.zero(Self.mebibyte / 2, 3 * Self.mebibyte, sink: InlineSink.shared) { outcome.set($0) }
        try outcome.wait { store.runPending() }.get()
        try write(volume, 3, sector: 3072)
        let right: [UInt8] = [2, 0, 0, 3, 0, 0, 0, 1]
        for _ in 0..<2 {
            #expect(try stride(from: 0, to: 8192, by: 1024).map { try Self.sector(volume, $0) } == right)
            store.freeze()
            #expect(
                try volume.runs(of: 0..<1024, max: 9).map(\.isMapped) == [true, false, true, false, true, false])
        }
        let snapshot = try store.volume("s", threads: nil)
        #expect(
            try stride(from: 0, to: 8192, by: 1024).map { try Self.sector(snapshot, $0) }
                == Array(repeating: 1, count: 8))
    }

    @Test func theFirstRunsOfALargeVolumeAreFoundInBoundedTime() throws {
        let volume = try make("v", 1 << 40)
        try write(volume, 1, sector: 1 << 21)
        let runs = try volume.runs(of: 0..<1 << 28, max: 16)
        #expect(runs.map(\.isMapped) == [false, true, false])
        #expect(runs[1].blocks.lowerBound == 1 << 18 && runs[1].blocks.count == 1)
        #expect(runs[2].blocks.upperBound <= UInt64(Limits.runsLeavesMax * Leaf.blocks))
    }

    private func zero(_ volume: LayeredVolume, _ range: Range<UInt64>) throws {
        let outcome = Box<Result<Void, ChunkError>>()
        volume.zero(range.lowerBound, UInt64(range.count), sink: InlineSink.shared) { outcome.set($0) }
        try outcome.wait { store.runPending() }.get()
    }

    /// Each block of every state, by the snapshots between which it was written or trimmed, wherever their leaves are.
    @Test(arguments: 0..<8) func aDifferenceNamesAllThatWasWrittenBetween(_ round: Int) throws {
        let leaves = 8
        let volume = try make("v", UInt64(leaves) * Self.mebibyte)
        var generator = SystemRandomNumberGenerator()
        var content = [UInt8](repeating: 0, count: leaves * 256)
        var states: [(name: Bytes, content: [UInt8])] = []
        for state in 0..<5 {
            for _ in 0..<Int.random(in: 0...6, using: &generator) {
                let first = Int.random(in: 0..<content.count, using: &generator)
                let count = min(Int.random(in: 1...600, using: &generator), content.count - first)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0:
                    try zero(volume, UInt64(first * 4096)..<UInt64((first + count) * 4096))
                    for block in first..<first + count { content[block] = 0 }
                case 1: store.freeze()
                default:
                    let byte = UInt8.random(in: 1...255, using: &generator)
                    for block in first..<first + min(count, 8) {
                        try write(volume, byte, sector: block * 8)
                        content[block] = byte
                    }
                }
            }
            let name = Bytes("s\(state)")
            try store.snapshot("v", as: name, attributes: [])
            states.append((name, content))
            if Bool.random(using: &generator) { store.freeze() }
        }
        for (at, new) in states.enumerated() {
            try check(new.name, since: nil, new.content, [UInt8](repeating: 0, count: content.count), isExact: true)
            for old in states[...at] {
                try check(new.name, since: old.name, new.content, old.content, isExact: false)
            }
        }
        #expect(throws: LayerError.notAnAncestor) { try store.difference(of: "s0", since: "s4") }
        #expect(throws: LayerError.noSuchHandle("x")) { try store.difference(of: "s0", since: "x") }
    }

    private func check(
        _ name: Bytes, since base: Bytes?, _ new: [UInt8], _ old: [UInt8], isExact: Bool
    ) throws {
        let difference = try store.difference(of: name, since: base)
        // What memory forgets behind the difference's back is in the index by then.
        store.freeze()
        var named = [Bool?](repeating: nil, count: new.count)
        var next: UInt32? = 0
        var last: UInt64 = 0
        while let leaf = next {
            let page = try difference.runs(from: leaf)
            for run in page.runs {
                #expect(run.blocks.lowerBound >= last && !run.blocks.isEmpty)
                last = run.blocks.upperBound
                for block in run.blocks { named[Int(block)] = run.isZero }
            }
            next = page.next
        }
        for block in new.indices {
            if new[block] != old[block] {
                #expect(named[block] != nil, "block \(block) since \(String(describing: base))")
            }
            if let isZero = named[block] { #expect(isZero == (new[block] == 0)) }
            if isExact { #expect((named[block] != nil) == (new[block] != 0)) }
        }
    }

    @Test func whatWasTrimmedTakesNoSpaceBeforeTheIndexKnowsOfIt() throws {
        let volume = try make("v", 4 * Self.mebibyte)
        for sector in stride(from: 0, to: 8192, by: 2048) { try write(volume, 1, sector: sector) }
        for isFrozen in [false, true] {
            if isFrozen { store.freeze() }
            #expect(try store.space(of: "v").map(\.writtenBytes) == [4 * 4096])
        }
        // Leaves 1 and 2, whose rows are in the index; one block of leaf 2 is written again.
        try zero(volume, Self.mebibyte..<3 * Self.mebibyte)
        try write(volume, 2, sector: 4096)
        try write(volume, 2, sector: 8)
        for isFrozen in [false, true] {
            if isFrozen { store.freeze() }
            #expect(try store.space(of: "v").map(\.writtenBytes) == [4 * 4096])
        }
    }

    @Test func asManyFlushesAsNobodyTakesAreRefusedAsTooMany() throws {
        let first = Box<Result<Void, ChunkError>>()
        store.flush(sink: InlineSink.shared) { first.set($0) }
        for _ in 1..<Limits.committerQueueMax { store.flush(sink: InlineSink.shared) { _ in } }
        let refused = Box<Result<Void, ChunkError>>()
        store.flush(sink: InlineSink.shared) { refused.set($0) }
        #expect(throws: ChunkError.overloaded) { try #require(refused.value).get() }
        #expect(throws: Never.self) { try first.wait { store.runPending() }.get() }
    }

    /// A data base on a volume with a write cache flushes behind each of its writes.
    @Test func segmentsOfWritesThatAreFlushedOnRequestAreWorthZeros() throws {
        let volume = try make("v", 16 * Self.mebibyte)
        let noise = BodySpec(seed: 1, size: 65_536, kind: .noise).bytes
        for flushes in [true, false] {
            for at in 0..<40 {
                let written = Box<Result<Void, ChunkError>>()
                noise.withUnsafeBytes {
                    volume.write($0, at: UInt64(at * 65_536), isCached: true, sink: InlineSink.shared) {
                        written.set($0)
                    }
                }
                try written.wait { store.runPending() }.get()
                guard flushes else { continue }
                let flushed = Box<Result<Void, ChunkError>>()
                volume.flush(sink: InlineSink.shared) { flushed.set($0) }
                try flushed.wait { store.runPending() }.get()
            }
            #expect(store.spares.isWorthZeros == flushes)
        }
    }

    @Test func partsOfBlocksAreUnmappedOnAFullDisk() throws {
        let volume = try make("v")
        try write(volume, 1, sector: 0, count: 24)
        store.counters.spaceRefused.store(true, ordering: .relaxed)
        let refused = begin(volume, 2, sector: 1, count: 1)
        #expect(throws: ChunkError.noSpace) { try refused.wait { store.runPending() }.get() }
        let outcome = Box<Result<Void, ChunkError>>()
        volume.zero(3 * 512, 16 * 512, sink: InlineSink.shared) { outcome.set($0) }
        try outcome.wait { store.runPending() }.get()
        #expect(try [2, 3, 8, 18, 19].map { try Self.sector(volume, $0) } == [1, 0, 0, 0, 1])
    }
}

@Suite struct LeafSpansTests {
    @Test func spansAgreeWithALeafByLeafModel() {
        for seed in 1...200 as ClosedRange<UInt64> {
            var random = SplitMix64(seed: seed)
            var spans = LeafSpans()
            var model = [MapEntry?](repeating: nil, count: 64)
            for _ in 0..<12 {
                let start = random.below(60)
                let leaves = start..<start + 1 + random.below(random.oneIn(3) ? 64 - start : 4)
                let isZero = random.oneIn(2)
                spans.insert(UInt32(leaves.lowerBound)..<UInt32(leaves.upperBound), isZero: isZero)
                for leaf in leaves { model[leaf] = isZero ? .zero : .absent }
                #expect((0..<64).map { spans[UInt32($0)] } == model, "seed \(seed)")
                let gaps = zip(spans.spans, spans.spans.dropFirst())
                #expect(
                    gaps.allSatisfy {
                        $0.leaves.upperBound < $1.leaves.lowerBound
                            || $0.leaves.upperBound == $1.leaves.lowerBound && $0.isZero != $1.isZero
                    }, "seed \(seed)")
            }
        }
    }
}
