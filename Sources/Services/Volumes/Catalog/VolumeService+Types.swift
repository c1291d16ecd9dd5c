import GRDB
private import Records

extension VolumeService {
    /// The type of a volume for which none is named.
    func defaultType(_ db: Database, project: String) throws -> VolumeType {
        let own = try String.fetchOne(
            db, sql: "SELECT type_id FROM volume_default_types WHERE project_id = ?", arguments: [project])
        if let own, let type = try Lookups.type(db, id: own) { return type }
        let id = try String.fetchOne(
            db, sql: "SELECT id FROM volume_types WHERE name = ?", arguments: [configuration.defaultTypeName])
        guard let id, let type = try Lookups.type(db, id: id) else {
            throw VolumeError.notFound(kind: "Default volume type", id: configuration.defaultTypeName)
        }
        return type
    }

    package func defaultType(for asker: Asker) async throws(VolumeError) -> VolumeType {
        try await read { db in try self.defaultType(db, project: asker.projectID) }
    }

    /// - Parameter isPublic: nil for both kinds; users see public ones and those they have access to.
    package func types(
        _ query: ListQuery, isPublic: Bool?, specs: [String: String], for asker: Asker
    ) async throws(VolumeError) -> Page<VolumeType> {
        try await read { db in
            var sql = "1 = 1"
            var arguments: [(any DatabaseValueConvertible)?] = []
            if !asker.isAdmin {
                sql = "is_public = 1 OR id IN (SELECT type_id FROM volume_type_access WHERE project_id = ?)"
                arguments = [asker.projectID]
            } else if let isPublic {
                sql = "is_public = ?"
                arguments = [isPublic]
            }
            for (name, value) in specs {
                sql =
                    "(\(sql)) AND id IN (SELECT owner FROM volume_facts WHERE kind = 'spec' AND name = ? AND value = ?)"
                arguments += [name, value]
            }
            let page = try ListSource.types.page(db, query, extra: (sql, arguments), VolumeType.init)
            let found = try Facts.read(db, page.items.map(\.id), .spec)
            return page.map { type in
                var type = type
                type.extraSpecs = found[type.id] ?? [:]
                return type
            }
        }
    }

    /// - Parameter reference: an id, or a name.
    package func type(_ reference: String, for asker: Asker) async throws(VolumeError) -> VolumeType {
        try await read { db in try Lookups.type(db, named: reference, for: asker) }
    }

    package func createType(
        name: String, description: String?, isPublic: Bool, extraSpecs: [String: String]
    ) async throws(VolumeError) -> VolumeType {
        let (id, now) = (newID(), now)
        return try await naming("Volume Type \(name) already exists.") { db in
            try Table.insert(
                db, "volume_types",
                [
                    "id": id, "name": name, "description": description, "is_public": isPublic, "qos_id": nil,
                    "created_at": now,
                ])
            try Facts.merge(db, id, .spec, extraSpecs)
            return VolumeType(
                id: id, name: name, description: description, isPublic: isPublic, qosID: nil, extraSpecs: extraSpecs,
                createdAt: now)
        }
    }

    package func updateType(
        _ id: String, name: String?, description: String??, isPublic: Bool?
    ) async throws(VolumeError) -> VolumeType {
        try await naming("Volume Type \(name ?? "") already exists.") { db in
            let type = try Self.existingType(db, id)
            try Table.update(
                db, "volume_types",
                [
                    "name": name ?? type.name, "description": description ?? type.description,
                    "is_public": isPublic ?? type.isPublic,
                ], where: "id = ?", [id])
            // Quotas of one type go by its name.
            if let name, name != type.name {
                for (old, new) in zip(QuotaKind.kinds(ofType: type.name), QuotaKind.kinds(ofType: name)) {
                    try Table.update(db, "volume_quotas", ["name": new.name], where: "name = ?", [old.name])
                }
            }
            return try Self.existingType(db, id)
        }
    }

    package func deleteType(_ id: String) async throws(VolumeError) {
        let configuration = configuration
        try await write { db in
            let type = try Self.existingType(db, id)
            guard try !Self.isUsed(db, id) else {
                throw VolumeError.invalid("Target volume type is still in use.")
            }
            let isDefault =
                try type.name == configuration.defaultTypeName
                || Table.count(db, "SELECT COUNT(*) FROM volume_default_types WHERE type_id = ?", [id]) > 0
            guard !isDefault else {
                throw VolumeError.invalid("The volume type \(type.name) is the default and can't be deleted.")
            }
            guard try Table.count(db, "SELECT COUNT(*) FROM volume_group_volume_types WHERE type_id = ?", [id]) == 0
            else { throw VolumeError.invalid("Target volume type is still in use by a group.") }
            try Facts.removeAll(db, id)
            try Table.delete(db, "volume_types", where: "id = ?", [id])
            for kind in QuotaKind.kinds(ofType: type.name) {
                try Table.delete(db, "volume_quotas", where: "name = ?", [kind.name])
            }
        }
    }

