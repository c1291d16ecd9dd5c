import GRDB
private import Primitives

/// A service with its endpoints as one token sees them: the URLs filled in.
package struct CatalogEntry: Sendable, Equatable {
    package var service: CatalogService
    package var endpoints: [CatalogEndpoint]
}

extension IdentityService {
    /// The catalog for a token: what is disabled, or has a URL that this token can't fill in, is left out. Empty for an
    /// unscoped token. Blocks.
    package func catalog(for info: TokenInfo) throws(IdentityError) -> [CatalogEntry] {
        if case .unscoped = info.scope { return [] }
        var substitutions = ["user_id": info.user.id]
        if case .project(let project, _) = info.scope {
            substitutions["project_id"] = project.id
            substitutions["tenant_id"] = project.id
        }
        return try read { db in
            var chosen: Set<String>?
            if case .project(let project, _) = info.scope {
                chosen = try Self.chosenEndpoints(db, projectID: project.id)
            }
            let services = try Lookups.all(
                db, "SELECT * FROM services WHERE enabled = 1 ORDER BY type, name, id", [], Lookups.service)
            return try services.compactMap { service in
                let endpoints = try Lookups.all(
                    db, "SELECT * FROM endpoints WHERE service_id = ? AND enabled = 1 ORDER BY interface, id",
                    [service.id], Lookups.endpoint
                ).compactMap { endpoint -> CatalogEndpoint? in
                    guard chosen?.contains(endpoint.id) ?? true else { return nil }
                    guard let url = EndpointURL.fill(endpoint.url, substitutions) else { return nil }
                    var endpoint = endpoint
                    endpoint.url = url
                    return endpoint
                }
                return endpoints.isEmpty ? nil : CatalogEntry(service: service, endpoints: endpoints)
            }
        }
    }

    /// Services, by type and name if these are given. Blocks.
    package func services(type: String?, name: String?) throws(IdentityError) -> Listing<CatalogService> {
        try list(
            "services", [("type", type), ("name", name)], order: "type, name, id", Lookups.service)
    }

    package func service(id: String) throws(IdentityError) -> CatalogService {
        try found(
            "service", id,
            try read { db in try Lookups.one(db, "SELECT * FROM services WHERE id = ?", [id], Lookups.service) })
    }

    package func endpoints(
        serviceID: String?, interface: String?, regionID: String?
    ) throws(IdentityError) -> Listing<CatalogEndpoint> {
        try list(
            "endpoints", [("service_id", serviceID), ("interface", interface), ("region_id", regionID)],
            order: "service_id, interface, id", Lookups.endpoint)
    }

    package func endpoint(id: String) throws(IdentityError) -> CatalogEndpoint {
        try found(
            "endpoint", id,
            try read { db in try Lookups.one(db, "SELECT * FROM endpoints WHERE id = ?", [id], Lookups.endpoint) })
    }

    package func regions() throws(IdentityError) -> Listing<Region> {
        try list("regions", [ListFilter](), order: "id", Lookups.region)
    }

    package func region(id: String) throws(IdentityError) -> Region {
        try found(
            "region", id,
            try read { db in try Lookups.one(db, "SELECT * FROM regions WHERE id = ?", [id], Lookups.region) })
    }
}

/// The placeholders in an endpoint's URL: `%(name)s` and `$(name)s`.
enum EndpointURL {
    /// nil if the URL names something that isn't given, or is malformed.
    static func fill(_ template: String, _ values: [String: String]) -> String? {
        var out = ""
        var rest = Substring(template)
        while let mark = rest.firstIndex(where: { $0 == "%" || $0 == "$" }) {
            out += rest[..<mark]
            rest = rest[rest.index(after: mark)...]
            // A lone `$`, or a percent sign of an escaped byte, stands for itself.
            guard rest.first == "(" else {
                out.append(template[mark])
                continue
            }
            guard let close = rest.firstIndex(of: ")"),
                let value = values[String(rest[rest.index(after: rest.startIndex)..<close])]
            else { return nil }
            rest = rest[rest.index(after: close)...]
            guard rest.first == "s" else { return nil }
            rest = rest.dropFirst()
            out += value
        }
        return out + rest
    }
}
