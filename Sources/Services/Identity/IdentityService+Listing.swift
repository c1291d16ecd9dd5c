import GRDB
private import Records

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
