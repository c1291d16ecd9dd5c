import GRDB

/// Kinds of resources, and which namespaces are for them. A kind comes into being with its first association and stays.
extension ImageService {
    package func resourceTypes(for asker: ImageAsker) async throws(ImageError) -> [ResourceType] {
        guard asker.isReader else { throw .notFound("The resource could not be found.") }
        return try await read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM definition_resource_types ORDER BY name LIMIT \(Limits.resourceTypesMax)"
            ).map { ResourceType(name: $0["name"], createdAt: $0["created_at"], updatedAt: $0["updated_at"]) }
        }
    }

    package func associations(
        in namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> [ResourceTypeAssociation] {
        try await read { db in
            let found = try Self.visibleNamespace(db, namespace, for: asker)
            return try DefinitionRows.all(db, .association, in: found.id).map(DefinitionRows.association)
        }
    }

    package func associate(
        _ new: ResourceTypeAssociation, with namespace: String, for asker: ImageAsker
    ) async throws(ImageError) -> ResourceTypeAssociation {
        let now = now
        return try await write { db in
            let found = try Self.writableNamespace(
                db, namespace, for: asker, "add_metadef_resource_type_association")
            try Self.insert(db, new, in: found.id, now: now)
            var made = new
            made.createdAt = now
            made.updatedAt = now
            return made
        }
    }

    static func insert(
        _ db: Database, _ new: ResourceTypeAssociation, in namespaceID: Int64, now: Int64
    ) throws {
        try checkNew(db, .association, new.name, in: namespaceID)
        try db.execute(
            sql: "INSERT OR IGNORE INTO definition_resource_types (name, created_at, updated_at) VALUES (?, ?, ?)",
            arguments: [new.name, now, now])
        let count = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM definition_resource_types") ?? 0
        guard count <= Limits.resourceTypesMax else {
            throw ImageError.tooLarge("The limit of \(Limits.resourceTypesMax) resource types is exceeded.")
        }
        try db.execute(
            sql: """
                INSERT INTO definition_associations (namespace_id, name, prefix, target, created_at, updated_at)
                VALUES (?, ?, ?, ?, ?, ?)
                """, arguments: [namespaceID, new.name, new.prefix, new.target, now, now])
    }
}
