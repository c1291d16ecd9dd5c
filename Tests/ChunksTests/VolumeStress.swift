import Disks
import Glibc
import Primitives
import Synchronization

@testable import Chunks

/// Two volumes under many threads: each sector has one writer, which knows what it must find there; others read, take
/// snapshots, copy, revert and resize meanwhile, and know what they may find.
///
/// A sector holds a stamp, the number of the change that wrote it and its own number, and what follows from that.
final class VolumeStress: Sendable {
    struct Change: Sendable {
        /// Of the volume.
        var sectors: Range<Int>
        /// 0: zeros.
        var number: UInt64
        /// The volume had become too small for it.
        var isRefused = false

        func apply(to stamps: inout [UInt64], from first: Int) {
            guard !isRefused else { return }
            for sector in sectors { stamps[sector - first] = VolumeStress.stamp(number, sector) }
        }
    }

    /// A range of sectors and its one writer. Ranges meet within blocks, so that writers have to wait for each other.
    final class Lane: Sendable {
        struct State {
            /// What the first `acknowledged` changes have left.
            var stamps: [UInt64]
            var changes: [Change] = []
            var acknowledged = 0
        }

        struct Mark: Sendable {
            var stamps: [UInt64]
            var acknowledged: Int
        }

        let sectors: Range<Int>
        /// Held by the writer while a change is under way.
        let turn = PosixMutex()
        private let state: PosixLocked<State>

        init(_ sectors: Range<Int>) {
            self.sectors = sectors
            state = PosixLocked(State(stamps: Array(repeating: 0, count: sectors.count)))
        }

        func begin(_ change: Change) { state.withLock { $0.changes.append(change) } }

        func end(isRefused: Bool) {
            state.withLock {
                $0.changes[$0.changes.count - 1].isRefused = isRefused
                $0.changes[$0.changes.count - 1].apply(to: &$0.stamps, from: sectors.lowerBound)
                $0.acknowledged += 1
            }
        }

        var mark: Mark { state.withLock { Mark(stamps: $0.stamps, acknowledged: $0.acknowledged) } }
        var submitted: Int { state.withLock { $0.changes.count } }
        func changes(_ range: Range<Int>) -> ArraySlice<Change> { state.withLock { $0.changes[range] } }

        /// After a revert, with the turn taken.
        func stand(on stamps: [UInt64]) {
            state.withLock {
                $0.stamps = stamps
                $0.acknowledged = $0.changes.count
            }
        }

        func part(_ stamps: [UInt64]) -> [UInt64] { Array(stamps[sectors]) }
    }

    struct Kept: Sendable {
        var name: Bytes
        var volume: LayeredVolume
        /// Of all lanes; zeros behind the snapshot's end.
        var stamps: [UInt64]
        var byteCount: UInt64
    }

    final class Subject: Sendable {
        let name: Bytes
        let volume: LayeredVolume
        let lanes: [Lane]
        /// Odd while the volume is put back to a snapshot.
        let epoch = Atomic(0)
        /// Oldest first, each an ancestor of the next and of the volume.
        let kept = PosixLocked<[Kept]>([])

        init(_ name: Bytes, _ volume: LayeredVolume) {
            self.name = name
            self.volume = volume
            lanes = VolumeStress.lanes.map(Lane.init)
        }
    }

    static let smallBytes = 640 * 4096
    static let largeBytes = 704 * 4096
    private static let sectorCount = largeBytes / 512
    /// Leaves end at 2048 and 4096; the last lane lies where the volume is only after it has grown.
    private static let lanes = [0..<1605, 1605..<3362, 3362..<5120, 5120..<5632]
    private static let changesPerLane = 150
    private static let rounds = 60
    private static let readsPerThread = 600
    private static let keptMax = 3

    let seed: UInt64
    let disk = SimulatedDisk()
    let indexes: RigIndexes
    let store: ChunkStore
    let subjects: [Subject]
    private let numbers = Atomic<UInt64>(1)
    private let failure = PosixLocked<String?>(nil)
    private let writersLeft: Atomic<Int>
    let reads = Atomic(0)

