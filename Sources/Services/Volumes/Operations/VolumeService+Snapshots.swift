import GRDB
import VolumeDrivers

package struct SnapshotRequest: Sendable {
    package var volumeID: String
    package var name: String?
    package var description: String?
    package var metadata: [String: String]
    /// A volume in use may be snapshot, too.
    package var allowsInUse: Bool

    package init(
        volumeID: String, name: String?, description: String?, metadata: [String: String], allowsInUse: Bool
    ) {
        self.volumeID = volumeID
        self.name = name
        self.description = description
        self.metadata = metadata
        self.allowsInUse = allowsInUse
    }
}

extension VolumeService {
    /// Answers while the snapshot is `creating`; it becomes `available`, or `error` with a message.
    package func createSnapshot(_ request: SnapshotRequest, for asker: Asker) async throws(VolumeError)
        -> SnapshotDetail
    {
        let id = newID()
        let snapshot = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                let volume = try Lookups.volume(db, request.volumeID, for: asker)
                return try self.insertSnapshot(
                    db, id: id, of: volume, request, groupSnapshotID: nil, asker: asker)
            }
        } work: { snapshot in
            await self.cut([snapshot], groupSnapshotID: nil, requestID: asker.requestID)
        }
        return SnapshotDetail(snapshot: snapshot, metadata: request.metadata)
    }

    func insertSnapshot(
        _ db: Database, id: String, of volume: Volume, _ request: SnapshotRequest, groupSnapshotID: String?,
        asker: Asker
    ) throws -> Snapshot {
        let allowed: [VolumeStatus] = request.allowsInUse ? [.available, .inUse] : [.available]
        let isIdle = volume.migrationStatus.map {
            MigrationStatus(rawValue: $0).map(MigrationStatus.idle.contains) == true
        }
        guard allowed.contains(volume.status), isIdle ?? true else {
            throw VolumeError.invalid(
                "Invalid volume: Volume \(volume.id) status must be available, but current status is: "
                    + "\(volume.status.shown).")
        }
        let existing = try Table.count(
            db, "SELECT COUNT(*) FROM volume_snapshots WHERE volume_id = ?", [volume.id])
        guard existing < Limits.snapshotsPerVolumeMax else {
            throw VolumeError.invalid("Invalid volume: Volume \(volume.id) has too many snapshots.")
        }
        try demandSnapshot(db, of: volume)
        let snapshot = Snapshot(
            id: id, volumeID: volume.id, projectID: volume.projectID, userID: asker.userID, name: request.name,
            description: request.description, status: .creating, size: volume.size, progress: "0%",
            groupSnapshotID: groupSnapshotID, consumesQuota: true, createdAt: now)
        try Rows.insert(db, snapshot)
        try Facts.merge(db, id, .metadata, request.metadata)
        return snapshot
    }

    private func demandSnapshot(_ db: Database, of volume: Volume) throws {
        var wants: [(QuotaKind, Int)] = [(.snapshots, 1)]
        let typeName = try volume.typeID.flatMap { try Lookups.type(db, id: $0)?.name }
        if let typeName { wants.append((.snapshotsOf(typeName), 1)) }
        if configuration.snapshotsCountGigabytes {
            wants.append((.gigabytes, volume.size))
            if let typeName { wants.append((.gigabytesOf(typeName), volume.size)) }
        }
        try Quotas.demand(db, project: volume.projectID, wants.map { (kind: $0.0, amount: $0.1) }, configuration)
    }

    /// Has the driver make the snapshots, all or none, and records what came of it.
    func cut(_ snapshots: [Snapshot], groupSnapshotID: String?, requestID: String?) async {
        var outcome = SnapshotStatus.available
        do throws(DriverError) {
            try await driver.snapshot(snapshots.map { SnapshotCut(id: $0.id, volume: $0.volumeID) })
        } catch {
            configuration.onFault("snapshots of \(snapshots.map(\.volumeID)) could not be made: \(error)")
            outcome = .error
        }
        let (status, now) = (outcome, now)
        do throws(VolumeError) {
            let deleted = try await settle { db in
                var deleted: [Snapshot] = []
                for snapshot in snapshots {
                    let current = try Lookups.snapshot(db, snapshot.id)?.status
                    if current == nil || current == .deleting {
                        deleted.append(snapshot)
                        continue
                    }
                    try Table.update(
                        db, "volume_snapshots",
                        [
                            "status": status.rawValue, "progress": status == .available ? "100%" : "0%",
                            "updated_at": now,
                        ], where: "id = ? AND status = 'creating'", [snapshot.id])
                    guard status == .error else { continue }
                    try self.leaveMessage(
                        db, .snapshotFailed, project: snapshot.projectID, requestID: requestID,
                        resourceType: "VOLUME_SNAPSHOT", resourceID: snapshot.id)
                }
                if let groupSnapshotID {
                    try Table.update(
                        db, "volume_group_snapshots", ["status": status.rawValue],
                        where: "id = ? AND status = 'creating'", [groupSnapshotID])
                }
                return deleted
            }
            // An administrator's word deleted them before they were there: they must not outlive their rows.
            if status == .available {
                for snapshot in deleted { await carryOutSnapshotDeletion(snapshot, requestID: requestID) }
            }
        } catch {
            // The rows stay `creating`: the sweeper ends them.
            configuration.onFault("snapshots were made, but not recorded: \(error)")
        }
    }

    /// Answers while the snapshot is `deleting`.
    ///
    /// - Parameter force: whatever state it is in (administrators).
    package func deleteSnapshot(_ id: String, force: Bool, for asker: Asker) async throws(VolumeError) {
        let now = now
        _ = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                let snapshot = try Lookups.snapshot(db, id, for: asker)
                guard snapshot.groupSnapshotID == nil else {
                    throw VolumeError.invalid("Invalid snapshot: Snapshot \(id) is part of a group snapshot.")
                }
                let from: [SnapshotStatus] =
                    force ? SnapshotStatus.allCases : SnapshotStatus.deletable
                guard try Transitions.snapshot(db, id, from: from, to: .deleting, now: now) else {
                    throw VolumeError.invalid(
                        "Invalid snapshot: Snapshot status must be available or error, and must not be part of a "
                            + "group.")
                }
                return snapshot
            }
        } work: { snapshot in
            await self.carryOutSnapshotDeletion(snapshot, requestID: asker.requestID)
        }
    }

    /// True if it is gone.
    @discardableResult
    func carryOutSnapshotDeletion(_ snapshot: Snapshot, requestID: String?) async -> Bool {
        let now = now
        do throws(DriverError) {
            try await driver.deleteSnapshot(snapshot.id, of: snapshot.volumeID)
        } catch {
            configuration.onFault("snapshot \(snapshot.id) could not be deleted: \(error)")
            do throws(VolumeError) {
                try await settle { db in
                    guard
                        try Transitions.snapshot(
                            db, snapshot.id, from: [.deleting], to: .errorDeleting, now: now)
                    else { return }
                    try self.leaveMessage(
                        db, .snapshotDeletionFailed, project: snapshot.projectID, requestID: requestID,
                        resourceType: "VOLUME_SNAPSHOT", resourceID: snapshot.id)
                }
            } catch {
                configuration.onFault("snapshot \(snapshot.id) stays deleting: \(error)")
            }
            return false
        }
        do throws(VolumeError) {
            try await settle { db in try Rows.removeSnapshot(db, snapshot.id) }
            return true
        } catch {
            configuration.onFault("snapshot \(snapshot.id) was deleted, but not recorded: \(error)")
            return false
        }
    }

    package func snapshots(
        _ query: ListQuery, allProjects: Bool, for asker: Asker
    ) async throws(VolumeError) -> Page<SnapshotDetail> {
        let query = own(query, asker, allProjects: allProjects)
        return try await read { db in
            let page = try ListSource.snapshots.page(db, query, Snapshot.init)
            let details = try Lookups.details(db, page.items)
            return Page(items: details, isFull: page.isFull, count: page.count)
        }
    }

    package func snapshot(_ id: String, for asker: Asker) async throws(VolumeError) -> SnapshotDetail {
        try await read { db in try Lookups.details(db, [try Lookups.snapshot(db, id, for: asker)])[0] }
    }

    /// - Parameter name, description: `.some(nil)` clears it.
    package func updateSnapshot(
        _ id: String, name: String??, description: String??, for asker: Asker
    ) async throws(VolumeError) -> SnapshotDetail {
        let now = now
        return try await write { db in
            var snapshot = try Lookups.snapshot(db, id, for: asker)
            if let name { snapshot.name = name }
            if let description { snapshot.description = description }
            snapshot.updatedAt = now
            try Table.update(
                db, "volume_snapshots",
                ["name": snapshot.name, "description": snapshot.description, "updated_at": now], where: "id = ?", [id])
            return try Lookups.details(db, [snapshot])[0]
        }
    }

    /// Sets the state by an administrator's word.
    package func resetSnapshot(_ id: String, to status: SnapshotStatus, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            _ = try Lookups.snapshot(db, id, for: asker)
            try Table.update(
                db, "volume_snapshots", ["status": status.rawValue, "updated_at": now], where: "id = ?", [id])
        }
    }

    /// What a compute service says of a snapshot that it has a part in: how the making or the deletion of it goes.
    package func reportSnapshot(
        _ id: String, _ status: SnapshotStatus, progress: String?, for asker: Asker
    ) async throws(VolumeError) {
        let now = now
        try await write { db in
            let snapshot = try Lookups.snapshot(db, id, for: asker)
            let allowed: [SnapshotStatus] =
                switch snapshot.status {
                case .creating: [.creating, .available, .error]
                case .deleting: [.deleting, .errorDeleting]
                default: []
                }
            guard allowed.contains(status) else {
                throw VolumeError.invalid(
                    "Invalid snapshot: Provided snapshot status \(status.rawValue) not allowed for snapshot with status "
                        + "\(snapshot.status.rawValue).")
            }
            try Table.update(
                db, "volume_snapshots",
                ["status": status.rawValue, "progress": progress ?? snapshot.progress, "updated_at": now],
                where: "id = ? AND status = ?", [id, snapshot.status.rawValue])
        }
    }

    // MARK: Going back to one.

    /// Gives the volume the bytes of its latest snapshot; answers while it is `reverting`.
    package func revert(_ id: String, to snapshotID: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        _ = try await operations.begin([id, snapshotID]) { () async throws(VolumeError) in
            try await write { db in
                let volume = try Lookups.volume(db, id, for: asker)
                let snapshot = try Lookups.snapshot(db, snapshotID, for: asker)
                guard snapshot.volumeID == id, try Lookups.snapshots(db, of: id).last?.id == snapshotID else {
                    throw VolumeError.invalid("Volume \(id) can only be reverted to its latest snapshot.")
                }
                guard volume.size == snapshot.size else {
                    throw VolumeError.invalid(
                        "Volume \(id) has another size (\(volume.size)) than snapshot \(snapshotID) "
                            + "(\(snapshot.size)).")
                }
                guard snapshot.status == .available else {
                    throw VolumeError.conflict("Snapshot \(snapshotID) is not available.")
                }
                // Its bytes must not change under a host that is connected the older way.
                guard try Lookups.exports(db, of: id).isEmpty else {
                    throw VolumeError.conflict("A host is still connected to volume \(id).")
                }
                guard
                    try Transitions.volume(
                        db, id, from: [.available], to: .reverting, now: now, attach: [.detached]),
                    try Transitions.snapshot(db, snapshotID, from: [.available], to: .restoring, now: now)
                else { throw VolumeError.conflict("Volume \(id) must be available to be reverted.") }
            }
        } work: { _ in
            var outcome: VolumeStatus?
            do throws(DriverError) {
                try await self.driver.revert(id, to: snapshotID)
            } catch {
                self.configuration.onFault("volume \(id) could not be reverted: \(error)")
                outcome = .error
            }
            await self.endRevert(id, snapshotID, outcome)
        }
    }

    private func endRevert(_ id: String, _ snapshotID: String, _ outcome: VolumeStatus?) async {
        let now = now
        do throws(VolumeError) {
            try await settle { db in
                try Transitions.settle(db, id, from: .reverting, to: outcome, now: now)
                _ = try Transitions.snapshot(db, snapshotID, from: [.restoring], to: .available, now: now)
            }
        } catch {
            configuration.onFault("volume \(id) was reverted, but not recorded: \(error)")
        }
    }
}
