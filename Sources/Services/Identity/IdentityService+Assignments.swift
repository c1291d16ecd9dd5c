import GRDB

/// What a list of effective assignments is narrowed to.
package struct EffectiveFilter: Sendable {
    package var userID: String?
    package var roleID: String?
    package var target: AssignmentTarget?
    /// Set: only what comes, or doesn't come, of grants for what lies below.
    package var isInherited: Bool?
    package init(userID: String?, roleID: String?, target: AssignmentTarget?) {
        self.userID = userID
        self.roleID = roleID
        self.target = target
    }
}

extension IdentityService {
    /// What users hold in effect: groups replaced by their members, inherited grants by the projects that they reach,
    /// implied roles beside those that imply them, each once.
    package func effectiveAssignments(_ filter: EffectiveFilter) throws(IdentityError) -> Listing<RoleAssignment> {
        let items = try read { db in
            var seen: Set<RoleAssignment> = []
            var items: [RoleAssignment] = []
            let rows = try Lookups.all(
                db, "SELECT * FROM assignments ORDER BY actor_kind DESC, actor_id, target_kind, target_id, role_id", [],
                Lookups.assignment)
            for row in rows
            where items.count <= Limits.listMax && (filter.isInherited == nil || row.isInherited == filter.isInherited)
            {
                let users = try Self.holders(db, row.actor).filter { filter.userID == nil || $0 == filter.userID }
                guard !users.isEmpty else { continue }
                let targets = try Self.reached(db, row).filter { filter.target == nil || $0 == filter.target }
                guard !targets.isEmpty, let granted = try Lookups.role(db, id: row.roleID) else { continue }
                let roles = try Lookups.withImplied(db, [granted]).filter {
                    $0.domainID == nil && (filter.roleID == nil || $0.id == filter.roleID)
                }
                for user in users {
                    for target in targets {
                        for role in roles {
                            let item = RoleAssignment(actor: .user(user), roleID: role.id, target: target)
                            if seen.insert(item).inserted { items.append(item) }
                        }
                    }
                }
            }
            return items
        }
        return Listing(items: Array(items.prefix(Limits.listMax)), isTruncated: items.count > Limits.listMax)
    }

    private static func holders(_ db: Database, _ actor: Actor) throws -> [String] {
        switch actor {
        case .user(let id): return [id]
        case .group(let id):
            return try String.fetchAll(
                db.cachedStatement(sql: "SELECT user_id FROM group_members WHERE group_id = ? ORDER BY user_id"),
                arguments: [id])
        }
    }

    private static func reached(_ db: Database, _ row: RoleAssignment) throws -> [AssignmentTarget] {
        guard row.isInherited else { return [row.target] }
        switch row.target {
        case .project(let id): return try subtree(db, ofProject: id).map { .project($0.id) }
        case .domain(let id):
            return try String.fetchAll(
                db.cachedStatement(
                    sql: "SELECT id FROM projects WHERE domain_id = ? ORDER BY name LIMIT \(Limits.listMax)"),
                arguments: [id]
            ).map { .project($0) }
        case .system: return []
        }
    }
}
