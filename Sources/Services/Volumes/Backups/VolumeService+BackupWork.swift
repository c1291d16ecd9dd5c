private import Crypto
import GRDB
import VolumeDrivers

extension VolumeService {
    func carryOut(_ plan: BackupPlan) async {
        do throws(DriverError) {
            let manifest = try await take(plan)
            await endBackup(plan, objects: manifest.objects.count)
        } catch {
            configuration.onFault("backup \(plan.backup.id) could not be made: \(error)")
            await failBackup(plan.backup, reason: error.description, requestID: plan.requestID)
        }
    }

    /// - Precondition: ends every backup and restore soon when the daemon stops; the next start's sweep does the rest.
    func checkNotStopping() throws(DriverError) {
        if isStopping { throw .failed("the daemon is stopping") }
    }

    private func take(_ plan: BackupPlan) async throws(DriverError) -> BackupManifest {
        // Cut before it waits for its turn: the moment that it shows is the moment of the request.
        let source = try await source(of: plan)
        await backupSlots.enter()
        defer { backupSlots.leave() }
        try checkNotStopping()
        let backup = plan.backup
        try await backups.prepare(backup.place)
        let opened = try await open(source, since: plan.parent)
        var packer = BackupPacker(
            image: opened.image, store: backups, place: backup.place, prefix: backup.prefix,
            objectBytes: configuration.backupObjectBytes,
            check: { [self] () throws(DriverError) in try checkNotStopping() })
        do throws(DriverError) {
            if let parent = plan.parent, !opened.isDifference {
                for run in try await compare(opened.image, with: parent) { try await packer.add(run) }
            } else {
                var offset: UInt64? = 0
                while let from = offset {
                    let changes = try await opened.image.changes(from: from)
                    for run in changes.runs { try await packer.add(run) }
                    offset = changes.next
                }
            }
            try await packer.finish()
        } catch {
            await packer.abandon()
            throw error
        }
        let manifest = BackupManifest(
            backupID: backup.id, volumeID: backup.volumeID, parentID: backup.parentID, name: backup.name,
            description: backup.description, createdAt: Backup.stamp(backup.createdAt), bytes: opened.image.bytes,
            objects: packer.objects, zeros: packer.zeros, volume: plan.facts)
        try await write(manifest, of: backup)
        return manifest
    }

    /// The user's snapshot, or one of the backup's own. Where a driver makes no further snapshot of a volume, or only so
    /// many that they are better left to its users, a volume at rest is read as it is: its state keeps everybody from
    /// writing to it. The next backup is then compared by hashes.
    private func source(of plan: BackupPlan) async throws(DriverError) -> CloneSource {
        let backup = plan.backup
        if let snapshot = backup.snapshotID { return .snapshot(snapshot, of: backup.volumeID) }
        let base = BackupBase.id(of: backup.id)
        do throws(DriverError) {
            if plan.isAtRest {
                let left = try await driver.snapshotsLeft(of: backup.volumeID)
                guard left >= Limits.backupSnapshotsLeftMin else { return .volume(backup.volumeID) }
            }
            try await driver.snapshot([SnapshotCut(id: base, volume: backup.volumeID)])
            return .snapshot(base, of: backup.volumeID)
        } catch {
            guard plan.isAtRest, case .failed = error else { throw error }
            configuration.onFault("volume \(backup.volumeID) is backed up without a snapshot: \(error)")
            return .volume(backup.volumeID)
        }
    }

    /// The image, compared with the parent's snapshot if that is still there and the driver can tell.
    private func open(
        _ source: CloneSource, since parent: Backup?
    ) async throws(DriverError) -> (image: any VolumeImage, isDifference: Bool) {
        if let parent {
            let base = parent.baseVolumeID != nil ? BackupBase.id(of: parent.id) : parent.snapshotID
            if let base {
                do throws(DriverError) {
                    return (try await driver.openImage(source, since: base), true)
                } catch {
                    switch error {
                    // Gone, or the volume went back to a moment before it.
                    case .absent, .invalid: break
                    default: throw error
                    }
                }
            }
        }
        return (try await driver.openImage(source, since: nil), false)
    }

