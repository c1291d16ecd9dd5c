import GRDB
import VolumeDrivers

/// What a sweep did.
package struct SweepReport: Sendable, Equatable {
    /// Volumes, snapshots and groups whose interrupted operation was brought to an end.
    package var ended = 0
    /// Attachments and volumes that a client left half attached or half detached.
    package var released = 0
    /// Volumes and snapshots that the driver holds and no row names: newly found.
    package var strays = 0
    /// Rows whose bytes the driver doesn't have.
    package var missing = 0
    /// Targets opened again at the start.
    package var reopened = 0
    /// Targets that were open without a row, and closed.
    package var closed = 0

    package init() {}

    package var isQuiet: Bool { self == SweepReport() }
}

extension VolumeService {
    func sweepRegularly(_ report: @escaping @Sendable (Result<SweepReport, VolumeError>) -> Void) async {
        while !Task.isCancelled {
            do {
                try await Task.sleep(for: .seconds(configuration.sweepSeconds))
            } catch {
                return
            }
            do throws(VolumeError) {
                let done = try await sweep()
                if !done.isQuiet { report(.success(done)) }
            } catch {
                report(.failure(error))
            }
        }
    }

    /// Brings every state that no operation is working on any more to a true one, from what the driver holds.
    ///
    /// Deletions are carried out to their end; everything else is judged: what is whole is `available`, what isn't is
    /// `error`. It may run at any time: what is under way is left alone, since operations are registered before their
    /// rows change, and here the rows are read before the register.
    package func sweep() async throws(VolumeError) -> SweepReport {
        var report = SweepReport()
        let before = try await read { db in try Self.ids(db) }
        let inventory = try await inventory()
        let after = try await read { db in try Self.ids(db) }
        report.strays = try await quarantine(inventory, known: before.union(after))
        let held = Holdings(inventory)
        report.missing = before.intersection(after).filter { !held.has($0) && !operations.isHeld($0) }.count
        report.ended += try await sweepBackups(inventory)
        report.ended += try await sweepVolumes(held)
        report.ended += try await sweepSnapshots(held)
        report.ended += try await sweepGroups()
        report.released += try await sweepHandshakes()
        report.closed += try await closeStrayExports()
        return report
    }

    /// What the driver has, by the ids of rows.
    private struct Holdings: Sendable {
        var volumes: [String: UInt64] = [:]
        var snapshots: Set<String> = []

        init(_ inventory: Inventory) {
            for volume in inventory.volumes { if let id = volume.id { volumes[id] = volume.bytes } }
            snapshots = Set(inventory.snapshots.compactMap(\.id))
        }

        func has(_ id: String) -> Bool { volumes[id] != nil || snapshots.contains(id) }
    }

    /// Of everything that should have bytes.
    private static func ids(_ db: Database) throws -> Set<String> {
        let gone = "('creating', 'downloading', 'deleting', 'error', 'error_deleting', 'managing', 'error_managing')"
        let volumes = try String.fetchAll(db, sql: "SELECT id FROM volumes WHERE status NOT IN \(gone)")
        let snapshots = try String.fetchAll(db, sql: "SELECT id FROM volume_snapshots WHERE status NOT IN \(gone)")
        return Set(volumes + snapshots)
    }

    /// Remembers what has no row, and forgets what has one by now or is gone. Never deletes any of it: yesterday's
    /// `control.db` put back must not cost today's volumes.
    private func quarantine(_ inventory: Inventory, known: Set<String>) async throws(VolumeError) -> Int {
        let now = now
        let operations = operations
        return try await write { db in
            let all = Set(
                try String.fetchAll(db, sql: "SELECT id FROM volumes UNION ALL SELECT id FROM volume_snapshots")
            ).union(known)
            let found =
                inventory.volumes.filter { volume in
                    volume.id.map { !all.contains($0) && !operations.isHeld($0) } ?? true
                }.map {
                    Stray(
                        reference: $0.reference, size: Self.gibibytes($0.bytes), isSnapshot: false, foundAt: now)
                }
                + inventory.snapshots.filter { snapshot in
                    snapshot.id.map {
                        !all.contains($0) && !operations.isHeld($0) && BackupBase.backup(of: $0) == nil
                    } ?? true
                }.map {
                    Stray(
                        reference: $0.reference, size: Self.gibibytes($0.bytes), isSnapshot: true,
                        volumeReference: $0.volumeReference, foundAt: now)
                }
            let old = try Table.all(db, "SELECT * FROM volume_strays", [], Stray.init)
            let foundKeys = Set(found.map { "\($0.isSnapshot) \($0.reference)" })
            let oldKeys = Set(old.map { "\($0.isSnapshot) \($0.reference)" })
            for stray in old where !foundKeys.contains("\(stray.isSnapshot) \(stray.reference)") {
                try Table.delete(
                    db, "volume_strays", where: "reference = ? AND is_snapshot = ?",
                    [stray.reference, stray.isSnapshot])
            }
            let new = found.filter { !oldKeys.contains("\($0.isSnapshot) \($0.reference)") }.prefix(
                max(0, Limits.quarantineMax - old.count))
            for stray in new {
                try Table.insert(
                    db, "volume_strays",
                    [
                        "reference": stray.reference, "is_snapshot": stray.isSnapshot, "size": stray.size,
                        "volume_reference": stray.volumeReference, "found_at": now,
                    ])
            }
            return new.count
        }
    }

