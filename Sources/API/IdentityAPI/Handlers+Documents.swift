import ControlFace
import HTTPTypes
import Identity
import Primitives

/// Policies, consumers, endpoint groups: what operators keep here for others to read.
extension Handlers {
    func answerPolicies(_ call: Call) throws(IdentityError) -> Reply {
        try answerDocuments(
            call, .policy, key: "policy", path: "policies",
            id: { if case .policy(let id) = call.route { id } else { nil } }(), required: ["type", "blob"],
            filters: ["type"])
    }

    func answerEndpointGroups(_ call: Call) throws(IdentityError) -> Reply {
        if let filters = call.body?["endpoint_group"]?["filters"] {
            guard let members = filters.members, !members.isEmpty,
                members.allSatisfy({
                    ["service_id", "interface", "region_id"].contains($0.key) && $0.value.string != nil
                })
            else { throw .invalid("Invalid input for field 'filters': service_id, interface and region_id are known.") }
        }
        return try answerDocuments(
            call, .endpointGroup, key: "endpoint_group", path: "OS-EP-FILTER/endpoint_groups",
            id: { if case .endpointGroup(let id) = call.route { id } else { nil } }(), required: ["name", "filters"],
            filters: ["name"])
    }

    /// The secret is told when a consumer is made, and kept sealed; signing in by OAuth isn't served.
    func answerConsumers(_ call: Call) throws(IdentityError) -> Reply {
        guard call.route == .consumers, call.method == .post else {
            guard call.body?["consumer"]?["secret"] == nil else {
                throw .invalid("Invalid input for field 'secret': it can't be chosen.")
            }
            return try answerDocuments(
                call, .consumer, key: "consumer", path: "OS-OAUTH1/consumers",
                id: { if case .consumer(let id) = call.route { id } else { nil } }(), required: [], filters: [])
        }
        try administrator(call, "create_consumer")
        let fields = try call.fields("consumer")
        _ = try fields.optionalString("description")
        let secret = identity.randomHex()
        let made = try identity.createDocument(
            .consumer, body: try fields.extra(besides: ["secret", "sealed"]), secret: Secret(secret))
        var view = Views(base: call.base).document(made, path: "OS-OAUTH1/consumers")
        if view["description"] == nil { view.add("description", .null) }
        view.add("secret", .string(secret))
        return Reply(.created, .of(["consumer": view]))
    }

