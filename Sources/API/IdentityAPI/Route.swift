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
        var segments: [String] = []
        for part in path.split(separator: "/", omittingEmptySubsequences: true) {
            guard let segment = Self.percentDecoded(part), segment.utf8.count <= 255 else { return nil }
            segments.append(segment)
        }
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

    /// Percent escapes undone once; nil for a broken escape, a NUL, or what is then no UTF-8.
    static func percentDecoded(_ text: Substring) -> String? {
        var out: [UInt8] = []
        var bytes = Array(text.utf8)[...]
        while let byte = bytes.popFirst() {
            guard byte == 0x25 else {
                out.append(byte)
                continue
            }
            guard let high = bytes.popFirst().flatMap(nibble), let low = bytes.popFirst().flatMap(nibble) else {
                return nil
            }
            out.append(high << 4 | low)
        }
        guard !out.contains(0) else { return nil }
        return String(validating: out, as: UTF8.self)
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x61...0x66: byte - 0x57
        case 0x41...0x46: byte - 0x37
        default: nil
        }
    }
}
