import ControlFace
import HTTPTypes
import Identity

extension Handlers {
    /// The roles that somebody was given in a place.
    func listGrants(_ call: Call, _ place: GrantPlace) throws(IdentityError) -> Reply {
        try reader(call, "list_grants") { () throws(IdentityError) in try domainID(of: place) }
        try checkExists(place)
        var filter = AssignmentFilter(userID: nil, roleID: nil, target: place.target)
        switch place.actor {
        case .user(let id): filter.userID = id
        case .group(let id): filter.groupID = id
        }
        filter.isInherited = place.isInherited
        var roles: [Role] = []
        for assignment in try identity.assignments(filter).items {
            roles.append(try identity.role(id: assignment.roleID))
        }
        let views = Views(base: call.base)
        return Reply(.ok, views.list("roles", path: place.path, roles, views.role))
    }

    func answerGrant(_ call: Call, _ place: GrantPlace, roleID: String) throws(IdentityError) -> Reply {
        let assignment = RoleAssignment(
            actor: place.actor, roleID: roleID, target: place.target, isInherited: place.isInherited)
        switch call.method {
        case .put:
            try granter(call, "create_grant", place, roleID: roleID)
            try identity.grant(assignment)
        case .delete:
            try granter(call, "revoke_grant", place, roleID: roleID)
            try identity.withdraw(assignment)
        default:
            try reader(call, "check_grant") { () throws(IdentityError) in try domainID(of: place) }
            guard try identity.holds(assignment) else {
                throw .notFound(kind: "role assignment with role", id: assignment.roleID)
            }
        }
        return .noContent
    }

    /// Who manages a domain gives what they have themselves, and less: never what reaches beyond the domain.
    private func granter(
        _ call: Call, _ action: String, _ place: GrantPlace, roleID: String
    ) throws(IdentityError) {
        let caller = try manager(call, action) { () throws(IdentityError) in try domainID(of: place) }
        guard !caller.hasRole("admin") else { return }
        let role = try identity.role(id: roleID)
        guard role.domainID == nil, ["manager", "member", "reader"].contains(role.name) else {
            throw .forbidden(action: "identity:\(action)")
        }
    }

    /// The domain that both sides of a grant lie in; nil if they are of two, or if it is the system's.
    private func domainID(of place: GrantPlace) throws(IdentityError) -> String? {
        let target: String
        switch place.target {
        case .project(let id): target = try identity.project(.id(id)).domainID
        case .domain(let id): target = id
        case .system: return nil
        }
        let actor =
            switch place.actor {
            case .user(let id): try identity.user(.id(id)).domainID
            case .group(let id): try identity.group(id: id).domainID
            }
        return actor == target ? target : nil
    }

    private func checkExists(_ place: GrantPlace) throws(IdentityError) {
        switch place.actor {
        case .user(let id): _ = try identity.user(.id(id))
        case .group(let id): _ = try identity.group(id: id)
        }
        switch place.target {
        case .project(let id): _ = try identity.project(.id(id))
        case .domain(let id): _ = try identity.domain(.id(id))
        case .system: break
        }
    }

    // MARK: All of them.

    func listAssignments(_ call: Call) throws(IdentityError) -> Reply {
        let (target, isEffective) = try assignmentQuery(call)
        try reader(call, "list_role_assignments") { () throws(IdentityError) in
            switch target {
            case .project(let id)?: try identity.project(.id(id)).domainID
            case .domain(let id)?: id
            case .system?, nil: nil
            }
        }
        let inherited: Bool? = call.query["scope.OS-INHERIT:inherited_to"].map { _ in true }
        var listing: Listing<RoleAssignment>
        if isEffective {
            var filter = EffectiveFilter(userID: call.query["user.id"], roleID: call.query["role.id"], target: target)
            filter.isInherited = inherited
            listing = try identity.effectiveAssignments(filter)
        } else {
            var filter = AssignmentFilter(userID: call.query["user.id"], roleID: call.query["role.id"], target: target)
            filter.groupID = call.query["group.id"]
            filter.isInherited = inherited
            listing = try identity.assignments(filter)
            if case .project(let id)? = target, call.query["include_subtree"] != nil,
                call.flag("include_subtree") == true
            {
                for project in try identity.subtree(ofProject: id) where listing.items.count < Limits.listMax {
                    filter.target = .project(project.id)
                    listing.items += try identity.assignments(filter).items
                }
            }
        }
        let isNamed = call.query["include_names"] != nil && call.flag("include_names") == true
        var items: [JSON] = []
        for assignment in listing.items { items.append(try view(assignment, named: isNamed, base: call.base)) }
        return Reply(
            .ok,
            Views(base: call.base).list(
                "role_assignments", path: "role_assignments",
                Listing(items: items, isTruncated: listing.isTruncated)
            ) { $0 })
    }

