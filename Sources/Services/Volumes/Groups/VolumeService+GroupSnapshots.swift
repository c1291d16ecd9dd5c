import GRDB

extension VolumeService {
    /// Snapshots of all the group's volumes, together; answers while it is `creating`.
    package func createGroupSnapshot(
        groupID: String, name: String?, description: String?, for asker: Asker
    ) async throws(VolumeError) -> GroupSnapshot {
        let (id, now) = (newID(), now)
        let begun = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                let group = try Lookups.group(db, groupID, for: asker)
                guard group.status == .available else {
                    throw VolumeError.invalid("Invalid group: Group \(groupID) status must be available.")
                }
                let volumes = try Lookups.volumes(db, inGroup: groupID)
                guard !volumes.isEmpty else {
                    throw VolumeError.invalid(
                        "Invalid group: Group is empty. No group snapshot will be created.")
                }
                let groupSnapshot = GroupSnapshot(
                    id: id, groupID: groupID, groupTypeID: group.typeID, projectID: group.projectID,
                    userID: asker.userID, name: name, description: description, status: .creating, createdAt: now)
                try Table.insert(
                    db, "volume_group_snapshots",
                    [
                        "id": id, "group_id": groupID, "group_type_id": group.typeID, "project_id": group.projectID,
                        "user_id": asker.userID, "name": name, "description": description, "status": "creating",
                        "created_at": now,
                    ])
                let snapshots = try volumes.map { volume in
                    try self.insertSnapshot(
                        db, id: self.newID(), of: volume,
                        SnapshotRequest(
                            volumeID: volume.id, name: name, description: description, metadata: [:],
                            allowsInUse: true), groupSnapshotID: id, asker: asker)
                }
                return (groupSnapshot, snapshots)
            }
        } work: { begun in
            await self.cut(begun.1, groupSnapshotID: id, requestID: asker.requestID)
        }
        return begun.0
    }

    package func groupSnapshots(
        _ query: ListQuery, allProjects: Bool, for asker: Asker
    ) async throws(VolumeError) -> Page<GroupSnapshot> {
        let query = own(query, asker, allProjects: allProjects)
        return try await read { db in try ListSource.groupSnapshots.page(db, query, GroupSnapshot.init) }
    }

    package func groupSnapshot(_ id: String, for asker: Asker) async throws(VolumeError) -> GroupSnapshot {
        try await read { db in try Lookups.groupSnapshot(db, id, for: asker) }
    }

    /// Answers while it is `deleting`.
    package func deleteGroupSnapshot(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        _ = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                _ = try Lookups.groupSnapshot(db, id, for: asker)
                let moved = try Table.update(
                    db, "volume_group_snapshots", ["status": "deleting"],
                    where: "id = ? AND status IN ('available', 'error', 'error_deleting')", [id])
                let snapshots = try Lookups.snapshots(db, ofGroupSnapshot: id)
                let movable = snapshots.allSatisfy { SnapshotStatus.deletable.contains($0.status) }
                guard moved > 0, movable else {
                    throw VolumeError.invalid(
                        "Invalid GroupSnapshot: GroupSnapshot status must be available or error, and no group is being "
                            + "made from it.")
                }
                for snapshot in snapshots {
                    _ = try Transitions.snapshot(
                        db, snapshot.id, from: SnapshotStatus.deletable, to: .deleting, now: now)
                }
                return snapshots
            }
        } work: { snapshots in
            await self.carryOutGroupSnapshotDeletion(id, snapshots, requestID: asker.requestID)
        }
    }

    func carryOutGroupSnapshotDeletion(_ id: String, _ snapshots: [Snapshot], requestID: String?) async {
        for snapshot in snapshots { await carryOutSnapshotDeletion(snapshot, requestID: requestID) }
        do throws(VolumeError) {
            try await settle { db in
                if try Lookups.snapshots(db, ofGroupSnapshot: id).isEmpty {
                    try Table.delete(db, "volume_group_snapshots", where: "id = ?", [id])
                } else {
                    try Table.update(
                        db, "volume_group_snapshots", ["status": "error_deleting"],
                        where: "id = ? AND status = 'deleting'", [id])
                }
            }
        } catch {
            configuration.onFault("group snapshot \(id) stays deleting: \(error)")
        }
    }

    package func resetGroupSnapshot(
        _ id: String, to status: GroupStatus, for asker: Asker
    ) async throws(VolumeError) {
        try await write { db in
            _ = try Lookups.groupSnapshot(db, id, for: asker)
            try Table.update(db, "volume_group_snapshots", ["status": status.rawValue], where: "id = ?", [id])
        }
    }
}
