import GRDB
import VolumeDrivers

extension VolumeService {
    /// Answers while the volume is `deleting`; its row vanishes, or stays as `error_deleting`. One that no backend ever
    /// took is gone when this answers: clients that clean up behind a failed creation count on it.
    ///
    /// - Parameters:
    ///   - cascade: its snapshots go too; else it must have none.
    ///   - force: whatever state it is in (administrators).
    package func deleteVolume(
        _ id: String, cascade: Bool, force: Bool, for asker: Asker
    ) async throws(VolumeError) {
        let now = now
        _ = try await operations.begin([id]) { () async throws(VolumeError) in
            let volume = try await write { db in
                let volume = try Lookups.volume(db, id, for: asker)
                try Self.beginDeletion(db, volume, cascade: cascade, force: force, now: now)
                return volume
            }
            guard volume.status == .error, volume.host == nil else { return Volume?.some(volume) }
            await self.carryOutDeletion(id, leavingBytes: false, requestID: asker.requestID)
            return nil
        } work: { volume in
            guard let volume else { return }
            await self.carryOutDeletion(
                id, leavingBytes: volume.status == .errorManaging, requestID: asker.requestID)
        }
    }

    /// Moves the volume, and its snapshots with it, to `deleting`, or says why it may not go.
    static func beginDeletion(
        _ db: Database, _ volume: Volume, cascade: Bool, force: Bool, withGroup: Bool = false, now: Int64
    ) throws {
        let snapshots = try Lookups.snapshots(db, of: volume.id)
        if !snapshots.isEmpty {
            guard cascade || force else {
                throw VolumeError.invalid(
                    "Invalid volume: Volume still has \(snapshots.count) dependent snapshots.")
            }
            let movable = snapshots.allSatisfy {
                $0.projectID == volume.projectID && $0.groupSnapshotID == nil
                    && SnapshotStatus.deletable.contains($0.status)
            }
            guard movable else { throw VolumeError.invalid("Invalid volume: \(Self.undeletable)") }
        }
        guard volume.groupID == nil || withGroup || force else {
            throw VolumeError.invalid("Invalid volume: \(Self.undeletable)")
        }
        let to: VolumeStatus = volume.status == .errorManaging ? .errorManagingDeleting : .deleting
        let moved: Bool
        if force {
            // An administrator's word stands above the state, but not above a host that uses the volume.
            moved =
                try Table.update(
                    db, "volumes",
                    [
                        "status": to.rawValue, "previous_status": volume.status.rawValue, "updated_at": now,
                        "migration_status": nil,
                    ], where: "id = ? AND attach_status <> 'attached'", [volume.id])
                > 0
        } else {
            moved = try Transitions.volume(
                db, volume.id, from: VolumeStatus.deletable, to: to, now: now,
                attach: [.detached, .errorAttaching, .errorDetaching])
        }
        guard moved else { throw VolumeError.invalid("Invalid volume: \(Self.undeletable)") }
        for snapshot in snapshots {
            _ = try Transitions.snapshot(db, snapshot.id, from: SnapshotStatus.deletable, to: .deleting, now: now)
        }
        try Table.delete(db, "volume_transfers", where: "volume_id = ?", [volume.id])
    }

    private static let undeletable =
        "Volume status must be available or error or error_restoring or error_extending or error_managing and must "
        + "not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated "
        + "from snapshots after volume transfer."

    /// Ends the volume's targets, deletes its bytes, then its row. May be repeated after any interruption.
    ///
    /// - Parameter leavingBytes: the bytes were never this service's.
    func carryOutDeletion(_ id: String, leavingBytes: Bool, requestID: String?) async {
        do throws(VolumeError) {
            try await closeExports(of: id)
            if !leavingBytes { try await deleteBytes(id) }
            try await settle { db in try Rows.removeVolume(db, id) }
        } catch {
            configuration.onFault("volume \(id) could not be deleted: \(error)")
            await markUndeleted(id)
        }
    }

    private func deleteBytes(_ id: String) async throws(VolumeError) {
        let snapshots = try await settle { db in try Lookups.snapshots(db, of: id) }
        try await deleteBases(of: id)
        do throws(DriverError) {
            for snapshot in snapshots { try await driver.deleteSnapshot(snapshot.id, of: id) }
            return try await driver.delete(id)
        } catch {
            guard case .hasSnapshots = error else { throw .backend(error.description) }
        }
        try await deleteUnnamedBases(of: id)
        do throws(DriverError) {
            try await driver.delete(id)
        } catch {
            guard case .hasSnapshots = error else { throw .backend(error.description) }
            // Snapshots without a row, unmanaged ones say, are nobody's to delete, and they need their volume: its bytes
            // stay with the driver as if it had been unmanaged, where the sweeper finds both.
            configuration.onFault("volume \(id) has snapshots that no row names: its bytes are left with the backend")
        }
    }

    private func markUndeleted(_ id: String) async {
        let now = now
        do throws(VolumeError) {
            try await settle { db in
                try Table.update(
                    db, "volumes", ["status": "error_deleting", "updated_at": now],
                    where: "id = ? AND status IN ('deleting', 'error_managing_deleting')", [id])
                try Table.update(
                    db, "volume_snapshots", ["status": "error_deleting", "updated_at": now],
                    where: "volume_id = ? AND status = 'deleting'", [id])
            }
        } catch {
            configuration.onFault("volume \(id) stays deleting: \(error)")
        }
    }
}