    init(seed: UInt64, _ mutant: Mutant? = nil) throws {
        self.seed = seed
        let disk = disk
        indexes = RigIndexes(copies: 2) { disk.cutCount }
        var configuration = StoreRig.configuration(mutant)
        configuration.isThreaded = true
        configuration.overlayOperationsMax = 40
        let store = try StoreRig.open(disk, indexes, configuration)
        self.store = store
        subjects = try (["v0", "v1"] as [Bytes]).map { name in
            try store.createVolume(name, byteCount: UInt64(Self.smallBytes), attributes: [])
            return Subject(name, try store.volume(name, threads: StoreRig.threads))
        }
        writersLeft = Atomic(2 * Self.lanes.count)
    }

    /// All threads, to their end.
    func run() throws {
        var jobs: [@Sendable (inout SplitMix64) throws -> Void] = []
        for subject in subjects {
            for lane in subject.lanes {
                jobs.append { [self] random in
                    defer { writersLeft.subtract(1, ordering: .sequentiallyConsistent) }
                    for _ in 0..<Self.changesPerLane where !isOver { try write(subject, lane, &random) }
                }
            }
        }
        jobs.append { [self] random in
            for round in 0..<Self.rounds where !isOver { try changeTree(round, &random) }
        }
        jobs.append { [self] random in
            for number in 0..<Self.rounds where hasWriters { try copy(subjects[random.below(2)], number, &random) }
        }
        for _ in 0..<2 {
            jobs.append { [self] random in
                for _ in 0..<Self.readsPerThread where hasWriters { try read(subjects[random.below(2)], &random) }
            }
        }
        let done = jobs.map { _ in Box<Void>() }
        for (number, job) in jobs.enumerated() {
            startThread(name: "stress") { [self] in
                var random = SplitMix64(seed: seed &+ UInt64(number) &* 7919)
                do {
                    try job(&random)
                } catch {
                    failure.withLock { if $0 == nil { $0 = "\(error)" } }
                }
                done[number].set(())
            }
        }
        for box in done { box.wait {} }
        if let text = failure.withLock({ $0 }) { throw RigFailure(text) }
        for subject in subjects { try compare(store, subject) }
    }

    private var isOver: Bool { failure.withLock { $0 != nil } }
    private var hasWriters: Bool { writersLeft.load(ordering: .sequentiallyConsistent) > 0 && !isOver }

    /// Everything that was acknowledged is in this store.
    func compare(_ store: ChunkStore, _ subject: Subject) throws {
        let found = try Self.stamps(try store.volume(subject.name, threads: nil))
        for lane in subject.lanes where lane.part(found) != lane.mark.stamps {
            throw RigFailure("\(subject.name): the sectors \(lane.sectors) are not as they were written")
        }
        for kept in subject.kept.withLock({ $0 }) {
            if try Self.stamps(try store.volume(kept.name, threads: nil)) != kept.stamps {
                throw RigFailure("\(kept.name) is not as it was taken")
            }
        }
    }

    // MARK: Bytes

    static func stamp(_ number: UInt64, _ sector: Int) -> UInt64 { number == 0 ? 0 : number << 16 | UInt64(sector) }

    /// What lies between a sector's stamps, its first and last words: for every second change something that does not
    /// compress, 32 sectors of it.
    private static let noise: AlignedBuffer = {
        var random = SplitMix64(seed: 11)
        let buffer = AlignedBuffer(32 * 512)
        for word in 0..<32 * 64 { buffer.bytes.storeBytes(of: random.next(), toByteOffset: 8 * word, as: UInt64.self) }
        return buffer
    }()
    private static let zeros = AlignedBuffer(512, zeroed: true)

    private static func filling(_ stamp: UInt64, _ sector: Int) -> UnsafeRawBufferPointer {
        stamp >> 16 & 1 == 0 ? zeros.range(8, 496) : noise.range(sector % 32 * 512 + 8, 496)
    }

    private static func fill(_ bytes: UnsafeMutableRawBufferPointer, _ stamp: UInt64, _ sector: Int) {
        bytes.storeBytes(of: stamp, as: UInt64.self)
        bytes.copy(filling(stamp, sector), at: 8)
        bytes.storeBytes(of: stamp, toByteOffset: 504, as: UInt64.self)
    }

    private static func stamp(in bytes: UnsafeRawBufferPointer, _ sector: Int) throws -> UInt64 {
        let stamp = bytes.load(as: UInt64.self)
        if stamp != 0, stamp & 0xFFFF != UInt64(sector) { throw RigFailure("sector \(sector) has bytes of another") }
        guard bytes.load(fromByteOffset: 504, as: UInt64.self) == stamp,
            memcmp(bytes.baseAddress! + 8, filling(stamp, sector).baseAddress!, 496) == 0
        else { throw RigFailure("sector \(sector) is a mixture") }
        return stamp
    }

