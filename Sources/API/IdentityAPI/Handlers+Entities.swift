import ControlFace
import HTTPTypes
import Identity
import Primitives

extension Handlers {
    func readDomains(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        if case .domain(let id) = call.route {
            let caller = try authenticated(call)
            var isOwn = caller.userDomain.id == id
            switch caller.scope {
            case .project(_, let domain), .domain(let domain): isOwn = isOwn || domain.id == id
            case .unscoped, .system: break
            }
            guard isOwn || caller.hasRole("admin") else { throw .forbidden(action: "identity:get_domain") }
            return Reply(.ok, .of(["domain": views.domain(try identity.domain(.id(id)))]))
        }
        try administrator(call, "list_domains")
        let domains = try identity.domains(name: call.query["name"], enabled: call.flag("enabled"))
        return Reply(.ok, views.list("domains", path: "domains", domains, views.domain))
    }

    func answerProjects(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        guard case .project(let id) = call.route else {
            if call.method == .post { return try createProject(call) }
            try administrator(call, "list_projects")
            let projects = try identity.projects(
                name: call.query["name"], domainID: call.query["domain_id"], parentID: call.query["parent_id"],
                enabled: call.flag("enabled"))
            return Reply(.ok, views.list("projects", path: "projects", projects, views.project))
        }
        switch call.method {
        case .patch:
            try administrator(call, "update_project")
            let fields = try call.fields("project")
            if let domain = try fields.optionalString("domain_id"), domain != (try identity.project(.id(id)).domainID) {
                throw .invalid("a project can't be moved to another domain")
            }
            let project = try identity.updateProject(
                id: id,
                ProjectChange(
                    name: try fields.optionalString("name"), description: try fields.optionalString("description"),
                    enabled: try fields.optionalBool("enabled")))
            return Reply(.ok, .of(["project": views.project(project)]))
        case .delete:
            try administrator(call, "delete_project")
            try identity.deleteProject(id: id)
            return .noContent
        default:
            let caller = try authenticated(call)
            if !caller.hasRole("admin"), try identity.effectiveRoles(userID: caller.user.id, on: .project(id)).isEmpty {
                throw .forbidden(action: "identity:get_project")
            }
            return Reply(.ok, .of(["project": views.project(try identity.project(.id(id)))]))
        }
    }

    private func createProject(_ call: Call) throws(IdentityError) -> Reply {
        let caller = try administrator(call, "create_project")
        let fields = try call.fields("project")
        if try fields.optionalBool("is_domain") == true {
            throw .invalid("a project that acts as a domain is not served")
        }
        let project = try identity.createProject(
            name: try fields.string("name"), domain: try domain(of: caller, fields),
            parentID: try fields.optionalString("parent_id"),
            description: try fields.optionalString("description") ?? "",
            enabled: try fields.optionalBool("enabled") ?? true)
        return Reply(.created, .of(["project": Views(base: call.base).project(project)]))
    }

    func answerUsers(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.users, .post): return try createUser(call)
        case (.user(let id), .patch):
            try administrator(call, "update_user")
            let user = try identity.updateUser(id: id, try userChange(call))
            return Reply(.ok, .of(["user": views.user(user)]))
        case (.user(let id), .delete):
            try administrator(call, "delete_user")
            try identity.deleteUser(id: id)
            return .noContent
        case (.user(let id), _):
            try own(call, userID: id, "get_user")
            return Reply(.ok, .of(["user": views.user(try identity.user(.id(id)))]))
        case (.userPassword(let id), _):
            // No token is asked for: whoever knows the old password could get one.
            let fields = try call.fields("user")
            try identity.changePassword(
                userID: id, from: Secret(try fields.string("original_password")),
                to: Secret(try fields.string("password")))
            return .noContent
        case (.userProjects(let id), _):
            try own(call, userID: id, "list_user_projects")
            _ = try identity.user(.id(id))
            let projects = try identity.projects(ofUser: id)
            return Reply(.ok, views.list("projects", path: "users/\(id)/projects", projects, views.project))
        default:
            try administrator(call, "list_users")
            let users = try identity.users(
                name: call.query["name"], domainID: call.query["domain_id"], enabled: call.flag("enabled"))
            return Reply(.ok, views.list("users", path: "users", users, views.user))
        }
    }

    private func createUser(_ call: Call) throws(IdentityError) -> Reply {
        let caller = try administrator(call, "create_user")
        let fields = try call.fields("user")
        let user = try identity.createUser(
            NewUser(
                name: try fields.string("name"), domain: try domain(of: caller, fields),
                password: try fields.optionalString("password").map { Secret($0) },
                defaultProjectID: try fields.optionalString("default_project_id"),
                email: try fields.optionalString("email"), description: try fields.optionalString("description"),
                enabled: try fields.optionalBool("enabled") ?? true))
        return Reply(.created, .of(["user": Views(base: call.base).user(user)]))
    }

    private func userChange(_ call: Call) throws(IdentityError) -> UserChange {
        let fields = try call.fields("user")
        var change = UserChange()
        change.name = try fields.optionalString("name")
        change.password = try fields.optionalString("password").map { Secret($0) }
        change.enabled = try fields.optionalBool("enabled")
        change.defaultProjectID = try fields.change("default_project_id")
        change.email = try fields.change("email")
        change.description = try fields.change("description")
        return change
    }

    func readCatalog(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch call.route {
        case .regions:
            _ = try authenticated(call)
            return Reply(.ok, views.list("regions", path: "regions", try identity.regions(), views.region))
        case .region(let id):
            _ = try authenticated(call)
            return Reply(.ok, .of(["region": views.region(try identity.region(id: id))]))
        case .service(let id):
            try administrator(call, "get_service")
            return Reply(.ok, .of(["service": views.service(try identity.service(id: id))]))
        case .endpoint(let id):
            try administrator(call, "get_endpoint")
            return Reply(.ok, .of(["endpoint": views.endpoint(try identity.endpoint(id: id))]))
        case .services:
            try administrator(call, "list_services")
            let services = try identity.services(type: call.query["type"], name: call.query["name"])
            return Reply(.ok, views.list("services", path: "services", services, views.service))
        default:
            try administrator(call, "list_endpoints")
            let endpoints = try identity.endpoints(
                serviceID: call.query["service_id"], interface: call.query["interface"],
                regionID: call.query["region_id"])
            return Reply(.ok, views.list("endpoints", path: "endpoints", endpoints, views.endpoint))
        }
    }
}
