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
        try one(db, "SELECT * FROM roles WHERE name = ? AND domain_id = ''", [name], role)
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
        Domain(
            id: row["id"], name: row["name"], description: row["description"], enabled: row["enabled"],
            tags: tags(row), extra: row["extra"])
    }

    private static func tags(_ row: Row) -> [String] {
        let joined: String = row["tags"]
        return joined.split(separator: ",").map(String.init)
    }

    static func group(_ row: Row) -> Group {
        Group(
            id: row["id"], name: row["name"], domainID: row["domain_id"], description: row["description"],
            extra: row["extra"])
    }

    static func project(_ row: Row) -> Project {
        Project(
            id: row["id"], name: row["name"], domainID: row["domain_id"], parentID: row["parent_id"],
            description: row["description"], enabled: row["enabled"], tags: tags(row), extra: row["extra"])
    }

    static func user(_ row: Row) -> User {
        User(
            id: row["id"], name: row["name"], domainID: row["domain_id"], defaultProjectID: row["default_project_id"],
            email: row["email"], description: row["description"], enabled: row["enabled"], extra: row["extra"],
            passwordSetAt: row["password_set_at"], ignoresPasswordExpiry: row["ignores_expiry"],
            hasLockedPassword: row["locks_password"])
    }

    static func role(_ row: Row) -> Role {
        let domainID: String = row["domain_id"]
        return Role(
            id: row["id"], name: row["name"], description: row["description"],
            domainID: domainID.isEmpty ? nil : domainID, extra: row["extra"])
    }

    static func service(_ row: Row) -> CatalogService {
        CatalogService(
            id: row["id"], type: row["type"], name: row["name"], description: row["description"],
            enabled: row["enabled"], extra: row["extra"])
    }

    static func endpoint(_ row: Row) -> CatalogEndpoint {
        CatalogEndpoint(
            id: row["id"], serviceID: row["service_id"], interface: row["interface"], regionID: row["region_id"],
            url: row["url"], enabled: row["enabled"], extra: row["extra"])
    }

    static func region(_ row: Row) -> Region {
        Region(id: row["id"], description: row["description"], parentID: row["parent_id"], extra: row["extra"])
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
        let actorID: String = row["actor_id"]
        let actorKind: String = row["actor_kind"]
        return RoleAssignment(
            actor: actorKind == "group" ? .group(actorID) : .user(actorID), roleID: row["role_id"], target: target,
            isInherited: row["inherited"])
    }

    static func group(_ db: Database, id: String) throws -> Group? {
        try one(db, "SELECT * FROM groups WHERE id = ?", [id], group)
    }

    /// Where a role must be held to count on the target: there, or inherited from above.
    static func places(
        _ db: Database, of target: AssignmentTarget
    ) throws -> [(target: AssignmentTarget, isInherited: Bool)] {
        var places: [(target: AssignmentTarget, isInherited: Bool)] = [(target, false)]
        guard case .project(let id) = target, var project = try project(db, .id(id)) else { return places }
        for _ in 0..<Limits.depthMax {
            guard let parentID = project.parentID, let parent = try Lookups.project(db, .id(parentID)) else { break }
            places.append((.project(parentID), true))
            project = parent
        }
        places.append((.domain(project.domainID), true))
        return places
    }

    /// The roles a user holds on the target, by themselves, through groups, inherited and implied, by name.
    static func effectiveRoles(_ db: Database, userID: String, on target: AssignmentTarget) throws -> [Role] {
        var granted: [Role] = []
        for place in try places(db, of: target) {
            granted += try all(
                db,
                """
                SELECT roles.* FROM assignments JOIN roles ON roles.id = assignments.role_id
                WHERE assignments.target_kind = ? AND assignments.target_id = ? AND assignments.inherited = ?
                AND (assignments.actor_kind = 'user' AND assignments.actor_id = ?
                    OR assignments.actor_kind = 'group' AND assignments.actor_id IN (
                        SELECT group_id FROM group_members WHERE user_id = ?))
                """, [place.target.kind, place.target.id, place.isInherited, userID, userID], role)
        }
        // A domain's own role only stands for what it implies.
        return try withImplied(db, granted).filter { $0.domainID == nil }
    }

    /// The roles and all that they imply, each once, by name.
    static func withImplied(_ db: Database, _ granted: [Role]) throws -> [Role] {
        var reached = Set(granted)
        var frontier = Array(reached)
        // Bounded by the depth, and by each role being followed once; so a circle of implications ends too.
        for _ in 0..<Limits.depthMax where !frontier.isEmpty {
            var next: [Role] = []
            for prior in frontier {
                for role in try implied(db, by: prior.id) where reached.insert(role).inserted { next.append(role) }
            }
            frontier = next
        }
        return reached.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
    }

    static func implied(_ db: Database, by priorID: String) throws -> [Role] {
        try all(
            db,
            """
            SELECT roles.* FROM implied_roles JOIN roles ON roles.id = implied_roles.implied_id
            WHERE implied_roles.prior_id = ? ORDER BY roles.name, roles.id
            """, [priorID], role)
    }
}