    // MARK: Interrupted operations.

    private func sweepVolumes(_ held: Holdings) async throws(VolumeError) -> Int {
        let states = VolumeStatus.driven.map(\.rawValue)
        let interrupted = try await read { db in
            try Table.all(
                db, "SELECT * FROM volumes WHERE status IN (\(Table.marks(states.count)))", states, Volume.init)
        }
        var ended = 0
        for volume in interrupted {
            guard try await isInterrupted(volume) else { continue }
            switch volume.status {
            case .deleting:
                await carryOutDeletion(volume.id, leavingBytes: false, requestID: nil)
            case .errorManagingDeleting:
                await carryOutDeletion(volume.id, leavingBytes: true, requestID: nil)
            case .unmanaging:
                try await closeExports(of: volume.id)
                try await settle { db in try Rows.removeVolume(db, volume.id) }
            default: try await judge(volume, bytes: held.volumes[volume.id])
            }
            ended += 1
        }
        return ended
    }

    /// Whether nothing works on the volume, and nothing did since its row was read: the ends of those before it in the
    /// list take their time, and what is `available` by now must not be deleted for having been `deleting` then.
    private func isInterrupted(_ volume: Volume) async throws(VolumeError) -> Bool {
        // What makes or deletes a group's volumes holds the group.
        guard ![volume.id, volume.groupID].compactMap({ $0 }).contains(where: operations.isHeld) else { return false }
        return try await settle { db in try Self.isUnchanged(db, volume) }
    }

    private static func isUnchanged(_ db: Database, _ volume: Volume) throws -> Bool {
        guard let current = try Lookups.volume(db, volume.id) else { return false }
        return current.status == volume.status && current.updatedAt == volume.updatedAt
    }

    /// - Parameter bytes: what the driver has of it; nil if nothing.
    private func judge(_ volume: Volume, bytes: UInt64?) async throws(VolumeError) {
        let (now, configuration) = (now, configuration)
        let (id, status) = (volume.id, volume.status)
        try await settle { db in
            guard try Self.isUnchanged(db, volume) else { return }
            switch status {
            case .creating, .downloading:
                // The driver makes a volume whole or not at all: one from an image once the image's disk is there.
                let isWhole = bytes == volume.bytes
                guard try Transitions.settle(db, id, from: status, to: isWhole ? .available : .error, now: now)
                else { return }
                if isWhole {
                    let place = try Self.place(db, ofType: volume.typeID, configuration)
                    try Table.update(db, "volumes", ["host": place], where: "id = ?", [id])
                } else {
                    try self.leaveMessage(
                        db, .interrupted, project: volume.projectID, requestID: nil, resourceType: "VOLUME",
                        resourceID: id)
                }
            case .managing:
                try Transitions.settle(
                    db, id, from: status, to: bytes == nil ? .errorManaging : .available, now: now)
            case .extending:
                if let bytes, let target = volume.targetSize, bytes >= UInt64(target) << 30 {
                    try Self.endExtension(db, id, size: target, now: now)
                } else {
                    try Transitions.settle(db, id, from: status, to: bytes == nil ? .error : nil, now: now)
                }
            case .reverting:
                // Done or not done, the volume is whole: which of the two can't be told, and either is what a client
                // whose request was cut off has to expect.
                try Transitions.settle(db, id, from: status, to: bytes == nil ? .error : nil, now: now)
            default: try Transitions.settle(db, id, from: status, to: bytes == nil ? .error : nil, now: now)
            }
        }
        if status == .extending, let bytes { await exporter.resized(id, to: bytes) }
    }

    private func sweepSnapshots(_ held: Holdings) async throws(VolumeError) -> Int {
        let states = SnapshotStatus.driven.map(\.rawValue)
        let interrupted = try await read { db in
            try Table.all(
                db, "SELECT * FROM volume_snapshots WHERE status IN (\(Table.marks(states.count)))", states,
                Snapshot.init)
        }
        let now = now
        var ended = 0
        for snapshot in interrupted {
            let holders = [snapshot.id, snapshot.volumeID, snapshot.groupSnapshotID].compactMap { $0 }
            guard !holders.contains(where: operations.isHeld) else { continue }
            let isUnchanged = try await settle { db in
                let current = try Lookups.snapshot(db, snapshot.id)
                return current?.status == snapshot.status && current?.updatedAt == snapshot.updatedAt
            }
            guard isUnchanged else { continue }
            if snapshot.status == .deleting {
                await carryOutSnapshotDeletion(snapshot, requestID: nil)
            } else {
                let isThere = held.snapshots.contains(snapshot.id)
                try await settle { db in
                    let moved = try Transitions.snapshot(
                        db, snapshot.id, from: [snapshot.status], to: isThere ? .available : .error, now: now)
                    guard moved else { return }
                    try Table.update(
                        db, "volume_snapshots", ["progress": isThere ? "100%" : "0%"], where: "id = ?", [snapshot.id])
                }
            }
            ended += 1
        }
        return ended
    }

