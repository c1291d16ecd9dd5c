import GRDB
import Primitives

extension IdentityService {
    /// Makes a token. With a password this costs a scrypt hash (`perform(.password)`), else table reads only.
    ///
    /// Whatever is wrong (name, password, token, scope, or something disabled) is `.unauthorized`, after the same
    /// time for a known and an unknown user.
    package func issue(_ authentication: Authentication) throws(IdentityError) -> IssuedToken {
        if let (reference, secret) = authentication.applicationCredential {
            return try issue(reference, secret, authentication)
        }
        guard authentication.password != nil || authentication.token != nil else {
            throw .invalid("'methods' names no method that is configured")
        }
        var userID: String?
        var basis = Basis()
        var methods: Set<TokenPayload.Method> = []
        var expiresAt = now + configuration.tokenSeconds
        var chain: [UInt8]?
        if let (reference, password) = authentication.password {
            let verified = try verify(password, of: reference)
            userID = verified.id
            basis.hash = verified.hash
            methods.insert(.password)
        }
        if let token = authentication.token {
            let (payload, parent) = try validatePayload(token)
            // What was delegated is good for its project, and for nothing that could be made of it.
            guard parent.applicationCredential == nil, parent.trust == nil,
                payload.methods & TokenPayload.Method.ec2credential.bit == 0
            else {
                throw .forbidden(action: "identity:rescope_token")
            }
            guard userID == nil || userID == parent.user.id else { throw .unauthorized }
            basis.parent = (payload, parent.issuedAt)
            userID = parent.user.id
            for method in TokenPayload.Method.allCases where payload.methods & method.bit != 0 {
                methods.insert(method)
            }
            methods.insert(.token)
            // A child never outlives its parent (CVE-2026-44394).
            expiresAt = parent.expiresAt
            chain = payload.auditIDs.last
        }
        guard let userID else { throw .unauthorized }
        let audit = [configuration.randomBytes(16)] + (chain.map { [$0] } ?? [])
        let mask = TokenPayload.mask(methods)
        if case .trust(let id) = authentication.scope { try useTrust(id, userID: userID) }
        let issuance = try read { db in
            try self.check(db, basis, userID: userID)
            return try self.resolve(
                db, userID: userID, scope: authentication.scope, methods: mask, expiresAt: expiresAt, audit: audit)
        }
        return try seal(issuance)
    }

    private func seal(_ issuance: Issuance) throws(IdentityError) -> IssuedToken {
        guard let primary = keys.current.first else { throw .keyRepository("no primary key") }
        let token = try Fernet.seal(
            issuance.payload.encoded(), key: primary, time: UInt64(issuance.info.issuedAt),
            iv: configuration.randomBytes(16))
        guard token.utf8.count <= Limits.tokenBytesMax else { throw .cryptography("the token is too long") }
        return IssuedToken(token: token, info: issuance.info)
    }

    /// A token of a user on a project, for a request that they signed with a key of theirs.
    func issue(signedBy userID: String, on projectID: String) throws(IdentityError) -> IssuedToken {
        let payload = TokenPayload(
            userID: userID, methods: TokenPayload.mask([.ec2credential]), scope: .project(projectID),
            expiresAt: now + configuration.tokenSeconds, auditIDs: [configuration.randomBytes(16)])
        return try seal(try read { db in try self.issuance(db, payload) })
    }

    /// A token on what the credential is for; no other scope can be asked for.
    private func issue(
        _ reference: ApplicationCredentialReference, _ secret: Secret, _ authentication: Authentication
    ) throws(IdentityError) -> IssuedToken {
        guard authentication.password == nil, authentication.token == nil, authentication.scope == .standard else {
            throw .unauthorized
        }
        let credential = try verify(secret, of: reference)
        let audit = [configuration.randomBytes(16)]
        let expiresAt = min(now + configuration.tokenSeconds, credential.expiresAt ?? .max)
        return try seal(
            try read { db in
                try self.issuance(
                    db,
                    TokenPayload(
                        userID: credential.userID, methods: TokenPayload.mask([.application_credential]),
                        scope: .application(project: credential.projectID, credential: credential.id),
                        expiresAt: expiresAt, auditIDs: audit))
            })
    }

    /// What a token is made from, as it was when it was checked.
    private struct Basis {
        var hash: String?
        var parent: (payload: TokenPayload, issuedAt: Int64)?
    }

    /// Checks again, in the transaction that decides on the token, what may have been taken back since: the new token is
    /// dated after every revocation that this transaction sees, so none of them would end it.
    private func check(_ db: Database, _ basis: Basis, userID: String) throws {
        if let hash = basis.hash, try Lookups.passwordHash(db, userID: userID) != hash {
            throw IdentityError.unauthorized
        }
        if let parent = basis.parent, try Revocations.covers(db, parent.payload, issuedAt: parent.issuedAt) {
            throw IdentityError.unauthorized
        }
    }

    fileprivate struct Issuance {
        let payload: TokenPayload
        let info: TokenInfo
    }

    /// Turns what was asked for into a scope that the user holds roles on.
    private func resolve(
        _ db: Database, userID: String, scope: Authentication.Scope, methods: Int64, expiresAt: Int64,
        audit: [[UInt8]]
    ) throws -> Issuance {
        var payload = TokenPayload(
            userID: userID, methods: methods, scope: .unscoped, expiresAt: expiresAt, auditIDs: audit)
        switch scope {
        case .unscoped: break
        case .standard:
            guard let user = try Lookups.user(db, .id(userID)) else { throw IdentityError.unauthorized }
            if let id = user.defaultProjectID {
                var attempt = payload
                attempt.scope = .project(id)
                // A default project that is gone, disabled or closed to them leaves the user unscoped.
                if try validation.info(db, attempt, issuedAt: 0) != nil { payload = attempt }
            }
        case .project(let reference):
            guard let project = try Lookups.project(db, reference) else { throw IdentityError.unauthorized }
            payload.scope = .project(project.id)
        case .domain(let reference):
            guard let domain = try Lookups.domain(db, reference) else { throw IdentityError.unauthorized }
            payload.scope = .domain(domain.id)
        case .system: payload.scope = .system
        case .trust(let id):
            guard let trust = try Lookups.trust(db, id: id), trust.trusteeID == userID else {
                throw IdentityError.unauthorized
            }
            payload.scope = .trust(project: trust.projectID, trust: trust.id)
            if trust.impersonates { payload.userID = trust.trustorID }
            payload.expiresAt = min(payload.expiresAt, trust.expiresAt ?? .max)
        }
        return try issuance(db, payload)
    }

    private func issuance(_ db: Database, _ payload: TokenPayload) throws -> Issuance {
        // Times have whole seconds: a token made in the second of a revocation is dated after it.
        let latest = try Revocations.latest(db, userID: payload.userID, on: payload.scope.target)
        let issuedAt = max(now, latest.map { $0 + 1 } ?? 0)
        guard let info = try validation.info(db, payload, issuedAt: issuedAt) else { throw IdentityError.unauthorized }
        return Issuance(payload: payload, info: info)
    }
}
