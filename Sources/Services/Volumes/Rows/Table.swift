import GRDB

/// The statements that every table needs, once. Names of tables and columns are ours; values are bound.
enum Table {
    static func insert(
        _ db: Database, _ table: String, _ values: KeyValuePairs<String, (any DatabaseValueConvertible)?>
    ) throws {
        let names = values.map(\.key).joined(separator: ", ")
        let marks = values.map { _ in "?" }.joined(separator: ", ")
        try db.execute(
            sql: "INSERT INTO \(table) (\(names)) VALUES (\(marks))", arguments: StatementArguments(values.map(\.value))
        )
    }

    /// How many rows the condition let through.
    @discardableResult
    static func update(
        _ db: Database, _ table: String, _ values: KeyValuePairs<String, (any DatabaseValueConvertible)?>,
        where condition: String, _ arguments: [(any DatabaseValueConvertible)?]
    ) throws -> Int {
        let assignments = values.map { "\($0.key) = ?" }.joined(separator: ", ")
        try db.execute(
            sql: "UPDATE \(table) SET \(assignments) WHERE \(condition)",
            arguments: StatementArguments(values.map(\.value) + arguments))
        return db.changesCount
    }

    @discardableResult
    static func delete(
        _ db: Database, _ table: String, where condition: String, _ arguments: [(any DatabaseValueConvertible)?]
    ) throws -> Int {
        try db.execute(sql: "DELETE FROM \(table) WHERE \(condition)", arguments: StatementArguments(arguments))
        return db.changesCount
    }

    static func one<T>(
        _ db: Database, _ sql: String, _ arguments: [(any DatabaseValueConvertible)?], _ decode: (Row) throws -> T
    ) throws -> T? {
        try Row.fetchOne(db, sql: sql, arguments: StatementArguments(arguments)).map(decode)
    }

    static func all<T>(
        _ db: Database, _ sql: String, _ arguments: [(any DatabaseValueConvertible)?], _ decode: (Row) throws -> T
    ) throws -> [T] {
        try Row.fetchAll(db, sql: sql, arguments: StatementArguments(arguments)).map(decode)
    }

    static func count(
        _ db: Database, _ sql: String, _ arguments: [(any DatabaseValueConvertible)?]
    ) throws -> Int {
        try Int.fetchOne(db, sql: sql, arguments: StatementArguments(arguments)) ?? 0
    }

    /// `?, ?, ?`.
    static func marks(_ count: Int) -> String { repeatElement("?", count: count).joined(separator: ", ") }
}

/// Named texts that belong to a resource: metadata and specs of every kind.
enum Facts {
    enum Kind: String {
        /// The user's metadata of a volume or a snapshot.
        case metadata
        /// What a volume shows of the image it came from.
        case image
        /// `readonly`, `attached_mode`.
        case admin
        /// Specs of a volume type, a QoS policy or a group type.
        case spec
        /// What an attachment's host said of itself.
        case connector
    }

    static func read(_ db: Database, _ owner: String, _ kind: Kind) throws -> [String: String] {
        try read(db, [owner], kind)[owner] ?? [:]
    }

    /// By owner; those without any are absent.
    static func read(_ db: Database, _ owners: [String], _ kind: Kind) throws -> [String: [String: String]] {
        var found: [String: [String: String]] = [:]
        guard !owners.isEmpty else { return found }
        let rows = try Row.fetchAll(
            db,
            sql:
                "SELECT owner, name, value FROM volume_facts WHERE kind = ? AND owner IN (\(Table.marks(owners.count)))",
            arguments: StatementArguments([kind.rawValue] + owners))
        for row in rows {
            let owner: String = row["owner"]
            let name: String = row["name"]
            found[owner, default: [:]][name] = row["value"]
        }
        return found
    }

    static func merge(_ db: Database, _ owner: String, _ kind: Kind, _ facts: [String: String]) throws {
        for (name, value) in facts {
            try db.execute(
                sql: """
                    INSERT INTO volume_facts (owner, kind, name, value) VALUES (?, ?, ?, ?)
                    ON CONFLICT (owner, kind, name) DO UPDATE SET value = excluded.value
                    """, arguments: [owner, kind.rawValue, name, value])
        }
    }

    static func replace(_ db: Database, _ owner: String, _ kind: Kind, _ facts: [String: String]) throws {
        try Table.delete(db, "volume_facts", where: "owner = ? AND kind = ?", [owner, kind.rawValue])
        try merge(db, owner, kind, facts)
    }

    /// True if there was one.
    static func remove(_ db: Database, _ owner: String, _ kind: Kind, _ name: String) throws -> Bool {
        try Table.delete(
            db, "volume_facts", where: "owner = ? AND kind = ? AND name = ?", [owner, kind.rawValue, name]) > 0
    }

    static func removeAll(_ db: Database, _ owner: String) throws {
        try Table.delete(db, "volume_facts", where: "owner = ?", [owner])
    }
}
