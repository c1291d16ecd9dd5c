import Chunks

/// What `apus status` shows.
enum StatusReport {
    static func reply(
        _ status: ChunkStore.Status, endpoints: ClientFiles.Endpoints, folder: String, began: ContinuousClock.Instant
    ) -> AdminReply {
        let lag = status.durableLSN - min(status.durableLSN, status.appliedLSN.min() ?? 0)
        let mean = status.groupsCommitted == 0 ? 0 : Double(status.operationsCommitted) / Double(status.groupsCommitted)
        let flush =
            status.groupsCommitted == 0
            ? 0 : Double(status.flushNanosecondsTotal) / Double(status.groupsCommitted) / 1e6
        let uptime = Int((ContinuousClock().now - began) / .seconds(1))
        var state = status.readOnly.map { "READ ONLY: \(explain($0))" } ?? "serving"
        if status.readOnly == nil, status.refusesUserWrites { state = "FULL: uploads get 507; deletes still work" }
        if status.secondIndexFailed { state += "; the second copy of the index can't be written" }
        let lines = [
            "State          \(state)",
            "Version        \(DaemonVersion.text), process \(endpoints.pid), up for \(duration(uptime))",
            "Data           \(folder)",
            "Identity       \(endpoints.identity)/v3",
            "Objects        \(endpoints.object)/v1",
            "Images         \(endpoints.image.map { $0 + "/v2" } ?? "off")",
            "Volumes        \(endpoints.volume.map { $0 + "/v3" } ?? "off"), iSCSI on \(endpoints.iscsi ?? "-")",
            "Metrics        \(endpoints.metrics.map { $0 + "/metrics" } ?? "off")",
            "Bytes          \(size(status.bytesLogical)) of objects, \(size(status.bytesStored)) stored in \(status.segmentCount) segments, \(status.freeBytes < 0 ? "an unknown number" : size(status.freeBytes)) free",
            "Commits        \(status.operationsCommitted) operations in \(status.groupsCommitted) groups (\(tenths(mean)) each), flushes of \(tenths(flush)) ms, the longest \(tenths(Double(status.flushNanosecondsMax) / 1e6)) ms",
            "Index          \(lag) operations behind the log, \(status.overlayOperations) in memory",
            "Bad checksums  \(status.checksumFailures)",
        ]
        return AdminReply(
            succeeded: true, text: lines.joined(separator: "\n"),
            fields: [
                "state": status.readOnly != nil ? "read_only" : status.refusesUserWrites ? "full" : "serving",
                "version": DaemonVersion.text, "pid": String(endpoints.pid),
                "uptime_seconds": String(uptime), "data": folder, "identity": endpoints.identity,
                "object": endpoints.object, "image": endpoints.image ?? "", "volume": endpoints.volume ?? "",
                "iscsi": endpoints.iscsi ?? "",
                "metrics": endpoints.metrics ?? "", "bytes_logical": String(status.bytesLogical),
                "bytes_stored": String(status.bytesStored),
                "bytes_free": String(status.freeBytes), "segments": String(status.segmentCount),
                "durable_lsn": String(status.durableLSN),
                "index_lag_operations": String(lag), "operations": String(status.operationsCommitted),
                "groups": String(status.groupsCommitted),
                "checksum_failures": String(status.checksumFailures),
            ])
    }

    /// What happened to a store that takes no writes, and what to do.
    static func explain(_ reason: ReadOnlyReason) -> String {
        switch reason {
        case .ioError(let error):
            "the disk failed (\(error)). What is stored is served as far as it can be read. Check the disk and the kernel's log, then restart."
        case .damaged(let segment, let offset):
            "committed records in segment \(segment) from byte \(offset) on do not verify. What verifies is served. Copy it off, and restore the rest from a backup."
        case .logBehindIndex(let indexLSN, let logLSN):
            "the disk lost acknowledged data: the index has operation \(indexLSN), the log ends at \(logLSN). Check the disk's write cache."
        case .checkpointFailed(let text):
            "a checkpoint failed (\(text)). Nothing acknowledged is lost; check the disk, then restart."
        case .closed: "the store is closed"
        }
    }

    static func size(_ bytes: Int64) -> String {
        var amount = Double(bytes)
        for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
            if amount.magnitude < 1024 { return unit == "B" ? "\(bytes) B" : tenths(amount) + " " + unit }
            amount /= 1024
        }
        return tenths(amount) + " PiB"
    }

    private static func tenths(_ number: Double) -> String { String((number * 10).rounded() / 10) }

    private static func duration(_ seconds: Int) -> String {
        if seconds < 120 { return "\(seconds) s" }
        if seconds < 7200 { return "\(seconds / 60) min" }
        if seconds < 172_800 { return "\(seconds / 3600) h" }
        return "\(seconds / 86_400) days"
    }
}
