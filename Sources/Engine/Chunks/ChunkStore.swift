import Codecs
import Disks
package import Primitives
import Synchronization

/// The engine of one device: one append-only log, an overlay in memory, an index behind it.
///
/// The state is the last durable index plus the fold of the log behind it; everything in memory is a cache
/// of that. Invariants I1 to I8 are in this target's documentation page.
package final class ChunkStore: Sendable {
    package struct Configuration: Sendable {
        /// Size of a segment file when the store is made: a multiple of 64 KiB, 512 KiB ... 64 MiB.
        package var segmentBytes: Int
        /// Free bytes of the file system that user writes may not touch.
        package var reserveBytes: Int64
        /// Optional ceiling of the store's own size; user writes are refused at 92 % of it.
        package var capacityBytes: Int64?
        /// Keep two segments' worth of space for the log and the index to go on with when the disk is full.
        package var holdsBallast = false
        /// The overlay is frozen at this many operations, or this many bytes of log.
        package var overlayOperationsMax = Limits.overlayOperationsMax
        package var overlayLogBytesMax = Limits.overlayLogBytesMax
        /// False: no threads of its own; submissions wait for `runPending`. For rigs that must be repeatable.
        package var isThreaded = true
        /// Write zeros into spare segments ahead of use (the daemon), or only reserve them.
        package var zeroFillsSpares = true
        /// A deliberate bug (debug builds only).
        package var mutant: Mutant?
        /// Called at places where the order of events matters, with the place's name (debug builds only): for rigs that make one
        /// order happen.
        package var atPlace: (@Sendable (String) -> Void)?

        package init(segmentBytes: Int = 64 << 20, reserveBytes: Int64 = 1 << 30, capacityBytes: Int64? = nil) {
            self.segmentBytes = segmentBytes
            self.reserveBytes = reserveBytes
            self.capacityBytes = capacityBytes
        }
    }

    let configuration: Configuration
    let disk: any Disk
    let secret: HashSecret
    let seal: RowSeal
    let segments: SegmentTable
    let spares: SpareSegments
    let bulk: BulkSegments
    let index: any IndexStore
    let indexes: any IndexOpener
    /// Which of the copies `index` is.
    let leadingCopy: Int
    let secondIndex: (any IndexStore)?
    /// Held from open to close.
    let lock: PosixGuarded<(any DiskLock)?>
    let objectLatches = LatchTable()
    let containerLatches = LatchTable()
    let volumes = VolumeTable()
    /// Held over each change of the layer tree, until it is applied.
    let treeMutex = PosixMutex()
    let counters = Counters()

    /// Guards `memory`: held for moments, never across I/O.
    let memoryMutex = PosixMutex()
    let memory: PosixGuarded<Memory>

    /// Guards the queue, and wakes the committer and the applier.
    let queueMutex = PosixMutex()
    let queue: PosixGuarded<CommitQueue>
    /// Guards the applier's work, and wakes it, the maintenance thread, and who waits for it.
    let applierMutex = PosixMutex()
    let applierState: PosixGuarded<ApplierState>
    /// Touched by whoever has the duty to commit: the committer's thread, one that does its work, or `runPending`.
    let committer: PosixGuarded<CommitterState>
    let logFlusher: LogFlusher

    /// Guards what is durable and not yet told of, and wakes the acknowledger and who waits for it.
    let acknowledgerMutex = PosixMutex()
    let acknowledgerQueue = PosixGuarded(AcknowledgerQueue())
    /// When the active overlay was begun. Touched by whoever is busy acknowledging, or by the only thread.
    let overlayStarted = PosixGuarded(MonotonicClock.now())

    let ids: Atomic<UInt64>
    let superblock: PosixGuarded<Superblock>

    /// What recovery found.
    package let recovery: RecoveryReport

    /// Everything under `memoryMutex`.
    struct Memory {
        var active: Overlay
        var frozen: Overlay?
        /// Changes whenever an overlay is frozen or dropped.
        var generation: UInt64 = 0
        var objectRows = RecentCache<ObjectKey, ObjectRow>(limit: Limits.cachedObjectRowsMax)
        var containerRows = RecentCache<ContainerKey, ContainerRow>(limit: Limits.cachedContainersMax)
        var readOnly: ReadOnlyReason?
        var bytesLogical: Int64
        var bytesStored: Int64
        var newestTimestamp: Timestamp
    }

    init(parts: OpenParts, configuration: Configuration) {
        self.configuration = configuration
        disk = parts.disk
        secret = parts.superblock.secret
        seal = RowSeal(secret: parts.superblock.secret)
        segments = parts.segments
        spares = parts.spares
        bulk = parts.bulk
        index = parts.index
        indexes = parts.indexes
        leadingCopy = parts.leadingCopy
        secondIndex = parts.secondIndex
        lock = PosixGuarded(parts.lock)
        recovery = parts.report
        ids = Atomic(parts.nextID)
        superblock = PosixGuarded(parts.superblock)
        memory = PosixGuarded(
            Memory(
                active: parts.overlay, readOnly: parts.readOnly, bytesLogical: parts.bytesLogical,
                bytesStored: parts.bytesStored, newestTimestamp: parts.newestTimestamp))
        queue = PosixGuarded(CommitQueue())
        applierState = PosixGuarded(ApplierState())
        let log = StateLog(
            segments: parts.segments, spares: parts.spares, tail: parts.tail, mutant: configuration.mutant)
        committer = PosixGuarded(CommitterState(log: log))
        logFlusher = log.flusher
    }

    /// The newest timestamp of any record: advance the clock past it before the first write.
    package var newestTimestamp: Timestamp { memoryMutex.withLock { memory.value.newestTimestamp } }

    /// Why the store takes no writes, if it does not.
    package var readOnlyReason: ReadOnlyReason? { memoryMutex.withLock { memory.value.readOnly } }

    /// Stops taking writes for good in this process. The first reason stays.
    func becomeReadOnly(_ reason: ReadOnlyReason) {
        memoryMutex.withLock { if memory.value.readOnly == nil { memory.value.readOnly = reason } }
        queueMutex.withLock { queueMutex.broadcast() }
        applierMutex.withLock { applierMutex.broadcast() }
    }
}

