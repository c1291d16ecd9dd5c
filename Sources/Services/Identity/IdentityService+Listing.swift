import GRDB
private import Records

/// One condition on the rows of a list.
package struct ListFilter: Sendable {
    /// How a text is compared; the raw values are the suffixes of a request's filters.
    package enum Comparison: String, Sendable, CaseIterable {
        case contains, startswith, endswith, icontains, istartswith, iendswith
    }

    let sql: String
    let arguments: [(any DatabaseValueConvertible & Sendable)?]

    /// - Parameter column: one of ours; it becomes a part of the statement.
    package static func equals(_ column: StaticString, _ value: String) -> ListFilter {
        ListFilter(sql: "\(column) = ?", arguments: [value])
    }

    package static func equals(_ column: StaticString, _ value: Bool) -> ListFilter {
        ListFilter(sql: "\(column) = ?", arguments: [value])
    }

    package static func isNull(_ column: StaticString) -> ListFilter {
        ListFilter(sql: "\(column) IS NULL", arguments: [])
    }

    package static func compares(_ column: StaticString, _ comparison: Comparison, _ value: String) -> ListFilter {
        switch comparison {
        case .contains: ListFilter(sql: "instr(\(column), ?) > 0", arguments: [value])
        case .startswith: ListFilter(sql: "instr(\(column), ?) = 1", arguments: [value])
        case .endswith: ListFilter(sql: "substr(\(column), -length(?)) = ?", arguments: [value, value])
        case .icontains: ListFilter(sql: "instr(lower(\(column)), lower(?)) > 0", arguments: [value])
        case .istartswith: ListFilter(sql: "instr(lower(\(column)), lower(?)) = 1", arguments: [value])
        case .iendswith:
            ListFilter(sql: "lower(substr(\(column), -length(?))) = lower(?)", arguments: [value, value])
        }
    }

    /// Rows with all (or any) of the tags, or, where `isNegated`, the others.
    package static func tags(_ tags: [String], any: Bool, isNegated: Bool) -> ListFilter {
        let each = tags.map { _ in "instr(tags, ?) > 0" }.joined(separator: any ? " OR " : " AND ")
        return ListFilter(sql: (isNegated ? "NOT (" : "(") + each + ")", arguments: tags.map { ",\($0)," })
    }
}

extension IdentityService {
    /// One page of a table, filtered by equality; table, columns and order are ours, values are bound.
    func list<T: Sendable>(
        _ table: String, _ filters: [(column: String, value: (any DatabaseValueConvertible)?)], order: String,
        _ decode: @escaping (Row) -> T
    ) throws(IdentityError) -> Listing<T> {
        let given = filters.filter { $0.value != nil }
        let condition = given.isEmpty ? "" : " WHERE " + given.map { "\($0.column) = ?" }.joined(separator: " AND ")
        let sql = "SELECT * FROM \(table)\(condition) ORDER BY \(order) LIMIT \(Limits.listMax + 1)"
        let arguments = StatementArguments(given.map { $0.value })
        let items = try read { db in try Lookups.all(db, sql, arguments, decode) }
        return Listing(items: Array(items.prefix(Limits.listMax)), isTruncated: items.count > Limits.listMax)
    }

    /// One page of a table, by the filters of a request.
    func list<T: Sendable>(
        _ table: String, _ filters: [ListFilter], order: String, _ decode: @escaping (Row) -> T
    ) throws(IdentityError) -> Listing<T> {
        let condition = filters.isEmpty ? "" : " WHERE " + filters.map(\.sql).joined(separator: " AND ")
        let sql = "SELECT * FROM \(table)\(condition) ORDER BY \(order) LIMIT \(Limits.listMax + 1)"
        let arguments = StatementArguments(filters.flatMap(\.arguments))
        let items = try read { db in try Row.fetchAll(db, sql: sql, arguments: arguments).map(decode) }
        return Listing(items: Array(items.prefix(Limits.listMax)), isTruncated: items.count > Limits.listMax)
    }

    func found<T>(_ kind: String, _ id: String, _ item: T?) throws(IdentityError) -> T {
        guard let item else { throw .notFound(kind: kind, id: id) }
        return item
    }

    /// Refuses an empty name, one of only spaces, and one of more than `max` characters.
    func checkName(_ name: String, max: Int) throws(IdentityError) {
        guard !name.allSatisfy(\.isWhitespace), name.unicodeScalars.count <= max else {
            throw .invalid("Invalid input for field 'name': it must have 1 to \(max) characters.")
        }
    }

    func checkDescription(_ text: String?) throws(IdentityError) {
        guard (text ?? "").utf8.count <= Limits.descriptionMax else {
            throw .invalid("Invalid input for field 'description': it is too long.")
        }
    }

    /// A uniqueness refusal of the tables as one that a person reads.
    func naming<T>(
        _ kind: String, _ name: String, domainID: String?, _ body: () throws(IdentityError) -> T
    ) throws(IdentityError) -> T {
        do throws(IdentityError) {
            return try body()
        } catch .records(.duplicate(_)) {
            let place = domainID.map { " at domain ID \($0)" } ?? ""
            throw .conflict(kind: kind, detail: "Duplicate entry found with name \(name)\(place)")
        }
    }
}
