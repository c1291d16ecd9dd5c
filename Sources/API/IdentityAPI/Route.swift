import ControlFace
package import HTTPTypes
package import Identity

/// Every address of the Identity API that is answered; parsed from the path alone, before anything else happens.
package enum Route: Sendable, Equatable {
    case root
    case version
    case authTokens
    case authCatalog
    case authProjects
    case authDomains
    case authSystem
    case domains
    case domain(String)
    case projects
    case project(String)
    case users
    case user(String)
    case userPassword(String)
    case userProjects(String)
    case roles
    case role(String)
    case roleAssignments
    case grants(AssignmentTarget, user: String)
    case grant(AssignmentTarget, user: String, role: String)
    case services
    case service(String)
    case endpoints
    case endpoint(String)
    case regions
    case region(String)

    /// nil for an address that is not served. A trailing slash changes nothing.
    package init?(path: String) {
        guard let segments = QueryText.segments(path) else { return nil }
        guard let first = segments.first else {
            self = .root
            return
        }
        guard first == "v3" else { return nil }
        guard let route = Self.versioned(Array(segments.dropFirst())) else { return nil }
        self = route
    }

    private static func versioned(_ path: [String]) -> Route? {
        let tail = path.count > 1 ? path[1] : ""
        switch (path.first, path.count) {
        case (nil, _): return .version
        case ("auth", 2):
            switch tail {
            case "tokens": return .authTokens
            case "catalog": return .authCatalog
            case "projects": return .authProjects
            case "domains": return .authDomains
            case "system": return .authSystem
            default: return nil
            }
        case ("OS-FEDERATION", 2): return tail == "projects" ? .authProjects : tail == "domains" ? .authDomains : nil
        case ("domains", 1): return .domains
        case ("domains", 2): return .domain(tail)
        case ("projects", 1): return .projects
        case ("projects", 2): return .project(tail)
        case ("users", 1): return .users
        case ("users", 2): return .user(tail)
        case ("users", 3):
            return path[2] == "password" ? .userPassword(tail) : path[2] == "projects" ? .userProjects(tail) : nil
        case ("roles", 1): return .roles
        case ("roles", 2): return .role(tail)
        case ("role_assignments", 1): return .roleAssignments
        case ("services", 1): return .services
        case ("services", 2): return .service(tail)
        case ("endpoints", 1): return .endpoints
        case ("endpoints", 2): return .endpoint(tail)
        case ("regions", 1): return .regions
        case ("regions", 2): return .region(tail)
        case ("projects", 5...6): return grant(.project(tail), Array(path.dropFirst(2)))
        case ("domains", 5...6): return grant(.domain(tail), Array(path.dropFirst(2)))
        case ("system", 4...5): return grant(.system, Array(path.dropFirst()))
        default: return nil
        }
    }

    /// `users/{id}/roles[/{id}]`.
    private static func grant(_ target: AssignmentTarget, _ path: [String]) -> Route? {
        guard path[0] == "users", path[2] == "roles" else { return nil }
        return path.count == 3 ? .grants(target, user: path[1]) : .grant(target, user: path[1], role: path[3])
    }

    /// What may be done here. HEAD goes wherever GET does.
    package var methods: [HTTPRequest.Method] {
        switch self {
        case .root, .version, .authCatalog, .authProjects, .authDomains, .authSystem, .domains, .domain, .userProjects,
            .roleAssignments, .grants, .services, .service, .endpoints, .endpoint, .regions, .region:
            [.get, .head]
        case .authTokens: [.get, .head, .post, .delete]
        case .projects, .users, .roles: [.get, .head, .post]
        case .project, .user: [.get, .head, .patch, .delete]
        case .role: [.get, .head, .delete]
        case .userPassword: [.post]
        case .grant: [.get, .head, .put, .delete]
        }
    }
}
