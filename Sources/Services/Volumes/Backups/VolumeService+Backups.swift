import GRDB
import VolumeDrivers

package struct BackupRequest: Sendable {
    package var volumeID: String
    /// It is made from this snapshot of the volume.
    package var snapshotID: String?
    package var name: String?
    package var description: String?
    package var container: String?
    package var metadata: [String: String] = [:]
    package var zone: String?
    /// Only what is different from the latest backup.
    package var isIncremental = false
    /// A volume in use may be backed up, too.
    package var allowsInUse = false

    package init(volumeID: String) { self.volumeID = volumeID }
}

/// A backup that is to be carried out.
struct BackupPlan: Sendable {
    var backup: Backup
    var facts: BackupManifest.VolumeFacts
    var parent: Backup?
    /// No host uses the volume, and in its state none may: it can be read as it is.
    var isAtRest: Bool
    var requestID: String?
}

extension VolumeService {
    /// Answers while the backup is `creating`, and the volume (or its snapshot) `backing-up`: until the backup is
    /// `available`, or `error` with a reason, they can be neither deleted nor changed in size.
    package func createBackup(_ request: BackupRequest, for asker: Asker) async throws(VolumeError) -> BackupDetail {
        let id = newID()
        try await checkBackups(zone: request.zone)
        let held = [id, request.volumeID, request.snapshotID].compactMap { $0 }
        let plan = try await operations.begin(held) { () async throws(VolumeError) in
            try await write { db in try self.insertBackup(db, id: id, request, asker) }
        } work: { plan in
            await self.carryOut(plan)
        }
        return BackupDetail(backup: plan.backup, metadata: request.metadata, hasDependents: false)
    }

    /// Whether there is a backup service that takes work.
    func checkBackups(zone: String?) async throws(VolumeError) {
        let configuration = configuration
        let isDisabled = try await read { db in
            try Table.count(
                db, "SELECT COUNT(*) FROM volume_services WHERE binary_name = ? AND host = ? AND disabled = 1",
                [Self.backupBinary, configuration.host]) > 0
        }
        guard !backups.driverName.isEmpty, !isDisabled, zone ?? configuration.zone == configuration.zone else {
            throw .unavailable("Service cinder-backup could not be found.")
        }
    }

    static let backupBinary = "cinder-backup"
    private static let defaultContainer = "volumebackups"

    private func insertBackup(
        _ db: Database, id: String, _ request: BackupRequest, _ asker: Asker
    ) throws -> BackupPlan {
        let volume = try Lookups.volume(db, request.volumeID, for: asker)
        let snapshot = try request.snapshotID.map { try Lookups.snapshot(db, $0, for: asker) }
        try checkSource(volume, snapshot, request)
        let size = snapshot?.size ?? volume.size
        try Quotas.demand(
            db, project: asker.projectID, [(.backups, 1), (.backupGigabytes, size)], configuration)
        let parent = request.isIncremental ? try parent(db, volume, snapshot, asker) : nil
        let container = request.container.flatMap { $0.isEmpty ? nil : $0 } ?? Self.defaultContainer
        guard !container.utf8.contains(UInt8(ascii: "/")), container.utf8.count <= Limits.backupContainerMax else {
            throw VolumeError.invalid("Invalid input for field/attribute container. It can't be a container's name.")
        }
        let now = now
        var backup = Backup(
            id: id, projectID: asker.projectID, userID: asker.userID, volumeID: volume.id, snapshotID: snapshot?.id,
            parentID: parent?.id, name: request.name, description: request.description, status: .creating, size: size,
            container: container, prefix: "", storeProjectID: asker.projectID, zone: configuration.zone,
            host: configuration.host, objectCount: 0, encryptionKeyID: volume.encryptionKeyID,
            dataTimestamp: snapshot?.createdAt ?? now, createdAt: now)
        backup.prefix = "volume_\(volume.id)/\(Backup.stamp(now))/az_\(backup.zone)_backup_\(id)"
        // Named before it is cut, so that whatever a crash leaves of it is known to be this backup's.
        if snapshot == nil { backup.baseVolumeID = volume.id }
        try BackupRows.insert(db, backup)
        try Facts.merge(db, id, .metadata, request.metadata)
        let moved =
            if let snapshot {
                try Transitions.snapshot(db, snapshot.id, from: [.available], to: .backingUp, now: now)
            } else {
                try Transitions.volume(db, volume.id, from: [.available, .inUse], to: .backingUp, now: now)
            }
        guard moved else { throw VolumeError.invalid("Invalid volume: Volume \(volume.id) is migrating or busy.") }
        let isUsed = try volume.attachStatus != .detached || !Lookups.exports(db, of: volume.id).isEmpty
        return BackupPlan(
            backup: backup, facts: try Self.facts(db, volume), parent: parent, isAtRest: !isUsed,
            requestID: asker.requestID)
    }

