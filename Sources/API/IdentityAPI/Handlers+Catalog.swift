import ControlFace
import HTTPTypes
import Identity
import Primitives

extension Handlers {
    func answerServices(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.services, .post):
            try administrator(call, "create_service")
            let fields = try call.fields("service")
            let service = try identity.createService(
                CatalogService(
                    id: "", type: try fields.string("type"), name: try fields.optionalString("name") ?? "",
                    description: try fields.optionalString("description"),
                    enabled: try fields.optionalBool("enabled") ?? true,
                    extra: try fields.extra(besides: Self.serviceFields)))
            return Reply(.created, .of(["service": views.service(service)]))
        case (.service(let id), .patch):
            try administrator(call, "update_service")
            let fields = try call.fields("service")
            let (type, name) = (try fields.optionalString("type"), try fields.optionalString("name"))
            let (description, enabled) = (try fields.change("description"), try fields.optionalBool("enabled"))
            let extra = try fields.extra(besides: Self.serviceFields)
            let service = try identity.updateService(id: id, extra: extra) { service in
                service.type = type ?? service.type
                service.name = name ?? service.name
                if let description { service.description = description }
                service.enabled = enabled ?? service.enabled
            }
            return Reply(.ok, .of(["service": views.service(service)]))
        case (.service(let id), .delete):
            try administrator(call, "delete_service")
            try identity.deleteService(id: id)
            return .noContent
        case (.service(let id), _):
            try systemReader(call, "get_service")
            return Reply(.ok, .of(["service": views.service(try identity.service(id: id))]))
        default:
            try systemReader(call, "list_services")
            let services = try identity.services(call.filters(["type", "name"]))
            return Reply(.ok, views.list("services", path: "services", services, views.service))
        }
    }

    func answerEndpoints(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.endpoints, .post):
            try administrator(call, "create_endpoint")
            let fields = try call.fields("endpoint")
            let endpoint = try identity.createEndpoint(
                CatalogEndpoint(
                    id: "", serviceID: try fields.string("service_id"), interface: try fields.string("interface"),
                    regionID: try region(fields), url: try fields.string("url"),
                    enabled: try fields.optionalBool("enabled") ?? true,
                    extra: try fields.extra(besides: Self.endpointFields)))
            return Reply(.created, .of(["endpoint": views.endpoint(endpoint)]))
        case (.endpoint(let id), .patch):
            try administrator(call, "update_endpoint")
            let fields = try call.fields("endpoint")
            let (service, interface) = (try fields.optionalString("service_id"), try fields.optionalString("interface"))
            let (url, enabled) = (try fields.optionalString("url"), try fields.optionalBool("enabled"))
            let namesRegion = fields.has("region_id") || fields.has("region")
            let region = try region(fields)
            let extra = try fields.extra(besides: Self.endpointFields)
            let endpoint = try identity.updateEndpoint(id: id, extra: extra) { endpoint in
                endpoint.serviceID = service ?? endpoint.serviceID
                endpoint.interface = interface ?? endpoint.interface
                endpoint.url = url ?? endpoint.url
                endpoint.enabled = enabled ?? endpoint.enabled
                if namesRegion { endpoint.regionID = region }
            }
            return Reply(.ok, .of(["endpoint": views.endpoint(endpoint)]))
        case (.endpoint(let id), .delete):
            try administrator(call, "delete_endpoint")
            try identity.deleteEndpoint(id: id)
            return .noContent
        case (.endpoint(let id), _):
            try systemReader(call, "get_endpoint")
            return Reply(.ok, .of(["endpoint": views.endpoint(try identity.endpoint(id: id))]))
        default:
            try systemReader(call, "list_endpoints")
            let endpoints = try identity.endpoints(call.filters(["service_id", "interface", "region_id"]))
            return Reply(.ok, views.list("endpoints", path: "endpoints", endpoints, views.endpoint))
        }
    }

    /// `region` is the older name of `region_id`.
    private func region(_ fields: Fields) throws(IdentityError) -> String? {
        if let id = try fields.optionalString("region_id") { return id }
        return try fields.optionalString("region")
    }

    func answerRegions(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.regions, .post), (.region, .put):
            try administrator(call, "create_region")
            let fields = try call.fields("region")
            var id = try fields.optionalString("id") ?? ""
            if case .region(let named) = call.route {
                guard id.isEmpty || id == named else { throw .invalid("the address and the body name two regions") }
                id = named
            }
            let region = try identity.createRegion(
                Region(
                    id: id, description: try fields.optionalString("description") ?? "",
                    parentID: try fields.optionalString("parent_region_id"),
                    extra: try fields.extra(besides: Self.regionFields)))
            return Reply(.created, .of(["region": views.region(region)]))
        case (.region(let id), .patch):
            try administrator(call, "update_region")
            let fields = try call.fields("region")
            let (description, parent) = (
                try fields.optionalString("description"), try fields.change("parent_region_id")
            )
            let extra = try fields.extra(besides: Self.regionFields)
            let region = try identity.updateRegion(id: id, extra: extra) { region in
                region.description = description ?? region.description
                if let parent { region.parentID = parent }
            }
            return Reply(.ok, .of(["region": views.region(region)]))
        case (.region(let id), .delete):
            try administrator(call, "delete_region")
            try identity.deleteRegion(id: id)
            return .noContent
        case (.region(let id), _):
            _ = try authenticated(call)
            return Reply(.ok, .of(["region": views.region(try identity.region(id: id))]))
        default:
            _ = try authenticated(call)
            var filters: [ListFilter] = []
            if let parent = call.query["parent_region_id"] { filters.append(.equals("parent_id", parent)) }
            return Reply(.ok, views.list("regions", path: "regions", try identity.regions(filters), views.region))
        }
    }

    private static let serviceFields: Set<String> = ["type", "name", "description", "enabled"]
    private static let endpointFields: Set<String> = [
        "service_id", "interface", "region", "region_id", "url", "enabled",
    ]
    private static let regionFields: Set<String> = ["description", "parent_region_id"]
}