    /// The stamps of some sectors; nil: the volume is gone.
    private static func stampsIfThere(_ volume: LayeredVolume, _ sectors: Range<Int>) throws -> [UInt64]? {
        let buffer = AlignedBuffer(sectors.count * 512)
        do {
            let isRead = try volume.readCached(at: UInt64(sectors.lowerBound * 512), into: buffer.bytes)
            if !isRead { try volume.read(at: UInt64(sectors.lowerBound * 512), into: buffer.bytes) }
        } catch ChunkError.cancelled {
            return nil
        }
        return try sectors.map { sector in
            let at = (sector - sectors.lowerBound) * 512
            return try stamp(in: buffer.range(at, 512), sector)
        }
    }

    /// The stamps of a whole volume, with zeros behind its end.
    private static func stamps(_ volume: LayeredVolume) throws -> [UInt64] {
        let count = Int(volume.byteCount) / 512
        guard let found = try stampsIfThere(volume, 0..<count) else { throw RigFailure("\(volume.name) is gone") }
        return found + Array(repeating: 0, count: sectorCount - count)
    }

    // MARK: Writers

    private func write(_ subject: Subject, _ lane: Lane, _ random: inout SplitMix64) throws {
        lane.turn.lock()
        defer { lane.turn.unlock() }
        let epoch = subject.epoch.load(ordering: .sequentiallyConsistent)
        let kind = random.below(100)
        let isTrim = (66..<78).contains(kind)
        let sectors =
            switch kind {
            case 0..<20: edge(lane, &random)
            case 20..<40: range(lane, 1 + random.below(24), &random)
            case 40..<60: wholeBlocks(lane, 1 + random.below(33), &random)
            case 60..<66: wholeBlocks(lane, 64 + random.below(40), &random)
            case 66..<78: wholeBlocks(lane, 1 + random.below(100), &random)
            case 78..<86: withinBlock(lane, &random)
            default: range(lane, 1 + random.below(60), &random)
            }
        let isZero = isTrim || (78..<86).contains(kind)
        let number = isZero ? 0 : numbers.add(1, ordering: .relaxed).newValue
        lane.begin(Change(sectors: sectors, number: number))
        let outcome = Box<Result<Void, ChunkError>>()
        let offset = UInt64(sectors.lowerBound * 512)
        let bytes = AlignedBuffer(sectors.count * 512)
        for sector in sectors {
            Self.fill(bytes.mutableRange((sector - sectors.lowerBound) * 512, 512), Self.stamp(number, sector), sector)
        }
        let sink = BorrowingSink()
        if isZero {
            subject.volume.zero(offset, UInt64(bytes.bytes.count), sink: sink) { outcome.set($0) }
        } else if kind >= 86 {
            subject.volume.update(
                offset, bytes.bytes.count, sink: sink,
                change: { old in
                    old.copyMemory(from: UnsafeRawBufferPointer(bytes.bytes))
                    return true
                }
            ) { outcome.set($0) }
        } else {
            subject.volume.write(UnsafeRawBufferPointer(bytes.bytes), at: offset, sink: sink) {
                outcome.set($0)
            }
        }
        if let work = sink.take() {
            if random.oneIn(4) { work.giveBack() } else { work.perform {} }
        }
        let result = outcome.wait {}
        let mayBeRefused = sectors.upperBound * 512 > Self.smallBytes
        if mayBeRefused, case .failure(.cancelled) = result {
            return lane.end(isRefused: true)
        }
        try result.get()
        lane.end(isRefused: false)
        try readBack(subject, lane, sectors, epoch, random.oneIn(8))
    }

    private func readBack(
        _ subject: Subject, _ lane: Lane, _ sectors: Range<Int>, _ epoch: Int, _ readsAll: Bool
    ) throws {
        let sectors = readsAll ? lane.sectors : sectors
        guard sectors.upperBound * 512 <= Int(subject.volume.byteCount),
            let found = try Self.stampsIfThere(subject.volume, sectors)
        else { return }
        let right = lane.mark.stamps[
            sectors.lowerBound - lane.sectors.lowerBound..<sectors.upperBound - lane.sectors.lowerBound]
        guard epoch % 2 == 0, subject.epoch.load(ordering: .sequentiallyConsistent) == epoch else { return }
        if found != Array(right) {
            throw RigFailure("\(subject.name): a writer does not read its own write to \(sectors)")
        }
    }

