import GRDB

/// What a list of assignments is narrowed to; nil is everything.
package struct AssignmentFilter: Sendable {
    package var userID: String?
    package var roleID: String?
    package var target: AssignmentTarget?
    package var groupID: String?
    package var isInherited: Bool?
    package init(userID: String?, roleID: String?, target: AssignmentTarget?) {
        self.userID = userID
        self.roleID = roleID
        self.target = target
    }
}

/// The rows of `assignments`.
enum Assignments {
    static func add(_ db: Database, _ assignment: RoleAssignment) throws {
        try db.execute(
            sql: """
                INSERT INTO assignments (actor_kind, actor_id, target_kind, target_id, role_id, inherited)
                VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                """, arguments: values(assignment))
    }

    /// True if there was one.
    static func remove(_ db: Database, _ assignment: RoleAssignment) throws -> Bool {
        try db.execute(sql: "DELETE FROM assignments" + condition, arguments: values(assignment))
        return db.changesCount > 0
    }

    static func has(_ db: Database, _ assignment: RoleAssignment) throws -> Bool {
        try Int.fetchOne(db, sql: "SELECT 1 FROM assignments" + condition, arguments: values(assignment)) != nil
    }

    private static let condition = """
         WHERE actor_kind = ? AND actor_id = ? AND target_kind = ? AND target_id = ? AND role_id = ? AND inherited = ?
        """

    private static func values(_ assignment: RoleAssignment) -> StatementArguments {
        [
            assignment.actor.kind, assignment.actor.id, assignment.target.kind, assignment.target.id,
            assignment.roleID, assignment.isInherited,
        ]
    }
}

extension IdentityService {
    package func roles(name: String?) throws(IdentityError) -> Listing<Role> {
        try list("roles", [("domain_id", ""), ("name", name)], order: "name", Lookups.role)
    }

    package func roles(_ filters: [ListFilter]) throws(IdentityError) -> Listing<Role> {
        try list("roles", filters, order: "name, id", Lookups.role)
    }

    package func role(id: String) throws(IdentityError) -> Role {
        try found("role", id, try read { db in try Lookups.role(db, id: id) })
    }

    package func role(name: String) throws(IdentityError) -> Role {
        try found("role", name, try read { db in try Lookups.role(db, name: name) })
    }

    package func createRole(
        name: String, description: String?, domainID: String? = nil, extra: String = "{}"
    ) throws(IdentityError) -> Role {
        try checkName(name, max: Limits.roleNameMax)
        try checkDescription(description)
        try checkExtra(extra)
        if let domainID { _ = try domain(.id(domainID)) }
        let role = Role(id: newID(), name: name, description: description, domainID: domainID, extra: extra)
        return try naming("role", name, domainID: domainID) { () throws(IdentityError) in
            try write { db in
                try db.execute(
                    sql: "INSERT INTO roles (id, name, description, domain_id, extra) VALUES (?, ?, ?, ?, ?)",
                    arguments: [role.id, role.name, role.description, domainID ?? "", extra])
                return role
            }
        }
    }

    /// The roles that every installation has keep their names: policies are written with them.
    package func updateRole(
        id: String, name: String?, description: String??, extra: String
    ) throws(IdentityError) -> Role {
        if let name { try checkName(name, max: Limits.roleNameMax) }
        try checkDescription(description ?? nil)
        try checkExtra(extra)
        return try naming("role", name ?? id, domainID: nil) { () throws(IdentityError) in
            try write { db in
                guard let role = try Lookups.role(db, id: id) else {
                    throw IdentityError.notFound(kind: "role", id: id)
                }
                try self.checkMutable(db, "roles", "role", id, extra)
                let renames = name != nil && name != role.name
                guard !renames || !Self.isBuiltIn(role) else {
                    throw IdentityError.forbidden(action: "identity:update_role")
                }
                try db.execute(
                    sql: "UPDATE roles SET name = ?, description = ?, extra = ? WHERE id = ?",
                    arguments: [
                        name ?? role.name, description ?? role.description, try self.merged(db, "roles", id, extra), id,
                    ])
                return try Lookups.role(db, id: id) ?? role
            }
        }
    }

