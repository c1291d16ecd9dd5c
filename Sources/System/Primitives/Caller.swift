/// Who is asking: what a verified token says, as every service sees it. Made only from a verified token
/// and the database, never from request headers.
///
/// One reference, since it is handed through every layer for each request.
package struct Caller: Sendable, Equatable {
    package struct Named: Sendable, Hashable {
        package var id: String
        package var name: String
        package init(id: String, name: String) {
            self.id = id
            self.name = name
        }
    }

    private final class Facts: Sendable {
        let user: Named
        let userDomain: Named
        let project: Named?
        let projectDomain: Named?
        let domain: Named?
        let isSystemScoped: Bool
        let roles: Set<String>
        let expiresAt: Int64
        let accessRules: [AccessRule]?

        init(
            user: Named, userDomain: Named, project: Named?, projectDomain: Named?, domain: Named?,
            isSystemScoped: Bool, roles: Set<String>, expiresAt: Int64, accessRules: [AccessRule]?
        ) {
            self.accessRules = accessRules
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

    private let facts: Facts

    package static func == (a: Caller, b: Caller) -> Bool {
        a.facts === b.facts
            || a.user == b.user && a.userDomain == b.userDomain && a.project == b.project
                && a.projectDomain == b.projectDomain && a.domain == b.domain && a.isSystemScoped == b.isSystemScoped
                && a.roles == b.roles && a.expiresAt == b.expiresAt && a.accessRules == b.accessRules
    }

    package var user: Named { facts.user }
    package var userDomain: Named { facts.userDomain }
    /// Set for a project-scoped token.
    package var project: Named? { facts.project }
    package var projectDomain: Named? { facts.projectDomain }
    /// Set for a domain-scoped token.
    package var domain: Named? { facts.domain }
    package var isSystemScoped: Bool { facts.isSystemScoped }
    /// Role names, implied ones included.
    package var roles: Set<String> { facts.roles }
    /// Unix seconds.
    package var expiresAt: Int64 { facts.expiresAt }
    /// nil for a token that is good for every request; else one of these must permit it: see `permits`.
    package var accessRules: [AccessRule]? { facts.accessRules }

    package init(
        user: Named, userDomain: Named, project: Named?, projectDomain: Named?, domain: Named?,
        isSystemScoped: Bool, roles: Set<String>, expiresAt: Int64, accessRules: [AccessRule]? = nil
    ) {
        facts = Facts(
            user: user, userDomain: userDomain, project: project, projectDomain: projectDomain, domain: domain,
            isSystemScoped: isSystemScoped, roles: roles, expiresAt: expiresAt,
            accessRules: accessRules)
    }
}
