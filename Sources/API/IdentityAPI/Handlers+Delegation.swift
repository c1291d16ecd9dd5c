import ControlFace
import HTTPTypes
import Identity
import Primitives

/// Application credentials, their access rules, and trusts.
extension Handlers {
    func answerApplicationCredentials(_ call: Call, userID: String) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        guard call.method == .post else {
            try own(call, userID: userID, "list_application_credentials")
            let items = try identity.applicationCredentials(ofUser: userID, name: call.query["name"])
            let path = "users/\(userID)/application_credentials"
            return Reply(.ok, views.list("application_credentials", path: path, items, views.applicationCredential))
        }
        let caller = try authenticated(call)
        guard caller.user.id == userID else { throw .forbidden(action: "identity:create_application_credential") }
        let fields = try call.fields("application_credential")
        var new = NewApplicationCredential(name: try fields.string("name"))
        new.description = try fields.optionalString("description")
        new.secret = try fields.optionalString("secret").map { Secret($0) }
        if let expiry = try fields.optionalTime("expires_at") { (new.expiresAt, new.expiryText) = expiry }
        new.isUnrestricted = try fields.optionalBool("unrestricted") ?? false
        new.roles = try roleNames(fields)
        new.rules = try rules(fields)
        let made = try identity.createApplicationCredential(new, for: caller)
        var view = views.applicationCredential(made.credential)
        view.add("secret", .string(String(decoding: made.secret.bytes, as: UTF8.self)))
        return Reply(.created, .of(["application_credential": view]))
    }

    func answerApplicationCredential(_ call: Call, userID: String, _ id: String) throws(IdentityError) -> Reply {
        guard call.method == .delete else {
            try own(call, userID: userID, "get_application_credential")
            let credential = try identity.applicationCredential(id: id, userID: userID)
            let view = Views(base: call.base).applicationCredential(credential)
            return Reply(.ok, .of(["application_credential": view]))
        }
        try owner(call, userID: userID, "delete_application_credential")
        try identity.deleteApplicationCredential(id: id, userID: userID)
        return .noContent
    }

    /// The user themselves, with a token that wasn't delegated to them, or an administrator.
    private func owner(_ call: Call, userID: String, _ action: String) throws(IdentityError) {
        let caller = try authenticated(call)
        guard caller.user.id == userID || caller.hasRole("admin") else {
            throw .forbidden(action: "identity:\(action)")
        }
        try identity.checkMayDelegate(caller, action)
    }

    func listAccessRules(_ call: Call, userID: String) throws(IdentityError) -> Reply {
        try own(call, userID: userID, "list_access_rules")
        let views = Views(base: call.base)
        let rules = try identity.accessRules(ofUser: userID)
        return Reply(
            .ok,
            views.list("access_rules", path: "users/\(userID)/access_rules", rules) { views.accessRule($0, of: userID) }
        )
    }

    func answerAccessRule(_ call: Call, userID: String, _ id: String) throws(IdentityError) -> Reply {
        guard call.method == .delete else {
            try own(call, userID: userID, "get_access_rule")
            let rule = try identity.accessRule(id: id, userID: userID)
            return Reply(.ok, .of(["access_rule": Views(base: call.base).accessRule(rule, of: userID)]))
        }
        try owner(call, userID: userID, "delete_access_rule")
        try identity.deleteAccessRule(id: id, userID: userID)
        return .noContent
    }

    /// `[{"id": …} | {"name": …}]`; empty if the field isn't there.
    private func roleNames(_ fields: Fields) throws(IdentityError) -> [NewApplicationCredential.RoleName] {
        guard let list = fields.value["roles"], list != .null else { return [] }
        guard let items = list.array else { throw .invalid("Invalid input for field 'roles': it must be a list.") }
        var names: [NewApplicationCredential.RoleName] = []
        for item in items {
            let role = Fields(item, path: "roles")
            if let id = try role.optionalString("id") {
                names.append(.id(id))
            } else {
                names.append(.name(try role.string("name")))
            }
        }
        return names
    }

    private func rules(_ fields: Fields) throws(IdentityError) -> [NewApplicationCredential.Rule]? {
        guard let list = fields.value["access_rules"], list != .null else { return nil }
        guard let items = list.array else {
            throw .invalid("Invalid input for field 'access_rules': it must be a list.")
        }
        var rules: [NewApplicationCredential.Rule] = []
        for item in items {
            let rule = Fields(item, path: "access_rules")
            if let id = try rule.optionalString("id") {
                rules.append(.existing(id))
            } else {
                rules.append(
                    .new(
                        AccessRule(
                            service: try rule.string("service"), method: try rule.string("method"),
                            path: try rule.string("path"))))
            }
        }
        return rules
    }

    // MARK: Trusts.

    func answerTrusts(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.trusts, .post):
            let trust = try identity.createTrust(try newTrust(try call.fields("trust")), for: try authenticated(call))
            return Reply(.created, .of(["trust": views.trust(trust)]))
        case (.trust(let id), .delete):
            let caller = try authenticated(call)
            let trust = try identity.trust(id: id)
            guard caller.user.id == trust.trustorID || caller.hasRole("admin") else {
                throw .forbidden(action: "identity:delete_trust")
            }
            try identity.checkMayDelegate(caller, "delete_trust")
            try identity.deleteTrust(id: id)
            return .noContent
        case (.trust(let id), _): return Reply(.ok, .of(["trust": views.trust(try readable(call, id, "get_trust"))]))
        case (.trustRoles(let id), _):
            let trust = try readable(call, id, "list_roles_for_trust")
            return Reply(.ok, views.list("roles", path: "OS-TRUST/trusts/\(id)/roles", trust.roles, views.role))
        case (.trustRole(let id, let roleID), _):
            let trust = try readable(call, id, "get_role_for_trust")
            guard let role = trust.roles.first(where: { $0.id == roleID }) else {
                throw .notFound(kind: "role", id: roleID)
            }
            return Reply(.ok, .of(["role": views.role(role)]))
        default:
            let (trustor, trustee) = (call.query["trustor_user_id"], call.query["trustee_user_id"])
            let caller = try authenticated(call)
            if caller.user.id != trustor, caller.user.id != trustee { try systemReader(call, "list_trusts") }
            let trusts = try identity.trusts(trustorID: trustor, trusteeID: trustee)
            return Reply(
                .ok, views.list("trusts", path: "OS-TRUST/trusts", trusts) { views.trust($0, withRoles: false) })
        }
    }

    private func readable(_ call: Call, _ id: String, _ action: String) throws(IdentityError) -> Trust {
        let caller = try authenticated(call)
        let trust = try identity.trust(id: id)
        if caller.user.id != trust.trustorID, caller.user.id != trust.trusteeID { try systemReader(call, action) }
        return trust
    }

    private func newTrust(_ fields: Fields) throws(IdentityError) -> NewTrust {
        guard let impersonates = try fields.optionalBool("impersonation") else {
            throw .invalid("'impersonation' is a required property")
        }
        var new = NewTrust(
            trustorID: try fields.string("trustor_user_id"), trusteeID: try fields.string("trustee_user_id"),
            impersonates: impersonates)
        new.projectID = try fields.optionalString("project_id")
        if let expiry = try fields.optionalTime("expires_at") {
            (new.expiresAt, new.expiryText) = (expiry.seconds, expiry.text + "Z")
        }
        new.remainingUses = try fields.optionalNumber("remaining_uses")
        let mayPassOn = try fields.optionalBool("allow_redelegation") ?? false
        let count = try fields.optionalNumber("redelegation_count")
        new.redelegations = mayPassOn ? count ?? Limits.redelegationsMax : 0
        new.roles = try roleNames(fields)
        return new
    }
}
