import GRDB
package import Primitives

extension IdentityService {
    /// From memory only, in a few hundred nanoseconds; nil means: ask `caller(token:)` on a thread.
    package func cachedCaller(token: String) -> Caller? { cache.caller(token, now: now) }

    /// The caller if the token is valid, else nil; throws when that can't be told. Blocks.
    package func caller(token: String) throws(IdentityError) -> Caller? {
        if let cached = cachedCaller(token: token) { return cached }
        do throws(IdentityError) {
            return try validate(token).caller
        } catch .unauthorized {
            return nil
        }
    }

    /// What a valid token says; `.unauthorized` for an unknown, expired or revoked one. Blocks, unless remembered.
    package func validate(_ token: String) throws(IdentityError) -> TokenInfo {
        if let cached = cache.info(token, now: now) { return cached }
        return try validatePayload(token).info
    }

    /// The same for a token that may have expired up to `Limits.expiredWindowSeconds` ago.
    package func validateAllowingExpired(_ token: String) throws(IdentityError) -> TokenInfo {
        try validatePayload(token, expiredSeconds: Limits.expiredWindowSeconds).info
    }

    func validatePayload(
        _ token: String, expiredSeconds: Int64 = 0
    ) throws(IdentityError) -> (payload: TokenPayload, info: TokenInfo) {
        let moment = now
        guard let opened = Fernet.open(token, keys: keys.current), let payload = TokenPayload(opened.payload),
            moment < payload.expiresAt + expiredSeconds, let issuedAt = Int64(exactly: opened.time)
        else { throw .unauthorized }
        let generation = cache.generation
        let info = try read { db -> TokenInfo? in
            guard try !Revocations.covers(db, payload, issuedAt: issuedAt) else { return nil }
            return try validation.info(db, payload, issuedAt: issuedAt)
        }
        guard let info else { throw .unauthorized }
        if moment < payload.expiresAt { cache.store(token, info, generation: generation, now: moment) }
        return (payload, info)
    }
}

/// What the tables say of a token's payload, without its signature, expiry and revocation.
struct Validation {
    let now: Int64
    let rules: PasswordRules

    /// nil if something it names is gone or disabled, or the user holds no role on the scope.
    func info(_ db: Database, _ payload: TokenPayload, issuedAt: Int64) throws -> TokenInfo? {
        guard let user = try Lookups.user(db, .id(payload.userID)), user.enabled,
            let userDomain = try Lookups.domain(db, .id(user.domainID)), userDomain.enabled
        else { return nil }
        var info = TokenInfo(
            user: Caller.Named(id: user.id, name: user.name),
            userDomain: Caller.Named(id: userDomain.id, name: userDomain.name), scope: .unscoped,
            methods: payload.methodNames, auditIDs: payload.auditIDs.map { Base64.encodeURL($0, padded: false) },
            issuedAt: issuedAt, expiresAt: payload.expiresAt, roles: [])
        info.passwordExpiresAt = rules.expiry(ofPasswordSetAt: user.passwordSetAt, extra: user.ignoresPasswordExpiry)
        switch payload.scope {
        case .unscoped: return info
        case .project(let id), .trust(let id, _), .application(let id, _):
            guard let project = try Lookups.project(db, .id(id)), project.enabled,
                let domain = try Lookups.domain(db, .id(project.domainID)), domain.enabled
            else { return nil }
            info.scope = .project(
                Caller.Named(id: project.id, name: project.name), domain: Caller.Named(id: domain.id, name: domain.name)
            )
            try fillRoles(db, &info, payload, projectID: id)
        case .domain(let id):
            guard let domain = try Lookups.domain(db, .id(id)), domain.enabled else { return nil }
            info.scope = .domain(Caller.Named(id: domain.id, name: domain.name))
            info.roles = try Lookups.effectiveRoles(db, userID: user.id, on: .domain(id))
        case .system:
            info.scope = .system
            info.roles = try Lookups.effectiveRoles(db, userID: user.id, on: .system)
        }
        return info.roles.isEmpty ? nil : info
    }

    /// The user's roles on the project; of a delegation, those that were delegated and are still held.
    private func fillRoles(
        _ db: Database, _ info: inout TokenInfo, _ payload: TokenPayload, projectID: String
    ) throws {
        switch payload.scope {
        case .trust(_, let id):
            guard let trust = try Lookups.trust(db, id: id), trust.projectID == projectID,
                now < trust.expiresAt ?? .max, info.user.id == (trust.impersonates ? trust.trustorID : trust.trusteeID),
                let trustor = try Lookups.user(db, .id(trust.trustorID)), trustor.enabled,
                let trustee = try Lookups.user(db, .id(trust.trusteeID)), trustee.enabled
            else { return }
            for user in [trustor, trustee] {
                guard try Lookups.domain(db, .id(user.domainID))?.enabled == true else { return }
            }
            let held = try Lookups.effectiveRoles(db, userID: trustor.id, on: .project(projectID))
            // All of them or none: a trust isn't good for less than was agreed on.
            guard trust.roles.allSatisfy(held.contains) else { return }
            info.roles = try Lookups.withImplied(db, trust.roles).filter { $0.domainID == nil }
            info.trust = trust
        case .application(_, let id):
            guard let credential = try Lookups.applicationCredential(db, id: id),
                credential.userID == info.user.id, credential.projectID == projectID,
                now < credential.expiresAt ?? .max
            else { return }
            let held = try Lookups.effectiveRoles(db, userID: info.user.id, on: .project(projectID))
            info.roles = try Lookups.withImplied(db, credential.roles).filter(held.contains)
            info.applicationCredential = credential
        default: info.roles = try Lookups.effectiveRoles(db, userID: info.user.id, on: .project(projectID))
        }
    }
}