    private func answerDocuments(
        _ call: Call, _ kind: DocumentKind, key: String, path: String, id: String?, required: [String],
        filters: [String]
    ) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        let plural = path.split(separator: "/").last.map(String.init) ?? path
        switch (id, call.method) {
        case (nil, .post):
            try administrator(call, "create_\(key)")
            let fields = try call.fields(key)
            for name in required where !fields.has(name) { throw .invalid("'\(name)' is a required property") }
            if required.contains("type") { _ = try fields.string("type") }
            if required.contains("name") { _ = try fields.string("name") }
            let made = try identity.createDocument(kind, body: try fields.extra(besides: ["sealed"]))
            return Reply(.created, .of([key: views.document(made, path: path)]))
        case (let id?, .patch):
            try administrator(call, "update_\(key)")
            let change = try call.fields(key).extra(besides: ["sealed"])
            return Reply(
                .ok, .of([key: views.document(try identity.updateDocument(kind, id: id, change: change), path: path)]))
        case (let id?, .delete):
            try administrator(call, "delete_\(key)")
            try identity.deleteDocument(kind, id: id)
            return .noContent
        case (let id?, _):
            try systemReader(call, "get_\(key)")
            return Reply(.ok, .of([key: views.document(try identity.document(kind, id: id), path: path)]))
        default:
            try systemReader(call, "list_\(plural)")
            let all = try identity.documents(kind).map { views.document($0, path: path) }
            let items = all.filter { item in
                filters.allSatisfy { call.query[$0] == nil || item[$0]?.string == call.query[$0] }
            }
            return Reply(.ok, views.list(plural, path: path, items) { $0 })
        }
    }

    // MARK: Which project sees which endpoint.

    func answerAssociation(
        _ call: Call, _ association: IdentityService.Association, projectID: String
    ) throws(IdentityError) -> Reply {
        switch call.method {
        case .put:
            try administrator(call, "add_endpoint_to_project")
            try identity.associate(association, projectID: projectID)
            return .noContent
        case .delete:
            try administrator(call, "remove_endpoint_from_project")
            try identity.dissociate(association, projectID: projectID)
            return .noContent
        default:
            try systemReader(call, "check_endpoint_in_project")
            guard try identity.isAssociated(association, projectID: projectID) else {
                throw .notFound(kind: "endpoint association", id: projectID)
            }
            guard case .group(let id) = association else { return .noContent }
            return Reply(
                .ok,
                .of([
                    "project_endpoint_group": .of(["endpoint_group_id": .string(id), "project_id": .string(projectID)])
                ])
            )
        }
    }

    func listAssociations(_ call: Call) throws(IdentityError) -> Reply {
        try systemReader(call, "list_endpoints_for_project")
        let views = Views(base: call.base)
        let path = "OS-EP-FILTER"
        switch call.route {
        case .endpointGroupProjects(let id):
            let projects = try identity.projects(of: .group(id))
            return Reply(
                .ok, views.list("projects", path: "\(path)/endpoint_groups/\(id)/projects", projects, views.project))
        case .endpointProjects(let id):
            let projects = try identity.projects(of: .endpoint(id))
            return Reply(.ok, views.list("projects", path: "\(path)/endpoints/\(id)/projects", projects, views.project))
        case .endpointGroupEndpoints(let id):
            let endpoints = try identity.endpoints(ofGroup: id)
            let own = "\(path)/endpoint_groups/\(id)/endpoints"
            return Reply(.ok, views.list("endpoints", path: own, endpoints, views.endpoint))
        case .projectEndpoints(let id):
            let endpoints = try identity.endpoints(ofProject: id)
            return Reply(
                .ok, views.list("endpoints", path: "\(path)/projects/\(id)/endpoints", endpoints, views.endpoint))
        case .projectEndpointGroups(let id):
            let groups = try identity.groups(ofProject: id)
            return Reply(
                .ok,
                views.list("endpoint_groups", path: "\(path)/projects/\(id)/endpoint_groups", groups) {
                    views.document($0, path: "\(path)/endpoint_groups")
                })
        default: throw .notFound(kind: "address", id: "")
        }
    }

    // MARK: What a domain is set to. Kept and shown; users come from these tables alone, whatever it says.

    func answerConfiguration(
        _ call: Call, _ domainID: String, _ section: String?, _ option: String?
    ) throws(IdentityError) -> Reply {
        switch call.method {
        case .put, .patch:
            let isNew = call.method == .put
            try administrator(call, isNew ? "create_domain_config" : "update_domain_config")
            guard !isNew || section == nil else { throw .invalid("a configuration is made as a whole") }
            let options = try options(call, section, option)
            let known = try identity.domainOptions(ofDomain: domainID)
            if let section {
                guard known.contains(where: { $0.section == section && (option == nil || $0.name == option) }) else {
                    throw .notFound(kind: "domain configuration", id: option ?? section)
                }
            }
            try identity.setDomainOptions(options, ofDomain: domainID, replacing: isNew)
            return Reply(isNew && known.isEmpty ? .created : .ok, try configuration(of: domainID))
        case .delete:
            try administrator(call, "delete_domain_config")
            try identity.deleteDomainOptions(ofDomain: domainID, section: section, name: option)
            return .noContent
        default:
            try systemReader(call, "get_domain_config")
            let whole = try configuration(of: domainID)["config"] ?? .null
            guard let section else {
                guard whole.members?.isEmpty == false else {
                    throw .notFound(kind: "domain configuration", id: domainID)
                }
                return Reply(.ok, .of(["config": whole]))
            }
            return try part(of: whole, section, option)
        }
    }

    func showDefaults(_ call: Call, _ section: String?, _ option: String?) throws(IdentityError) -> Reply {
        _ = try authenticated(call)
        let defaults = JSON.object(
            Self.configurable.map { section, names in
                .init(
                    key: section,
                    value: .object(
                        names.map { .init(key: $0, value: $0 == "driver" ? .string("sql") : .null) }))
            })
        guard let section else { return Reply(.ok, .of(["config": defaults])) }
        return try part(of: defaults, section, option)
    }

    private func part(of whole: JSON, _ section: String, _ option: String?) throws(IdentityError) -> Reply {
        guard let options = whole[section] else { throw .notFound(kind: "domain configuration", id: section) }
        guard let option else { return Reply(.ok, .of(["config": .of([section: options])])) }
        guard let value = options[option] else { throw .notFound(kind: "domain configuration", id: option) }
        return Reply(.ok, .of(["config": .of([option: value])]))
    }

    private func configuration(of domainID: String) throws(IdentityError) -> JSON {
        var sections: [JSON.Member] = []
        for option in try identity.domainOptions(ofDomain: domainID) where !Self.isSecret(option.section, option.name) {
            let value = JSONParser.parse(Array(option.value.utf8))?["value"] ?? .null
            if sections.last?.key != option.section { sections.append(.init(key: option.section, value: .object([]))) }
            sections[sections.count - 1].value.add(option.name, value)
        }
        return .of(["config": .object(sections)])
    }

    private func options(
        _ call: Call, _ section: String?, _ option: String?
    ) throws(IdentityError) -> [IdentityService.DomainOption] {
        let refusal = IdentityError.forbidden(action: "identity:update_domain_config")
        guard let config = call.body?["config"]?.members, !config.isEmpty else { throw refusal }
        var sections = config
        if let section, let option {
            guard config.count == 1, config[0].key == option else { throw refusal }
            sections = [.init(key: section, value: .object(config))]
        } else if let section {
            guard config.count == 1, config[0].key == section else { throw refusal }
        }
        var options: [IdentityService.DomainOption] = []
        for member in sections {
            guard let known = Self.configurable.first(where: { $0.section == member.key })?.names,
                let values = member.value.members, !values.isEmpty
            else { throw refusal }
            for value in values {
                // A secret would be shown to nobody and used by nothing, so it isn't taken.
                guard known.contains(value.key) else { throw refusal }
                // In an object, so that any JSON is a document that is parsed back.
                let text = String(decoding: JSON.of(["value": value.value]).utf8, as: UTF8.self)
                guard text.utf8.count <= Limits.descriptionMax else { throw refusal }
                options.append(.init(section: member.key, name: value.key, value: text))
            }
        }
        return options
    }

    private static func isSecret(_ section: String, _ name: String) -> Bool { section == "ldap" && name == "password" }

    /// What may be set, by section, as other identity services have it.
    private static let configurable: [(section: String, names: [String])] = [
        ("identity", ["driver", "list_limit"]),
        (
            "ldap",
            [
                "url", "user", "suffix", "query_scope", "page_size", "alias_dereferencing", "debug_level",
                "chase_referrals", "user_tree_dn", "user_filter", "user_objectclass", "user_id_attribute",
                "user_name_attribute", "user_mail_attribute", "user_description_attribute", "user_pass_attribute",
                "user_enabled_attribute", "user_enabled_invert", "user_enabled_mask", "user_enabled_default",
                "user_attribute_ignore", "user_default_project_id_attribute", "user_enabled_emulation",
                "user_enabled_emulation_dn", "user_enabled_emulation_use_group_config",
                "user_additional_attribute_mapping", "group_tree_dn", "group_filter", "group_objectclass",
                "group_id_attribute", "group_name_attribute", "group_members_are_ids", "group_member_attribute",
                "group_desc_attribute", "group_attribute_ignore", "group_additional_attribute_mapping",
                "tls_cacertfile", "tls_cacertdir", "use_tls", "tls_req_cert", "use_pool", "pool_size",
                "pool_retry_max", "pool_retry_delay", "pool_connection_timeout", "pool_connection_lifetime",
                "use_auth_pool", "auth_pool_size", "auth_pool_connection_lifetime",
            ]
        ),
    ]
}
