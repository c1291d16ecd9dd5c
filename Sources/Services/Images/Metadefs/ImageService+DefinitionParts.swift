import GRDB

/// What is in a namespace: properties, objects, tags, and the resource types it is for.
extension ImageService {
    private static func missing(_ kind: DefinitionKind, _ name: String, _ namespace: String) -> ImageError {
        .notFound("The \(kind.noun) with name=\(name) was not found in namespace=\(namespace).")
    }

    /// Throws if the name is taken, or there is no room for one more.
    static func checkNew(
        _ db: Database, _ kind: DefinitionKind, _ name: String, in namespaceID: Int64
    ) throws {
        guard try !DefinitionRows.has(db, kind, name, in: namespaceID) else {
            throw ImageError.conflict("A \(kind.noun) with name=\(name) already exists in this namespace.")
        }
        let count =
            try Int.fetchOne(
                db, sql: "SELECT COUNT(*) FROM \(kind.table) WHERE namespace_id = ?", arguments: [namespaceID]) ?? 0
        guard count < kind.countMax else {
            throw ImageError.tooLarge("A namespace has at most \(kind.countMax) of a kind: \(kind.noun).")
        }
    }

    /// Throws if the namespace's documents have become larger than they may be together; after a change.
    private static func checkSize(_ db: Database, in namespaceID: Int64) throws {
        let bytes =
            try Int.fetchOne(
                db,
                sql: """
                    SELECT
                        (SELECT IFNULL(SUM(LENGTH(CAST(schema AS BLOB))), 0)
                            FROM definition_properties WHERE namespace_id = ?1)
                        + (SELECT IFNULL(SUM(LENGTH(CAST(properties AS BLOB)) + LENGTH(CAST(required AS BLOB))
                                + LENGTH(CAST(IFNULL(description, '') AS BLOB))), 0)
                            FROM definition_objects WHERE namespace_id = ?1)
                    """, arguments: [namespaceID]) ?? 0
        guard bytes <= Limits.namespaceBytesMax else {
            throw ImageError.tooLarge("The namespace would be larger than \(Limits.namespaceBytesMax) bytes.")
        }
    }

    /// Deletes one of a kind; `.forbidden` in a protected namespace.
    package func deleteDefinition(
        _ kind: DefinitionKind, _ name: String, in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) {
        try await write { db in
            let found = try Self.writableNamespace(db, namespace, for: asker, kind.deleteRule)
            guard try DefinitionRows.has(db, kind, name, in: found.id) else {
                throw Self.missing(kind, name, namespace)
            }
            guard !found.namespace.isProtected else {
                throw ImageError.forbidden("The \(kind.noun) \(name) is protected and cannot be deleted.")
            }
            try db.execute(
                sql: "DELETE FROM \(kind.table) WHERE namespace_id = ? AND name = ?", arguments: [found.id, name])
        }
    }

    // MARK: Properties

