import GRDB

/// What a list is narrowed to, its order and its page.
///
/// Columns are named by the code that asks, never by a client; each listing refuses others as a programmer's mistake.
package struct ListQuery: Sendable {
    package enum Comparison: String, Sendable {
        case equal = "="
        case notEqual = "<>"
        case greater = ">"
        case greaterOrEqual = ">="
        case less = "<"
        case lessOrEqual = "<="
    }

    package enum Value: Sendable, Equatable {
        case text(String)
        case number(Int64)
        case none

        var bound: (any DatabaseValueConvertible)? {
            switch self {
            case .text(let text): text
            case .number(let number): number
            case .none: nil
            }
        }
    }

    package enum Condition: Sendable, Equatable {
        case compare(String, Comparison, Value)
        case oneOf(String, [String])
        /// The column has the text somewhere in it.
        case contains(String, String)
        /// The resource has this metadata.
        case metadata(String, String)
        /// The resource shows this image metadata.
        case image(String, String)
        case never
    }

    package var conditions: [Condition] = []
    /// Columns and whether they ascend; the id follows in any case, so that pages never overlap.
    package var order: [(column: String, ascending: Bool)] = [("created_at", false)]
    package var limit = Limits.pageMax
    package var offset = 0
    /// The id of the last resource of the page before.
    package var marker: String?
    package var wantsCount = false

    package init() {}

    package mutating func require(_ column: String, _ text: String) {
        conditions.append(.compare(column, .equal, .text(text)))
    }
}

/// One page of a list.
package struct Page<Item: Sendable>: Sendable {
    package var items: [Item]
    /// Whether more may follow: the page is full.
    package var isFull: Bool
    /// All that the filters let through, if it was asked for.
    package var count: Int?

    func map<T: Sendable>(_ body: (Item) throws -> T) rethrows -> Page<T> {
        Page<T>(items: try items.map(body), isFull: isFull, count: count)
    }
}

/// A table as lists see it.
struct ListSource {
    let table: String
    /// For messages: `Volume`.
    let kind: String
    let columns: Set<String>

    static let volumes = ListSource(
        table: "volumes", kind: "Volume",
        columns: [
            "id", "name", "status", "size", "created_at", "updated_at", "zone", "bootable", "project_id", "user_id",
            "group_id", "migration_status", "consumes_quota", "host", "type_id", "snapshot_id", "source_volume_id",
            "attach_status", "multiattach", "encrypted", "description",
        ])
    static let snapshots = ListSource(
        table: "volume_snapshots", kind: "Snapshot",
        columns: [
            "id", "name", "status", "size", "created_at", "updated_at", "volume_id", "project_id", "user_id",
            "consumes_quota", "group_snapshot_id", "description",
        ])
    static let attachments = ListSource(
        table: "volume_attachments", kind: "Attachment",
        columns: ["id", "status", "created_at", "volume_id", "project_id", "instance_id", "host"])
    static let transfers = ListSource(
        table: "volume_transfers", kind: "Transfer",
        columns: ["id", "name", "created_at", "volume_id", "source_project_id"])
    static let types = ListSource(
        table: "volume_types", kind: "Volume type", columns: ["id", "name", "created_at", "is_public", "description"])
    static let policies = ListSource(
        table: "volume_qos", kind: "QoS specs", columns: ["id", "name", "created_at", "consumer"])
    static let groups = ListSource(
        table: "volume_groups", kind: "Group",
        columns: [
            "id", "name", "status", "created_at", "project_id", "type_id", "group_snapshot_id", "source_group_id",
        ]
    )
    static let groupTypes = ListSource(
        table: "volume_group_types", kind: "Group type", columns: ["id", "name", "created_at", "is_public"])
    static let groupSnapshots = ListSource(
        table: "volume_group_snapshots", kind: "GroupSnapshot",
        columns: ["id", "name", "status", "created_at", "project_id", "group_id"])
    static let backups = ListSource(
        table: "volume_backups", kind: "Backup",
        columns: [
            "id", "name", "status", "size", "created_at", "updated_at", "volume_id", "project_id", "user_id",
            "container", "snapshot_id", "parent_id", "host", "zone", "description",
        ])
    static let messages = ListSource(
        table: "volume_messages", kind: "Message",
        columns: [
            "id", "event_id", "created_at", "project_id", "resource_type", "resource_id", "request_id",
            "guaranteed_until",
        ])

