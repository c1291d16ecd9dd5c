package import Primitives

/// What a v1 sign-in answers with.
package struct AccountGrant: Sendable, Equatable {
    package let token: String
    /// `AUTH_{project id}`.
    package let account: String
    /// Seconds until the token ends.
    package let expiresIn: Int64
}

extension IdentityService {
    /// The object API's own sign-in: `user` is `project:user`, both by name in the default domain, or a user's name
    /// alone for their default project. nil if name or key are wrong, or no project comes of it. Slow (scrypt): use
    /// `perform(.password)` or `run(.password)`.
    package func signIn(v1User: String, key: Secret) throws(IdentityError) -> AccountGrant? {
        let parts = v1User.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = parts.last ?? ""
        let scope: Authentication.Scope =
            parts.count == 2 ? .project(.name(parts[0], .standard)) : .standard
        do throws(IdentityError) {
            let issued = try issue(
                Authentication(password: (.name(name, .standard), key), token: nil, scope: scope))
            guard case .project(let project, _) = issued.info.scope else { return nil }
            return AccountGrant(
                token: issued.token, account: "AUTH_\(project.id)", expiresIn: max(0, issued.info.expiresAt - now))
        } catch .unauthorized {
            return nil
        }
    }
}
