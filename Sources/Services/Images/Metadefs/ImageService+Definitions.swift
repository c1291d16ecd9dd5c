import GRDB

/// Namespaces of definitions. Public ones are everybody's to read, private ones their owner's; only administrators change
/// them. What a caller can't see is not found, whatever they wanted to do with it.
extension ImageService {
    static func visibleNamespace(
        _ db: Database, _ name: String, for asker: ImageAsker
    ) throws -> DefinitionRows.Found {
        guard let found = try DefinitionRows.find(db, name), isVisible(found.namespace, to: asker) else {
            throw ImageError.notFound("Namespace \(name) not found")
        }
        return found
    }

    private static func isVisible(_ namespace: DefinitionNamespace, to asker: ImageAsker) -> Bool {
        asker.isAdmin
            || asker.isReader && (namespace.visibility == .public || namespace.owner == asker.projectID)
    }

    /// The namespace, if the caller may change what is in it; `.forbidden` if they may only see it.
    static func writableNamespace(
        _ db: Database, _ name: String, for asker: ImageAsker, _ rule: String
    ) throws -> DefinitionRows.Found {
        let found = try visibleNamespace(db, name, for: asker)
        guard asker.isAdmin else { throw ImageError.denied(rule) }
        return found
    }

    // MARK: Reading

    /// One page, at most `query.limit` and `Limits.pageMax` long; of what is in them, only the associations.
    package func namespaces(
        _ query: DefinitionQuery, for asker: ImageAsker
    ) async throws(ImageError) -> [NamespaceDetail] {
        guard asker.isReader else { throw .notFound("The resource could not be found.") }
        let limit = min(query.limit ?? Limits.pageDefault, Limits.pageMax)
        return try await read { db in
            var conditions = ["1 = 1"]
            var arguments = StatementArguments()
            if !asker.isAdmin {
                conditions.append("(owner = ? OR visibility = 'public')")
                arguments += [asker.projectID]
            }
            if let visibility = query.visibility {
                conditions.append("visibility = ?")
                arguments += [visibility.rawValue]
            }
            if let types = query.resourceTypes {
                let marks = databaseQuestionMarks(count: types.count)
                conditions.append(
                    "id IN (SELECT namespace_id FROM definition_associations WHERE name IN (\(marks)))")
                arguments += StatementArguments(types)
            }
            var marker: Row?
            if let name = query.marker {
                let found = try Self.visibleNamespace(db, name, for: asker)
                marker = try Row.fetchOne(
                    db, sql: "SELECT * FROM definition_namespaces WHERE id = ?", arguments: [found.id])
            }
            let rows = try DefinitionRows.page(
                db, "definition_namespaces", query, marker: marker, conditions, arguments, limit: limit)
            return try rows.map { row in
                let found = DefinitionRows.namespace(row)
                return NamespaceDetail(
                    namespace: found.namespace,
                    associations: try DefinitionRows.all(db, .association, in: found.id)
                        .map(DefinitionRows.association))
            }
        }
    }

    package func namespace(
        _ name: String, for asker: ImageAsker
    ) async throws(ImageError) -> NamespaceDetail {
        try await read { db in try Self.detail(db, try Self.visibleNamespace(db, name, for: asker)) }
    }

    private static func detail(_ db: Database, _ found: DefinitionRows.Found) throws -> NamespaceDetail {
        NamespaceDetail(
            namespace: found.namespace,
            properties: try DefinitionRows.properties(db, in: found.id),
            objects: try DefinitionRows.all(db, .object, in: found.id).map(DefinitionRows.object),
            tags: try DefinitionRows.all(db, .tag, in: found.id).map(DefinitionRows.tag),
            associations: try DefinitionRows.all(db, .association, in: found.id).map(DefinitionRows.association))
    }

    // MARK: Writing

    package func create(
        _ new: NewNamespace, for asker: ImageAsker
    ) async throws(ImageError) -> NamespaceDetail {
        guard asker.isReader else { throw .notFound("The resource could not be found.") }
        guard asker.isAdmin else { throw .denied("add_metadef_namespace") }
        let now = now
        return try await write { db in
            try Self.detail(db, try Self.insert(db, new, owner: asker.projectID, now: now))
        }
    }