    private func sweepGroups() async throws(VolumeError) -> Int {
        var ended = 0
        let groups = try await read { db in
            try Table.all(
                db, "SELECT * FROM volume_groups WHERE status IN ('creating', 'updating', 'deleting')", [],
                VolumeGroup.init)
        }
        for group in groups where !operations.isHeld(group.id) {
            switch group.status {
            case .deleting: await carryOutGroupDeletion(group.id, [], requestID: nil)
            case .creating: await endGroupCreation(group.id)
            default:
                try await settle { db in
                    try Table.update(
                        db, "volume_groups", ["status": "available"], where: "id = ? AND status = 'updating'",
                        [group.id])
                }
            }
            ended += 1
        }
        let snapshots = try await read { db in
            try Table.all(
                db, "SELECT * FROM volume_group_snapshots WHERE status IN ('creating', 'updating', 'deleting')", [],
                GroupSnapshot.init)
        }
        for snapshot in snapshots where !operations.isHeld(snapshot.id) {
            if snapshot.status == .deleting {
                await carryOutGroupSnapshotDeletion(snapshot.id, [], requestID: nil)
            } else {
                try await settle { db in
                    let members = try Lookups.snapshots(db, ofGroupSnapshot: snapshot.id)
                    let isWhole = !members.isEmpty && members.allSatisfy { $0.status == .available }
                    try Table.update(
                        db, "volume_group_snapshots", ["status": isWhole ? "available" : "error"],
                        where: "id = ? AND status = ?", [snapshot.id, snapshot.status.rawValue])
                }
            }
            ended += 1
        }
        return ended
    }

    // MARK: Clients that went away.

    /// A volume `attaching` or `detaching` for too long is what its attachments say; an attachment `attaching` is
    /// attached if its host is logged in, and else only reserved.
    private func sweepHandshakes() async throws(VolumeError) -> Int {
        let oldest = now - configuration.handshakeSecondsMax * 1_000_000
        let stale = try await read { db in
            try Table.all(
                db,
                "SELECT * FROM volume_attachments WHERE status IN ('attaching', 'detaching') AND updated_at < ?",
                [oldest], Attachment.init)
        }
        var released = 0
        for attachment in stale where !operations.isHeld(attachment.volumeID) {
            // Closing those before it takes its time: a host that came in the meantime keeps its volume.
            let isUsed = await exporter.exports()[attachment.id] ?? false
            let isUnchanged = try await settle { db in
                let current = try Lookups.attachments(db, of: [attachment.volumeID]).first { $0.id == attachment.id }
                return current?.status == attachment.status && current?.updatedAt == attachment.updatedAt
            }
            guard isUnchanged else { continue }
            if !isUsed { try await closeExport(attachment.id) }
            let now = now
            try await settle { db in
                try Table.update(
                    db, "volume_attachments",
                    [
                        "status": isUsed ? "attached" : "reserved", "attached_at": isUsed ? now : nil,
                        "updated_at": now,
                    ], where: "id = ? AND status = ?", [attachment.id, attachment.status.rawValue])
                try Transitions.restand(db, attachment.volumeID, now: now)
            }
            released += 1
        }
        return released + (try await sweepReservations(oldest))
    }

    private func sweepReservations(_ oldest: Int64) async throws(VolumeError) -> Int {
        let now = now
        let volumes = try await read { db in
            try Table.all(
                db, "SELECT * FROM volumes WHERE status IN ('attaching', 'detaching') AND updated_at < ?", [oldest],
                Volume.init)
        }
        var released = 0
        for volume in volumes where !operations.isHeld(volume.id) {
            let isLast = try await settle { db in
                try Transitions.restand(db, volume.id, now: now)
                return try Lookups.attachments(db, of: [volume.id]).isEmpty
            }
            if isLast { try await closeExports(of: volume.id) }
            released += 1
        }
        return released
    }

    /// Targets without a row: nobody may reach a volume through them.
    private func closeStrayExports() async throws(VolumeError) -> Int {
        let open = await exporter.exports()
        guard !open.isEmpty else { return 0 }
        let known = Set(try await read { db in try String.fetchAll(db, sql: "SELECT id FROM volume_exports") })
        var closed = 0
        for id in open.keys where !known.contains(id) && !operations.isHeld(id) {
            do throws(DriverError) {
                try await exporter.unexport(id)
                closed += 1
            } catch {
                configuration.onFault("the stray target \(id) could not be closed: \(error)")
            }
        }
        return closed
    }
}