    private func range(_ lane: Lane, _ count: Int, _ random: inout SplitMix64) -> Range<Int> {
        let start = lane.sectors.lowerBound + random.below(lane.sectors.count)
        return start..<min(start + count, lane.sectors.upperBound)
    }

    /// In a block that belongs to two lanes.
    private func edge(_ lane: Lane, _ random: inout SplitMix64) -> Range<Int> {
        let count = 1 + random.below(3)
        return random.oneIn(2) ? lane.sectors.prefix(count).indices : lane.sectors.suffix(count).indices
    }

    private func wholeBlocks(_ lane: Lane, _ count: Int, _ random: inout SplitMix64) -> Range<Int> {
        let first = (lane.sectors.lowerBound + 7) / 8
        let end = lane.sectors.upperBound / 8
        let count = min(count, end - first)
        let start = first + random.below(end - first - count + 1)
        return start * 8..<(start + count) * 8
    }

    private func withinBlock(_ lane: Lane, _ random: inout SplitMix64) -> Range<Int> {
        let start = lane.sectors.lowerBound + random.below(lane.sectors.count)
        return start..<min(start + 1 + random.below(6), start / 8 * 8 + 8, lane.sectors.upperBound)
    }

    // MARK: The tree

    private func changeTree(_ round: Int, _ random: inout SplitMix64) throws {
        let subject = subjects[random.below(2)]
        let count = subject.kept.withLock { $0.count }
        switch random.below(10) {
        case 0..<3: try snapshot([subject], round)
        case 3: try snapshot(subjects, round)
        case 4..<6 where count > 0: try revert(subject, to: random.below(count))
        case 6: try copyWhileWritten(subject, round)
        default: try store.resize(subject.name, to: UInt64(Self.largeBytes))
        }
        for subject in subjects {
            let old = subject.kept.withLock { $0.count > Self.keptMax ? $0.removeFirst() : nil }
            if let old { try store.removeHandle(old.name) }
        }
    }

    private func snapshot(_ subjects: [Subject], _ round: Int) throws {
        let names = subjects.map { Bytes("\($0.name.string)/\(round)") }
        let marks = subjects.map { $0.lanes.map(\.mark) }
        try store.snapshot(zip(subjects, names).map { SnapshotRequest(volume: $0.name, name: $1, attributes: []) })
        let after = subjects.map { $0.lanes.map(\.submitted) }
        for (at, subject) in subjects.enumerated() {
            let volume = try store.volume(names[at], threads: nil)
            let stamps = try Self.stamps(volume)
            try checkCut(stamps, subject, marks[at], after[at], "\(names[at])")
            subject.kept.withLock {
                $0.append(Kept(name: names[at], volume: volume, stamps: stamps, byteCount: volume.byteCount))
            }
        }
    }

    /// Of each lane it holds all that was acknowledged before, and then nothing or the first of what came.
    private func checkCut(
        _ stamps: [UInt64], _ subject: Subject, _ marks: [Lane.Mark], _ after: [Int], _ what: String
    ) throws {
        for (at, lane) in subject.lanes.enumerated() {
            let found = lane.part(stamps)
            var right = marks[at].stamps
            var isFound = right == found
            for change in lane.changes(marks[at].acknowledged..<after[at]) where !isFound {
                change.apply(to: &right, from: lane.sectors.lowerBound)
                isFound = right == found
            }
            if !isFound {
                throw RigFailure("\(what) holds of the sectors \(lane.sectors) what was never there at once")
            }
        }
    }

    private func copyWhileWritten(_ subject: Subject, _ round: Int) throws {
        let name = Bytes("copy/\(round)")
        let marks = subject.lanes.map(\.mark)
        try store.cloneVolume(subject.name, as: name, byteCount: UInt64(Self.largeBytes), attributes: [])
        let after = subject.lanes.map(\.submitted)
        try checkCut(try Self.stamps(try store.volume(name, threads: nil)), subject, marks, after, "\(name)")
        try store.removeHandle(name)
    }

