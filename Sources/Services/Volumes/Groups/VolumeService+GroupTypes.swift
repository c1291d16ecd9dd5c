import GRDB

extension VolumeService {
    package func groupTypes(
        _ query: ListQuery, isPublic: Bool?, for asker: Asker
    ) async throws(VolumeError) -> Page<GroupType> {
        try await read { db in
            var extra: (sql: String, arguments: [(any DatabaseValueConvertible)?]) = ("1 = 1", [])
            if !asker.isAdmin {
                extra = ("is_public = 1", [])
            } else if let isPublic {
                extra = ("is_public = ?", [isPublic])
            }
            let page = try ListSource.groupTypes.page(db, query, extra: extra, GroupType.init)
            let specs = try Facts.read(db, page.items.map(\.id), .spec)
            return page.map { type in
                var type = type
                type.specs = specs[type.id] ?? [:]
                return type
            }
        }
    }

    /// - Parameter reference: an id, or a name.
    package func groupType(_ reference: String, for asker: Asker) async throws(VolumeError) -> GroupType {
        try await read { db in try Self.groupType(db, reference, for: asker) }
    }

    package func defaultGroupType(for asker: Asker) async throws(VolumeError) -> GroupType {
        try await read { db in try Self.groupType(db, Self.consistentGroupType, for: asker) }
    }

    package func createGroupType(
        name: String, description: String?, isPublic: Bool, specs: [String: String]
    ) async throws(VolumeError) -> GroupType {
        let (id, now) = (newID(), now)
        return try await naming("Group Type \(name) already exists.") { db in
            try Table.insert(
                db, "volume_group_types",
                ["id": id, "name": name, "description": description, "is_public": isPublic, "created_at": now])
            try Facts.merge(db, id, .spec, specs)
            return GroupType(
                id: id, name: name, description: description, isPublic: isPublic, specs: specs, createdAt: now)
        }
    }

    package func updateGroupType(
        _ id: String, name: String?, description: String??, isPublic: Bool?
    ) async throws(VolumeError) -> GroupType {
        try await naming("Group Type \(name ?? "") already exists.") { db in
            let type = try Self.existingGroupType(db, id)
            try Table.update(
                db, "volume_group_types",
                [
                    "name": name ?? type.name, "description": description ?? type.description,
                    "is_public": isPublic ?? type.isPublic,
                ], where: "id = ?", [id])
            return try Self.existingGroupType(db, id)
        }
    }

    package func deleteGroupType(_ id: String) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingGroupType(db, id)
            guard try Table.count(db, "SELECT COUNT(*) FROM volume_groups WHERE type_id = ?", [id]) == 0 else {
                throw VolumeError.invalid("Target group type is still in use.")
            }
            try Facts.removeAll(db, id)
            try Table.delete(db, "volume_group_types", where: "id = ?", [id])
        }
    }

    package func setGroupSpecs(_ id: String, _ specs: [String: String]) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingGroupType(db, id)
            try Facts.merge(db, id, .spec, specs)
        }
    }

    package func removeGroupSpec(_ id: String, _ name: String) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingGroupType(db, id)
            guard try Facts.remove(db, id, .spec, name) else {
                throw VolumeError.notFound(kind: "Group Type \(id) has no specs with key", id: name)
            }
        }
    }

    static func groupType(_ db: Database, _ reference: String, for asker: Asker) throws -> GroupType {
        let found =
            try Table.one(db, "SELECT * FROM volume_group_types WHERE id = ?", [reference], GroupType.init)
            ?? Table.one(db, "SELECT * FROM volume_group_types WHERE name = ?", [reference], GroupType.init)
        guard var type = found, type.isPublic || asker.isAdmin else {
            throw VolumeError.notFound(kind: "Group type", id: reference)
        }
        type.specs = try Facts.read(db, type.id, .spec)
        return type
    }

    private static func existingGroupType(_ db: Database, _ id: String) throws -> GroupType {
        guard var type = try Table.one(db, "SELECT * FROM volume_group_types WHERE id = ?", [id], GroupType.init) else {
            throw VolumeError.notFound(kind: "Group type", id: id)
        }
        type.specs = try Facts.read(db, id, .spec)
        return type
    }
}