    private func checkSource(_ volume: Volume, _ snapshot: Snapshot?, _ request: BackupRequest) throws {
        guard [.available, .inUse].contains(volume.status) else {
            throw VolumeError.invalid(
                "Invalid volume: Volume to be backed up must be available or in-use, but the current status is "
                    + "\"\(volume.status.shown)\".")
        }
        guard let snapshot else {
            guard volume.status == .available || request.allowsInUse else {
                throw VolumeError.invalid("Invalid volume: Backing up an in-use volume must use the force flag.")
            }
            return
        }
        guard snapshot.volumeID == volume.id else {
            throw VolumeError.invalid(
                "Invalid volume: Volume \(volume.id) does not match with snapshot.volume_id \(snapshot.volumeID).")
        }
        guard snapshot.status == .available else {
            throw VolumeError.invalid(
                "Invalid snapshot: Snapshot to be backed up must be available, but the current status is "
                    + "\"\(snapshot.status.rawValue)\".")
        }
    }

    /// The latest of the project's backups of the volume; of a snapshot, the latest from before it.
    private func parent(
        _ db: Database, _ volume: Volume, _ snapshot: Snapshot?, _ asker: Asker
    ) throws -> Backup {
        let before = snapshot?.createdAt ?? .max
        let found = try Table.one(
            db,
            """
            SELECT * FROM volume_backups
            WHERE volume_id = ? AND project_id = ? AND status = 'available' AND data_timestamp < ?
            ORDER BY data_timestamp DESC, created_at DESC, id LIMIT 1
            """, [volume.id, asker.projectID, before], Backup.init)
        guard let parent = found else {
            throw VolumeError.invalid("Invalid backup: No backups available to do an incremental backup.")
        }
        var length = 1
        var next = parent.parentID
        while let id = next {
            length += 1
            guard length < Limits.backupChainMax else {
                throw VolumeError.invalid("Invalid backup: Too many incremental backups follow a full one.")
            }
            next = try BackupRows.find(db, id)?.parentID
        }
        return parent
    }

    private static func facts(_ db: Database, _ volume: Volume) throws -> BackupManifest.VolumeFacts {
        BackupManifest.VolumeFacts(
            name: volume.name, description: volume.description, bootable: volume.bootable, typeID: volume.typeID,
            metadata: try Facts.read(db, volume.id, .metadata),
            imageMetadata: try Facts.read(db, volume.id, .image))
    }

    // MARK: Looking, changing what users write.

    package func backups(
        _ query: ListQuery, allProjects: Bool, for asker: Asker
    ) async throws(VolumeError) -> Page<BackupDetail> {
        let query = own(query, asker, allProjects: allProjects)
        return try await read { db in
            let page = try ListSource.backups.page(db, query, Backup.init)
            return Page(items: try BackupRows.details(db, page.items), isFull: page.isFull, count: page.count)
        }
    }

    package func backup(_ id: String, for asker: Asker) async throws(VolumeError) -> BackupDetail {
        try await read { db in try BackupRows.details(db, [try BackupRows.find(db, id, for: asker)])[0] }
    }

    /// - Parameters:
    ///   - name, description: `.some(nil)` clears it.
    ///   - metadata: replaces all of it; nil leaves it.
    package func updateBackup(
        _ id: String, name: String??, description: String??, metadata: [String: String]?, for asker: Asker
    ) async throws(VolumeError) -> BackupDetail {
        let now = now
        return try await write { db in
            var backup = try BackupRows.find(db, id, for: asker)
            if let name { backup.name = name }
            if let description { backup.description = description }
            backup.updatedAt = now
            try Table.update(
                db, "volume_backups",
                ["name": backup.name, "description": backup.description, "updated_at": now], where: "id = ?", [id])
            if let metadata { try Facts.replace(db, id, .metadata, metadata) }
            return try BackupRows.details(db, [backup])[0]
        }
    }

