import Disks
import Primitives
import Synchronization

extension ChunkStore {
    /// What operators watch.
    package struct Status: Sendable {
        package var readOnly: ReadOnlyReason?
        package var durableLSN: UInt64
        /// Durable LSN of each index copy.
        package var appliedLSN: [UInt64]
        package var secondIndexFailed: Bool
        /// The leading copy gave a wrong row; the other one serves where it can, and the next start makes it again.
        package var leadingIndexDamaged: Bool
        package var groupsCommitted: UInt64
        package var operationsCommitted: UInt64
        package var checkpoints: UInt64
        package var flushNanosecondsTotal: UInt64
        package var flushNanosecondsMax: UInt64
        /// What users stored; what the segments take of the disk, garbage and reserves included.
        package var bytesLogical: Int64
        package var bytesStored: Int64
        package var segmentCount: Int
        package var segmentBytes: Int
        package var overlayOperations: Int
        package var queuedOperations: Int
        package var checksumFailures: UInt64
        /// -1 while unknown.
        package var freeBytes: Int64
        package var refusesUserWrites: Bool
        /// Counts by upper bound, the last one for all above, not cumulative.
        package var groupSizes: [(bound: UInt64, count: UInt64)]
        package var flushTimes: [(bound: UInt64, count: UInt64)]
    }

    /// A snapshot; cheap.
    package func status() -> Status {
        let (readOnly, position, operations, logical) = memoryMutex.withLock {
            (
                memory.value.readOnly, memory.value.active.position ?? memory.value.frozen?.position,
                memory.value.active.operationCount + (memory.value.frozen?.operationCount ?? 0),
                memory.value.bytesLogical
            )
        }
        let (applied, secondFailed) = applierMutex.withLock {
            (applierState.value.applied, applierState.value.secondHasFailed)
        }
        return Status(
            readOnly: readOnly, durableLSN: position?.lsn ?? applied.max() ?? 0, appliedLSN: applied,
            secondIndexFailed: secondFailed,
            leadingIndexDamaged: counters.leadingIndexDamaged.load(ordering: .relaxed),
            groupsCommitted: counters.groups.load(ordering: .relaxed),
            operationsCommitted: counters.operations.load(ordering: .relaxed),
            checkpoints: counters.checkpoints.load(ordering: .relaxed),
            flushNanosecondsTotal: counters.flushNanoseconds.load(ordering: .relaxed),
            flushNanosecondsMax: counters.flushNanosecondsMax.load(ordering: .relaxed), bytesLogical: logical,
            bytesStored: segments.allocatedBytes,
            segmentCount: segments.count, segmentBytes: segments.segmentBytes, overlayOperations: operations,
            queuedOperations: queueMutex.withLock { queue.value.submissions.count },
            checksumFailures: counters.checksumFailures.load(ordering: .relaxed),
            freeBytes: counters.freeBytes.load(ordering: .relaxed),
            refusesUserWrites: counters.spaceRefused.load(ordering: .relaxed) || readOnly != nil,
            groupSizes: counters.groupSizes.snapshot(), flushTimes: counters.flushTimes.snapshot())
    }

    /// Bytes that the file system still has, and all of it. May wait for the disk.
    package func space() throws(ChunkError) -> (free: Int64, total: Int64) {
        do throws(DiskError) { return try disk.space() } catch { throw .disk(error) }
    }
}
