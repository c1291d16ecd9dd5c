import GRDB

extension ImageService {
    /// One page, at most `query.limit` and `Limits.pageMax` long.
    package func images(_ query: ImageQuery, for asker: ImageAsker) async throws(ImageError) -> [ImageDetail] {
        guard query.limit > 0 else { return [] }
        return try await read { db in
            var selection = Selection(query, asker)
            if let marker = query.marker {
                guard let row = try ImageRows.find(db, marker), try Self.isVisible(db, row, to: asker) else {
                    throw ImageError.invalid("Invalid marker. Image could not be found.")
                }
                try selection.begin(behind: marker, db)
            }
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT \(ImageRows.columns) FROM images WHERE \(selection.conditions.joined(separator: " AND "))
                    ORDER BY \(selection.orderText) LIMIT ?
                    """, arguments: selection.arguments + [min(query.limit, Limits.pageMax)])
            return try ImageRows.details(db, rows.map(ImageRows.decode))
        }
    }
}

/// A listing as SQL: conditions with their arguments, and an order that is total.
private struct Selection {
    private(set) var conditions = ["deleted_at IS NULL"]
    private(set) var arguments = StatementArguments()
    private var order: [ImageQuery.Order]

    init(_ query: ImageQuery, _ asker: ImageAsker) {
        order = query.order
        let isDescending = order.last?.isDescending ?? true
        for column in [ImageQuery.Column.createdAt, .id] where !order.contains(where: { $0.column == column }) {
            order.append(ImageQuery.Order(column, isDescending: isDescending))
        }
        add("hidden = ?", [query.isHidden])
        see(query, asker)
        for condition in query.conditions { add(condition) }
    }

    private mutating func add(_ text: String, _ values: StatementArguments = []) {
        conditions.append(text)
        arguments += values
    }

    /// What the caller sees of it.
    private mutating func see(_ query: ImageQuery, _ asker: ImageAsker) {
        let me = asker.projectID
        let member: String
        var memberArguments: StatementArguments = [me]
        if let status = query.memberStatus {
            member =
                "EXISTS (SELECT 1 FROM image_members WHERE image_id = images.id AND member = ? AND status = ?)"
            memberArguments += [status.rawValue]
        } else {
            member = "EXISTS (SELECT 1 FROM image_members WHERE image_id = images.id AND member = ?)"
        }
        switch query.visibility {
        case .standard where asker.isAdmin, .all where asker.isAdmin: break
        case .standard, .all:
            let community = query.visibility == .all ? "'public', 'community'" : "'public'"
            add(
                "(owner = ? OR visibility IN (\(community)) OR visibility = 'shared' AND \(member))",
                [me] + memberArguments)
        case .only(let visibility):
            add("visibility = ?", [visibility.rawValue])
            switch visibility {
            case .public, .community: break
            case .private: if !asker.isAdmin { add("owner = ?", [me]) }
            case .shared: if !asker.isAdmin { add("(owner = ? OR \(member))", [me] + memberArguments) }
            }
        }
    }

    private mutating func add(_ condition: ImageQuery.Condition) {
        switch condition {
        case .text(let column, let values):
            add("\(column.rawValue) IN (\(databaseQuestionMarks(count: values.count)))", StatementArguments(values))
        case .number(let column, let comparison, let value):
            add("\(column.rawValue) \(comparison.rawValue) ?", [value])
        case .tag(let tag):
            add("EXISTS (SELECT 1 FROM image_tags WHERE image_id = images.id AND tag = ?)", [tag])
        case .property(let name, let value):
            add(
                "EXISTS (SELECT 1 FROM image_properties WHERE image_id = images.id AND name = ? AND value = ?)",
                [name, value])
        }
    }

    /// NULL stands before everything, so that every row has its place in the order.
    private static func expression(_ column: ImageQuery.Column) -> String {
        switch column {
        case .size: "IFNULL(size, -1)"
        case .name, .diskFormat, .containerFormat: "IFNULL(\(column.rawValue), '')"
        default: column.rawValue
        }
    }

    var orderText: String {
        order.map { Self.expression($0.column) + ($0.isDescending ? " DESC" : " ASC") }.joined(separator: ", ")
    }

    /// Only what comes after that image in the order.
    mutating func begin(behind marker: String, _ db: Database) throws {
        let list = order.map { Self.expression($0.column) }.joined(separator: ", ")
        guard let row = try Row.fetchOne(db, sql: "SELECT \(list) FROM images WHERE id = ?", arguments: [marker])
        else { return }
        var alternatives: [String] = []
        var values = StatementArguments()
        for last in order.indices {
            var parts: [String] = []
            for index in 0...last {
                let item = order[index]
                let comparison = index < last ? "=" : item.isDescending ? "<" : ">"
                parts.append("\(Self.expression(item.column)) \(comparison) ?")
                values += [row[index] as DatabaseValue]
            }
            alternatives.append("(" + parts.joined(separator: " AND ") + ")")
        }
        add("(" + alternatives.joined(separator: " OR ") + ")", values)
    }
}
