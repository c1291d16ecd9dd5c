import GRDB
private import Primitives

/// Roles on a project that one user lets another use, as themselves or as the one who trusts.
package struct Trust: Sendable, Equatable {
    package var id: String
    package var trustorID: String
    package var trusteeID: String
    package var projectID: String
    /// Whether its tokens are the trustor's.
    package var impersonates: Bool
    /// Unix seconds; `expiryText` is the same as it was written.
    package var expiresAt: Int64?
    package var expiryText: String?
    /// Tokens that may still be made of it; nil for any number.
    package var remainingUses: Int?
    /// How often it may be passed on.
    package var redelegations: Int
    package var roles: [Role]
}

/// A trust to be made.
package struct NewTrust: Sendable {
    package var trustorID: String
    package var trusteeID: String
    package var projectID: String?
    package var impersonates: Bool
    package var expiresAt: Int64?
    package var expiryText: String?
    package var remainingUses: Int?
    package var redelegations = 0
    package var roles: [NewApplicationCredential.RoleName] = []

    package init(trustorID: String, trusteeID: String, impersonates: Bool) {
        self.trustorID = trustorID
        self.trusteeID = trusteeID
        self.impersonates = impersonates
    }
}

extension IdentityService {
    /// - Parameters:
    ///   - trustorID: nil for anybody's; so with `trusteeID`.
    package func trusts(trustorID: String?, trusteeID: String?) throws(IdentityError) -> Listing<Trust> {
        let items = try read { db in
            let ids = try String.fetchAll(
                db,
                sql: """
                    SELECT id FROM trusts WHERE (? IS NULL OR trustor_user_id = ?)
                    AND (? IS NULL OR trustee_user_id = ?) ORDER BY id LIMIT \(Limits.listMax)
                    """, arguments: [trustorID, trustorID, trusteeID, trusteeID])
            return try ids.compactMap { try Lookups.trust(db, id: $0) }.filter { self.now < $0.expiresAt ?? .max }
        }
        return Listing(items: items, isTruncated: false)
    }

    /// `.notFound` for one that has ended, too.
    package func trust(id: String) throws(IdentityError) -> Trust {
        let trust = try read { db in try Lookups.trust(db, id: id) }
        return try found("trust", id, trust.flatMap { now < $0.expiresAt ?? .max ? $0 : nil })
    }

    /// - Parameter caller: the trustor, with a token of theirs, or one of a trust that may be passed on.
    package func createTrust(_ new: NewTrust, for caller: TokenInfo) throws(IdentityError) -> Trust {
        let refusal = IdentityError.forbidden(action: "identity:create_trust")
        guard caller.user.id == new.trustorID else { throw refusal }
        if caller.trust == nil { try checkMayDelegate(caller, "create_trust") }
        guard new.expiresAt ?? .max > now else { throw .invalid("The expiration date lies in the past.") }
        guard new.remainingUses ?? 1 >= 1 else {
            throw .invalid("Invalid input for field 'remaining_uses': it must be at least 1.")
        }
        guard (0...Limits.redelegationsMax).contains(new.redelegations) else { throw refusal }
        guard !new.roles.isEmpty else { throw refusal }
        guard new.roles.count <= Limits.delegatedRolesMax else {
            throw .invalid("Invalid input for field 'roles': at most \(Limits.delegatedRolesMax).")
        }
        guard let projectID = new.projectID else {
            throw .invalid("Invalid input for field 'project_id': roles are trusted on a project.")
        }
        let id = newID()
        return try write { db in
            let parent = try caller.trust.map { try self.parent($0.id, of: new, projectID, db) }
            let roles = try self.roles(db, new, projectID: projectID, within: parent)
            try self.insert(db, new, id: id, projectID: projectID, roles: roles, parent: parent)
            guard let trust = try Lookups.trust(db, id: id) else { throw IdentityError.notFound(kind: "trust", id: id) }
            return trust
        }
    }

    /// Its tokens, and what was passed on of it, end with it.
    package func deleteTrust(id: String) throws(IdentityError) { try deleteRow("trusts", kind: "trust", id: id) }

