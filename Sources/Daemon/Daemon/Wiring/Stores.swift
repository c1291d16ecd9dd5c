import Chunks
private import Disks
private import Identity
import Logging
import Primitives

/// What keeps the bytes: the ring and the one local device's engine.
struct Stores: Sendable {
    let folder: DataFolder
    let placement: Placement
    let store: ChunkStore
    /// Of all who write to the store.
    let clock: TimestampClock

    static func open(folder: DataFolder, configuration: DaemonConfiguration, logger: Logger) async throws -> Stores {
        let began = ContinuousClock().now
        let placement = try await Blocking.run("ring") { try Placement.loadOrMake(folder: folder) }
        let store = try await Blocking.run("recovery") { try openStore(folder, configuration) }
        let status = store.status()
        logger.info(
            "store is open",
            metadata: [
                "after_ms": "\(Int((ContinuousClock().now - began) / .milliseconds(1)))",
                "durable_lsn": "\(status.durableLSN)",
                "segments": "\(status.segmentCount)", "clean": "\(store.recovery.wasClean || store.recovery.isNew)",
                "operations_replayed": "\(store.recovery.operationsReplayed)",
                "uploads_dropped": "\(store.recovery.orphanUploadsDropped)",
            ])
        for copy in store.recovery.rebuiltIndexCopies {
            logger.warning("a copy of the index was damaged or gone, and is made again", metadata: ["copy": "\(copy)"])
        }
        if let reason = status.readOnly {
            logger.critical("the store takes no writes", metadata: ["reason": "\(StatusReport.explain(reason))"])
        }
        let clock = TimestampClock()
        clock.advance(past: store.newestTimestamp)
        return Stores(folder: folder, placement: placement, store: store, clock: clock)
    }

    /// Opens, or makes, the engine's folder; puts its refusals into words.
    private static func openStore(_ folder: DataFolder, _ configuration: DaemonConfiguration) throws -> ChunkStore {
        try folder.checkObjects()
        try folder.makeFolder(DataFolder.objectsName)
        var settings = ChunkStore.Configuration(
            reserveBytes: configuration.reserveBytes, capacityBytes: configuration.capacityBytes)
        settings.holdsBallast = true
        do {
            return try ChunkStore.open(
                disk: try SystemDisk(root: folder.objectsPath),
                indexes: SQLiteIndexes(folder: folder.objectsPath, copies: configuration.indexCopies),
                configuration: settings,
                random: IdentityConfiguration.systemRandomBytes)
        } catch let error as ChunkError {
            throw StoreFailure.explain(error, path: folder.objectsPath)
        } catch let error as DiskError {
            throw DaemonError(
                "The store \(folder.objectsPath) can't be opened (\(error)).",
                remedy: "Does it belong to the user who runs this?")
        }
    }

    func part(logger: Logger) -> Part {
        Part("store") { [store] in
            try await Blocking.run("close") { try store.close() }
            logger.debug("store is closed")
        }
    }

    /// For a start that failed half-way: what was opened is closed as on a clean stop.
    func closeAfterFailure(logger: Logger) async {
        do {
            try await Blocking.run("close") { [store] in try store.close() }
        } catch ChunkError.readOnly(.closed) {
            // The service group had done it already.
        } catch {
            logger.error("the store did not close cleanly", metadata: ["error": "\(error)"])
        }
    }
}

/// The engine's refusals to open, in words that say what to do.
enum StoreFailure {
    static func explain(_ error: ChunkError, path: String) -> DaemonError {
        switch error {
        case .unusable(let text):
            DaemonError("The store \(path) can't be opened: \(text)")
        case .locked:
            DaemonError("Another process has the store \(path) open.", remedy: "Stop it first.")
        case .disk(let inner) where inner.isNoSpace:
            DaemonError(
                "There is no space left for the store \(path) (\(inner)).",
                remedy: "Free some, or move the data folder to a larger disk.")
        case .disk(let inner):
            DaemonError(
                "The store \(path) can't be read or written (\(inner)).",
                remedy: "Check the disk and who owns the folder. Nothing was changed.")
        case .corrupt(let segment, let offset):
            DaemonError(
                "The store \(path) is damaged: segment \(segment) does not verify at byte \(offset).",
                remedy: "Keep a copy of the folder as it is, then look at it with `apus fsck`.")
        case .corruptIndex(let text), .index(let text):
            DaemonError(
                "The store \(path) can't be opened: \(text)",
                remedy: "Keep a copy of the folder as it is, then look at it with `apus fsck`.")
        case .readOnly(let reason): DaemonError("The store \(path) can't be opened: \(StatusReport.explain(reason))")
        case .noSpace:
            DaemonError(
                "There is no space left for the store \(path).", remedy: "Free some, or lower storage.reserve_bytes.")
        case .overloaded, .cancelled: DaemonError("The store \(path) did not open.", remedy: "Start again.")
        }
    }
}
