/// Who is asking: what a verified token says, as every service sees it. Made only from a verified token
/// and the database, never from request headers.
package struct Caller: Sendable, Hashable {
    package struct Named: Sendable, Hashable {
        package var id: String
        package var name: String
        package init(id: String, name: String) {
            self.id = id
            self.name = name
        }
    }

    package var user: Named
    package var userDomain: Named
    /// Set for a project-scoped token.
    package var project: Named?
    package var projectDomain: Named?
    /// Set for a domain-scoped token.
    package var domain: Named?
    package var isSystemScoped: Bool
    /// Role names, implied ones included.
    package var roles: Set<String>
    /// Unix seconds.
    package var expiresAt: Int64

    package init(
        user: Named, userDomain: Named, project: Named?, projectDomain: Named?, domain: Named?,
        isSystemScoped: Bool, roles: Set<String>, expiresAt: Int64
    ) {
        self.user = user
        self.userDomain = userDomain
        self.project = project
        self.projectDomain = projectDomain
        self.domain = domain
        self.isSystemScoped = isSystemScoped
        self.roles = roles
        self.expiresAt = expiresAt
    }
}