    private func assignmentQuery(_ call: Call) throws(IdentityError) -> (target: AssignmentTarget?, isEffective: Bool) {
        var targets: [AssignmentTarget] = []
        if let id = call.query["scope.project.id"] { targets.append(.project(id)) }
        if let id = call.query["scope.domain.id"] { targets.append(.domain(id)) }
        if call.query["scope.system"] != nil { targets.append(.system) }
        let isEffective = call.query["effective"] != nil && call.flag("effective") == true
        guard targets.count <= 1 else { throw .invalid("the filters name more than one scope") }
        guard call.query["user.id"] == nil || call.query["group.id"] == nil else {
            throw .invalid("Specify a user or group, not both")
        }
        guard !isEffective || call.query["group.id"] == nil else {
            throw .invalid("Combining effective and group filter will always result in an empty list.")
        }
        if let inherited = call.query["scope.OS-INHERIT:inherited_to"], inherited != "projects" {
            throw .invalid("inherited_to can only be \"projects\"")
        }
        return (targets.first, isEffective)
    }

    private func view(_ assignment: RoleAssignment, named: Bool, base: String) throws(IdentityError) -> JSON {
        var role = JSON.of(["id": .string(assignment.roleID)])
        if named {
            let found = try identity.role(id: assignment.roleID)
            role.add("name", .string(found.name))
            if let domain = found.domainID { role.add("domain", try namedDomain(domain)) }
        }
        var actor = JSON.of(["id": .string(assignment.actor.id)])
        if named {
            let (name, domainID): (String, String)
            switch assignment.actor {
            case .user(let id):
                let user = try identity.user(.id(id))
                (name, domainID) = (user.name, user.domainID)
            case .group(let id):
                let group = try identity.group(id: id)
                (name, domainID) = (group.name, group.domainID)
            }
            actor.add("name", .string(name))
            actor.add("domain", try namedDomain(domainID))
        }
        var scope = try scopeView(assignment.target, named: named)
        if assignment.isInherited { scope.add("OS-INHERIT:inherited_to", .string("projects")) }
        let place = GrantPlace(target: assignment.target, actor: assignment.actor, isInherited: assignment.isInherited)
        let suffix = assignment.isInherited ? "/inherited_to_projects" : ""
        return .of([
            "role": role, assignment.actor.kind: actor, "scope": scope,
            "links": .of(["assignment": .string("\(base)/v3/\(place.path)/\(assignment.roleID)\(suffix)")]),
        ])
    }

    private func scopeView(_ target: AssignmentTarget, named: Bool) throws(IdentityError) -> JSON {
        switch target {
        case .project(let id):
            var project = JSON.of(["id": .string(id)])
            if named {
                let found = try identity.project(.id(id))
                project.add("name", .string(found.name))
                project.add("domain", try namedDomain(found.domainID))
            }
            return .of(["project": project])
        case .domain(let id): return .of(["domain": named ? try namedDomain(id) : .of(["id": .string(id)])])
        case .system: return .of(["system": .of(["all": .bool(true)])])
        }
    }

    private func namedDomain(_ id: String) throws(IdentityError) -> JSON {
        .of(["id": .string(id), "name": .string(try identity.domain(.id(id)).name)])
    }
}
