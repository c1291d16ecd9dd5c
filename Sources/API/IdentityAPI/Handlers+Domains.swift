import ControlFace
import HTTPTypes
import Identity
import Primitives

extension Handlers {
    func answerDomains(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        guard case .domain(let id) = call.route else {
            if call.method == .post {
                try administrator(call, "create_domain")
                let fields = try call.fields("domain")
                let domain = try makeDomain(fields, id: try explicitID(fields))
                return Reply(.created, .of(["domain": views.domain(domain)]))
            }
            let caller = try authenticated(call)
            var filters = call.filters(["name"], flags: ["enabled"])
            if !caller.hasRole("admin"), !caller.readsSystem {
                guard case .domain(let own) = caller.scope, caller.hasRole("reader") else {
                    throw .forbidden(action: "identity:list_domains")
                }
                filters.append(.equals("id", own.id))
            }
            return Reply(.ok, views.list("domains", path: "domains", try identity.domains(filters), views.domain))
        }
        switch call.method {
        case .patch:
            try administrator(call, "update_domain")
            return Reply(.ok, .of(["domain": views.domain(try changeDomain(id, try call.fields("domain")))]))
        case .delete:
            try administrator(call, "delete_domain")
            try identity.deleteDomain(id: id)
            return .noContent
        default:
            let caller = try authenticated(call)
            var isOwn = caller.userDomain.id == id
            switch caller.scope {
            case .project(_, let domain), .domain(let domain): isOwn = isOwn || domain.id == id
            case .unscoped, .system: break
            }
            guard isOwn || caller.hasRole("admin") || caller.readsSystem else {
                throw .forbidden(action: "identity:get_domain")
            }
            return Reply(.ok, .of(["domain": views.domain(try identity.domain(.id(id)))]))
        }
    }

    func makeDomain(_ fields: Fields, id: String?) throws(IdentityError) -> Domain {
        try identity.createDomain(
            id: id, name: try fields.string("name"), description: try fields.optionalString("description") ?? "",
            enabled: try fields.optionalBool("enabled") ?? true, tags: try fields.optionalStrings("tags") ?? [],
            extra: try fields.extra(besides: Self.projectFields, options: ["immutable"]))
    }

    func changeDomain(_ id: String, _ fields: Fields) throws(IdentityError) -> Domain {
        try identity.updateDomain(id: id, try change(fields))
    }

    /// What a PATCH of a project or a domain says.
    func change(_ fields: Fields) throws(IdentityError) -> ProjectChange {
        ProjectChange(
            name: try fields.optionalString("name"), description: try fields.optionalString("description"),
            enabled: try fields.optionalBool("enabled"), tags: try fields.optionalStrings("tags"),
            extra: try fields.extra(besides: Self.projectFields, options: ["immutable"]))
    }

    private func explicitID(_ fields: Fields) throws(IdentityError) -> String? {
        guard let id = try fields.optionalString("explicit_domain_id") else { return nil }
        let isHex = id.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard id.utf8.count == 32, isHex else {
            throw .invalid("Invalid input for field 'explicit_domain_id': it must be 32 hexadecimal digits.")
        }
        return id
    }

    /// What is ours of a project's or a domain's fields.
    static let projectFields: Set<String> = [
        "name", "description", "enabled", "tags", "domain_id", "parent_id", "is_domain", "explicit_domain_id",
    ]
}
