package import Disks

/// The engine of one device: see engine.md and this target's documentation page.
package final class ChunkStore: Sendable {
    package struct Configuration: Sendable {
        /// Size of a segment file; a multiple of 1 MiB (smaller ones, multiples of 64 KiB, are for tests).
        package var segmentBytes: Int
        /// Free bytes of the file system that user writes may not touch.
        package var reserveBytes: Int64
        /// Optional ceiling of the store's own size; user writes are refused at 92 % of it.
        package var capacityBytes: Int64?
        /// 1 or 2.
        package var indexCopies: Int

        package init(segmentBytes: Int = 64 << 20, reserveBytes: Int64 = 1 << 30, capacityBytes: Int64? = nil, indexCopies: Int = 2) {
            self.segmentBytes = segmentBytes
            self.reserveBytes = reserveBytes
            self.capacityBytes = capacityBytes
            self.indexCopies = indexCopies
        }
    }

    /// Opens a store, or makes one in an empty folder: takes the lock, recovers, starts the threads.
    package static func open(
        disk: any Disk, indexDirectory: String, configuration: Configuration
    ) throws(ChunkError) -> ChunkStore { fatalError("to come") }

    /// Finishes what is queued, writes a checkpoint, stops the threads. Later calls fail with `.readOnly(.closed)`.
    package func close() throws(ChunkError) { fatalError("to come") }

    private init() {}

    /// A snapshot of what operators watch; cheap.
    package func status() -> Status { fatalError("to come") }

    package struct Status: Sendable {
        package var readOnly: ReadOnlyReason?
        package var durableLSN: UInt64 = 0
        package var appliedLSN: [UInt64] = []
        package var groupsCommitted: UInt64 = 0
        package var operationsCommitted: UInt64 = 0
        package var flushNanosecondsTotal: UInt64 = 0
        package var flushNanosecondsMax: UInt64 = 0
        package var bytesLogical: Int64 = 0
        package var bytesStored: Int64 = 0
        package var segmentCount: Int = 0
        package var overlayOperations: Int = 0
        package var checksumFailures: UInt64 = 0
        package var freeBytes: Int64 = 0
        /// Upper bounds (operations per group) and counts, for a Prometheus histogram.
        package var groupSizes: [(bound: Int, count: UInt64)] = []
        package var flushTimes: [(boundNanoseconds: UInt64, count: UInt64)] = []
        package init() {}
    }
}
