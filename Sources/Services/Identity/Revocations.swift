import GRDB

/// Tokens that were taken back before their time: by themselves, their chain, their user, a user on one scope, or all
/// on one scope.
///
/// A user's row covers the tokens that were issued at or before `issued_before`. Times have whole seconds, so a second
/// revocation of one user within a second is dated a second later, and so is a token issued in a revocation's second:
/// each revocation covers all that came before it and nothing after.
enum Revocations {
    enum Subject {
        /// One token, by its audit id.
        case token([UInt8])
        /// A token and all that were made from it by rescoping, by the first one's audit id.
        case chain([UInt8])
        /// Every token of a user.
        case user(String)
        /// A user's tokens on one scope: they lost a role there.
        case grant(user: String, AssignmentTarget)
        /// Every token on a scope: it was disabled.
        case place(AssignmentTarget)

        var key: (kind: String, subject: String) {
            switch self {
            case .token(let id): ("token", hexText(id))
            case .chain(let id): ("chain", hexText(id))
            case .user(let id): ("user", id)
            case .grant(let user, let target): ("grant", "\(user) \(target.kind) \(target.id)")
            case .place(let target): ("place", "\(target.kind) \(target.id)")
            }
        }

        /// Whether tokens that were issued later live; else all go.
        var goesByTime: Bool {
            switch self {
            case .token, .chain: false
            case .user, .grant, .place: true
            }
        }

        /// Whose tokens go, where it is one user's.
        var userID: String? {
            switch self {
            case .token, .chain, .place: nil
            case .user(let id): id
            case .grant(let user, _): user
            }
        }
    }

    /// - Parameter lifetime: how long any token lives at most, under whatever configuration it was made; after that the row says nothing more and is removed.
    static func add(_ db: Database, _ subject: Subject, now: Int64, lifetime: Int64) throws {
        try db.execute(sql: "DELETE FROM revocations WHERE expires_at < ?", arguments: [now])
        let (kind, name) = subject.key
        var moment = now
        if let userID = subject.userID, let earlier = try latest(db, userID: userID) { moment = max(now, earlier + 1) }
        // A validation may ask for tokens that expired a while ago; they must stay revoked that long.
        let expires = moment + lifetime + Limits.expiredWindowSeconds
        try db.execute(
            sql: """
                INSERT INTO revocations (kind, subject, user_id, issued_before, expires_at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (kind, subject) DO UPDATE
                SET issued_before = excluded.issued_before, expires_at = excluded.expires_at
                """, arguments: [kind, name, subject.userID, moment, expires])
    }

    static func covers(_ db: Database, _ payload: TokenPayload, issuedAt: Int64) throws -> Bool {
        for subject in subjects(payload) {
            let (kind, name) = subject.key
            let before = try Int64.fetchOne(
                db.cachedStatement(sql: "SELECT issued_before FROM revocations WHERE kind = ? AND subject = ?"),
                arguments: [kind, name])
            guard let before else { continue }
            if !subject.goesByTime || issuedAt <= before { return true }
        }
        return false
    }

    /// The latest moment that any revocation of this user's tokens, or of all on the scope, covers.
    static func latest(_ db: Database, userID: String, on target: AssignmentTarget? = nil) throws -> Int64? {
        let (kind, subject) = target.map { Subject.place($0).key } ?? ("", "")
        return try Int64.fetchOne(
            db.cachedStatement(
                sql: "SELECT MAX(issued_before) FROM revocations WHERE user_id = ? OR kind = ? AND subject = ?"),
            arguments: [userID, kind, subject])
    }

    private static func subjects(_ payload: TokenPayload) -> [Subject] {
        var subjects: [Subject] = []
        if let own = payload.auditIDs.first { subjects.append(.token(own)) }
        if let root = payload.auditIDs.last { subjects.append(.chain(root)) }
        subjects.append(.user(payload.userID))
        if let target = payload.scope.target {
            subjects.append(.grant(user: payload.userID, target))
            subjects.append(.place(target))
        }
        return subjects
    }
}
