import GRDB
import VolumeDrivers

extension VolumeService {
    /// Ends what a crash left of backups and restores, before volumes and snapshots are judged by what they hold: a
    /// backup that was being made is taken back, one that was being deleted goes, and a volume that was being filled
    /// is whole for nobody.
    func sweepBackups(_ inventory: Inventory) async throws(VolumeError) -> Int {
        guard !backups.driverName.isEmpty else { return 0 }
        var ended = try await sweepRestores()
        let states = BackupStatus.driven.map(\.rawValue)
        let interrupted = try await read { db in
            try Table.all(
                db, "SELECT * FROM volume_backups WHERE status IN (\(Table.marks(states.count)))", states,
                Backup.init)
        }
        let now = now
        for backup in interrupted {
            guard !operations.isHeld(backup.id) else { continue }
            // What came before it in the list took its time.
            let isUnchanged = try await settle { db in
                let current = try BackupRows.find(db, backup.id)
                return current?.status == backup.status && current?.updatedAt == backup.updatedAt
            }
            guard isUnchanged else { continue }
            switch backup.status {
            case .creating:
                await failBackup(backup, reason: "The backup was interrupted.", requestID: nil)
            case .deleting: await carryOutDeletion(of: backup, requestID: nil)
            default:
                try await settle { db in
                    _ = try BackupRows.move(db, backup.id, from: [.restoring], to: .available, now: now)
                }
            }
            ended += 1
        }
        try await sweepBases(inventory)
        return ended
    }

    private func sweepRestores() async throws(VolumeError) -> Int {
        let rows = try await read { db in
            try Table.all(db, "SELECT * FROM volume_restores", []) { row in
                (volume: row["volume_id"] as String, backup: row["backup_id"] as String)
            }
        }
        let now = now
        var ended = 0
        for row in rows where !operations.isHeld(row.volume) {
            let failed = try await settle { db in
                // It may have ended, and another have begun, since the rows were read; that one holds the volume.
                guard !self.operations.isHeld(row.volume) else { return false }
                return try Self.failRestore(db, of: row.volume, now: now)
            }
            if failed { ended += 1 }
        }
        return ended
    }

    /// Backups' own snapshots that no backup names are of no use to anybody: a later backup would be compared with them
    /// only if its row said so. They are deleted, since they would keep their volume from being.
    private func sweepBases(_ inventory: Inventory) async throws(VolumeError) {
        let owners = Dictionary(
            inventory.volumes.map { ($0.reference, $0.id) }, uniquingKeysWith: { first, _ in first })
        for snapshot in inventory.snapshots {
            guard let id = snapshot.id, let backup = BackupBase.backup(of: id), !operations.isHeld(backup) else {
                continue
            }
            guard case .some(.some(let owner)) = owners[snapshot.volumeReference] else { continue }
            let isNamed = try await settle { db in try BackupRows.find(db, backup)?.baseVolumeID == owner }
            guard !isNamed, !operations.isHeld(backup), !operations.isHeld(owner) else { continue }
            do throws(DriverError) {
                try await driver.deleteSnapshot(id, of: owner)
            } catch {
                configuration.onFault("the snapshot \(snapshot.reference) could not be deleted: \(error)")
            }
        }
    }

    /// Before a volume goes: the snapshots that backups of it kept.
    func deleteBases(of volume: String) async throws(VolumeError) {
        let kept = try await settle { db in
            try Table.all(db, "SELECT * FROM volume_backups WHERE base_volume_id = ?", [volume], Backup.init)
        }
        for backup in kept { await dropBase(of: backup) }
    }

    /// The same for those whose rows are lost.
    func deleteUnnamedBases(of volume: String) async throws(VolumeError) {
        let inventory = try await inventory()
        let references = inventory.volumes.filter { $0.id == volume }.map(\.reference)
        do throws(DriverError) {
            for snapshot in inventory.snapshots where references.contains(snapshot.volumeReference) {
                guard let id = snapshot.id, BackupBase.backup(of: id) != nil else { continue }
                try await driver.deleteSnapshot(id, of: volume)
            }
        } catch {
            throw .backend(error.description)
        }
    }
}
