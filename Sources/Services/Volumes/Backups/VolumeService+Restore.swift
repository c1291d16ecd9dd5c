private import Crypto
import GRDB
import VolumeDrivers

/// What a restore was answered with.
package struct RestoreAnswer: Sendable, Equatable {
    package var backupID: String
    package var volumeID: String
    package var volumeName: String?
}

extension VolumeService {
    /// Fills a volume from the backup: the one named, or a new one. Answers while the backup is `restoring` and the volume
    /// `restoring-backup`; the volume becomes `available`, or `error_restoring`.
    package func restoreBackup(
        _ id: String, to volumeID: String?, name: String?, for asker: Asker
    ) async throws(VolumeError) -> RestoreAnswer {
        try await checkBackups(zone: nil)
        let target = volumeID ?? newID()
        let begun = try await operations.begin([id, target]) { () async throws(VolumeError) in
            try await write { db in
                let backup = try BackupRows.find(db, id, for: asker)
                guard backup.status == .available else {
                    throw VolumeError.invalid("Invalid backup: Backup status must be available")
                }
                let volume =
                    if volumeID == nil {
                        try self.insertRestored(db, id: target, backup, name: name, asker)
                    } else {
                        try self.takeForRestore(db, target, backup, asker)
                    }
                guard try BackupRows.move(db, id, from: [.available], to: .restoring, now: self.now) else {
                    throw VolumeError.invalid("Invalid backup: Backup status must be available")
                }
                try Table.update(db, "volume_backups", ["restore_volume_id": target], where: "id = ?", [id])
                return (backup: backup, volume: volume)
            }
        } work: { begun in
            await self.carryOutRestore(
                of: begun.backup, to: begun.volume, isNew: volumeID == nil, requestID: asker.requestID)
        }
        return RestoreAnswer(backupID: id, volumeID: target, volumeName: begun.volume.name)
    }

    private static func defaultName(_ backup: String) -> String { "restore_backup_\(backup)" }

    private func insertRestored(
        _ db: Database, id: String, _ backup: Backup, name: String?, _ asker: Asker
    ) throws -> Volume {
        var request = VolumeRequest()
        request.name = name ?? Self.defaultName(backup.id)
        request.description = "auto-created_from_restore_from_backup"
        request.backupID = backup.id
        var volume = try insertVolume(db, id: id, request, nil, asker).volume
        _ = try Transitions.volume(db, id, from: [.creating], to: .restoringBackup, now: now)
        volume.status = .restoringBackup
        return volume
    }

    private func takeForRestore(_ db: Database, _ id: String, _ backup: Backup, _ asker: Asker) throws -> Volume {
        let volume = try Lookups.volume(db, id, for: asker)
        guard volume.status == .available else {
            throw VolumeError.invalid("Invalid volume: Volume to be restored to must be available")
        }
        guard backup.size <= volume.size else {
            throw VolumeError.invalid(
                "Invalid volume: volume size \(volume.size) is too small to restore backup of size \(backup.size).")
        }
        // Its bytes must not change under a host that is connected the older way.
        guard try Lookups.exports(db, of: id).isEmpty,
            try Transitions.volume(db, id, from: [.available], to: .restoringBackup, now: now, attach: [.detached])
        else { throw VolumeError.invalid("Invalid volume: Volume to be restored to must be available") }
        try Table.insert(db, "volume_restores", ["volume_id": id, "backup_id": backup.id])
        return volume
    }

    /// For a volume that is made from a backup, its row `creating`; the backup stays `available`.
    func makeFromBackup(_ volume: Volume, _ backup: Backup, requestID: String?) async {
        await carryOutRestore(of: backup, to: volume, isNew: true, requestID: requestID)
    }

    // MARK: Behind the answer.

    private func carryOutRestore(of backup: Backup, to volume: Volume, isNew: Bool, requestID: String?) async {
        do throws(DriverError) {
            if isNew { try await checkPlace(for: volume) }
            let manifest = try await fill(volume, from: backup, isNew: isNew)
            await endRestore(of: backup, to: volume, isNew: isNew, facts: manifest.volume)
        } catch {
            configuration.onFault("backup \(backup.id) could not be restored to volume \(volume.id): \(error)")
            await failRestore(of: backup, to: volume, requestID: requestID)
        }
    }

    private func checkPlace(for volume: Volume) async throws(DriverError) {
        do throws(VolumeError) {
            guard case .refused(let reason) = try await findPlace(volume, far: []) else { return }
            throw .backend(reason)
        } catch {
            throw .failed(error.description)
        }
    }

