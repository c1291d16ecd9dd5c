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
            let role = try identity.createRole(
                name: try fields.string("name"), description: try fields.optionalString("description"),
                domainID: try fields.optionalString("domain_id"),
                extra: try fields.extra(besides: Self.roleFields, options: ["immutable"]))
            return Reply(.created, .of(["role": views.role(role)]))
        case (.role(let id), .patch):
            try administrator(call, "update_role")
            let fields = try call.fields("role")
            if let domain = try fields.optionalString("domain_id"), domain != (try identity.role(id: id).domainID) {
                throw .invalid("a role can't be moved to another domain")
            }
            let role = try identity.updateRole(
                id: id, name: try fields.optionalString("name"), description: try fields.change("description"),
                extra: try fields.extra(besides: Self.roleFields, options: ["immutable"]))
            return Reply(.ok, .of(["role": views.role(role)]))
        case (.role(let id), .delete):
            try administrator(call, "delete_role")
            try identity.deleteRole(id: id)
            return .noContent
        case (.role(let id), _):
            try roleReader(call, "get_role")
            return Reply(.ok, .of(["role": views.role(try identity.role(id: id))]))
        default:
            try roleReader(call, "list_roles")
            // Those that count everywhere have the empty domain.
            let filters = call.filters(["name"]) + [.equals("domain_id", call.query["domain_id"] ?? "")]
            return Reply(.ok, views.list("roles", path: "roles", try identity.roles(filters), views.role))
        }
    }

    /// Whoever manages a domain has to know the roles that they may give.
    private func roleReader(_ call: Call, _ action: String) throws(IdentityError) {
        let caller = try authenticated(call)
        if case .domain = caller.scope, caller.hasRole("manager") { return }
        try systemReader(call, action)
    }

    private static let roleFields: Set<String> = ["name", "description", "domain_id"]

    // MARK: Roles that imply others.

    func answerImplications(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.impliedRoles(let prior), _):
            try systemReader(call, "list_implied_roles")
            let implied = try identity.impliedRoles(by: prior)
            let role = try identity.role(id: prior)
            return Reply(
                .ok,
                .of([
                    "role_inference": .of([
                        "prior_role": views.roleReference(role), "implies": .array(implied.map(views.roleReference)),
                    ]), "links": .of(["self": .string("\(call.base)/v3/roles/\(prior)/implies")]),
                ]))
        case (.impliedRole(let prior, let implied), .put):
            try administrator(call, "create_implied_role")
            try identity.addImplication(prior: prior, implied: implied)
            return Reply(.created, try implication(call, prior, implied))
        case (.impliedRole(let prior, let implied), .delete):
            try administrator(call, "delete_implied_role")
            try identity.removeImplication(prior: prior, implied: implied)
            return .noContent
        case (.impliedRole(let prior, let implied), _):
            try systemReader(call, "get_implied_role")
            guard try identity.impliedRoles(by: prior).contains(where: { $0.id == implied }) else {
                throw .notFound(kind: "implied role", id: "\(prior) implies \(implied)")
            }
            return call.isHead ? .noContent : Reply(.ok, try implication(call, prior, implied))
        default:
            try systemReader(call, "list_role_inference_rules")
            let rules = try identity.roleInferences()
            return Reply(
                .ok,
                .of([
                    "role_inferences": .array(
                        rules.map { rule in
                            .of([
                                "prior_role": views.roleReference(rule.prior),
                                "implies": .array(rule.implied.map(views.roleReference)),
                            ])
                        }), "links": .of(["self": .string("\(call.base)/v3/role_inferences")]),
                ]))
        }
    }

    private func implication(_ call: Call, _ prior: String, _ implied: String) throws(IdentityError) -> JSON {
        let views = Views(base: call.base)
        return .of([
            "role_inference": .of([
                "prior_role": views.roleReference(try identity.role(id: prior)),
                "implies": views.roleReference(try identity.role(id: implied)),
            ]), "links": .of(["self": .string("\(call.base)/v3/roles/\(prior)/implies/\(implied)")]),
        ])
    }
}