    /// All of it, or nothing.
    private static func insert(
        _ db: Database, _ new: NewNamespace, owner: String, now: Int64
    ) throws -> DefinitionRows.Found {
        let fields = new.fields
        try checkNew(db, name: fields.name)
        let count = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM definition_namespaces") ?? 0
        guard count < Limits.namespacesMax else {
            throw ImageError.tooLarge("The limit of \(Limits.namespacesMax) namespaces is exceeded.")
        }
        try db.execute(
            sql: """
                INSERT INTO definition_namespaces
                    (name, display_name, description, visibility, protected, owner, created_at, updated_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                fields.name, fields.displayName, fields.description, fields.visibility.rawValue, fields.isProtected,
                fields.owner ?? owner, now, now,
            ])
        guard let found = try DefinitionRows.find(db, fields.name) else {
            throw ImageError.storage("a new namespace is not there")
        }
        for association in new.associations { try insert(db, association, in: found.id, now: now) }
        for object in new.objects { try insert(db, object, in: found.id, now: now) }
        for tag in new.tags { try insert(db, tag: tag, in: found.id, now: now) }
        for property in new.properties { try insert(db, property, in: found.id, now: now) }
        return found
    }

    private static func checkNew(_ db: Database, name: String) throws {
        guard try DefinitionRows.find(db, name) == nil else {
            throw ImageError.conflict("The metadata definition namespace=\(name) already exists.")
        }
    }

    /// Replaces all that is said of the namespace itself; what is in it stays.
    package func updateNamespace(
        _ name: String, _ fields: NamespaceFields, for asker: ImageAsker
    ) async throws(ImageError) -> DefinitionNamespace {
        let now = now
        return try await write { db in
            var found = try Self.writableNamespace(db, name, for: asker, "modify_metadef_namespace")
            if fields.name != name { try Self.checkNew(db, name: fields.name) }
            found.namespace.name = fields.name
            found.namespace.displayName = fields.displayName
            found.namespace.description = fields.description
            found.namespace.visibility = fields.visibility
            found.namespace.isProtected = fields.isProtected
            found.namespace.owner = fields.owner ?? asker.projectID
            found.namespace.updatedAt = now
            let namespace = found.namespace
            try db.execute(
                sql: """
                    UPDATE definition_namespaces SET name = ?, display_name = ?, description = ?, visibility = ?,
                        protected = ?, owner = ?, updated_at = ? WHERE id = ?
                    """,
                arguments: [
                    namespace.name, namespace.displayName, namespace.description, namespace.visibility.rawValue,
                    namespace.isProtected, namespace.owner, now, found.id,
                ])
            return namespace
        }
    }

    /// With all that is in it.
    package func deleteNamespace(_ name: String, for asker: ImageAsker) async throws(ImageError) {
        try await write { db in
            let found = try Self.erasableNamespace(db, name, for: asker)
            for kind in [DefinitionKind.property, .object, .tag, .association] {
                try DefinitionRows.removeAll(db, kind, in: found.id)
            }
            try db.execute(sql: "DELETE FROM definition_namespaces WHERE id = ?", arguments: [found.id])
        }
    }

    /// All of that kind; the namespace stays.
    package func deleteDefinitions(
        _ kind: DefinitionKind, in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) {
        try await write { db in
            let found = try Self.erasableNamespace(db, namespace, for: asker)
            try DefinitionRows.removeAll(db, kind, in: found.id)
        }
    }

    private static func erasableNamespace(
        _ db: Database, _ name: String, for asker: ImageAsker
    ) throws -> DefinitionRows.Found {
        let found = try writableNamespace(db, name, for: asker, "delete_metadef_namespace")
        guard !found.namespace.isProtected else {
            throw ImageError.forbidden("Metadata definition namespace \(name) is protected and cannot be deleted.")
        }
        return found
    }

    // MARK: What comes with the service

    /// Puts a set of namespaces in, once: it is then the administrators' to change and to delete. A namespace whose name
    /// is taken is left out.
    package func seedDefinitions(
        _ set: String, _ namespaces: [NewNamespace]
    ) async throws(ImageError) {
        let now = now
        try await write { db in
            let isThere = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM definition_sets WHERE name = ?)", arguments: [set])
            guard isThere != true else { return }
            for new in namespaces where try DefinitionRows.find(db, new.fields.name) == nil {
                _ = try Self.insert(db, new, owner: "admin", now: now)
            }
            try db.execute(sql: "INSERT INTO definition_sets (name) VALUES (?)", arguments: [set])
        }
    }
}