    /// - Parameter extra: a further condition of the service's own, e.g. what the caller may see.
    func page<T: Sendable>(
        _ db: Database, _ query: ListQuery, extra: (sql: String, arguments: [(any DatabaseValueConvertible)?])? = nil,
        _ decode: (Row) -> T
    ) throws -> Page<T> {
        var (condition, arguments) = conditions(query)
        if let extra {
            condition += " AND (\(extra.sql))"
            arguments += extra.arguments
        }
        let order = order(query)
        // The position within the whole filtered list makes any marker exact, whatever the order and its nulls.
        let numbered = """
            SELECT \(table).*, ROW_NUMBER() OVER (ORDER BY \(order)) AS list_position FROM \(table) WHERE \(condition)
            """
        var after = 0
        if let marker = query.marker {
            guard
                let position = try Int.fetchOne(
                    db, sql: "SELECT list_position FROM (\(numbered)) AS numbered WHERE id = ?",
                    arguments: StatementArguments(arguments + [marker]))
            else { throw VolumeError.notFound(kind: kind, id: marker) }
            after = position
        }
        let limit = min(max(query.limit, 0), Limits.pageMax)
        let rows = try Row.fetchAll(
            db,
            sql: "SELECT * FROM (\(numbered)) AS numbered WHERE list_position > ? ORDER BY list_position LIMIT ?",
            arguments: StatementArguments(arguments + [after + query.offset, limit]))
        var count: Int?
        if query.wantsCount {
            count = try Table.count(db, "SELECT COUNT(*) FROM \(table) WHERE \(condition)", arguments)
        }
        return Page(items: rows.map(decode), isFull: limit > 0 && rows.count == limit, count: count)
    }

    private func order(_ query: ListQuery) -> String {
        var keys = query.order.map { key in
            precondition(columns.contains(key.column), "\(table) is not sorted by \(key.column)")
            return "\(key.column) \(key.ascending ? "ASC" : "DESC")"
        }
        if !query.order.contains(where: { $0.column == "id" }) {
            keys.append("id \(query.order.last?.ascending == true ? "ASC" : "DESC")")
        }
        return keys.joined(separator: ", ")
    }

    private func conditions(_ query: ListQuery) -> (String, [(any DatabaseValueConvertible)?]) {
        var parts = ["1 = 1"]
        var arguments: [(any DatabaseValueConvertible)?] = []
        for condition in query.conditions {
            switch condition {
            case .compare(let column, let comparison, .none):
                check(column)
                parts.append(comparison == .equal ? "\(column) IS NULL" : "\(column) IS NOT NULL")
            case .compare(let column, let comparison, let value):
                check(column)
                parts.append("\(column) \(comparison.rawValue) ?")
                arguments.append(value.bound)
            case .oneOf(let column, let values):
                check(column)
                parts.append(values.isEmpty ? "1 = 0" : "\(column) IN (\(Table.marks(values.count)))")
                arguments += values
            case .contains(let column, let text):
                check(column)
                parts.append("\(column) LIKE ? ESCAPE '\\'")
                arguments.append("%" + Self.escaped(text) + "%")
            case .metadata(let name, let value), .image(let name, let value):
                parts.append(
                    """
                    EXISTS (SELECT 1 FROM volume_facts WHERE owner = \(table).id AND kind = ? AND name = ? AND value = ?)
                    """)
                var kind = Facts.Kind.metadata
                if case .image = condition { kind = .image }
                arguments += [kind.rawValue, name, value]
            case .never: parts.append("1 = 0")
            }
        }
        return (parts.joined(separator: " AND "), arguments)
    }

    private func check(_ column: String) {
        precondition(columns.contains(column), "\(table) is not filtered by \(column)")
    }

    private static func escaped(_ text: String) -> String {
        var out = ""
        for character in text {
            if character == "%" || character == "_" || character == "\\" { out.append("\\") }
            out.append(character)
        }
        return out
    }
}