    /// The backup and those that it builds on are applied in their order; every object is verified by its hash.
    private func fill(
        _ volume: Volume, from backup: Backup, isNew: Bool
    ) async throws(DriverError) -> BackupManifest {
        if isNew {
            try await driver.create(
                NewVolume(
                    id: volume.id, bytes: volume.bytes, blockBytes: volume.blockBytes, writeCache: volume.writeCache))
        }
        await backupSlots.enter()
        defer { backupSlots.leave() }
        let chain = try await chain(of: backup)
        guard let last = chain.last?.manifest, chain.allSatisfy({ $0.manifest.bytes <= volume.bytes }) else {
            throw .invalid("the backup is larger than volume \(volume.id)")
        }
        let filling = try await driver.openFilling(volume.id)
        if !isNew { try await filling.zero(0..<last.bytes) }
        for (link, manifest) in chain {
            for range in manifest.zeros { try await filling.zero(range) }
            for object in manifest.objects { try await restore(object, of: link, to: filling) }
        }
        try await filling.finish()
        return last
    }

    private func restore(
        _ object: BackupManifest.Object, of backup: Backup, to filling: any VolumeFilling
    ) async throws(DriverError) {
        let reader = try await backups.open(object.name, in: backup.place)
        guard UInt64(reader.byteCount) == object.length else { throw .invalid("\(object.name) has another length") }
        var hash = SHA256()
        var position = 0
        for extent in object.extents {
            var at = extent.lowerBound
            while at < extent.upperBound {
                try checkNotStopping()
                let count = Int(min(extent.upperBound - at, UInt64(ImageLimits.readBytesMax)))
                let data = try await reader.read(position..<position + count)
                hash.update(data: data)
                try await filling.write(data, at: at)
                position += count
                at += UInt64(count)
            }
        }
        guard BackupPacker.hex(Array(hash.finalize())) == object.sha256 else {
            throw .invalid("\(object.name) is not what was backed up")
        }
    }

    // MARK: Ends.

    private func endRestore(
        of backup: Backup, to volume: Volume, isNew: Bool, facts: BackupManifest.VolumeFacts
    ) async {
        let (id, now, configuration) = (volume.id, now, configuration)
        let isUnnamed = volume.name == Self.defaultName(backup.id)
        do throws(VolumeError) {
            let isWanted = try await settle { db in
                try Table.delete(db, "volume_restores", where: "volume_id = ?", [id])
                _ = try BackupRows.move(db, backup.id, from: [.restoring], to: .available, now: now)
                let status = try Lookups.volume(db, id)?.status
                guard status == .restoringBackup || status == .creating else {
                    return status != nil && status != .deleting
                }
                if isNew {
                    try Table.update(
                        db, "volumes",
                        [
                            "host": try Self.place(db, ofType: volume.typeID, configuration),
                            "bootable": facts.bootable,
                        ], where: "id = ?", [id])
                    // A name that nobody chose gives way to the one that the volume had.
                    if isUnnamed, let name = facts.name {
                        try Table.update(
                            db, "volumes", ["name": name, "description": facts.description], where: "id = ?", [id])
                    }
                    try Facts.merge(db, id, .metadata, facts.metadata)
                } else {
                    try Facts.replace(db, id, .metadata, facts.metadata)
                }
                try Facts.replace(db, id, .image, facts.imageMetadata)
                for state in [VolumeStatus.restoringBackup, .creating] {
                    try Transitions.settle(db, id, from: state, to: .available, now: now)
                }
                return true
            }
            // An administrator's word deleted it before its bytes were there: they must not outlive their row.
            if isNew, !isWanted { await carryOutDeletion(id, leavingBytes: false, requestID: nil) }
        } catch {
            // Volume and backup stay as they are: the sweeper ends them.
            configuration.onFault("volume \(id) was restored, but not recorded: \(error)")
        }
    }

    private func failRestore(of backup: Backup, to volume: Volume, requestID: String?) async {
        let now = now
        await settleOrSay("volume \(volume.id) stays \(volume.status.rawValue)") { db in
            _ = try BackupRows.move(db, backup.id, from: [.restoring], to: .available, now: now)
            guard try Self.failRestore(db, of: volume.id, now: now) else { return }
            try self.leaveMessage(
                db, .restoreFailed, project: volume.projectID, requestID: requestID, resourceType: "VOLUME_BACKUP",
                resourceID: backup.id)
        }
    }

    /// Nobody knows how much of it was filled. False if it is something else by now.
    static func failRestore(_ db: Database, of volume: String, now: Int64) throws -> Bool {
        try Table.delete(db, "volume_restores", where: "volume_id = ?", [volume])
        let wasRestoring = try Transitions.settle(
            db, volume, from: .restoringBackup, to: .errorRestoring, now: now)
        let wasCreating = try Transitions.settle(db, volume, from: .creating, to: .error, now: now)
        return wasRestoring || wasCreating
    }
}
