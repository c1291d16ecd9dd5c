import ControlFace
import HTTPTypes
import Identity

extension Handlers {
    func answerRoles(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.roles, .post):
            try administrator(call, "create_role")
            let fields = try call.fields("role")
            if try fields.optionalString("domain_id") != nil { throw .invalid("roles of a domain are not served") }
            let role = try identity.createRole(
                name: try fields.string("name"), description: try fields.optionalString("description"))
            return Reply(.created, .of(["role": views.role(role)]))
        case (.role(let id), .delete):
            try administrator(call, "delete_role")
            try identity.deleteRole(id: id)
            return .noContent
        case (.role(let id), _):
            try administrator(call, "get_role")
            return Reply(.ok, .of(["role": views.role(try identity.role(id: id))]))
        default:
            try administrator(call, "list_roles")
            // Roles of a domain don't exist here, so a list of one domain's is empty.
            guard call.query["domain_id"] == nil else {
                return Reply(.ok, views.list("roles", path: "roles", [Role](), views.role))
            }
            return Reply(
                .ok, views.list("roles", path: "roles", try identity.roles(name: call.query["name"]), views.role))
        }
    }

    /// The roles that a user was given on the target.
    func listGrants(_ call: Call, _ target: AssignmentTarget, userID: String) throws(IdentityError) -> Reply {
        try administrator(call, "list_grants")
        _ = try identity.user(.id(userID))
        try checkExists(target)
        let held = try identity.assignments(AssignmentFilter(userID: userID, roleID: nil, target: target))
        var roles: [Role] = []
        for assignment in held.items { roles.append(try identity.role(id: assignment.roleID)) }
        let views = Views(base: call.base)
        return Reply(.ok, views.list("roles", path: grantPath(target, userID), roles, views.role))
    }

    func answerGrant(_ call: Call, _ assignment: RoleAssignment) throws(IdentityError) -> Reply {
        switch call.method {
        case .put:
            try administrator(call, "create_grant")
            try identity.grant(assignment)
        case .delete:
            try administrator(call, "revoke_grant")
            try identity.withdraw(assignment)
        default:
            try administrator(call, "check_grant")
            guard try identity.holds(assignment) else {
                throw .notFound(kind: "role assignment with role", id: assignment.roleID)
            }
        }
        return .noContent
    }

    func listAssignments(_ call: Call) throws(IdentityError) -> Reply {
        try administrator(call, "list_role_assignments")
        var target: AssignmentTarget?
        var scopes = 0
        if let id = call.query["scope.project.id"] { (target, scopes) = (.project(id), scopes + 1) }
        if let id = call.query["scope.domain.id"] { (target, scopes) = (.domain(id), scopes + 1) }
        if call.query["scope.system"] != nil { (target, scopes) = (.system, scopes + 1) }
        guard scopes <= 1 else { throw .invalid("the filters name more than one scope") }
        let roleID = call.query["role.id"]
        let isEffective = call.flag("effective") == true
        let views = Views(base: call.base)
        let empty = Listing<RoleAssignment>(items: [], isTruncated: false)
        var listing = empty
        // There are no groups yet, and nothing is inherited: lists of either are empty.
        if call.query["group.id"] == nil, call.query["scope.OS-INHERIT:inherited_to"] == nil {
            listing = try identity.assignments(
                AssignmentFilter(userID: call.query["user.id"], roleID: isEffective ? nil : roleID, target: target))
            if isEffective { listing = try expanded(listing, roleID: roleID) }
        }
        let named = call.flag("include_names") == true
        var items: [JSON] = []
        for assignment in listing.items { items.append(try view(assignment, named: named, base: call.base)) }
        return Reply(
            .ok,
            views.list(
                "role_assignments", path: "role_assignments",
                Listing(items: items, isTruncated: listing.isTruncated)
            ) { $0 })
    }

    /// Implied roles listed beside those that imply them, each once.
    private func expanded(
        _ listing: Listing<RoleAssignment>, roleID: String?
    ) throws(IdentityError) -> Listing<RoleAssignment> {
        var seen: [(user: String, target: AssignmentTarget)] = []
        var items: [RoleAssignment] = []
        for assignment in listing.items {
            // The rows are ordered by user and target, so a pair already seen is the last one.
            if let last = seen.last, last.user == assignment.userID, last.target == assignment.target { continue }
            seen.append((assignment.userID, assignment.target))
            for role in try identity.effectiveRoles(userID: assignment.userID, on: assignment.target)
            where roleID == nil || role.id == roleID {
                items.append(RoleAssignment(userID: assignment.userID, roleID: role.id, target: assignment.target))
            }
        }
        return Listing(items: items, isTruncated: listing.isTruncated)
    }

    private func view(
        _ assignment: RoleAssignment, named: Bool, base: String
    ) throws(IdentityError) -> JSON {
        var role = JSON.of(["id": .string(assignment.roleID)])
        var user = JSON.of(["id": .string(assignment.userID)])
        if named {
            role.add("name", .string(try identity.role(id: assignment.roleID).name))
            let found = try identity.user(.id(assignment.userID))
            user.add("name", .string(found.name))
            user.add("domain", try namedDomain(found.domainID))
        }
        let scope: JSON
        switch assignment.target {
        case .project(let id):
            var project = JSON.of(["id": .string(id)])
            if named {
                let found = try identity.project(.id(id))
                project.add("name", .string(found.name))
                project.add("domain", try namedDomain(found.domainID))
            }
            scope = .of(["project": project])
        case .domain(let id):
            var domain = JSON.of(["id": .string(id)])
            if named { domain.add("name", .string(try identity.domain(.id(id)).name)) }
            scope = .of(["domain": domain])
        case .system: scope = .of(["system": .of(["all": .bool(true)])])
        }
        let path = "\(grantPath(assignment.target, assignment.userID))/\(assignment.roleID)"
        return .of([
            "role": role, "user": user, "scope": scope,
            "links": .of(["assignment": .string("\(base)/v3/\(path)")]),
        ])
    }

    private func namedDomain(_ id: String) throws(IdentityError) -> JSON {
        .of(["id": .string(id), "name": .string(try identity.domain(.id(id)).name)])
    }

    private func grantPath(_ target: AssignmentTarget, _ userID: String) -> String {
        switch target {
        case .project(let id): "projects/\(id)/users/\(userID)/roles"
        case .domain(let id): "domains/\(id)/users/\(userID)/roles"
        case .system: "system/users/\(userID)/roles"
        }
    }

    private func checkExists(_ target: AssignmentTarget) throws(IdentityError) {
        switch target {
        case .project(let id): _ = try identity.project(.id(id))
        case .domain(let id): _ = try identity.domain(.id(id))
        case .system: break
        }
    }
}
