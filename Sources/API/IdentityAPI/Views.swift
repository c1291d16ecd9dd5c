import ControlFace
import Identity
import Primitives

/// What entities look like on the wire (identity-api.md 14).
struct Views {
    let base: String

    private func links(_ collection: String, _ id: String) -> JSON {
        .of(["self": .string("\(base)/v3/\(collection)/\(id)")])
    }

    func domain(_ domain: Domain) -> JSON {
        with(
            domain.extra,
            .of([
                "id": .string(domain.id), "name": .string(domain.name), "description": .string(domain.description),
                "enabled": .bool(domain.enabled), "tags": .array(domain.tags.map { .string($0) }),
                "links": links("domains", domain.id),
            ]), options: true)
    }

    func project(_ project: Project) -> JSON {
        with(
            project.extra,
            .of([
                "id": .string(project.id), "name": .string(project.name), "domain_id": .string(project.domainID),
                "parent_id": .string(project.parentID ?? project.domainID),
                "description": .string(project.description), "enabled": .bool(project.enabled),
                "is_domain": .bool(false), "tags": .array(project.tags.map { .string($0) }),
                "links": links("projects", project.id),
            ]), options: true)
    }

    /// A domain as those see it who ask for projects.
    func project(of domain: Domain) -> JSON {
        with(
            domain.extra,
            .of([
                "id": .string(domain.id), "name": .string(domain.name), "domain_id": .null, "parent_id": .null,
                "description": .string(domain.description), "enabled": .bool(domain.enabled),
                "is_domain": .bool(true), "tags": .array(domain.tags.map { .string($0) }),
                "links": links("projects", domain.id),
            ]), options: true)
    }

    /// - Parameter passwordExpiresAt: Unix seconds.
    func user(_ user: User, passwordExpiresAt: Int64?) -> JSON {
        var view = JSON.of([
            "id": .string(user.id), "name": .string(user.name), "domain_id": .string(user.domainID),
            "enabled": .bool(user.enabled), "password_expires_at": .text(passwordExpiresAt.map(Self.localTime)),
            "links": links("users", user.id),
        ])
        if let project = user.defaultProjectID { view.add("default_project_id", .string(project)) }
        if let email = user.email { view.add("email", .string(email)) }
        if let description = user.description { view.add("description", .string(description)) }
        return with(user.extra, view, options: true)
    }

    func group(_ group: Group) -> JSON {
        with(
            group.extra,
            .of([
                "id": .string(group.id), "name": .string(group.name), "domain_id": .string(group.domainID),
                "description": .string(group.description), "links": links("groups", group.id),
            ]))
    }

    func role(_ role: Role) -> JSON {
        with(
            role.extra,
            .of([
                "id": .string(role.id), "name": .string(role.name), "domain_id": .text(role.domainID),
                "description": .text(role.description), "links": links("roles", role.id),
            ]), options: true)
    }

    /// A role as rules about roles name it.
    func roleReference(_ role: Role) -> JSON {
        .of(["id": .string(role.id), "name": .string(role.name), "links": links("roles", role.id)])
    }

    func service(_ service: CatalogService) -> JSON {
        var view = JSON.of([
            "id": .string(service.id), "type": .string(service.type), "name": .string(service.name),
            "enabled": .bool(service.enabled), "links": links("services", service.id),
        ])
        if let description = service.description { view.add("description", .string(description)) }
        return with(service.extra, view)
    }

    func endpoint(_ endpoint: CatalogEndpoint) -> JSON {
        with(
            endpoint.extra,
            .of([
                "id": .string(endpoint.id), "service_id": .string(endpoint.serviceID),
                "interface": .string(endpoint.interface), "region": .text(endpoint.regionID),
                "region_id": .text(endpoint.regionID), "url": .string(endpoint.url), "enabled": .bool(endpoint.enabled),
                "links": links("endpoints", endpoint.id),
            ]))
    }

    func region(_ region: Region) -> JSON {
        with(
            region.extra,
            .of([
                "id": .string(region.id), "description": .string(region.description),
                "parent_region_id": .text(region.parentID), "links": links("regions", region.id),
            ]))
    }

    func applicationCredential(_ credential: ApplicationCredential) -> JSON {
        var view = JSON.of([
            "id": .string(credential.id), "name": .string(credential.name),
            "description": .text(credential.description), "project_id": .string(credential.projectID),
            "user_id": .string(credential.userID), "system": .null,
            "roles": .array(
                credential.roles.map {
                    .of(["id": .string($0.id), "name": .string($0.name), "domain_id": .text($0.domainID)])
                }), "expires_at": .text(credential.expiryText), "unrestricted": .bool(credential.isUnrestricted),
            "links": links("users/\(credential.userID)/application_credentials", credential.id),
        ])
        if let rules = credential.rules { view.add("access_rules", .array(rules.map { accessRule($0) })) }
        return view
    }

    private func accessRule(_ rule: StoredAccessRule) -> JSON {
        .of([
            "id": .string(rule.id), "service": .string(rule.rule.service), "method": .string(rule.rule.method),
            "path": .string(rule.rule.path),
        ])
    }

    func accessRule(_ rule: StoredAccessRule, of userID: String) -> JSON {
        var view = accessRule(rule)
        view.add("links", links("users/\(userID)/access_rules", rule.id))
        return view
    }

