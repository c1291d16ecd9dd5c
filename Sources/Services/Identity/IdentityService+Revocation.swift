import GRDB

extension IdentityService {
    /// Ends a token now; with `wholeChain` also the one it was made from and all others made from that.
    /// `.unauthorized` if it isn't valid. Blocks.
    package func revoke(_ token: String, wholeChain: Bool) throws(IdentityError) {
        let (payload, _) = try validatePayload(token)
        guard let own = payload.auditIDs.first, let root = payload.auditIDs.last else { throw .unauthorized }
        try write { db in
            try self.revoke(db, wholeChain ? .chain(root) : .token(own))
        }
    }

    func revoke(_ db: Database, _ subject: Revocations.Subject) throws {
        // Not the lifetime configured now: tokens are about that were made while it was longer.
        let lifetime = max(configuration.tokenSeconds, Limits.tokenSecondsMax)
        try Revocations.add(db, subject, now: now, lifetime: lifetime)
    }

    /// What `maintain` did.
    package struct MaintenanceReport: Sendable, Equatable {
        package var revocationsRemoved: Int
        package var keysRotated: Bool
        /// Numbers of the keys that a rotation dropped.
        package var keysDropped: [Int]
    }

    /// What the daemon calls now and then (hourly does): removes revocations that no token can meet any more, and
    /// rotates the keys when their time has come. Blocks.
    package func maintain() throws(IdentityError) -> MaintenanceReport {
        let removed = try write { db in
            try db.execute(sql: "DELETE FROM revocations WHERE expires_at < ?", arguments: [self.now])
            return db.changesCount
        }
        var report = MaintenanceReport(revocationsRemoved: removed, keysRotated: false, keysDropped: [])
        if now - (try keys.lastRotation()) >= configuration.keyRotationSeconds {
            report.keysDropped = try keys.rotate()
            report.keysRotated = true
        }
        return report
    }

    /// Rotates the token keys whatever their age; the numbers of the keys that were dropped. Rotating twice within a
    /// token's lifetime ends tokens early.
    package func rotateKeys() throws(IdentityError) -> [Int] {
        let dropped = try keys.rotate()
        // What the dropped keys signed must not live on in memory.
        cache.drop()
        return dropped
    }
}