    package func propertyDefinitions(
        in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> [PropertyDefinition] {
        try await read { db in
            try DefinitionRows.properties(db, in: try Self.visibleNamespace(db, namespace, for: asker).id)
        }
    }

    /// - Parameter resourceType: the name is as resources of that type have it, with the prefix of the association.
    package func propertyDefinition(
        _ name: String, in namespace: String, resourceType: String?, for asker: ImageAsker
    ) async throws(ImageError) -> PropertyDefinition {
        try await read { db in
            let found = try Self.visibleNamespace(db, namespace, for: asker)
            var plain = name
            if let resourceType {
                guard let row = try DefinitionRows.one(db, .association, resourceType, in: found.id) else {
                    throw Self.missing(.association, resourceType, namespace)
                }
                let prefix = DefinitionRows.association(row).prefix ?? ""
                guard !prefix.isEmpty, name.hasPrefix(prefix) else {
                    throw ImageError.notFound(
                        "Property \(name) does not start with the expected resource type association prefix"
                            + " of '\(prefix)'.")
                }
                plain = String(name.dropFirst(prefix.count))
            }
            guard let row = try DefinitionRows.one(db, .property, plain, in: found.id) else {
                throw Self.missing(.property, plain, namespace)
            }
            return PropertyDefinition(name: row["name"], schema: row["schema"])
        }
    }

    static func insert(_ db: Database, _ new: PropertyDefinition, in namespaceID: Int64, now: Int64) throws {
        try checkNew(db, .property, new.name, in: namespaceID)
        try db.execute(
            sql: """
                INSERT INTO definition_properties (namespace_id, name, schema, created_at, updated_at)
                VALUES (?, ?, ?, ?, ?)
                """, arguments: [namespaceID, new.name, new.schema, now, now])
        try checkSize(db, in: namespaceID)
    }

    package func addProperty(
        _ new: PropertyDefinition, to namespace: String, for asker: ImageAsker
    ) async throws(ImageError) {
        let now = now
        try await write { db in
            let found = try Self.writableNamespace(db, namespace, for: asker, "add_metadef_property")
            try Self.insert(db, new, in: found.id, now: now)
        }
    }

    package func updateProperty(
        _ name: String, in namespace: String, to new: PropertyDefinition, for asker: ImageAsker
    ) async throws(ImageError) {
        let now = now
        try await write { db in
            let found = try Self.writableNamespace(db, namespace, for: asker, "modify_metadef_property")
            guard try DefinitionRows.has(db, .property, name, in: found.id) else {
                throw Self.missing(.property, name, namespace)
            }
            if new.name != name { try Self.checkRename(db, .property, to: new.name, in: found.id) }
            try db.execute(
                sql: """
                    UPDATE definition_properties SET name = ?, schema = ?, updated_at = ?
                    WHERE namespace_id = ? AND name = ?
                    """, arguments: [new.name, new.schema, now, found.id, name])
            try Self.checkSize(db, in: found.id)
        }
    }

    private static func checkRename(
        _ db: Database, _ kind: DefinitionKind, to name: String, in namespaceID: Int64
    ) throws {
        guard try !DefinitionRows.has(db, kind, name, in: namespaceID) else {
            throw ImageError.conflict("Invalid update. Another \(kind.noun) has the name \(name) already.")
        }
    }

    // MARK: Objects

    package func objectDefinitions(
        _ query: DefinitionQuery, in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> [ObjectDefinition] {
        try await page(.object, query, in: namespace, for: asker, DefinitionRows.object)
    }

    private func page<T: Sendable>(
        _ kind: DefinitionKind, _ query: DefinitionQuery, in namespace: String, for asker: ImageAsker,
        _ decode: @escaping @Sendable (Row) -> T
    ) async throws(ImageError) -> [T] {
        try await read { db in
            let found = try Self.visibleNamespace(db, namespace, for: asker)
            var marker: Row?
            if let name = query.marker {
                marker = try DefinitionRows.one(db, kind, name, in: found.id)
                guard marker != nil else { throw Self.missing(kind, name, namespace) }
            }
            return try DefinitionRows.page(
                db, kind.table, query, marker: marker, ["namespace_id = ?"], [found.id],
                limit: min(query.limit ?? kind.countMax, kind.countMax)
            ).map(decode)
        }
    }

    package func objectDefinition(
        _ name: String, in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> ObjectDefinition {
        try await read { db in
            try Self.object(db, name, in: try Self.visibleNamespace(db, namespace, for: asker))
        }
    }

    private static func object(
        _ db: Database, _ name: String, in found: DefinitionRows.Found
    ) throws -> ObjectDefinition {
        guard let row = try DefinitionRows.one(db, .object, name, in: found.id) else {
            throw missing(.object, name, found.namespace.name)
        }
        return DefinitionRows.object(row)
    }

    static func insert(_ db: Database, _ new: ObjectDefinition, in namespaceID: Int64, now: Int64) throws {
        try checkNew(db, .object, new.name, in: namespaceID)
        try db.execute(
            sql: """
                INSERT INTO definition_objects
                    (namespace_id, name, description, required, properties, created_at, updated_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [namespaceID, new.name, new.description, new.required, new.properties, now, now])
        try checkSize(db, in: namespaceID)
    }

    package func addObject(
        _ new: ObjectDefinition, to namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> ObjectDefinition {
        let now = now
        return try await write { db in
            let found = try Self.writableNamespace(db, namespace, for: asker, "add_metadef_object")
            try Self.insert(db, new, in: found.id, now: now)
            return try Self.object(db, new.name, in: found)
        }
    }

    package func updateObject(
        _ name: String, in namespace: String, to new: ObjectDefinition, for asker: ImageAsker
    ) async throws(ImageError) -> ObjectDefinition {
        let now = now
        return try await write { db in
            let found = try Self.writableNamespace(db, namespace, for: asker, "modify_metadef_object")
            _ = try Self.object(db, name, in: found)
            if new.name != name { try Self.checkRename(db, .object, to: new.name, in: found.id) }
            try db.execute(
                sql: """
                    UPDATE definition_objects SET name = ?, description = ?, required = ?, properties = ?,
                        updated_at = ? WHERE namespace_id = ? AND name = ?
                    """,
                arguments: [new.name, new.description, new.required, new.properties, now, found.id, name])
            try Self.checkSize(db, in: found.id)
            return try Self.object(db, new.name, in: found)
        }
    }

    // MARK: Tags

    package func tagDefinitions(
        _ query: DefinitionQuery, in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> [TagDefinition] {
        try await page(.tag, query, in: namespace, for: asker, DefinitionRows.tag)
    }

    package func tagDefinition(
        _ name: String, in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> TagDefinition {
        try await read { db in
            try Self.tag(db, name, in: try Self.visibleNamespace(db, namespace, for: asker))
        }
    }

    private static func tag(_ db: Database, _ name: String, in found: DefinitionRows.Found) throws -> TagDefinition {
        guard let row = try DefinitionRows.one(db, .tag, name, in: found.id) else {
            throw missing(.tag, name, found.namespace.name)
        }
        return DefinitionRows.tag(row)
    }

    static func insert(_ db: Database, tag: String, in namespaceID: Int64, now: Int64) throws {
        try checkNew(db, .tag, tag, in: namespaceID)
        try db.execute(
            sql: """
                INSERT INTO definition_tags (namespace_id, name, created_at, updated_at) VALUES (?, ?, ?, ?)
                """, arguments: [namespaceID, tag, now, now])
    }

    package func addTag(
        definition name: String, to namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> TagDefinition {
        let now = now
        return try await write { db in
            let found = try Self.writableNamespace(db, namespace, for: asker, "add_metadef_tag")
            try Self.insert(db, tag: name, in: found.id, now: now)
            return try Self.tag(db, name, in: found)
        }
    }

    /// In place of those that are there, or besides them; no tags at all change nothing.
    package func setTags(
        _ names: [String], isAppended: Bool, in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) {
        let now = now
        try await write { db in
            let found = try Self.writableNamespace(db, namespace, for: asker, "add_metadef_tags")
            if !isAppended, !names.isEmpty { try DefinitionRows.removeAll(db, .tag, in: found.id) }
            for name in names { try Self.insert(db, tag: name, in: found.id, now: now) }
        }
    }

    package func renameTag(
        _ name: String, in namespace: String, to new: String, for asker: ImageAsker
    ) async throws(ImageError) -> TagDefinition {
        let now = now
        return try await write { db in
            let found = try Self.writableNamespace(db, namespace, for: asker, "modify_metadef_tag")
            _ = try Self.tag(db, name, in: found)
            if new != name { try Self.checkRename(db, .tag, to: new, in: found.id) }
            try db.execute(
                sql: "UPDATE definition_tags SET name = ?, updated_at = ? WHERE namespace_id = ? AND name = ?",
                arguments: [new, now, found.id, name])
            return try Self.tag(db, new, in: found)
        }
    }
}