    static func existingType(_ db: Database, _ id: String) throws -> VolumeType {
        guard let type = try Lookups.type(db, id: id) else {
            throw VolumeError.notFound(kind: "Volume type", id: id)
        }
        return type
    }

    private static func isUsed(_ db: Database, _ id: String) throws -> Bool {
        try Table.count(db, "SELECT COUNT(*) FROM volumes WHERE type_id = ?", [id]) > 0
    }

    /// A transaction whose uniqueness refusal is a conflict with that text.
    func naming<T: Sendable>(
        _ text: String, _ body: @escaping @Sendable (Database) throws -> T
    ) async throws(VolumeError) -> T {
        do throws(VolumeError) {
            return try await write(body)
        } catch {
            if case .records(.duplicate) = error { throw .conflict(text) }
            throw error
        }
    }

    // MARK: Specs.

    package func setExtraSpecs(_ id: String, _ specs: [String: String]) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingType(db, id)
            guard try !Self.isUsed(db, id) else { throw VolumeError.invalid("Volume Type is currently in use.") }
            try Facts.merge(db, id, .spec, specs)
        }
    }

    package func removeExtraSpec(_ id: String, _ name: String) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingType(db, id)
            guard try !Self.isUsed(db, id) else { throw VolumeError.invalid("Volume Type is currently in use.") }
            guard try Facts.remove(db, id, .spec, name) else {
                throw VolumeError.notFound(kind: "Volume Type \(id) has no extra specs with key", id: name)
            }
        }
    }

    // MARK: Access.

    /// The projects that may use a private type; `.notFound` for a public one.
    package func typeAccess(_ id: String) async throws(VolumeError) -> [String] {
        try await read { db in
            guard try !Self.existingType(db, id).isPublic else {
                throw VolumeError.notFound(kind: "Access list not available for public volume type", id: id)
            }
            return try String.fetchAll(
                db, sql: "SELECT project_id FROM volume_type_access WHERE type_id = ? ORDER BY project_id",
                arguments: [id])
        }
    }

    package func addTypeAccess(_ id: String, project: String) async throws(VolumeError) {
        try await naming("Volume type access for \(id) / \(project) combination already exists.") { db in
            guard try !Self.existingType(db, id).isPublic else {
                throw VolumeError.conflict("Type access modification is not applicable to public volume type.")
            }
            try Table.insert(db, "volume_type_access", ["type_id": id, "project_id": project])
        }
    }

    package func removeTypeAccess(_ id: String, project: String) async throws(VolumeError) {
        try await write { db in
            guard try !Self.existingType(db, id).isPublic else {
                throw VolumeError.conflict("Type access modification is not applicable to public volume type.")
            }
            guard
                try Table.delete(
                    db, "volume_type_access", where: "type_id = ? AND project_id = ?", [id, project]) > 0
            else { throw VolumeError.notFound(kind: "Volume type access for \(id) /", id: project) }
        }
    }

    // MARK: Projects' defaults.

    package func defaultTypes() async throws(VolumeError) -> [(project: String, typeID: String)] {
        try await read { db in
            try Table.all(db, "SELECT * FROM volume_default_types ORDER BY project_id", []) { row in
                (project: row["project_id"], typeID: row["type_id"])
            }
        }
    }

    package func setDefaultType(
        project: String, type reference: String, for asker: Asker
    ) async throws(VolumeError) -> String {
        try await write { db in
            let type = try Lookups.type(db, named: reference, for: asker)
            try db.execute(
                sql: """
                    INSERT INTO volume_default_types (project_id, type_id) VALUES (?, ?)
                    ON CONFLICT (project_id) DO UPDATE SET type_id = excluded.type_id
                    """, arguments: [project, type.id])
            return type.id
        }
    }

    package func removeDefaultType(project: String) async throws(VolumeError) {
        _ = try await write { db in try Table.delete(db, "volume_default_types", where: "project_id = ?", [project]) }
    }
}