    /// What differs from the parent, where no snapshot of that moment is left: all that the image holds is read, and
    /// compared with the hashes in the metadata of the parent and those that it builds on.
    ///
    /// An object is unchanged if all of its bytes are, and if nothing newer in the chain hides any of them.
    private func compare(
        _ image: any VolumeImage, with parent: Backup
    ) async throws(DriverError) -> [ImageChanges.Run] {
        var data: [Range<UInt64>] = []
        var offset: UInt64? = 0
        while let from = offset {
            let changes = try await image.changes(from: from)
            data += changes.runs.filter { !$0.isZero }.map(\.range)
            offset = changes.next
        }
        let present = ByteRanges(data)
        var held = ByteRanges()
        var newer = ByteRanges()
        var same: [Range<UInt64>] = []
        for link in try await chain(of: parent).reversed() {
            let extents = link.manifest.objects.flatMap(\.extents)
            for object in link.manifest.objects {
                let isInSight = object.extents.allSatisfy { !newer.overlaps($0) && $0.upperBound <= image.bytes }
                guard isInSight, try await hash(image, object.extents) == object.sha256 else { continue }
                same += object.extents
            }
            held = held.union(ByteRanges(extents))
            newer = newer.union(ByteRanges(extents + link.manifest.zeros))
        }
        let changed = present.union(held).subtracting(ByteRanges(same))
        let runs =
            changed.intersection(present).ranges.map { ImageChanges.Run($0, isZero: false) }
            + changed.subtracting(present).ranges.compactMap { range in
                let end = min(range.upperBound, image.bytes)
                return range.lowerBound < end ? ImageChanges.Run(range.lowerBound..<end, isZero: true) : nil
            }
        return runs.sorted { $0.range.lowerBound < $1.range.lowerBound }
    }

    private func hash(_ image: any VolumeImage, _ extents: [Range<UInt64>]) async throws(DriverError) -> String {
        var hash = SHA256()
        for extent in extents {
            var at = extent.lowerBound
            while at < extent.upperBound {
                try checkNotStopping()
                let end = min(extent.upperBound, at + UInt64(ImageLimits.readBytesMax))
                hash.update(data: try await image.read(at..<end))
                at = end
            }
        }
        return BackupPacker.hex(Array(hash.finalize()))
    }

    // MARK: Metadata objects.

    private func write(_ manifest: BackupManifest, of backup: Backup) async throws(DriverError) {
        let text = manifest.utf8
        guard text.count <= Limits.backupManifestBytesMax else { throw .failed("the backup's metadata are too long") }
        let writer = try await backups.write(BackupManifest.name(prefix: backup.prefix), in: backup.place)
        do throws(DriverError) {
            for at in stride(from: 0, to: text.count, by: ImageLimits.readBytesMax) {
                try await writer.append(Array(text[at..<min(text.count, at + ImageLimits.readBytesMax)]))
            }
        } catch {
            await writer.abort()
            throw error
        }
        try await writer.finish()
    }

    func manifest(of backup: Backup) async throws(DriverError) -> BackupManifest {
        let name = BackupManifest.name(prefix: backup.prefix)
        let reader = try await backups.open(name, in: backup.place)
        guard reader.byteCount <= Limits.backupManifestBytesMax else { throw .invalid("\(name) is too long") }
        var text: [UInt8] = []
        text.reserveCapacity(reader.byteCount)
        while text.count < reader.byteCount {
            let end = min(reader.byteCount, text.count + ImageLimits.readBytesMax)
            text += try await reader.read(text.count..<end)
        }
        guard let manifest = BackupManifest(text, prefix: backup.prefix) else {
            throw .invalid("\(name) is no metadata of a backup that this service can restore")
        }
        return manifest
    }

