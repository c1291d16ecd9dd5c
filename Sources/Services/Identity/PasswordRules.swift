import GRDB
import Primitives
private import Records

/// What an operator may ask of passwords. A zero switches a rule off.
package struct PasswordRules: Sendable, Equatable {
    /// Characters of the shortest password.
    package var lengthMin = 1
    /// How many of a user's last passwords they can't choose again; an operator's reset may.
    package var history = 0
    /// Days after which a password has to be changed before anybody signs in with it.
    package var daysMax = 0
    /// Wrong passwords in a row after which a user is locked out.
    package var lockoutFailures = 0
    /// Seconds that they are locked out for, from the last wrong password on.
    package var lockoutSeconds = 1_800

    package init() {}

    /// Unix seconds; nil for a password that doesn't end.
    func expiry(ofPasswordSetAt moment: Int64?, extra isExempt: Bool) -> Int64? {
        guard daysMax > 0, !isExempt, let moment else { return nil }
        return moment + Int64(daysMax) * 86_400
    }
}

extension IdentityService {
    package func passwordExpiry(of user: User) -> Int64? {
        configuration.passwordRules.expiry(ofPasswordSetAt: user.passwordSetAt, extra: user.ignoresPasswordExpiry)
    }

    private struct Standing {
        var user: User
        var hash: String?
        var isEnabled: Bool
        var failures: Int
        var lastFailure: Int64
        var isExemptFromLockout: Bool
    }

    /// The user's id if the password is theirs and they may sign in, and the hash that it was compared with: by the
    /// time that hashing is through, it may be another password's.
    ///
    /// Whoever is locked out, unknown, disabled or late with a new password gets the answer of a wrong password, after
    /// the same time, whether or not this one was right.
    func verify(
        _ password: Secret, of reference: UserReference, allowingExpired: Bool = false
    ) throws(IdentityError) -> (id: String, hash: String) {
        let found = try read { db in try self.standing(db, reference) }
        let known = found?.hash.flatMap { PasswordHash(text: $0) }
        // Too long or empty is wrong, but is hashed all the same, as something of a fair length.
        let fits = (1...Limits.passwordBytesMax).contains(password.bytes.count)
        let candidate = fits ? password : Secret("-")
        let matches = try (known ?? decoyHash).matches(candidate) && fits
        let rules = configuration.passwordRules
        guard let found, let hash = found.hash, known != nil else {
            try countNobody(rules)
            throw .unauthorized
        }
        if rules.lockoutFailures > 0, !found.isExemptFromLockout {
            let isLocked =
                found.failures >= rules.lockoutFailures && now < found.lastFailure + Int64(rules.lockoutSeconds)
            if isLocked {
                try countNobody(rules)
                throw .unauthorized
            }
            try count(matches: matches, found, rules)
        } else if !matches {
            try countNobody(rules)
        }
        guard matches, found.isEnabled else { throw .unauthorized }
        if !allowingExpired, let expiry = passwordExpiry(of: found.user), now >= expiry { throw .unauthorized }
        return (found.user.id, hash)
    }

    private func standing(_ db: Database, _ reference: UserReference) throws -> Standing? {
        guard let user = try Lookups.user(db, reference), let domain = try Lookups.domain(db, .id(user.domainID)),
            let row = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT password_hash, failures, failed_at,
                        coalesce(json_extract(extra, '$.options.ignore_lockout_failure_attempts'), 0) AS exempt
                        FROM users WHERE id = ?
                        """), arguments: [user.id])
        else { return nil }
        return Standing(
            user: user, hash: row["password_hash"], isEnabled: user.enabled && domain.enabled,
            failures: row["failures"], lastFailure: row["failed_at"], isExemptFromLockout: row["exempt"])
    }

    /// Counts in a row: a right password starts afresh, and so does a wrong one after a lock-out that has passed.
    private func count(matches: Bool, _ found: Standing, _ rules: PasswordRules) throws(IdentityError) {
        guard !matches || found.failures > 0 else { return }
        // No token says anything about failures, so what is remembered of tokens stays.
        try records.write(failing: IdentityError.self) { db in
            try db.execute(
                sql: """
                    UPDATE users SET failed_at = ?, failures = CASE WHEN ? THEN 0
                    WHEN failures >= ? THEN 1 ELSE failures + 1 END WHERE id = ?
                    """, arguments: [self.now, matches, rules.lockoutFailures, found.user.id])
        }
    }

    /// A write that takes as long as counting does, where there is nothing to count: whether a name is known, or locked
    /// out, is not to be read from the clock.
    private func countNobody(_ rules: PasswordRules) throws(IdentityError) {
        guard rules.lockoutFailures > 0 else { return }
        try records.write(failing: IdentityError.self) { db in
            try db.execute(
                sql:
                    "INSERT INTO failures_of_nobody (id, count) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET count = count + 1"
            )
        }
    }

    func checkStrength(_ password: Secret) throws(IdentityError) {
        let least = configuration.passwordRules.lengthMin
        let text = String(decoding: password.bytes, as: UTF8.self)
        guard text.unicodeScalars.count >= least else {
            throw .invalid("The password does not match the requirements: it must have at least \(least) characters.")
        }
    }

    /// Slow: one hash for each password that is remembered.
    func checkHistory(_ password: Secret, userID: String) throws(IdentityError) {
        let count = configuration.passwordRules.history
        guard count > 0 else { return }
        let hashes = try read { db in
            let current = try Lookups.passwordHash(db, userID: userID)
            return try [current].compactMap { $0 }
                + String.fetchAll(
                    db,
                    sql: "SELECT hash FROM password_history WHERE user_id = ? ORDER BY set_at DESC, rowid DESC LIMIT ?",
                    arguments: [userID, count - 1])
        }
        for text in hashes {
            guard let hash = PasswordHash(text: text), try hash.matches(password) else { continue }
            throw .invalid("The new password cannot be identical to a previous password.")
        }
    }

    /// Sets the hash, remembers the one before as far as the rules ask, and ends every token of the user.
    func store(_ db: Database, _ hash: String, userID: String) throws {
        let count = configuration.passwordRules.history
        if count > 1 {
            try db.execute(
                sql: """
                    INSERT INTO password_history (user_id, hash, set_at)
                    SELECT id, password_hash, coalesce(password_set_at, 0) FROM users
                    WHERE id = ? AND password_hash IS NOT NULL
                    """, arguments: [userID])
        }
        try db.execute(
            sql: """
                DELETE FROM password_history WHERE user_id = ? AND rowid NOT IN (
                    SELECT rowid FROM password_history WHERE user_id = ? ORDER BY set_at DESC, rowid DESC LIMIT ?)
                """, arguments: [userID, userID, max(0, count - 1)])
        try db.execute(
            sql: "UPDATE users SET password_hash = ?, password_set_at = ?, failures = 0 WHERE id = ?",
            arguments: [hash, now, userID])
        guard db.changesCount == 1 else { throw IdentityError.notFound(kind: "user", id: userID) }
        try revoke(db, .user(userID))
    }
}