    private static func isBuiltIn(_ role: Role) -> Bool {
        role.domainID == nil && ["admin", "manager", "member", "reader", "service"].contains(role.name)
    }

    // MARK: Roles that imply others.

    package func impliedRoles(by priorID: String) throws(IdentityError) -> [Role] {
        _ = try role(id: priorID)
        return try read { db in try Lookups.implied(db, by: priorID) }
    }

    /// Every role that implies others, with those.
    package func roleInferences() throws(IdentityError) -> [(prior: Role, implied: [Role])] {
        try read { db in
            let priors = try Lookups.all(
                db,
                """
                SELECT * FROM roles WHERE id IN (SELECT prior_id FROM implied_roles)
                ORDER BY name, id LIMIT \(Limits.listMax)
                """, [], Lookups.role)
            return try priors.map { ($0, try Lookups.implied(db, by: $0.id)) }
        }
    }

    /// `.forbidden` for a role that must not be had by way of another, or one of another domain.
    package func addImplication(prior: String, implied: String) throws(IdentityError) {
        try write { db in
            let (priorRole, impliedRole) = try self.pair(db, prior, implied)
            // A role that counts everywhere can't stand for one of a domain; the reverse is what those are for.
            guard
                impliedRole.domainID == nil && impliedRole.name != "admin"
                    || impliedRole.domainID != nil && priorRole.domainID != nil
            else { throw IdentityError.forbidden(action: "identity:create_implied_role") }
            try db.execute(
                sql: "INSERT INTO implied_roles (prior_id, implied_id) VALUES (?, ?) ON CONFLICT DO NOTHING",
                arguments: [prior, implied])
        }
    }

    package func removeImplication(prior: String, implied: String) throws(IdentityError) {
        try write { db in
            _ = try self.pair(db, prior, implied)
            try db.execute(
                sql: "DELETE FROM implied_roles WHERE prior_id = ? AND implied_id = ?", arguments: [prior, implied])
            guard db.changesCount == 1 else {
                throw IdentityError.notFound(kind: "implied role", id: "\(prior) implies \(implied)")
            }
        }
    }

    private func pair(_ db: Database, _ prior: String, _ implied: String) throws -> (Role, Role) {
        guard let priorRole = try Lookups.role(db, id: prior) else {
            throw IdentityError.notFound(kind: "role", id: prior)
        }
        guard let impliedRole = try Lookups.role(db, id: implied) else {
            throw IdentityError.notFound(kind: "role", id: implied)
        }
        return (priorRole, impliedRole)
    }

    /// Removes the role from everyone who holds it. The roles that every installation has can't go.
    package func deleteRole(id: String) throws(IdentityError) {
        try write { db in
            guard let role = try Lookups.role(db, id: id) else { throw IdentityError.notFound(kind: "role", id: id) }
            guard !Self.isBuiltIn(role) else {
                throw IdentityError.forbidden(action: "identity:delete_role")
            }
            try self.checkMutable(db, "roles", "role", id, nil)
            let holders = try Lookups.all(
                db, "SELECT * FROM assignments WHERE role_id = ?", [id], Lookups.assignment)
            for holder in holders { try self.revokeTokens(db, of: holder) }
            try db.execute(sql: "DELETE FROM roles WHERE id = ?", arguments: [id])
        }
    }

    /// Gives a role; giving it again changes nothing. `.notFound` names what doesn't exist.
    package func grant(_ assignment: RoleAssignment) throws(IdentityError) {
        try write { db in
            try self.checkExists(db, assignment)
            try Assignments.add(db, assignment)
        }
    }

    /// Takes a role, and ends the user's tokens on that scope; `.notFound` if they don't hold it there.
    package func withdraw(_ assignment: RoleAssignment) throws(IdentityError) {
        try write { db in
            try self.checkExists(db, assignment)
            guard try Assignments.remove(db, assignment) else {
                throw IdentityError.notFound(kind: "role assignment", id: assignment.roleID)
            }
            try self.revokeTokens(db, of: assignment)
        }
    }

