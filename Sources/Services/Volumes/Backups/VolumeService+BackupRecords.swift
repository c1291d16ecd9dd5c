import GRDB
import VolumeDrivers

/// A backup as it leaves one `control.db` for another: the objects stay where they are.
package struct BackupRecord: Sendable, Equatable {
    package var driver: String
    package var backup: Backup
    package var metadata: [String: String]

    package init(driver: String, backup: Backup, metadata: [String: String]) {
        self.driver = driver
        self.backup = backup
        self.metadata = metadata
    }
}

extension VolumeService {
    package func exportBackup(_ id: String, for asker: Asker) async throws(VolumeError) -> BackupRecord {
        let detail = try await backup(id, for: asker)
        guard detail.backup.status == .available else {
            throw .invalid("Invalid backup: Backup status must be available and not \(detail.backup.status.rawValue).")
        }
        return BackupRecord(driver: backups.driverName, backup: detail.backup, metadata: detail.metadata)
    }

    /// Makes the row of a backup whose objects are there. It belongs to the project that imports it, under the id that
    /// it had: incremental backups name their parents by it. It is `error`, with a reason, if its metadata can't be read.
    package func importBackup(_ record: BackupRecord, for asker: Asker) async throws(VolumeError) -> BackupDetail {
        try await checkBackups(zone: nil)
        var backup = record.backup
        backup.projectID = asker.projectID
        backup.userID = asker.userID
        backup.zone = configuration.zone
        backup.host = configuration.host
        backup.baseVolumeID = nil
        backup.restoreVolumeID = nil
        backup.createdAt = now
        backup.updatedAt = now
        let found = backup
        return try await operations.complete([backup.id]) { () async throws(VolumeError) in
            let (status, reason) = await self.judge(record)
            return try await self.settle { db in
                guard try BackupRows.find(db, found.id) == nil else {
                    throw VolumeError.invalid("Invalid backup: Backup already exists in database.")
                }
                var backup = found
                backup.status = status
                backup.failReason = reason
                try BackupRows.insert(db, backup)
                try Facts.merge(db, backup.id, .metadata, record.metadata)
                return try BackupRows.details(db, [backup])[0]
            }
        }
    }

    private func judge(_ record: BackupRecord) async -> (BackupStatus, String?) {
        guard record.driver == backups.driverName else {
            return (.error, "Backup service \(record.driver) is not available.")
        }
        do throws(DriverError) {
            _ = try await manifest(of: record.backup)
            return (.available, nil)
        } catch {
            return (.error, error.description)
        }
    }
}

extension Backup {
    /// As a record describes it; whose it is, where and in which state is said when it is imported.
    package init(
        id: String, volumeID: String, snapshotID: String?, parentID: String?, name: String?, description: String?,
        size: Int, container: String, prefix: String, storeProjectID: String, objectCount: Int,
        encryptionKeyID: String?, dataTimestamp: Int64
    ) {
        self.init(
            id: id, projectID: "", userID: "", volumeID: volumeID, snapshotID: snapshotID, parentID: parentID,
            name: name, description: description, status: .creating, size: size, container: container,
            prefix: prefix, storeProjectID: storeProjectID, zone: "", host: "", objectCount: objectCount,
            encryptionKeyID: encryptionKeyID, dataTimestamp: dataTimestamp, createdAt: 0)
    }
}
