import GRDB
import VolumeDrivers

extension VolumeService {
    package func groups(
        _ query: ListQuery, allProjects: Bool, for asker: Asker
    ) async throws(VolumeError) -> Page<VolumeGroup> {
        let query = own(query, asker, allProjects: allProjects)
        return try await read { db in
            try ListSource.groups.page(db, query, VolumeGroup.init).map { group in
                var group = group
                group.volumeTypeIDs = try Lookups.groupVolumeTypes(db, group.id)
                return group
            }
        }
    }

    /// With the ids of its volumes.
    package func group(_ id: String, for asker: Asker) async throws(VolumeError) -> (
        group: VolumeGroup, volumes: [String]
    ) {
        try await read { db in
            (try Lookups.group(db, id, for: asker), try Lookups.volumes(db, inGroup: id).map(\.id))
        }
    }

    /// - Parameters:
    ///   - type: of the group; an id or a name.
    ///   - volumeTypes: that its volumes may have; ids or names.
    package func createGroup(
        name: String?, description: String?, type: String, volumeTypes: [String], zone: String?, for asker: Asker
    ) async throws(VolumeError) -> VolumeGroup {
        let (id, now, configuration) = (newID(), now, configuration)
        return try await write { db in
            let groupType = try Self.groupType(db, type, for: asker)
            let types = try volumeTypes.map { reference in
                do {
                    return try Lookups.type(db, named: reference, for: asker).id
                } catch VolumeError.notFound {
                    throw VolumeError.invalid("Invalid input received: Volume type \(reference) could not be found.")
                }
            }
            guard zone ?? configuration.zone == configuration.zone else {
                throw VolumeError.invalid("Invalid input received: Availability zone '\(zone ?? "")' is invalid.")
            }
            try Quotas.demand(db, project: asker.projectID, [(.groups, 1)], configuration)
            let group = VolumeGroup(
                id: id, projectID: asker.projectID, userID: asker.userID, name: name, description: description,
                status: .available, typeID: groupType.id, zone: configuration.zone,
                volumeTypeIDs: Array(Set(types)).sorted(), createdAt: now)
            try Self.insert(db, group)
            return group
        }
    }

    private static func insert(_ db: Database, _ group: VolumeGroup) throws {
        try Table.insert(
            db, "volume_groups",
            [
                "id": group.id, "project_id": group.projectID, "user_id": group.userID, "name": group.name,
                "description": group.description, "status": group.status.rawValue, "type_id": group.typeID,
                "zone": group.zone, "group_snapshot_id": group.groupSnapshotID,
                "source_group_id": group.sourceGroupID, "created_at": group.createdAt,
            ])
        for type in group.volumeTypeIDs {
            try Table.insert(db, "volume_group_volume_types", ["group_id": group.id, "type_id": type])
        }
    }

    package struct GroupChange: Sendable {
        package var name: String??
        package var description: String??
        package var added: [String]
        package var removed: [String]
        package init(name: String??, description: String??, added: [String], removed: [String]) {
            self.name = name
            self.description = description
            self.added = added
            self.removed = removed
        }
    }

    package func updateGroup(_ id: String, _ change: GroupChange, for asker: Asker) async throws(VolumeError) {
        try await write { db in
            let group = try Lookups.group(db, id, for: asker)
            guard group.status == .available else {
                throw VolumeError.invalid("Invalid group: Group \(id) status must be available.")
            }
            guard Set(change.added).isDisjoint(with: change.removed) else {
                throw VolumeError.invalid("Invalid volume: The same volume is to be added and removed.")
            }
            let members = Set(try Lookups.volumes(db, inGroup: id).map(\.id))
            for volume in change.removed {
                guard members.contains(volume) else {
                    throw VolumeError.invalid(
                        "Invalid volume: Cannot remove volume \(volume): it is not in group \(id).")
                }
                try Self.setGroup(db, volume, from: id, to: nil)
            }
            var added: Set<String> = []
            for reference in change.added where !members.contains(reference) && added.insert(reference).inserted {
                try Self.checkJoins(db, reference, group)
                try Self.setGroup(db, reference, from: nil, to: id)
            }
            guard members.count + added.count - change.removed.count <= Limits.groupVolumesMax else {
                throw VolumeError.invalid("Invalid group: Group \(id) has no room for so many volumes.")
            }
            try Table.update(
                db, "volume_groups",
                ["name": change.name ?? group.name, "description": change.description ?? group.description],
                where: "id = ?", [id])
        }
    }