    /// Counts a token that is made of a trust with a number of uses; `.forbidden` if none is left, `.unauthorized` if
    /// the trust isn't for this user.
    func useTrust(_ id: String, userID: String) throws(IdentityError) {
        let trust = try read { db in try Lookups.trust(db, id: id) }
        guard let trust, trust.trusteeID == userID, now < trust.expiresAt ?? .max else { throw .unauthorized }
        guard trust.remainingUses != nil else { return }
        try write { db in
            try db.execute(
                sql: "UPDATE trusts SET remaining_uses = remaining_uses - 1 WHERE id = ? AND remaining_uses > 0",
                arguments: [id])
            guard db.changesCount == 1 else { throw IdentityError.forbidden(action: "identity:use_trust") }
        }
    }

    // MARK: Making one.

    /// The trust that a new one passes on, which must allow all that the new one does.
    private func parent(_ id: String, of new: NewTrust, _ projectID: String, _ db: Database) throws -> Trust {
        let refusal = IdentityError.forbidden(action: "identity:create_trust")
        guard let parent = try Lookups.trust(db, id: id), parent.redelegations > 0, parent.projectID == projectID,
            new.redelegations < parent.redelegations, parent.impersonates || !new.impersonates,
            parent.remainingUses == nil, new.remainingUses == nil,
            new.expiresAt ?? .max <= parent.expiresAt ?? .max
        else { throw refusal }
        return parent
    }

    /// Roles that the trustor holds on the project; of a trust that is passed on, some of that one's.
    private func roles(
        _ db: Database, _ new: NewTrust, projectID: String, within parent: Trust?
    ) throws -> [Role] {
        guard try Lookups.user(db, .id(new.trusteeID)) != nil else {
            throw IdentityError.notFound(kind: "user", id: new.trusteeID)
        }
        guard try Lookups.project(db, .id(projectID)) != nil else {
            throw IdentityError.notFound(kind: "project", id: projectID)
        }
        let held = try Lookups.effectiveRoles(db, userID: new.trustorID, on: .project(projectID))
        var roles: [Role] = []
        for name in new.roles {
            let wanted: String
            let role: Role?
            switch name {
            case .id(let id): (wanted, role) = (id, held.first { $0.id == id })
            case .name(let text): (wanted, role) = (text, held.first { $0.name == text })
            }
            guard let role else { throw IdentityError.notFound(kind: "role", id: wanted) }
            guard parent?.roles.contains(role) ?? true else {
                throw IdentityError.forbidden(action: "identity:create_trust")
            }
            if !roles.contains(role) { roles.append(role) }
        }
        return roles
    }

    private func insert(
        _ db: Database, _ new: NewTrust, id: String, projectID: String, roles: [Role], parent: Trust?
    ) throws {
        let owned =
            try Int.fetchOne(
                db, sql: "SELECT COUNT(*) FROM trusts WHERE trustor_user_id = ?", arguments: [new.trustorID]) ?? 0
        guard owned < Limits.delegationsMax else { throw IdentityError.forbidden(action: "identity:create_trust") }
        // What is passed on of a trust that ends, ends with it.
        let inherits = new.expiresAt == nil
        try db.execute(
            sql: """
                INSERT INTO trusts (id, trustor_user_id, trustee_user_id, project_id, impersonation, expires_at,
                expires_seconds, remaining_uses, redelegation_count, parent_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                id, new.trustorID, new.trusteeID, projectID, new.impersonates,
                inherits ? parent?.expiryText : new.expiryText, inherits ? parent?.expiresAt : new.expiresAt,
                new.remainingUses, new.redelegations, parent?.id,
            ])
        for role in roles {
            try db.execute(
                sql: "INSERT INTO trust_roles (trust_id, role_id) VALUES (?, ?)", arguments: [id, role.id])
        }
    }
}

extension Lookups {
    static func trust(_ db: Database, id: String) throws -> Trust? {
        guard
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT * FROM trusts WHERE id = ?"), arguments: [id])
        else { return nil }
        let roles = try all(
            db,
            """
            SELECT roles.* FROM trust_roles JOIN roles ON roles.id = role_id
            WHERE trust_id = ? ORDER BY roles.name, roles.id
            """, [id], role)
        return Trust(
            id: id, trustorID: row["trustor_user_id"], trusteeID: row["trustee_user_id"],
            projectID: row["project_id"], impersonates: row["impersonation"], expiresAt: row["expires_seconds"],
            expiryText: row["expires_at"], remainingUses: row["remaining_uses"],
            redelegations: row["redelegation_count"], roles: roles)
    }
}
