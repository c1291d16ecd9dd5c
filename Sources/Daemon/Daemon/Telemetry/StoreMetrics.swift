import Chunks
import HTTPFace

/// What a store is watched by. Names follow Prometheus: base units, `_total` for what only grows.
enum StoreMetrics {
    static func register(_ store: ChunkStore, in metrics: MetricsRegistry) {
        let status: @Sendable () -> ChunkStore.Status = { store.status() }
        metrics.gauge("chunks_read_only", help: "1 if the store takes no writes any more, and needs an operator.") {
            status().readOnly == nil ? 0 : 1
        }
        metrics.gauge("chunks_logical_bytes", help: "Bytes of all objects, as their owners see them.") {
            Double(status().bytesLogical)
        }
        metrics.gauge("chunks_stored_bytes", help: "Bytes that the store's files take.") {
            Double(status().bytesStored)
        }
        metrics.gauge("chunks_free_bytes", help: "Bytes that uploads may still take.") { Double(status().freeBytes) }
        metrics.gauge("chunks_segments", help: "Segment files.") { Double(status().segmentCount) }
        metrics.gauge("chunks_durable_lsn", help: "The last operation that is on the medium.", type: "counter") {
            Double(status().durableLSN)
        }
        metrics.gauge(
            "chunks_index_lag_operations", help: "Operations that the index which is furthest behind does not have yet."
        ) {
            let now = status()
            return Double(now.durableLSN - min(now.durableLSN, now.appliedLSN.min() ?? 0))
        }
        metrics.gauge("chunks_overlay_operations", help: "Operations kept in memory until the index has them.") {
            Double(status().overlayOperations)
        }
        metrics.gauge("chunks_groups_total", help: "Group commits.", type: "counter") {
            Double(status().groupsCommitted)
        }
        metrics.gauge("chunks_operations_total", help: "Operations committed.", type: "counter") {
            Double(status().operationsCommitted)
        }
        metrics.gauge("chunks_checkpoints_total", help: "Checkpoints of the index.", type: "counter") {
            Double(status().checkpoints)
        }
        metrics.gauge("chunks_queued_operations", help: "Operations that wait for their group.") {
            Double(status().queuedOperations)
        }
        metrics.gauge(
            "chunks_refuses_uploads", help: "1 if uploads get 507, for want of space, or the store is read-only."
        ) {
            status().refusesUserWrites ? 1 : 0
        }
        metrics.gauge("chunks_index_copy_failed", help: "1 if the second copy of the index can't be written.") {
            status().secondIndexFailed ? 1 : 0
        }
        metrics.gauge("chunks_flush_seconds_max", help: "The longest flush since the start.") {
            Double(status().flushNanosecondsMax) / 1e9
        }
        metrics.gauge(
            "chunks_checksum_failures_total", help: "Reads whose bytes did not match their checksum.", type: "counter"
        ) {
            Double(status().checksumFailures)
        }
        let first = status()
        metrics.histogram(
            "chunks_group_operations", help: "Operations that shared one flush.",
            bounds: first.groupSizes.map { Double($0.bound) }.filter(\.isBound)
        ) {
            let now = status()
            return (counts: now.groupSizes.map(\.count), sum: Double(now.operationsCommitted))
        }
        metrics.histogram(
            "chunks_flush_seconds", help: "How long a flush took.",
            bounds: first.flushTimes.map { Double($0.bound) / 1e9 }.filter(\.isBound)
        ) {
            let now = status()
            return (counts: now.flushTimes.map(\.count), sum: Double(now.flushNanosecondsTotal) / 1e9)
        }
    }
}

extension Double {
    /// A bucket whose bound is the largest integer there is stands for "everything above".
    fileprivate var isBound: Bool { self < 9e18 / 1e9 }
}