    /// The backup and those that it builds on, the full one first.
    func chain(of backup: Backup) async throws(DriverError) -> [(backup: Backup, manifest: BackupManifest)] {
        let links: [Backup]
        do throws(VolumeError) {
            links = try await settle { db in
                var links = [backup]
                while let id = links[links.count - 1].parentID {
                    guard links.count < Limits.backupChainMax, let parent = try BackupRows.find(db, id) else {
                        throw VolumeError.notFound(kind: "Backup", id: id)
                    }
                    links.append(parent)
                }
                return links.reversed()
            }
        } catch {
            throw .absent(error.description)
        }
        var chain: [(backup: Backup, manifest: BackupManifest)] = []
        for link in links { chain.append((link, try await manifest(of: link))) }
        return chain
    }

    // MARK: Ends.

    private func endBackup(_ plan: BackupPlan, objects: Int) async {
        let (backup, now) = (plan.backup, now)
        let outcome: (isWanted: Bool, olderBases: [Backup])
        do throws(VolumeError) {
            outcome = try await settle { db in
                try Table.update(
                    db, "volume_backups", ["status": "available", "updated_at": now],
                    where: "id = ? AND status = 'creating'", [backup.id])
                try Table.update(db, "volume_backups", ["object_count": objects], where: "id = ?", [backup.id])
                try Self.release(db, backup, now: now)
                let status = try BackupRows.find(db, backup.id)?.status
                // Each is compared with the one before it only: older snapshots would hold space for nothing.
                let older =
                    backup.baseVolumeID == nil
                    ? []
                    : try Table.all(
                        db,
                        """
                        SELECT * FROM volume_backups
                        WHERE base_volume_id = ? AND project_id = ? AND id <> ? AND status <> 'creating'
                            AND data_timestamp <= ?
                        """, [backup.baseVolumeID, backup.projectID, backup.id, backup.dataTimestamp], Backup.init)
                return (status != nil && status != .deleting, older)
            }
        } catch {
            // The row stays `creating`: the sweeper ends it.
            return configuration.onFault("backup \(backup.id) was made, but not recorded: \(error)")
        }
        // An administrator's word deleted it before it was there: its objects must not outlive its row.
        if !outcome.isWanted { return await cleanOrSay(backup) }
        for old in outcome.olderBases { await dropBase(of: old) }
    }

    /// What was written is taken back first: as long as the row says `creating`, the sweeper would do it.
    func failBackup(_ backup: Backup, reason: String, requestID: String?) async {
        await cleanOrSay(backup)
        let now = now
        await settleOrSay("backup \(backup.id) stays creating") { db in
            let failed = try Table.update(
                db, "volume_backups",
                ["status": "error", "fail_reason": reason, "base_volume_id": nil, "updated_at": now],
                where: "id = ? AND status IN ('creating', 'available', 'error')", [backup.id])
            try Self.release(db, backup, now: now)
            guard failed > 0 else { return }
            try self.leaveMessage(
                db, .backupFailed, project: backup.projectID, requestID: requestID, resourceType: "VOLUME_BACKUP",
                resourceID: backup.id)
        }
    }

    /// The volume or snapshot is what it was before.
    private static func release(_ db: Database, _ backup: Backup, now: Int64) throws {
        if let snapshot = backup.snapshotID {
            _ = try Transitions.snapshot(db, snapshot, from: [.backingUp], to: .available, now: now)
        } else {
            try Transitions.settle(db, backup.volumeID, from: .backingUp, to: nil, now: now)
        }
    }

    private func cleanOrSay(_ backup: Backup) async {
        do throws(DriverError) {
            try await clean(backup)
        } catch {
            configuration.onFault("objects of backup \(backup.id) may be left in \(backup.container): \(error)")
        }
    }

    /// The snapshot that a backup kept for the next one goes; the backup doesn't need it.
    func dropBase(of backup: Backup) async {
        guard let volume = backup.baseVolumeID else { return }
        do throws(DriverError) {
            try await driver.deleteSnapshot(BackupBase.id(of: backup.id), of: volume)
        } catch {
            return configuration.onFault("the snapshot of backup \(backup.id) could not be deleted: \(error)")
        }
        await settleOrSay("backup \(backup.id) seems to have a snapshot") { db in
            try Table.update(db, "volume_backups", ["base_volume_id": nil], where: "id = ?", [backup.id])
        }
    }
}