    private func revert(_ subject: Subject, to place: Int) throws {
        let target = subject.kept.withLock { $0[place] }
        subject.epoch.add(1, ordering: .sequentiallyConsistent)
        let marks = subject.lanes.map(\.mark)
        try store.revert(subject.name, to: target.name)
        let after = subject.lanes.map(\.submitted)
        for lane in subject.lanes { lane.turn.lock() }
        defer { for lane in subject.lanes { lane.turn.unlock() } }
        guard subject.volume.byteCount == target.byteCount else {
            throw RigFailure("\(subject.name) has not the size of \(target.name)")
        }
        let found = try Self.stamps(subject.volume)
        for (at, lane) in subject.lanes.enumerated() {
            // What was under way is before the revert, and lost, or behind it; what was begun later is there.
            let isFound = (marks[at].acknowledged...after[at]).contains { first in
                var right = lane.part(target.stamps)
                for change in lane.changes(first..<lane.submitted) {
                    change.apply(to: &right, from: lane.sectors.lowerBound)
                }
                return right == lane.part(found)
            }
            if !isFound { throw RigFailure("\(subject.name) was not put back to \(target.name) in \(lane.sectors)") }
            lane.stand(on: lane.part(found))
        }
        subject.epoch.add(1, ordering: .sequentiallyConsistent)
        let newer = subject.kept.withLock { kept in
            defer { kept.removeSubrange((place + 1)...) }
            return kept[(place + 1)...]
        }
        for kept in newer { try store.removeHandle(kept.name) }
    }

    // MARK: Others

    /// A copy of a snapshot is what the snapshot is, and may be written to.
    private func copy(_ subject: Subject, _ number: Int, _ random: inout SplitMix64) throws {
        let names = try store.handles(prefix: subject.name).map(\.name)
        guard names.contains(subject.name) else { throw RigFailure("\(subject.name) is not listed") }
        let kept = subject.kept.withLock { $0 }
        guard !kept.isEmpty else { return }
        let one = kept[random.below(kept.count)]
        let name = Bytes("clone/\(number)")
        guard try clones(one, as: name) else { return }
        let volume = try store.volume(name, threads: StoreRig.threads)
        if try Self.stamps(volume) != one.stamps { throw RigFailure("a clone of \(one.name) is not what that is") }
        let outcome = Box<Result<Void, ChunkError>>()
        volume.zero(512, volume.byteCount - 1024, sink: InlineSink.shared) { outcome.set($0) }
        try outcome.wait {}.get()
        let left = try Self.stamps(volume)
        if left.dropFirst().dropLast(left.count - Int(volume.byteCount) / 512 + 1).contains(where: { $0 != 0 }) {
            throw RigFailure("a clone of \(one.name) shows it where it was trimmed")
        }
        try store.removeHandle(name)
        let found = try Self.stampsIfThere(one.volume, 0..<Int(one.byteCount) / 512)
        if let found, found != Array(one.stamps.prefix(found.count)) { throw RigFailure("\(one.name) has changed") }
    }

    /// False: the snapshot is gone.
    private func clones(_ kept: Kept, as name: Bytes) throws(LayerError) -> Bool {
        do throws(LayerError) {
            try store.clone(kept.name, as: name, byteCount: kept.byteCount, attributes: [])
            return true
        } catch {
            guard error == .noSuchHandle(kept.name) else { throw error }
            return false
        }
    }

    /// Every sector is what it was before the read, or what was written meanwhile.
    private func read(_ subject: Subject, _ random: inout SplitMix64) throws {
        reads.add(1, ordering: .relaxed)
        let count = Int(subject.volume.byteCount) / 512
        let start = random.below(count)
        let sectors = start..<min(count, start + 1 + random.below(random.oneIn(4) ? 1200 : 60))
        let epoch = subject.epoch.load(ordering: .sequentiallyConsistent)
        let marks = subject.lanes.map(\.mark)
        guard let found = try Self.stampsIfThere(subject.volume, sectors) else { throw RigFailure("a volume is gone") }
        let changes = zip(subject.lanes, marks).map { lane, mark in lane.changes(mark.acknowledged..<lane.submitted) }
        guard epoch % 2 == 0, subject.epoch.load(ordering: .sequentiallyConsistent) == epoch else { return }
        for (at, lane) in subject.lanes.enumerated() {
            for sector in lane.sectors.clamped(to: sectors) {
                let value = found[sector - sectors.lowerBound]
                if value == marks[at].stamps[sector - lane.sectors.lowerBound] { continue }
                let isNew = changes[at].contains {
                    $0.sectors.contains(sector) && Self.stamp($0.number, sector) == value
                }
                if !isNew { throw RigFailure("\(subject.name): sector \(sector) holds \(value), which is old or none") }
            }
        }
    }
}
