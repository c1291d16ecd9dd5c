import GRDB

/// What a list of assignments is narrowed to; nil is everything.
package struct AssignmentFilter: Sendable {
    package var userID: String?
    package var roleID: String?
    package var target: AssignmentTarget?
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
                INSERT INTO assignments (user_id, target_kind, target_id, role_id) VALUES (?, ?, ?, ?)
                ON CONFLICT DO NOTHING
                """,
            arguments: [assignment.userID, assignment.target.kind, assignment.target.id, assignment.roleID])
    }

    /// True if there was one.
    static func remove(_ db: Database, _ assignment: RoleAssignment) throws -> Bool {
        try db.execute(
            sql: "DELETE FROM assignments WHERE user_id = ? AND target_kind = ? AND target_id = ? AND role_id = ?",
            arguments: [assignment.userID, assignment.target.kind, assignment.target.id, assignment.roleID])
        return db.changesCount > 0
    }
}

extension IdentityService {
    package func roles(name: String?) throws(IdentityError) -> Listing<Role> {
        try list("roles", [("name", name)], order: "name", Lookups.role)
    }

    package func role(id: String) throws(IdentityError) -> Role {
        try found("role", id, try read { db in try Lookups.role(db, id: id) })
    }

    package func role(name: String) throws(IdentityError) -> Role {
        try found("role", name, try read { db in try Lookups.role(db, name: name) })
    }

    package func createRole(name: String, description: String?) throws(IdentityError) -> Role {
        try checkName(name, max: Limits.roleNameMax)
        try checkDescription(description)
        let role = Role(id: newID(), name: name, description: description)
        return try naming("role", name, domainID: nil) { () throws(IdentityError) in
            try write { db in
                try db.execute(
                    sql: "INSERT INTO roles (id, name, description) VALUES (?, ?, ?)",
                    arguments: [role.id, role.name, role.description])
                return role
            }
        }
    }

    /// Removes the role from everyone who holds it. The roles that every installation has can't go.
    package func deleteRole(id: String) throws(IdentityError) {
        try write { db in
            guard let role = try Lookups.role(db, id: id) else { throw IdentityError.notFound(kind: "role", id: id) }
            guard !["admin", "manager", "member", "reader", "service"].contains(role.name) else {
                throw IdentityError.forbidden(action: "identity:delete_role")
            }
            let holders = try Lookups.all(
                db, "SELECT * FROM assignments WHERE role_id = ?", [id], Lookups.assignment)
            for holder in holders { try self.revoke(db, .grant(user: holder.userID, holder.target)) }
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
            try self.revoke(db, .grant(user: assignment.userID, assignment.target))
        }
    }

    /// Whether the role was given as such (not implied).
    package func holds(_ assignment: RoleAssignment) throws(IdentityError) -> Bool {
        try read { db in
            try self.checkExists(db, assignment)
            return try Lookups.one(
                db,
                """
                SELECT * FROM assignments
                WHERE user_id = ? AND target_kind = ? AND target_id = ? AND role_id = ?
                """, [assignment.userID, assignment.target.kind, assignment.target.id, assignment.roleID],
                Lookups.assignment) != nil
        }
    }

    /// The assignments as granted.
    package func assignments(_ filter: AssignmentFilter) throws(IdentityError) -> Listing<RoleAssignment> {
        try list(
            "assignments",
            [
                ("user_id", filter.userID), ("role_id", filter.roleID), ("target_kind", filter.target?.kind),
                ("target_id", filter.target?.id),
            ], order: "user_id, target_kind, target_id, role_id", Lookups.assignment)
    }

    /// The roles a user holds on the target, implied ones included.
    package func effectiveRoles(userID: String, on target: AssignmentTarget) throws(IdentityError) -> [Role] {
        try read { db in try Lookups.effectiveRoles(db, userID: userID, on: target) }
    }

    private func checkExists(_ db: Database, _ assignment: RoleAssignment) throws {
        guard try Lookups.user(db, .id(assignment.userID)) != nil else {
            throw IdentityError.notFound(kind: "user", id: assignment.userID)
        }
        guard try Lookups.role(db, id: assignment.roleID) != nil else {
            throw IdentityError.notFound(kind: "role", id: assignment.roleID)
        }
        switch assignment.target {
        case .project(let id):
            guard try Lookups.project(db, .id(id)) != nil else { throw IdentityError.notFound(kind: "project", id: id) }
        case .domain(let id):
            guard try Lookups.domain(db, .id(id)) != nil else { throw IdentityError.notFound(kind: "domain", id: id) }
        case .system: break
        }
    }
}
