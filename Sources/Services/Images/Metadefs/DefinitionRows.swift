import GRDB

/// Definitions as rows.
enum DefinitionRows {
    /// The numbers are for joins and for a total order; nobody outside sees them.
    static let tables = """
        CREATE TABLE definition_namespaces (
            id INTEGER NOT NULL PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            display_name TEXT,
            description TEXT,
            visibility TEXT NOT NULL,
            protected INTEGER NOT NULL,
            owner TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL);
        CREATE INDEX definition_namespaces_by_time ON definition_namespaces(created_at, id);
        CREATE TABLE definition_properties (
            id INTEGER NOT NULL PRIMARY KEY,
            namespace_id INTEGER NOT NULL REFERENCES definition_namespaces(id),
            name TEXT NOT NULL,
            schema TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            UNIQUE (namespace_id, name));
        CREATE TABLE definition_objects (
            id INTEGER NOT NULL PRIMARY KEY,
            namespace_id INTEGER NOT NULL REFERENCES definition_namespaces(id),
            name TEXT NOT NULL,
            description TEXT,
            required TEXT NOT NULL,
            properties TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            UNIQUE (namespace_id, name));
        CREATE TABLE definition_tags (
            id INTEGER NOT NULL PRIMARY KEY,
            namespace_id INTEGER NOT NULL REFERENCES definition_namespaces(id),
            name TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            UNIQUE (namespace_id, name));
        CREATE TABLE definition_resource_types (
            name TEXT NOT NULL PRIMARY KEY,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL) WITHOUT ROWID;
        CREATE TABLE definition_associations (
            id INTEGER NOT NULL PRIMARY KEY,
            namespace_id INTEGER NOT NULL REFERENCES definition_namespaces(id),
            name TEXT NOT NULL REFERENCES definition_resource_types(name),
            prefix TEXT,
            target TEXT,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            UNIQUE (namespace_id, name));
        CREATE INDEX definition_associations_by_type ON definition_associations(name);
        CREATE TABLE definition_sets (name TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
        """

    struct Found {
        var id: Int64
        var namespace: DefinitionNamespace
    }

    static func namespace(_ row: Row) -> Found {
        Found(
            id: row["id"],
            namespace: DefinitionNamespace(
                name: row["name"], displayName: row["display_name"], description: row["description"],
                // What this version doesn't know is shown to nobody else.
                visibility: DefinitionVisibility(rawValue: row["visibility"]) ?? .private,
                isProtected: row["protected"], owner: row["owner"], createdAt: row["created_at"],
                updatedAt: row["updated_at"]))
    }

    static func find(_ db: Database, _ name: String) throws -> Found? {
        try Row.fetchOne(db, sql: "SELECT * FROM definition_namespaces WHERE name = ?", arguments: [name])
            .map(namespace)
    }

    /// Whether the name is taken there.
    static func has(_ db: Database, _ kind: DefinitionKind, _ name: String, in namespaceID: Int64) throws -> Bool {
        try Bool.fetchOne(
            db, sql: "SELECT EXISTS (SELECT 1 FROM \(kind.table) WHERE namespace_id = ? AND name = ?)",
            arguments: [namespaceID, name]) ?? false
    }

    // MARK: What is in a namespace, in the order it was made

    static func properties(_ db: Database, in namespaceID: Int64) throws -> [PropertyDefinition] {
        try Row.fetchAll(
            db, sql: "SELECT name, schema FROM definition_properties WHERE namespace_id = ? ORDER BY id",
            arguments: [namespaceID]
        ).map { PropertyDefinition(name: $0["name"], schema: $0["schema"]) }
    }

    static func object(_ row: Row) -> ObjectDefinition {
        var object = ObjectDefinition(
            name: row["name"], description: row["description"], required: row["required"],
            properties: row["properties"])
        object.createdAt = row["created_at"]
        object.updatedAt = row["updated_at"]
        return object
    }

    static func tag(_ row: Row) -> TagDefinition {
        TagDefinition(name: row["name"], createdAt: row["created_at"], updatedAt: row["updated_at"])
    }

    static func association(_ row: Row) -> ResourceTypeAssociation {
        var association = ResourceTypeAssociation(name: row["name"], prefix: row["prefix"], target: row["target"])
        association.createdAt = row["created_at"]
        association.updatedAt = row["updated_at"]
        return association
    }

    static func all(_ db: Database, _ kind: DefinitionKind, in namespaceID: Int64) throws -> [Row] {
        try Row.fetchAll(
            db, sql: "SELECT * FROM \(kind.table) WHERE namespace_id = ? ORDER BY id", arguments: [namespaceID])
    }

    static func one(_ db: Database, _ kind: DefinitionKind, _ name: String, in namespaceID: Int64) throws -> Row? {
        try Row.fetchOne(
            db, sql: "SELECT * FROM \(kind.table) WHERE namespace_id = ? AND name = ?",
            arguments: [namespaceID, name])
    }

    static func removeAll(_ db: Database, _ kind: DefinitionKind, in namespaceID: Int64) throws {
        try db.execute(sql: "DELETE FROM \(kind.table) WHERE namespace_id = ?", arguments: [namespaceID])
    }

    /// Of one page: those behind the marker, in the query's order, which the number makes total.
    ///
    /// - Parameter conditions: which rows there are at all, with their `arguments`.
    static func page(
        _ db: Database, _ table: String, _ query: DefinitionQuery, marker: Row?, _ conditions: [String],
        _ arguments: StatementArguments, limit: Int
    ) throws -> [Row] {
        let column = query.column.rawValue
        var conditions = conditions
        var arguments = arguments
        if let marker {
            conditions.append(
                "(IFNULL(\(column), ''), id) \(query.isDescending ? "<" : ">") (IFNULL(?, ''), ?)")
            arguments += [marker[column] as DatabaseValue, marker["id"] as DatabaseValue]
        }
        let direction = query.isDescending ? "DESC" : "ASC"
        return try Row.fetchAll(
            db,
            sql: """
                SELECT * FROM \(table) WHERE \(conditions.joined(separator: " AND "))
                ORDER BY IFNULL(\(column), '') \(direction), id \(direction) LIMIT ?
                """, arguments: arguments + [limit])
    }
}
