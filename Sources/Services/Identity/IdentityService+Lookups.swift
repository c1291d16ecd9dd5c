private import Codecs
import GRDB
private import Records

func hexText(_ bytes: [UInt8]) -> String { Hex.encode(bytes) }

/// The rows by id and by name: each statement once, for the transactions of all the others.
enum Lookups {
    static func domain(_ db: Database, _ reference: DomainReference) throws -> Domain? {
        switch reference {
        case .id(let id): try one(db, "SELECT * FROM domains WHERE id = ?", [id], domain)
        case .name(let name): try one(db, "SELECT * FROM domains WHERE name = ?", [name], domain)
        }
    }

    static func project(_ db: Database, _ reference: ProjectReference) throws -> Project? {
        switch reference {
        case .id(let id): return try one(db, "SELECT * FROM projects WHERE id = ?", [id], project)
        case .name(let name, let domainReference):
            guard let domain = try domain(db, domainReference) else { return nil }
            return try one(
                db, "SELECT * FROM projects WHERE domain_id = ? AND name = ?", [domain.id, name], project)
        }
    }

    static func user(_ db: Database, _ reference: UserReference) throws -> User? {
        switch reference {
        case .id(let id): return try one(db, "SELECT * FROM users WHERE id = ?", [id], user)
        case .name(let name, let domainReference):
            guard let domain = try domain(db, domainReference) else { return nil }
            return try one(db, "SELECT * FROM users WHERE domain_id = ? AND name = ?", [domain.id, name], user)
        }
    }

    static func passwordHash(_ db: Database, userID: String) throws -> String? {
        try String.fetchOne(
            db.cachedStatement(sql: "SELECT password_hash FROM users WHERE id = ?"), arguments: [userID])
    }

    static func role(_ db: Database, id: String) throws -> Role? {
        try one(db, "SELECT * FROM roles WHERE id = ?", [id], role)
    }

    static func role(_ db: Database, name: String) throws -> Role? {
        try one(db, "SELECT * FROM roles WHERE name = ?", [name], role)
    }

    static func one<T>(
        _ db: Database, _ sql: String, _ arguments: StatementArguments, _ decode: (Row) -> T
    ) throws -> T? {
        try Row.fetchOne(db.cachedStatement(sql: sql), arguments: arguments).map(decode)
    }

    static func all<T>(
        _ db: Database, _ sql: String, _ arguments: StatementArguments, _ decode: (Row) -> T
    ) throws -> [T] {
        try Row.fetchAll(db.cachedStatement(sql: sql), arguments: arguments).map(decode)
    }

    static func domain(_ row: Row) -> Domain {
        Domain(id: row["id"], name: row["name"], description: row["description"], enabled: row["enabled"])
    }

    static func project(_ row: Row) -> Project {
        Project(
            id: row["id"], name: row["name"], domainID: row["domain_id"], parentID: row["parent_id"],
            description: row["description"], enabled: row["enabled"])
    }

    static func user(_ row: Row) -> User {
        User(
            id: row["id"], name: row["name"], domainID: row["domain_id"], defaultProjectID: row["default_project_id"],
            email: row["email"], description: row["description"], enabled: row["enabled"])
    }

    static func role(_ row: Row) -> Role { Role(id: row["id"], name: row["name"], description: row["description"]) }

    static func service(_ row: Row) -> CatalogService {
        CatalogService(
            id: row["id"], type: row["type"], name: row["name"], description: row["description"],
            enabled: row["enabled"])
    }

    static func endpoint(_ row: Row) -> CatalogEndpoint {
        CatalogEndpoint(
            id: row["id"], serviceID: row["service_id"], interface: row["interface"], regionID: row["region_id"],
            url: row["url"], enabled: row["enabled"])
    }

    static func region(_ row: Row) -> Region {
        Region(id: row["id"], description: row["description"], parentID: row["parent_id"])
    }

    static func assignment(_ row: Row) -> RoleAssignment {
        let id: String = row["target_id"]
        let kind: String = row["target_kind"]
        let target: AssignmentTarget =
            switch kind {
            case "project": .project(id)
            case "domain": .domain(id)
            default: .system
            }
        return RoleAssignment(userID: row["user_id"], roleID: row["role_id"], target: target)
    }

    /// The roles a user holds on the target, implied ones included, by name.
    static func effectiveRoles(_ db: Database, userID: String, on target: AssignmentTarget) throws -> [Role] {
        let granted = try all(
            db,
            """
            SELECT roles.* FROM assignments JOIN roles ON roles.id = assignments.role_id
            WHERE assignments.user_id = ? AND assignments.target_kind = ? AND assignments.target_id = ?
            """, [userID, target.kind, target.id], role)
        guard !granted.isEmpty else { return [] }
        var reached = Set(granted)
        var frontier = granted
        // Bounded by the depth, and by each role being followed once; so a circle of implications ends too.
        for _ in 0..<Limits.depthMax where !frontier.isEmpty {
            var next: [Role] = []
            for prior in frontier {
                let implied = try all(
                    db,
                    """
                    SELECT roles.* FROM implied_roles JOIN roles ON roles.id = implied_roles.implied_id
                    WHERE implied_roles.prior_id = ?
                    """, [prior.id], role)
                for role in implied where reached.insert(role).inserted { next.append(role) }
            }
            frontier = next
        }
        return reached.sorted { $0.name < $1.name }
    }
}
