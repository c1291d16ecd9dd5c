import GRDB
package import Primitives

/// What a user hands to a program so that it signs in as them: on one project, with some of their roles, perhaps for
/// some requests only.
package struct ApplicationCredential: Sendable, Equatable {
    package var id: String
    package var userID: String
    package var projectID: String
    package var name: String
    package var description: String?
    /// Unix seconds; `expiryText` is the same as it was written.
    package var expiresAt: Int64?
    package var expiryText: String?
    /// Whether its tokens may make and remove credentials and trusts.
    package var isUnrestricted: Bool
    package var roles: [Role]
    /// nil for one that is good for every request.
    package var rules: [StoredAccessRule]?
}

/// A rule that a user's credentials may share.
package struct StoredAccessRule: Sendable, Equatable {
    package var id: String
    package var rule: AccessRule
}

package enum ApplicationCredentialReference: Sendable, Equatable {
    case id(String)
    case name(String, UserReference)
}

/// An application credential to be made.
package struct NewApplicationCredential: Sendable {
    package enum RoleName: Sendable {
        case id(String)
        case name(String)
    }

    package enum Rule: Sendable {
        case existing(String)
        case new(AccessRule)
    }

    package var name: String
    package var description: String?
    /// nil for a random one.
    package var secret: Secret?
    package var expiresAt: Int64?
    package var expiryText: String?
    /// Empty: all that the caller's token has.
    package var roles: [RoleName] = []
    package var isUnrestricted = false
    package var rules: [Rule]?

    package init(name: String) { self.name = name }
}

extension IdentityService {
    package func applicationCredentials(
        ofUser userID: String, name: String?
    ) throws(IdentityError) -> Listing<ApplicationCredential> {
        let items = try read { db in
            let ids = try String.fetchAll(
                db,
                sql: """
                    SELECT id FROM application_credentials WHERE user_id = ? AND (? IS NULL OR name = ?)
                    ORDER BY name LIMIT \(Limits.listMax)
                    """, arguments: [userID, name, name])
            return try ids.compactMap { try Lookups.applicationCredential(db, id: $0) }
        }
        return Listing(items: items, isTruncated: false)
    }

    package func applicationCredential(id: String, userID: String) throws(IdentityError) -> ApplicationCredential {
        let item = try read { db in try Lookups.applicationCredential(db, id: id) }
        return try found("application credential", id, item?.userID == userID ? item : nil)
    }

    /// Makes one of what the caller's token has; the secret is told this once. Slow (scrypt).
    ///
    /// `.forbidden` for a token that was itself delegated, unless it is of an unrestricted credential.
    package func createApplicationCredential(
        _ new: NewApplicationCredential, for caller: TokenInfo
    ) throws(IdentityError) -> (credential: ApplicationCredential, secret: Secret) {
        try checkMayDelegate(caller, "create_application_credential")
        try checkName(new.name, max: Limits.userNameMax)
        try checkDescription(new.description)
        guard case .project(let project, _) = caller.scope else {
            throw .invalid("An application credential is made with a token of its project.")
        }
        guard new.expiresAt ?? .max > now else { throw .invalid("The expiration date lies in the past.") }
        let roles = try pick(new.roles, of: caller)
        let secret = new.secret ?? Secret(Base64.encodeURL(configuration.randomBytes(64), padded: false))
        guard (1...Limits.passwordBytesMax).contains(secret.bytes.count) else {
            throw .invalid("Invalid input for field 'secret': it must have 1 to \(Limits.passwordBytesMax) bytes.")
        }
        if (new.rules ?? []).count > Limits.accessRulesMax {
            throw .invalid("Invalid input for field 'access_rules': at most \(Limits.accessRulesMax).")
        }
        let hash = try PasswordHash(
            password: secret, cost: configuration.passwordCost, randomBytes: configuration.randomBytes
        ).text
        let id = newID()
        let credential = try naming("application_credential", new.name, domainID: nil) { () throws(IdentityError) in
            try write { db in
                try self.insert(db, new, id: id, hash: hash, caller.user.id, project.id, roles)
                guard let made = try Lookups.applicationCredential(db, id: id) else {
                    throw IdentityError.notFound(kind: "application credential", id: id)
                }
                return made
            }
        }
        return (credential, secret)
    }

