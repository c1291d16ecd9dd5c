import ControlFace
package import HTTPTypes
package import Identity

/// Where a role is given, to whom, and whether for what lies below only.
package struct GrantPlace: Sendable, Equatable {
    package var target: AssignmentTarget
    package var actor: Actor
    package var isInherited = false

    /// The address of the roles given here, behind `/v3/`.
    var path: String {
        let place =
            switch target {
            case .project(let id): "projects/\(id)"
            case .domain(let id): "domains/\(id)"
            case .system: "system"
            }
        return "\(isInherited ? "OS-INHERIT/" : "")\(place)/\(actor.kind)s/\(actor.id)/roles"
    }
}

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
    case projectTags(String)
    case projectTag(String, tag: String)
    case users
    case user(String)
    case userPassword(String)
    case userProjects(String)
    case userGroups(String)
    case applicationCredentials(user: String)
    case applicationCredential(user: String, String)
    case accessRules(user: String)
    case accessRule(user: String, String)
    case groups
    case group(String)
    case groupUsers(String)
    case groupUser(String, user: String)
    case roles
    case role(String)
    case impliedRoles(prior: String)
    case impliedRole(prior: String, implied: String)
    case roleInferences
    case roleAssignments
    case grants(GrantPlace)
    case grant(GrantPlace, role: String)
    case trusts
    case trust(String)
    case trustRoles(String)
    case trustRole(String, role: String)
    case services
    case service(String)
    case endpoints
    case endpoint(String)
    case regions
    case region(String)
    case credentials
    case credential(String)
    case keyPairs(user: String)
    case keyPair(user: String, access: String)
    case ec2Tokens
    case s3Tokens
    case policies
    case policy(String)
    case consumers
    case consumer(String)
    case endpointGroups
    case endpointGroup(String)
    case endpointGroupProjects(String)
    case endpointGroupEndpoints(String)
    case endpointAssociation(IdentityService.Association, project: String)
    case endpointProjects(String)
    case projectEndpoints(String)
    case projectEndpointGroups(String)
    case domainConfiguration(domain: String, section: String?, option: String?)
    case defaultConfiguration(section: String?, option: String?)

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
        guard let collection = path.first else { return .version }
        let rest = Array(path.dropFirst())
        switch collection {
        case "auth": return rest.count == 1 ? auth(rest[0]) : nil
        case "OS-FEDERATION": return rest == ["projects"] ? .authProjects : rest == ["domains"] ? .authDomains : nil
        case "OS-INHERIT": return inherited(rest)
        case "OS-TRUST": return rest.first == "trusts" ? trust(Array(rest.dropFirst())) : nil
        case "domains" where rest.count > 1 && rest[1] == "config" || rest.first == "config": return configuration(rest)
        case "domains":
            return one(rest, .domains, Route.domain) ?? grant(.domain(rest[0]), Array(rest.dropFirst()))
        case "projects": return one(rest, .projects, Route.project) ?? project(rest[0], Array(rest.dropFirst()))
        case "users": return one(rest, .users, Route.user) ?? user(rest[0], Array(rest.dropFirst()))
        case "groups": return one(rest, .groups, Route.group) ?? group(rest[0], Array(rest.dropFirst()))
        case "roles": return one(rest, .roles, Route.role) ?? role(rest[0], Array(rest.dropFirst()))
        case "system": return grant(.system, rest)
        case "role_inferences": return rest.isEmpty ? .roleInferences : nil
        case "role_assignments": return rest.isEmpty ? .roleAssignments : nil
        case "services": return one(rest, .services, Route.service)
        case "endpoints": return one(rest, .endpoints, Route.endpoint)
        case "regions": return one(rest, .regions, Route.region)
        case "credentials": return one(rest, .credentials, Route.credential)
        case "policies": return one(rest, .policies, Route.policy)
        case "ec2tokens": return rest.isEmpty ? .ec2Tokens : nil
        case "s3tokens": return rest.isEmpty ? .s3Tokens : nil
        case "OS-OAUTH1":
            return rest.first == "consumers" ? one(Array(rest.dropFirst()), .consumers, Route.consumer) : nil
        case "OS-EP-FILTER": return endpointFilter(rest)
        default: return nil
        }
    }

    /// A collection or one of its items; nil for what is longer.
    private static func one(_ rest: [String], _ all: Route, _ item: (String) -> Route) -> Route? {
        rest.isEmpty ? all : rest.count == 1 ? item(rest[0]) : nil
    }

    private static func auth(_ name: String) -> Route? {
        switch name {
        case "tokens": .authTokens
        case "catalog": .authCatalog
        case "projects": .authProjects
        case "domains": .authDomains
        case "system": .authSystem
        default: nil
        }
    }

    private static func project(_ id: String, _ path: [String]) -> Route? {
        guard path.first == "tags" else { return grant(.project(id), path) }
        return path.count == 1 ? .projectTags(id) : path.count == 2 ? .projectTag(id, tag: path[1]) : nil
    }

    private static func user(_ id: String, _ path: [String]) -> Route? {
        switch (path[0], path.count) {
        case ("password", 1): .userPassword(id)
        case ("projects", 1): .userProjects(id)
        case ("groups", 1): .userGroups(id)
        case ("application_credentials", 1): .applicationCredentials(user: id)
        case ("application_credentials", 2): .applicationCredential(user: id, path[1])
        case ("credentials", 2): path[1] == "OS-EC2" ? .keyPairs(user: id) : nil
        case ("credentials", 3): path[1] == "OS-EC2" ? .keyPair(user: id, access: path[2]) : nil
        case ("access_rules", 1): .accessRules(user: id)
        case ("access_rules", 2): .accessRule(user: id, path[1])
        default: nil
        }
    }

    private static func group(_ id: String, _ path: [String]) -> Route? {
        guard path[0] == "users" else { return nil }
        return path.count == 1 ? .groupUsers(id) : path.count == 2 ? .groupUser(id, user: path[1]) : nil
    }

    private static func role(_ id: String, _ path: [String]) -> Route? {
        guard path[0] == "implies" else { return nil }
        return path.count == 1
            ? .impliedRoles(prior: id) : path.count == 2 ? .impliedRole(prior: id, implied: path[1]) : nil
    }

    private static func trust(_ path: [String]) -> Route? {
        switch path.count {
        case 0: .trusts
        case 1: .trust(path[0])
        case 2: path[1] == "roles" ? .trustRoles(path[0]) : nil
        case 3: path[1] == "roles" ? .trustRole(path[0], role: path[2]) : nil
        default: nil
        }
    }

    private static func endpointFilter(_ path: [String]) -> Route? {
        switch (path.first, path.count) {
        case ("endpoint_groups", 1): return .endpointGroups
        case ("endpoint_groups", 2): return .endpointGroup(path[1])
        case ("endpoint_groups", 3):
            return path[2] == "projects"
                ? .endpointGroupProjects(path[1]) : path[2] == "endpoints" ? .endpointGroupEndpoints(path[1]) : nil
        case ("endpoint_groups", 4):
            return path[2] == "projects" ? .endpointAssociation(.group(path[1]), project: path[3]) : nil
        case ("endpoints", 3): return path[2] == "projects" ? .endpointProjects(path[1]) : nil
        case ("projects", 3):
            return path[2] == "endpoints"
                ? .projectEndpoints(path[1]) : path[2] == "endpoint_groups" ? .projectEndpointGroups(path[1]) : nil
        case ("projects", 4):
            return path[2] == "endpoints" ? .endpointAssociation(.endpoint(path[3]), project: path[1]) : nil
        default: return nil
        }
    }

    /// `{domain}/config[/{section}[/{option}]]`, or `config/[{section}/[{option}/]]default`.
    private static func configuration(_ path: [String]) -> Route? {
        if path.first == "config" {
            guard (2...4).contains(path.count), path.last == "default" else { return nil }
            return .defaultConfiguration(
                section: path.count > 2 ? path[1] : nil, option: path.count > 3 ? path[2] : nil)
        }
        guard (2...4).contains(path.count) else { return nil }
        return .domainConfiguration(
            domain: path[0], section: path.count > 2 ? path[2] : nil, option: path.count > 3 ? path[3] : nil)
    }

    /// `{users|groups}/{id}/roles[/{id}]`.
    private static func grant(_ target: AssignmentTarget, _ path: [String]) -> Route? {
        guard path.count == 3 || path.count == 4, path[2] == "roles", let actor = actor(path[0], path[1]) else {
            return nil
        }
        let place = GrantPlace(target: target, actor: actor)
        return path.count == 3 ? .grants(place) : .grant(place, role: path[3])
    }

    /// `{domains|projects}/{id}/{users|groups}/{id}/roles[/{id}]/inherited_to_projects`.
    private static func inherited(_ path: [String]) -> Route? {
        guard path.count == 6 || path.count == 7, path[4] == "roles", path.last == "inherited_to_projects",
            let actor = actor(path[2], path[3])
        else { return nil }
        let target: AssignmentTarget
        switch path[0] {
        case "domains": target = .domain(path[1])
        case "projects": target = .project(path[1])
        default: return nil
        }
        let place = GrantPlace(target: target, actor: actor, isInherited: true)
        return path.count == 6 ? .grants(place) : .grant(place, role: path[5])
    }

    private static func actor(_ kind: String, _ id: String) -> Actor? {
        kind == "users" ? .user(id) : kind == "groups" ? .group(id) : nil
    }

    /// What may be done here. HEAD goes wherever GET does.
    package var methods: [HTTPRequest.Method] {
        switch self {
        case .root, .version, .authCatalog, .authProjects, .authDomains, .authSystem, .userProjects, .userGroups,
            .endpointGroupProjects, .endpointGroupEndpoints, .endpointProjects, .projectEndpoints,
            .projectEndpointGroups,
            .defaultConfiguration, .groupUsers, .impliedRoles, .roleInferences, .roleAssignments, .grants, .accessRules,
            .trustRoles,
            .trustRole:
            [.get, .head]
        case .authTokens: [.get, .head, .post, .delete]
        case .domains, .projects, .users, .groups, .roles, .services, .endpoints, .regions, .applicationCredentials,
            .trusts, .credentials, .keyPairs, .policies, .consumers, .endpointGroups:
            [.get, .head, .post]
        case .domain, .project, .user, .group, .role, .service, .endpoint, .credential, .policy, .consumer,
            .endpointGroup:
            [.get, .head, .patch, .delete]
        case .region, .domainConfiguration: [.get, .head, .put, .patch, .delete]
        case .applicationCredential, .accessRule, .trust, .keyPair: [.get, .head, .delete]
        case .endpointAssociation, .projectTags, .projectTag, .groupUser, .impliedRole, .grant:
            [.get, .head, .put, .delete]
        case .userPassword, .ec2Tokens, .s3Tokens: [.post]
        }
    }
}