/// Numbers that hot paths count without a lock.
final class Counters: Sendable {
    let groups = Atomic<UInt64>(0)
    let operations = Atomic<UInt64>(0)
    let flushNanoseconds = Atomic<UInt64>(0)
    let flushNanosecondsMax = Atomic<UInt64>(0)
    let checksumFailures = Atomic<UInt64>(0)
    let freeBytes = Atomic<Int64>(.max)
    let spaceRefused = Atomic<Bool>(false)
    let leadingIndexDamaged = Atomic<Bool>(false)
    /// A checkpoint waits for space.
    let checkpointWaits = Atomic<Bool>(false)
    let checkpoints = Atomic<UInt64>(0)
    let groupSizes = Histogram(bounds: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    let flushTimes = Histogram(
        bounds: [
            25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 100_000_000,
            1_000_000_000,
        ])
}

/// Counts by upper bound; the last count is for everything above.
final class Histogram: Sendable {
    let bounds: [UInt64]
    private let mutex = PosixMutex()
    private let counts: PosixGuarded<[UInt64]>

    init(bounds: [UInt64]) {
        self.bounds = bounds
        counts = PosixGuarded(Array(repeating: 0, count: bounds.count + 1))
    }

    func record(_ value: UInt64) {
        let slot = bounds.firstIndex { value <= $0 } ?? bounds.count
        mutex.withLock { counts.value[slot] += 1 }
    }

    func snapshot() -> [(bound: UInt64, count: UInt64)] {
        let counts = mutex.withLock { self.counts.value }
        return zip(bounds + [.max], counts).map { ($0, $1) }
    }
}

/// Keeps about the most recently used half of `limit`, in two generations: no order to maintain, constant time.
struct RecentCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let limit: Int
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]

    init(limit: Int) { self.limit = limit }

    var count: Int { young.count + old.count }

    mutating func get(_ key: Key) -> Value? {
        if let value = young[key] { return value }
        if let value = old.removeValue(forKey: key) {
            set(key, value)
            return value
        }
        return nil
    }

    mutating func set(_ key: Key, _ value: Value) {
        if young.count >= limit / 2 {
            old = young
            young = [:]
        }
        young[key] = value
        if !old.isEmpty { old[key] = nil }
    }

    /// Changes a value in place, if it is there.
    mutating func update(_ key: Key, _ change: (inout Value) -> Void) {
        if let at = young.index(forKey: key) {
            change(&young.values[at])
        } else if let at = old.index(forKey: key) {
            change(&old.values[at])
        }
    }

    mutating func removeAll(where isMeant: (Key) -> Bool) {
        young = young.filter { !isMeant($0.key) }
        old = old.filter { !isMeant($0.key) }
    }

    mutating func remove(_ key: Key) {
        young[key] = nil
        if !old.isEmpty { old[key] = nil }
    }
}