    /// Sets the state by an administrator's word: `available` or `error`.
    package func resetBackup(_ id: String, to status: BackupStatus, for asker: Asker) async throws(VolumeError) {
        guard [.available, .error].contains(status) else {
            throw .invalid("Invalid input received: Invalid backup status: '\(status.rawValue)'")
        }
        let now = now
        try await write { db in
            _ = try BackupRows.find(db, id, for: asker)
            try Table.update(
                db, "volume_backups", ["status": status.rawValue, "updated_at": now], where: "id = ?", [id])
        }
    }

    // MARK: Deleting.

    /// Answers while the backup is `deleting`. `.invalid` while others build on it, or a volume is being filled from it.
    ///
    /// - Parameter force: whatever state it is in (administrators).
    package func deleteBackup(_ id: String, force: Bool, for asker: Asker) async throws(VolumeError) {
        let now = now
        _ = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                let backup = try BackupRows.find(db, id, for: asker)
                guard force || BackupStatus.deletable.contains(backup.status) else {
                    throw VolumeError.invalid("Invalid backup: Backup status must be available or error")
                }
                guard try !BackupRows.hasDependents(db, id) else {
                    throw VolumeError.invalid("Invalid backup: Incremental backups exist for this backup.")
                }
                guard try !BackupRows.isBeingRestored(db, id) else {
                    throw VolumeError.invalid("Invalid backup: Backup \(id) is being restored.")
                }
                _ = try BackupRows.move(db, id, from: BackupStatus.allCases, to: .deleting, now: now)
                return backup
            }
        } work: { backup in
            await self.carryOutDeletion(of: backup, requestID: asker.requestID)
        }
    }

    /// Deletes the objects, the snapshot of its own, then the row. May be repeated after any interruption.
    func carryOutDeletion(of backup: Backup, requestID: String?) async {
        let (id, now) = (backup.id, now)
        do throws(DriverError) {
            try await clean(backup)
        } catch {
            configuration.onFault("backup \(id) could not be deleted: \(error)")
            let reason = error.description
            await settleOrSay("backup \(id) stays deleting") { db in
                guard try BackupRows.move(db, id, from: [.deleting], to: .error, now: now) else { return }
                try Table.update(db, "volume_backups", ["fail_reason": reason], where: "id = ?", [id])
                try self.leaveMessage(
                    db, .backupDeletionFailed, project: backup.projectID, requestID: requestID,
                    resourceType: "VOLUME_BACKUP", resourceID: id)
            }
            return
        }
        await settleOrSay("backup \(id) was deleted, but not recorded") { db in try BackupRows.remove(db, id) }
    }

    /// Nothing of the backup's stays but its row, and what another record names, too.
    func clean(_ backup: Backup) async throws(DriverError) {
        let isShared: Bool
        do throws(VolumeError) {
            isShared = try await settle { db in try BackupRows.sharesObjects(db, backup) }
        } catch {
            throw .failed(error.description)
        }
        if !isShared { try await deleteObjects(backup) }
        if let volume = backup.baseVolumeID {
            try await driver.deleteSnapshot(BackupBase.id(of: backup.id), of: volume)
        }
    }

    /// The data first: as long as the metadata are there, they say what else may be.
    private func deleteObjects(_ backup: Backup) async throws(DriverError) {
        guard !backup.prefix.isEmpty else { return }
        let (prefix, place) = (backup.prefix, backup.place)
        var marker: String?
        while true {
            let names = try await backups.names(prefix: prefix + "-", after: marker, in: place)
            guard let last = names.last else { break }
            for name in names where BackupManifest.owns(name, prefix: prefix) {
                try await backups.delete(name, in: place)
            }
            marker = last
        }
        try await backups.delete(BackupManifest.name(prefix: prefix), in: place)
    }

    /// The end of an operation that has nobody to answer: a failure is for the operator, and the sweeper's.
    func settleOrSay(_ what: String, _ body: @escaping @Sendable (Database) throws -> Void) async {
        do throws(VolumeError) {
            try await settle(body)
        } catch {
            configuration.onFault("\(what): \(error)")
        }
    }
}