    /// Whether the role was given as such (not implied).
    package func holds(_ assignment: RoleAssignment) throws(IdentityError) -> Bool {
        try read { db in
            try self.checkExists(db, assignment)
            return try Assignments.has(db, assignment)
        }
    }

    /// The assignments as granted.
    package func assignments(_ filter: AssignmentFilter) throws(IdentityError) -> Listing<RoleAssignment> {
        try list(
            "assignments",
            [
                ("actor_kind", filter.userID != nil ? "user" : filter.groupID != nil ? "group" : nil),
                ("actor_id", filter.userID ?? filter.groupID), ("role_id", filter.roleID),
                ("target_kind", filter.target?.kind), ("target_id", filter.target?.id),
                ("inherited", filter.isInherited),
            ], order: "actor_kind DESC, actor_id, target_kind, target_id, role_id, inherited", Lookups.assignment)
    }

    /// Whether somebody holds, in any place, a role that isn't one of a domain's manager, nor less.
    package func reachesBeyondDomains(_ actor: Actor) throws(IdentityError) -> Bool {
        try read { db in
            let groups = actor.kind == "user" ? actor.id : ""
            let roles = try Lookups.all(
                db,
                """
                SELECT * FROM roles WHERE id IN (
                    SELECT role_id FROM assignments WHERE actor_kind = ? AND actor_id = ? OR actor_kind = 'group'
                    AND actor_id IN (SELECT group_id FROM group_members WHERE user_id = ?))
                """, [actor.kind, actor.id, groups], Lookups.role)
            return try Lookups.withImplied(db, roles).contains {
                $0.domainID == nil && !["manager", "member", "reader"].contains($0.name)
            }
        }
    }

    /// The roles a user holds on the target, implied ones included.
    package func effectiveRoles(userID: String, on target: AssignmentTarget) throws(IdentityError) -> [Role] {
        try read { db in try Lookups.effectiveRoles(db, userID: userID, on: target) }
    }

    /// Those who lost a role lose their tokens on that scope; below an inherited grant each validation looks afresh.
    private func revokeTokens(_ db: Database, of assignment: RoleAssignment) throws {
        switch assignment.actor {
        case .user(let id):
            try revoke(db, .grant(user: id, assignment.target))
            if case .project(let project) = assignment.target {
                try db.execute(
                    sql: """
                        DELETE FROM application_credentials WHERE user_id = ? AND project_id = ? AND id IN (
                            SELECT credential_id FROM application_credential_roles WHERE role_id = ?)
                        """, arguments: [id, project, assignment.roleID])
            }
        case .group(let id):
            let members = try String.fetchAll(
                db, sql: "SELECT user_id FROM group_members WHERE group_id = ?", arguments: [id])
            for member in members { try revoke(db, .grant(user: member, assignment.target)) }
        }
    }

    private func checkExists(_ db: Database, _ assignment: RoleAssignment) throws {
        switch assignment.actor {
        case .user(let id):
            guard try Lookups.user(db, .id(id)) != nil else { throw IdentityError.notFound(kind: "user", id: id) }
        case .group(let id):
            guard try Lookups.group(db, id: id) != nil else { throw IdentityError.notFound(kind: "group", id: id) }
        }
        guard let role = try Lookups.role(db, id: assignment.roleID) else {
            throw IdentityError.notFound(kind: "role", id: assignment.roleID)
        }
        var domainID: String?
        switch assignment.target {
        case .project(let id):
            guard let project = try Lookups.project(db, .id(id)) else {
                throw IdentityError.notFound(kind: "project", id: id)
            }
            domainID = project.domainID
        case .domain(let id):
            guard try Lookups.domain(db, .id(id)) != nil else { throw IdentityError.notFound(kind: "domain", id: id) }
            domainID = id
        case .system: break
        }
        // A domain's own role is for what lies in that domain.
        guard role.domainID == nil || role.domainID == domainID else {
            throw IdentityError.forbidden(action: "identity:create_grant")
        }
    }
}