    private static func checkJoins(_ db: Database, _ id: String, _ group: VolumeGroup) throws {
        guard let volume = try Lookups.volume(db, id), volume.projectID == group.projectID else {
            throw VolumeError.invalid("Invalid volume: Cannot add volume \(id): it could not be found.")
        }
        guard volume.groupID == nil else {
            throw VolumeError.invalid("Invalid volume: Cannot add volume \(id): it is already in a group.")
        }
        guard let type = volume.typeID, group.volumeTypeIDs.contains(type) else {
            throw VolumeError.invalid("Invalid volume: Cannot add volume \(id): its type is not the group's.")
        }
    }

    private static func setGroup(_ db: Database, _ id: String, from: String?, to: String?) throws {
        let changed = try Table.update(
            db, "volumes", ["group_id": to],
            where: "id = ? AND status IN ('available', 'in-use') AND group_id IS ?", [id, from])
        guard changed > 0 else {
            throw VolumeError.invalid("Invalid volume: Volume \(id) must be available or in-use to change its group.")
        }
    }

    /// - Parameter deletesVolumes: else it must have none.
    package func deleteGroup(_ id: String, deletesVolumes: Bool, for asker: Asker) async throws(VolumeError) {
        let now = now
        _ = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                let group = try Lookups.group(db, id, for: asker)
                let volumes = try Lookups.volumes(db, inGroup: id)
                guard volumes.isEmpty || deletesVolumes else {
                    throw VolumeError.invalid(
                        "Invalid group: Group \(id) is not empty. Set delete-volumes to delete its volumes with it.")
                }
                let snapshots = try Table.count(
                    db, "SELECT COUNT(*) FROM volume_group_snapshots WHERE group_id = ?", [id])
                guard snapshots == 0 else {
                    throw VolumeError.invalid("Invalid group: Group \(id) has dependent group snapshots.")
                }
                let moved = try Table.update(
                    db, "volume_groups", ["status": "deleting"],
                    where: "id = ? AND status IN ('available', 'error', 'error_deleting')", [group.id])
                guard moved > 0 else {
                    throw VolumeError.invalid("Invalid group: Group status must be available or error to delete.")
                }
                for volume in volumes {
                    try Self.beginDeletion(db, volume, cascade: false, force: false, withGroup: true, now: now)
                }
                return volumes.map(\.id)
            }
        } work: { volumes in
            await self.carryOutGroupDeletion(id, volumes, requestID: asker.requestID)
        }
    }

    func carryOutGroupDeletion(_ id: String, _ volumes: [String], requestID: String?) async {
        for volume in volumes { await carryOutDeletion(volume, leavingBytes: false, requestID: requestID) }
        do throws(VolumeError) {
            try await settle { db in
                if try Lookups.volumes(db, inGroup: id).isEmpty {
                    try Rows.removeGroup(db, id)
                } else {
                    try Table.update(
                        db, "volume_groups", ["status": "error_deleting"], where: "id = ? AND status = 'deleting'",
                        [id])
                }
            }
        } catch {
            configuration.onFault("group \(id) stays deleting: \(error)")
        }
    }

    package func resetGroup(_ id: String, to status: GroupStatus, for asker: Asker) async throws(VolumeError) {
        try await write { db in
            _ = try Lookups.group(db, id, for: asker)
            try Table.update(db, "volume_groups", ["status": status.rawValue], where: "id = ?", [id])
        }
    }

    // MARK: From another group, or from what it once was.

    package enum GroupSource: Sendable {
        case groupSnapshot(String)
        case group(String)
    }

    package func createGroup(
        from source: GroupSource, name: String?, description: String?, for asker: Asker
    ) async throws(VolumeError) -> VolumeGroup {
        let (id, now) = (newID(), now)
        let begun = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                try self.insertCopy(db, id: id, of: source, name: name, description: description, asker, now: now)
            }
        } work: { begun in
            for (volume, origin) in begun.volumes {
                await self.make(volume, origin, far: [], requestID: asker.requestID)
            }
            await self.endGroupCreation(id)
        }
        return begun.group
    }

    private func insertCopy(
        _ db: Database, id: String, of source: GroupSource, name: String?, description: String?, _ asker: Asker,
        now: Int64
    ) throws -> (group: VolumeGroup, volumes: [(Volume, VolumeOrigin)]) {
        var members: [(Volume, size: Int, snapshotID: String?, VolumeOrigin)] = []
        let original: VolumeGroup
        switch source {
        case .group(let sourceID):
            original = try Lookups.group(db, sourceID, for: asker)
            for volume in try Lookups.volumes(db, inGroup: sourceID) {
                guard [.available, .inUse].contains(volume.status) else {
                    throw VolumeError.invalid("Invalid volume: Volume \(volume.id) is \(volume.status.shown).")
                }
                members.append((volume, volume.size, nil, .clone(.volume(volume.id))))
            }
        case .groupSnapshot(let snapshotID):
            let groupSnapshot = try Lookups.groupSnapshot(db, snapshotID, for: asker)
            guard groupSnapshot.status == .available else {
                throw VolumeError.invalid("Invalid GroupSnapshot: it must be available.")
            }
            original = try Lookups.group(db, groupSnapshot.groupID, for: asker)
            for snapshot in try Lookups.snapshots(db, ofGroupSnapshot: snapshotID) {
                guard snapshot.status == .available, let volume = try Lookups.volume(db, snapshot.volumeID) else {
                    throw VolumeError.invalid("Invalid snapshot: Snapshot \(snapshot.id) is not available.")
                }
                members.append(
                    (volume, snapshot.size, snapshot.id, .clone(.snapshot(snapshot.id, of: volume.id))))
            }
        }
        guard !members.isEmpty else { throw VolumeError.invalid("Invalid group: the source holds no volumes.") }
        try demandCopy(db, members.map { ($0.0, $0.size) }, asker)
        var group = VolumeGroup(
            id: id, projectID: asker.projectID, userID: asker.userID, name: name, description: description,
            status: .creating, typeID: original.typeID, zone: original.zone, volumeTypeIDs: original.volumeTypeIDs,
            createdAt: now)
        switch source {
        case .group(let sourceID): group.sourceGroupID = sourceID
        case .groupSnapshot(let snapshotID): group.groupSnapshotID = snapshotID
        }
        try Self.insert(db, group)
        let volumes = try members.map { member in
            var volume = member.0
            volume.id = newID()
            volume.projectID = asker.projectID
            volume.userID = asker.userID
            volume.name = nil
            volume.description = nil
            volume.size = member.size
            volume.status = .creating
            volume.previousStatus = nil
            volume.attachStatus = .detached
            volume.migrationStatus = nil
            volume.host = nil
            volume.snapshotID = member.snapshotID
            volume.sourceVolumeID = member.snapshotID == nil ? member.0.id : nil
            volume.groupID = id
            volume.createdAt = now
            volume.updatedAt = nil
            try Rows.insert(db, volume)
            try Facts.merge(db, volume.id, .image, try Facts.read(db, member.0.id, .image))
            return (volume, member.3)
        }
        return (group, volumes)
    }

    private func demandCopy(_ db: Database, _ members: [(Volume, size: Int)], _ asker: Asker) throws {
        let names = try Lookups.typeNames(db)
        var wants: [QuotaKind: Int] = [
            .groups: 1, .volumes: members.count, .gigabytes: members.reduce(0) { $0 + $1.size },
        ]
        for (volume, size) in members {
            guard let name = volume.typeID.flatMap({ names[$0] }) else { continue }
            wants[.volumesOf(name), default: 0] += 1
            wants[.gigabytesOf(name), default: 0] += size
        }
        try Quotas.demand(
            db, project: asker.projectID, wants.map { (kind: $0.key, amount: $0.value) }, configuration)
    }

    /// A group being made is what its volumes became.
    func endGroupCreation(_ id: String) async {
        do throws(VolumeError) {
            try await settle { db in
                let volumes = try Lookups.volumes(db, inGroup: id)
                guard !volumes.contains(where: { $0.status == .creating }) else { return }
                let isWhole = volumes.allSatisfy { !$0.status.isError }
                try Table.update(
                    db, "volume_groups", ["status": isWhole ? "available" : "error"],
                    where: "id = ? AND status = 'creating'", [id])
            }
        } catch {
            configuration.onFault("group \(id) stays creating: \(error)")
        }
    }
}