    /// Its tokens end with it.
    package func deleteApplicationCredential(id: String, userID: String) throws(IdentityError) {
        try write { db in
            try db.execute(
                sql: "DELETE FROM application_credentials WHERE id = ? AND user_id = ?", arguments: [id, userID])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "application credential", id: id) }
        }
    }

    /// `.forbidden` for a token that was delegated and may not delegate further.
    package func checkMayDelegate(_ caller: TokenInfo, _ action: String) throws(IdentityError) {
        let isRestricted = caller.applicationCredential.map { !$0.isUnrestricted } ?? false
        let isSigned = caller.methods.contains(TokenPayload.Method.ec2credential.rawValue)
        guard caller.trust == nil, !isRestricted, !isSigned else { throw .forbidden(action: "identity:\(action)") }
    }

    // MARK: Access rules.

    package func accessRules(ofUser userID: String) throws(IdentityError) -> [StoredAccessRule] {
        try read { db in
            try Lookups.all(
                db, "SELECT * FROM access_rules WHERE user_id = ? ORDER BY id LIMIT \(Limits.listMax)", [userID],
                Lookups.accessRule)
        }
    }

    package func accessRule(id: String, userID: String) throws(IdentityError) -> StoredAccessRule {
        try found(
            "access rule", id,
            try read { db in
                try Lookups.one(
                    db, "SELECT * FROM access_rules WHERE id = ? AND user_id = ?", [id, userID], Lookups.accessRule)
            })
    }

    /// `.forbidden` while a credential uses it.
    package func deleteAccessRule(id: String, userID: String) throws(IdentityError) {
        try write { db in
            let users = try Int.fetchOne(
                db, sql: "SELECT COUNT(*) FROM application_credential_rules WHERE rule_id = ?", arguments: [id])
            guard users == 0 else { throw IdentityError.forbidden(action: "identity:delete_access_rule") }
            try db.execute(sql: "DELETE FROM access_rules WHERE id = ? AND user_id = ?", arguments: [id, userID])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "access rule", id: id) }
        }
    }

    // MARK: Signing in with one.

    /// The credential if the secret is its own and it hasn't ended. An unknown one takes as long as a known one. Slow.
    func verify(
        _ secret: Secret, of reference: ApplicationCredentialReference
    ) throws(IdentityError) -> ApplicationCredential {
        let found = try read { db -> (credential: ApplicationCredential, hash: String)? in
            let id: String?
            switch reference {
            case .id(let text): id = text
            case .name(let name, let owner):
                guard let user = try Lookups.user(db, owner) else { return nil }
                id = try String.fetchOne(
                    db.cachedStatement(sql: "SELECT id FROM application_credentials WHERE user_id = ? AND name = ?"),
                    arguments: [user.id, name])
            }
            guard let id, let credential = try Lookups.applicationCredential(db, id: id),
                let hash = try String.fetchOne(
                    db.cachedStatement(sql: "SELECT secret_hash FROM application_credentials WHERE id = ?"),
                    arguments: [id])
            else { return nil }
            return (credential, hash)
        }
        let known = found.flatMap { PasswordHash(text: $0.hash) }
        let fits = (1...Limits.passwordBytesMax).contains(secret.bytes.count)
        let matches = try (known ?? decoyHash).matches(fits ? secret : Secret("-")) && fits
        guard let found, known != nil, matches, now < found.credential.expiresAt ?? .max else { throw .unauthorized }
        return found.credential
    }

    // MARK: Making one.

    private func pick(
        _ names: [NewApplicationCredential.RoleName], of caller: TokenInfo
    ) throws(IdentityError) -> [Role] {
        guard !names.isEmpty else { return caller.roles }
        guard names.count <= Limits.delegatedRolesMax else {
            throw .invalid("Invalid input for field 'roles': at most \(Limits.delegatedRolesMax).")
        }
        var roles: [Role] = []
        for name in names {
            let role = caller.roles.first {
                switch name {
                case .id(let id): $0.id == id
                case .name(let text): $0.name == text
                }
            }
            guard let role else { throw .invalid("A role was asked for that the caller's token does not have.") }
            if !roles.contains(role) { roles.append(role) }
        }
        return roles
    }

    private func insert(
        _ db: Database, _ new: NewApplicationCredential, id: String, hash: String, _ userID: String,
        _ projectID: String, _ roles: [Role]
    ) throws {
        let owned =
            try Int.fetchOne(
                db, sql: "SELECT COUNT(*) FROM application_credentials WHERE user_id = ?", arguments: [userID]) ?? 0
        guard owned < Limits.delegationsMax else {
            throw IdentityError.forbidden(action: "identity:create_application_credential")
        }
        try db.execute(
            sql: """
                INSERT INTO application_credentials (id, user_id, project_id, name, description, secret_hash,
                expires_at, expires_seconds, unrestricted, has_rules) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                id, userID, projectID, new.name, new.description, hash, new.expiryText, new.expiresAt,
                new.isUnrestricted, new.rules != nil,
            ])
        for role in roles {
            try db.execute(
                sql: "INSERT INTO application_credential_roles (credential_id, role_id) VALUES (?, ?)",
                arguments: [id, role.id])
        }
        for rule in new.rules ?? [] {
            try db.execute(
                sql: """
                    INSERT INTO application_credential_rules (credential_id, rule_id) VALUES (?, ?)
                    ON CONFLICT DO NOTHING
                    """, arguments: [id, try ruleID(db, rule, userID: userID)])
        }
    }

    private func ruleID(_ db: Database, _ rule: NewApplicationCredential.Rule, userID: String) throws -> String {
        switch rule {
        case .existing(let id):
            let known = try Int.fetchOne(
                db, sql: "SELECT 1 FROM access_rules WHERE id = ? AND user_id = ?", arguments: [id, userID])
            guard known != nil else { throw IdentityError.notFound(kind: "access rule", id: id) }
            return id
        case .new(let rule):
            guard rule.path.hasPrefix("/"), rule.path.utf8.count <= AccessRule.pathBytesMax,
                (1...64).contains(rule.service.utf8.count),
                ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "COPY"].contains(rule.method)
            else { throw IdentityError.invalid("Invalid input for field 'access_rules': a rule is malformed.") }
            let known = try String.fetchOne(
                db, sql: "SELECT id FROM access_rules WHERE user_id = ? AND service = ? AND method = ? AND path = ?",
                arguments: [userID, rule.service, rule.method, rule.path])
            if let known { return known }
            let id = newID()
            try db.execute(
                sql: "INSERT INTO access_rules (id, user_id, service, method, path) VALUES (?, ?, ?, ?, ?)",
                arguments: [id, userID, rule.service, rule.method, rule.path])
            return id
        }
    }
}

extension Lookups {
    static func accessRule(_ row: Row) -> StoredAccessRule {
        StoredAccessRule(
            id: row["id"], rule: AccessRule(service: row["service"], method: row["method"], path: row["path"]))
    }

    static func applicationCredential(_ db: Database, id: String) throws -> ApplicationCredential? {
        guard
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT * FROM application_credentials WHERE id = ?"), arguments: [id])
        else { return nil }
        let roles = try all(
            db,
            """
            SELECT roles.* FROM application_credential_roles JOIN roles ON roles.id = role_id
            WHERE credential_id = ? ORDER BY roles.name, roles.id
            """, [id], role)
        let hasRules: Bool = row["has_rules"]
        var rules: [StoredAccessRule]?
        if hasRules {
            rules = try all(
                db,
                """
                SELECT access_rules.* FROM application_credential_rules JOIN access_rules ON access_rules.id = rule_id
                WHERE credential_id = ? ORDER BY access_rules.id
                """, [id], accessRule)
        }
        return ApplicationCredential(
            id: id, userID: row["user_id"], projectID: row["project_id"], name: row["name"],
            description: row["description"], expiresAt: row["expires_seconds"], expiryText: row["expires_at"],
            isUnrestricted: row["unrestricted"], roles: roles, rules: rules)
    }
}