    func trust(_ trust: Trust, withRoles: Bool = true) -> JSON {
        let path = "\(base)/v3/OS-TRUST/trusts/\(trust.id)/roles"
        var view = JSON.of([
            "id": .string(trust.id), "trustor_user_id": .string(trust.trustorID),
            "trustee_user_id": .string(trust.trusteeID), "project_id": .string(trust.projectID),
            "impersonation": .bool(trust.impersonates), "expires_at": .text(trust.expiryText), "deleted_at": .null,
            "remaining_uses": trust.remainingUses.map { .number(String($0)) } ?? .null,
            "redelegation_count": .number(String(trust.redelegations)), "links": links("OS-TRUST/trusts", trust.id),
            "roles_links": .of(["next": .null, "self": .string(path), "previous": .null]),
        ])
        if withRoles { view.add("roles", .array(trust.roles.map(role))) }
        return view
    }

    /// The blob is the owner's secret: only in answers to those who may see it.
    func credential(_ credential: Credential) -> JSON {
        with(
            credential.extra,
            .of([
                "id": .string(credential.id), "type": .string(credential.type),
                "blob": .string(String(decoding: credential.blob.bytes, as: UTF8.self)),
                "user_id": .string(credential.userID), "project_id": .text(credential.projectID),
                "links": links("credentials", credential.id),
            ]))
    }

    func document(_ document: Document, path: String) -> JSON {
        var view = JSON.of(["id": .string(document.id), "links": links(path, document.id)])
        for member in JSONParser.parse(Array(document.body.utf8))?.members ?? []
        where member.key != "sealed" && view[member.key] == nil {
            view.add(member.key, member.value)
        }
        return view
    }

    /// The view with what clients stored beside ours; ours goes first.
    private func with(_ extra: String, _ view: JSON, options: Bool = false) -> JSON {
        var view = view
        for member in JSONParser.parse(Array(extra.utf8))?.members ?? [] where view[member.key] == nil {
            view.add(member.key, member.value)
        }
        if options, view["options"] == nil { view.add("options", .object([])) }
        return view
    }

    func catalog(_ entries: [CatalogEntry]) -> JSON {
        .array(
            entries.map { entry in
                .of([
                    "id": .string(entry.service.id), "type": .string(entry.service.type),
                    "name": .string(entry.service.name),
                    "endpoints": .array(
                        entry.endpoints.map { endpoint in
                            .of([
                                "id": .string(endpoint.id), "interface": .string(endpoint.interface),
                                "region": .text(endpoint.regionID), "region_id": .text(endpoint.regionID),
                                "url": .string(endpoint.url),
                            ])
                        }),
                ])
            })
    }

    /// `catalog` nil leaves it out.
    func token(_ info: TokenInfo, catalog: [CatalogEntry]?) -> JSON {
        var token = JSON.of([
            "methods": .array(info.methods.map { .string($0) }),
            "user": .of([
                "domain": named(info.userDomain), "id": .string(info.user.id), "name": .string(info.user.name),
                "password_expires_at": .text(info.passwordExpiresAt.map(Self.localTime)),
            ]),
            "audit_ids": .array(info.auditIDs.map { .string($0) }),
            "expires_at": .string(Self.time(info.expiresAt)), "issued_at": .string(Self.time(info.issuedAt)),
        ])
        switch info.scope {
        case .unscoped: return token
        case .project(let project, let domain):
            token.add(
                "project",
                .of(["domain": named(domain), "id": .string(project.id), "name": .string(project.name)]))
            token.add("is_domain", .bool(false))
        case .domain(let domain): token.add("domain", named(domain))
        case .system: token.add("system", .of(["all": .bool(true)]))
        }
        token.add("roles", .array(info.roles.map { .of(["id": .string($0.id), "name": .string($0.name)]) }))
        if let credential = info.applicationCredential {
            var view = JSON.of([
                "id": .string(credential.id), "name": .string(credential.name),
                "restricted": .bool(!credential.isUnrestricted),
            ])
            if let rules = credential.rules { view.add("access_rules", .array(rules.map { accessRule($0) })) }
            token.add("application_credential", view)
        }
        if let trust = info.trust {
            token.add(
                "OS-TRUST:trust",
                .of([
                    "id": .string(trust.id), "impersonation": .bool(trust.impersonates),
                    "trustor_user": .of(["id": .string(trust.trustorID)]),
                    "trustee_user": .of(["id": .string(trust.trusteeID)]),
                ]))
        }
        if let catalog { token.add("catalog", self.catalog(catalog)) }
        return token
    }

    /// The one version there is.
    func version() -> JSON {
        .of([
            "id": .string("v3.14"), "status": .string("stable"), "updated": .string("2020-04-07T00:00:00Z"),
            "links": .array([.of(["rel": .string("self"), "href": .string("\(base)/v3/")])]),
            "media-types": .array([
                .of([
                    "base": .string("application/json"),
                    "type": .string("application/vnd.openstack.identity-v3+json"),
                ])
            ]),
        ])
    }

    /// A list's body, with the links that every list has.
    func list<T>(_ key: String, path: String, _ listing: Listing<T>, _ view: (T) -> JSON) -> JSON {
        var body = JSON.of([
            key: .array(listing.items.map(view)),
            "links": .of(["next": .null, "self": .string("\(base)/v3/\(path)"), "previous": .null]),
        ])
        if listing.isTruncated { body.add("truncated", .bool(true)) }
        return body
    }

    func list<T: Sendable>(_ key: String, path: String, _ items: [T], _ view: (T) -> JSON) -> JSON {
        list(key, path: path, Listing(items: items, isTruncated: false), view)
    }

    func named(_ entity: Caller.Named) -> JSON { .of(["id": .string(entity.id), "name": .string(entity.name)]) }

    /// `2026-08-01T10:00:00.000000`.
    static func localTime(_ unixSeconds: Int64) -> String { String(time(unixSeconds).dropLast()) }

    /// `2026-08-01T10:00:00.000000Z`.
    static func time(_ unixSeconds: Int64) -> String {
        CivilDate(unixSeconds: unixSeconds).text(dateSeparator: "-", timeSeparator: ":") + ".000000Z"
    }
}
