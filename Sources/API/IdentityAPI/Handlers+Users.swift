import ControlFace
import HTTPTypes
import Identity
import Primitives

extension Handlers {
    func answerUsers(_ call: Call) throws(IdentityError) -> Reply {
        switch (call.route, call.method) {
        case (.users, .post): return try createUser(call)
        case (.user(let id), .patch):
            let caller = try manager(call, "update_user") { () throws(IdentityError) in
                try identity.user(.id(id)).domainID
            }
            try checkReach(caller, .user(id), "update_user")
            try checkStays(try call.fields("user"), in: try identity.user(.id(id)).domainID)
            return Reply(.ok, .of(["user": view(try identity.updateUser(id: id, try userChange(call)), call)]))
        case (.user(let id), .delete):
            let caller = try manager(call, "delete_user") { () throws(IdentityError) in
                try identity.user(.id(id)).domainID
            }
            try checkReach(caller, .user(id), "delete_user")
            try identity.deleteUser(id: id)
            return .noContent
        case (.user(let id), _):
            try own(call, userID: id, "get_user")
            return Reply(.ok, .of(["user": view(try identity.user(.id(id)), call)]))
        case (.userPassword(let id), _):
            // No token is asked for: whoever knows the old password could get one.
            let fields = try call.fields("user")
            try identity.changePassword(
                userID: id, from: Secret(try fields.string("original_password")),
                to: Secret(try fields.string("password")))
            return .noContent
        case (.userProjects(let id), _):
            let views = Views(base: call.base)
            try own(call, userID: id, "list_user_projects")
            _ = try identity.user(.id(id))
            let projects = try identity.projects(ofUser: id)
            return Reply(.ok, views.list("projects", path: "users/\(id)/projects", projects, views.project))
        case (.userGroups(let id), _):
            let views = Views(base: call.base)
            try own(call, userID: id, "list_groups_for_user")
            let groups = try identity.groups(ofUser: id)
            return Reply(.ok, views.list("groups", path: "users/\(id)/groups", groups, views.group))
        default:
            var filters = call.filters(["name", "domain_id"], flags: ["enabled"])
            if let own = try domainFilter(call, "list_users") { filters.append(own) }
            let users = try identity.users(filters)
            return Reply(.ok, Views(base: call.base).list("users", path: "users", users) { view($0, call) })
        }
    }

    private func view(_ user: User, _ call: Call) -> JSON {
        Views(base: call.base).user(user, passwordExpiresAt: identity.passwordExpiry(of: user))
    }

    private func createUser(_ call: Call) throws(IdentityError) -> Reply {
        let fields = try call.fields("user")
        let caller = try manager(call, "create_user") { () throws(IdentityError) in try domainID(of: call, fields) }
        var new = NewUser(
            name: try fields.string("name"), domain: try domain(of: caller, fields),
            password: try fields.optionalString("password").map { Secret($0) },
            defaultProjectID: try fields.optionalString("default_project_id"),
            email: try fields.optionalString("email"), description: try fields.optionalString("description"),
            enabled: try fields.optionalBool("enabled") ?? true)
        new.extra = try fields.extra(besides: Self.userFields, options: Self.userOptions)
        return Reply(.created, .of(["user": view(try identity.createUser(new), call)]))
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
        change.extra = try fields.extra(besides: Self.userFields, options: Self.userOptions)
        return change
    }

    private static let userFields: Set<String> = [
        "name", "password", "original_password", "enabled", "default_project_id", "email", "description", "domain_id",
        "password_expires_at",
    ]

    /// Rules about second factors aren't enforced here, so they can't be asked for.
    private static let userOptions: Set<String> = [
        "ignore_password_expiry", "ignore_lockout_failure_attempts", "lock_password",
        "ignore_change_password_upon_first_use", "ignore_user_inactivity",
    ]

    // MARK: Groups.

    func answerGroups(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.groups, .post):
            let fields = try call.fields("group")
            let caller = try manager(call, "create_group") { () throws(IdentityError) in try domainID(of: call, fields)
            }
            let group = try identity.createGroup(
                name: try fields.string("name"), domain: try domain(of: caller, fields),
                description: try fields.optionalString("description") ?? "",
                extra: try fields.extra(besides: Self.groupFields))
            return Reply(.created, .of(["group": views.group(group)]))
        case (.group(let id), .patch):
            try manager(call, "update_group") { () throws(IdentityError) in try identity.group(id: id).domainID }
            let fields = try call.fields("group")
            try checkStays(fields, in: try identity.group(id: id).domainID)
            let group = try identity.updateGroup(
                id: id, name: try fields.optionalString("name"), description: try fields.optionalString("description"),
                extra: try fields.extra(besides: Self.groupFields))
            return Reply(.ok, .of(["group": views.group(group)]))
        case (.group(let id), .delete):
            try manager(call, "delete_group") { () throws(IdentityError) in try identity.group(id: id).domainID }
            try identity.deleteGroup(id: id)
            return .noContent
        case (.group(let id), _):
            try reader(call, "get_group") { () throws(IdentityError) in try identity.group(id: id).domainID }
            return Reply(.ok, .of(["group": views.group(try identity.group(id: id))]))
        case (.groupUsers(let id), _):
            try reader(call, "list_users_in_group") { () throws(IdentityError) in try identity.group(id: id).domainID }
            let users = try identity.users(ofGroup: id)
            return Reply(.ok, views.list("users", path: "groups/\(id)/users", users) { view($0, call) })
        default:
            var filters = call.filters(["name", "domain_id"])
            if let own = try domainFilter(call, "list_groups") { filters.append(own) }
            return Reply(.ok, views.list("groups", path: "groups", try identity.groups(filters), views.group))
        }
    }

    func answerMember(_ call: Call, groupID: String, userID: String) throws(IdentityError) -> Reply {
        // Both have to lie in the domain that is managed.
        let domainID = { () throws(IdentityError) -> String? in
            let domain = try identity.group(id: groupID).domainID
            return try identity.user(.id(userID)).domainID == domain ? domain : nil
        }
        switch call.method {
        case .put:
            let caller = try manager(call, "add_user_to_group", of: domainID)
            try checkReach(caller, .group(groupID), "add_user_to_group")
            try identity.addMember(groupID: groupID, userID: userID)
        case .delete:
            try manager(call, "remove_user_from_group", of: domainID)
            try identity.removeMember(groupID: groupID, userID: userID)
        default:
            try reader(call, "check_user_in_group", of: domainID)
            guard try identity.isMember(groupID: groupID, userID: userID) else {
                throw .notFound(kind: "user in group", id: userID)
            }
        }
        return .noContent
    }

    /// Who manages a domain gets no hold of those who are more than that: neither by a new password, nor by joining a
    /// group that was given more.
    private func checkReach(_ caller: TokenInfo, _ actor: Actor, _ action: String) throws(IdentityError) {
        guard !caller.hasRole("admin"), try identity.reachesBeyondDomains(actor) else { return }
        throw .forbidden(action: "identity:\(action)")
    }

    private func checkStays(_ fields: Fields, in domainID: String) throws(IdentityError) {
        guard let wanted = try fields.optionalString("domain_id"), wanted != domainID else { return }
        throw .invalid("Invalid input for field 'domain_id': it can't be changed.")
    }

    private static let groupFields: Set<String> = ["name", "description", "domain_id"]
}
