package import Primitives

/// A valid token, as the tables have it now.
package struct TokenInfo: Sendable, Equatable {
    /// What the token is good for.
    package enum Scope: Sendable, Equatable {
        case unscoped
        case project(Caller.Named, domain: Caller.Named)
        case domain(Caller.Named)
        case system
    }

    package var user: Caller.Named
    package var userDomain: Caller.Named
    package var scope: Scope
    /// Names, e.g. `password`, `token`.
    package var methods: [String]
    /// 22 characters each: the token's own; then, after a rescope, that of the first of its chain.
    package var auditIDs: [String]
    /// Unix seconds.
    package var issuedAt: Int64
    package var expiresAt: Int64
    /// Implied ones included, by name.
    package var roles: [Role]
    /// What the token was bought with, if that was one.
    package var applicationCredential: ApplicationCredential?
    /// The trust that it stands on, if it does.
    package var trust: Trust?
    /// Unix seconds; nil for a password that doesn't end.
    package var passwordExpiresAt: Int64?

    package func hasRole(_ name: String) -> Bool { roles.contains { $0.name == name } }

    /// What the other services see.
    package var caller: Caller {
        var project: Caller.Named?
        var projectDomain: Caller.Named?
        var domain: Caller.Named?
        var isSystemScoped = false
        switch scope {
        case .unscoped: break
        case .project(let named, let itsDomain): (project, projectDomain) = (named, itsDomain)
        case .domain(let named): domain = named
        case .system: isSystemScoped = true
        }
        return Caller(
            user: user, userDomain: userDomain, project: project, projectDomain: projectDomain, domain: domain,
            isSystemScoped: isSystemScoped, roles: Set(roles.map(\.name)), expiresAt: expiresAt,
            accessRules: applicationCredential?.rules?.map(\.rule))
    }
}

/// A token just made, with what it says.
package struct IssuedToken: Sendable {
    package let token: String
    package let info: TokenInfo
}

/// How someone proves who they are.
package struct Authentication: Sendable {
    /// What a token is asked for.
    package enum Scope: Sendable, Equatable {
        /// The user's default project if they have a role there, else unscoped.
        case standard
        case unscoped
        case project(ProjectReference)
        case domain(DomainReference)
        case system
        /// What somebody trusted the user with, by the trust's id.
        case trust(String)
    }

    package var password: (user: UserReference, password: Secret)?
    /// A token to be exchanged for one of another scope.
    package var token: String?
    package var applicationCredential: (credential: ApplicationCredentialReference, secret: Secret)?
    package var scope: Scope

    package init(password: (user: UserReference, password: Secret)?, token: String?, scope: Scope) {
        self.password = password
        self.token = token
        self.scope = scope
    }
}
