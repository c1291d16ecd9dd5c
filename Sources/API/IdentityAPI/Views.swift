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
        .of([
            "id": .string(domain.id), "name": .string(domain.name), "description": .string(domain.description),
            "enabled": .bool(domain.enabled), "tags": .array([]), "options": .object([]),
            "links": links("domains", domain.id),
        ])
    }

    func project(_ project: Project) -> JSON {
        .of([
            "id": .string(project.id), "name": .string(project.name), "domain_id": .string(project.domainID),
            "parent_id": .string(project.parentID ?? project.domainID), "description": .string(project.description),
            "enabled": .bool(project.enabled), "is_domain": .bool(false), "tags": .array([]), "options": .object([]),
            "links": links("projects", project.id),
        ])
    }

    func user(_ user: User) -> JSON {
        var view = JSON.of([
            "id": .string(user.id), "name": .string(user.name), "domain_id": .string(user.domainID),
            "enabled": .bool(user.enabled), "password_expires_at": .null, "options": .object([]),
            "links": links("users", user.id),
        ])
        if let project = user.defaultProjectID { view.add("default_project_id", .string(project)) }
        if let email = user.email { view.add("email", .string(email)) }
        if let description = user.description { view.add("description", .string(description)) }
        return view
    }

    func role(_ role: Role) -> JSON {
        .of([
            "id": .string(role.id), "name": .string(role.name), "domain_id": .null,
            "description": .text(role.description), "options": .object([]), "links": links("roles", role.id),
        ])
    }

    func service(_ service: CatalogService) -> JSON {
        var view = JSON.of([
            "id": .string(service.id), "type": .string(service.type), "name": .string(service.name),
            "enabled": .bool(service.enabled), "links": links("services", service.id),
        ])
        if let description = service.description { view.add("description", .string(description)) }
        return view
    }

    func endpoint(_ endpoint: CatalogEndpoint) -> JSON {
        .of([
            "id": .string(endpoint.id), "service_id": .string(endpoint.serviceID),
            "interface": .string(endpoint.interface), "region": .text(endpoint.regionID),
            "region_id": .text(endpoint.regionID), "url": .string(endpoint.url), "enabled": .bool(endpoint.enabled),
            "links": links("endpoints", endpoint.id),
        ])
    }

    func region(_ region: Region) -> JSON {
        .of([
            "id": .string(region.id), "description": .string(region.description),
            "parent_region_id": .text(region.parentID), "links": links("regions", region.id),
        ])
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
                "password_expires_at": .null,
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

    /// `2026-08-01T10:00:00.000000Z`.
    static func time(_ unixSeconds: Int64) -> String {
        CivilDate(unixSeconds: unixSeconds).text(dateSeparator: "-", timeSeparator: ":") + ".000000Z"
    }
}
