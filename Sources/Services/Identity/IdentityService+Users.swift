import GRDB
package import Primitives

/// A user to be made.
package struct NewUser: Sendable {
    package var name: String
    package var domain: DomainReference
    /// nil for a user who can't sign in by password.
    package var password: Secret?
    package var defaultProjectID: String?
    package var email: String?
    package var description: String?
    package var enabled: Bool
    package var extra = "{}"

    package init(
        name: String, domain: DomainReference, password: Secret?, defaultProjectID: String?, email: String?,
        description: String?, enabled: Bool
    ) {
        self.name = name
        self.domain = domain
        self.password = password
        self.defaultProjectID = defaultProjectID
        self.email = email
        self.description = description
        self.enabled = enabled
    }
}

/// What a PATCH changes; nil leaves a field as it is, `.some(nil)` clears it.
package struct UserChange: Sendable {
    package var name: String?
    package var password: Secret?
    package var enabled: Bool?
    package var defaultProjectID: String??
    package var email: String??
    package var description: String??
    /// A JSON object that is merged into the attributes that clients store.
    package var extra = "{}"
    package init() {}
}

extension IdentityService {
    package func users(name: String?, domainID: String?, enabled: Bool?) throws(IdentityError) -> Listing<User> {
        try list(
            "users", [("name", name), ("domain_id", domainID), ("enabled", enabled)], order: "name, id", Lookups.user)
    }

    package func users(_ filters: [ListFilter]) throws(IdentityError) -> Listing<User> {
        try list("users", filters, order: "name, id", Lookups.user)
    }

    package func user(_ reference: UserReference) throws(IdentityError) -> User {
        let item = try read { db in try Lookups.user(db, reference) }
        switch reference {
        case .id(let text), .name(let text, _): return try found("user", text, item)
        }
    }

    /// Slow where a password is given (scrypt).
    package func createUser(_ new: NewUser) throws(IdentityError) -> User {
        try checkName(new.name, max: Limits.userNameMax)
        try checkDescription(new.description)
        try checkExtra(new.extra)
        let domain = try self.domain(new.domain)
        var hashText: String?
        if let password = new.password { hashText = try hash(password) }
        let user = User(
            id: newID(), name: new.name, domainID: domain.id, defaultProjectID: new.defaultProjectID, email: new.email,
            description: new.description, enabled: new.enabled, extra: new.extra)
        return try naming("user", new.name, domainID: domain.id) { () throws(IdentityError) in
            try write { db in
                try db.execute(
                    sql: """
                        INSERT INTO users
                        (id, name, domain_id, default_project_id, email, description, password_hash, enabled, extra,
                        password_set_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        user.id, user.name, user.domainID, user.defaultProjectID, user.email, user.description,
                        hashText, user.enabled, user.extra, self.now,
                    ])
                return try Lookups.user(db, .id(user.id)) ?? user
            }
        }
    }

    /// A new password, or being disabled, ends every token of the user. Slow where a password is given.
    package func updateUser(id: String, _ change: UserChange) throws(IdentityError) -> User {
        if let name = change.name { try checkName(name, max: Limits.userNameMax) }
        try checkDescription(change.description ?? nil)
        try checkExtra(change.extra)
        var newHash: String?
        if let password = change.password { newHash = try hash(password) }
        return try naming("user", change.name ?? id, domainID: nil) { () throws(IdentityError) in
            try write { db in
                guard var user = try Lookups.user(db, .id(id)) else {
                    throw IdentityError.notFound(kind: "user", id: id)
                }
                let wasEnabled = user.enabled
                user.name = change.name ?? user.name
                user.enabled = change.enabled ?? user.enabled
                if let value = change.defaultProjectID { user.defaultProjectID = value }
                if let value = change.email { user.email = value }
                if let value = change.description { user.description = value }
                try db.execute(
                    sql: """
                        UPDATE users SET name = ?, enabled = ?, default_project_id = ?, email = ?, description = ?,
                        extra = ? WHERE id = ?
                        """,
                    arguments: [
                        user.name, user.enabled, user.defaultProjectID, user.email, user.description,
                        try self.merged(db, "users", id, change.extra), id,
                    ])
                if let newHash { try self.store(db, newHash, userID: id) }
                if wasEnabled, !user.enabled { try self.revoke(db, .user(id)) }
                return try Lookups.user(db, .id(id)) ?? user
            }
        }
    }

    package func deleteUser(id: String) throws(IdentityError) {
        try write { db in
            try db.execute(sql: "DELETE FROM users WHERE id = ?", arguments: [id])
            guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "user", id: id) }
            try self.revoke(db, .user(id))
        }
    }

    /// An operator's reset: no old password is asked for. Ends every token of the user. Slow (scrypt).
    package func setPassword(_ password: Secret, of reference: UserReference) throws(IdentityError) {
        let user = try self.user(reference)
        let newHash = try hash(password)
        try write { db in try self.store(db, newHash, userID: user.id) }
    }

    /// The user's own change: `.unauthorized` if the old password is wrong. Ends every token of the user. Slow.
    package func changePassword(
        userID: String, from original: Secret, to password: Secret
    ) throws(IdentityError) {
        let verified = try verify(original, of: .id(userID), allowingExpired: true)
        guard !(try user(.id(userID)).hasLockedPassword) else {
            throw .invalid("The password of this user can't be changed by themselves.")
        }
        try checkHistory(password, userID: userID)
        let newHash = try hash(password)
        try write { db in
            // Hashing takes its time, and an operator may have reset the password meanwhile: theirs stays.
            guard try Lookups.passwordHash(db, userID: userID) == verified.hash else {
                throw IdentityError.unauthorized
            }
            try self.store(db, newHash, userID: userID)
        }
    }

    /// Sets a random password and returns it, for the operator to hand on. Slow.
    package func resetPassword(of reference: UserReference) throws(IdentityError) -> Secret {
        let password = Secret(Base64.encodeURL(configuration.randomBytes(24), padded: false))
        try setPassword(password, of: reference)
        return password
    }

    /// A new hash's text; refuses an empty password and one beyond the limit.
    func hash(_ password: Secret) throws(IdentityError) -> String {
        guard (1...Limits.passwordBytesMax).contains(password.bytes.count) else {
            throw .invalid("Invalid input for field 'password': it must have 1 to \(Limits.passwordBytesMax) bytes.")
        }
        try checkStrength(password)
        return try PasswordHash(
            password: password, cost: configuration.passwordCost, randomBytes: configuration.randomBytes
        ).text
    }
}
