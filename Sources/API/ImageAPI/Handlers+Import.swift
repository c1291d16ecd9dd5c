import ControlFace
import HTTPTypes
import Images

extension Routes {
    static let importRoutes: [Route] = [
        Route(.post, "images/*/import", .anyone, "import_image") { h, c async throws(ImageError) in
            _ = try await h.images.beginImport(try ImportBody.request(c), of: c.arguments[0], for: c.asker)
            return .accepted
        },
        Route(.get, "images/*/tasks", .anyone, "get_image") { h, c async throws(ImageError) in
            let tasks = try await h.images.tasks(of: c.arguments[0], for: c.asker)
            return .ok(.of(["tasks": .array(tasks.map { Views.task($0, isFull: true) })]))
        },
        Route(.delete, "stores/*/*", .admin, "delete_image_location") { h, c async throws(ImageError) in
            guard h.hasSeveralStores else { throw .notFound("There are no stores to choose from.") }
            try await h.images.removeFromStore(c.arguments[0], c.arguments[1], for: c.asker)
            return .noContent
        },
        Route(.get, "tasks", .admin, "tasks_api_access") { h, c async throws(ImageError) in try await h.listTasks(c) },
        Route(.post, "tasks", .admin, "tasks_api_access") { h, c async throws(ImageError) in
            throw .invalid("Tasks are begun by importing an image: POST /v2/images/{id}/import.")
        },
        Route(.get, "tasks/*", .admin, "tasks_api_access") { h, c async throws(ImageError) in
            .ok(Views.task(try await h.images.task(c.arguments[0], for: c.asker), isFull: true))
        },
        Route(.get, "info/import", .reader, "get_images") { h, c async throws(ImageError) in
            .ok(
                .of([
                    "import-methods": .of([
                        "description": .string("Import methods available."), "type": .string("array"),
                        "value": .array(h.images.configuration.importMethods.map { .string($0) }),
                    ])
                ]))
        },
        Route(.get, "info/stores", .reader, "get_images") { h, c async throws(ImageError) in
            .ok(.of(["stores": .array(try h.stores(isDetailed: false))]))
        },
        Route(.get, "info/stores/detail", .admin, "stores_info_detail") { h, c async throws(ImageError) in
            .ok(.of(["stores": .array(try h.stores(isDetailed: true))]))
        },
        Route(.get, "info/usage", .reader, "get_images") { h, c async throws(ImageError) in
            .ok(.of(["usage": try await h.usage(c)]))
        },
    ]
}

extension Handlers {
    func listTasks(_ call: Call) async throws(ImageError) -> Reply {
        var query = TaskQuery()
        for (name, value) in call.query {
            switch name {
            case "limit":
                guard let limit = Int(value), limit >= 0 else { throw .invalid("limit param must be an integer") }
                query.limit = min(limit, Limits.pageMax)
            case "marker": query.marker = value
            case "type": query.type = value
            case "status":
                guard let status = ImageTaskStatus(rawValue: value) else {
                    throw .invalid("Invalid status value: \(value)")
                }
                query.status = status
            case "sort_dir":
                guard value == "asc" || value == "desc" else { throw .invalid("Invalid sort direction: \(value)") }
                query.isDescending = value == "desc"
            default: break
            }
        }
        let tasks = query.limit == 0 ? [] : try await images.tasks(query, for: call.asker)
        var body = JSON.of([
            "tasks": .array(tasks.map { Views.task($0, isFull: false) }),
            "first": .string(PageLinks.link("/v2/tasks", call.query, marker: nil)),
            "schema": .string("/v2/schemas/tasks"),
        ])
        if let last = tasks.last, tasks.count == query.limit {
            body.add("next", .string(PageLinks.link("/v2/tasks", call.query, marker: last.id)))
        }
        return .ok(body)
    }

    func stores(isDetailed: Bool) throws(ImageError) -> [JSON] {
        guard hasSeveralStores else { throw .notFound("Multi backend is not supported at this site.") }
        return images.configuration.stores.enumerated().map { index, name in
            var store = JSON.of(["id": .string(name)])
            if index == 0 { store.add("default", .string("true")) }
            if isDetailed {
                store.add("type", .string("chunks"))
                store.add("weight", .number("0"))
                store.add("properties", .of([:]))
            }
            return store
        }
    }

    func usage(_ call: Call) async throws(ImageError) -> JSON {
        let usage = try await images.usage(for: call.asker)
        func item(_ limit: Int64?, _ used: Int64) -> JSON {
            .of(["limit": .number(String(limit ?? -1)), "usage": .number(String(used))])
        }
        let configuration = images.configuration
        return .of([
            "image_size_total": item(configuration.projectBytesMax.map { $0 >> 20 }, usage.bytes >> 20),
            "image_stage_total": item(configuration.projectBytesMax.map { $0 >> 20 }, usage.stagedBytes >> 20),
            "image_count_total": item(configuration.projectImagesMax.map(Int64.init), usage.images),
            "image_count_uploading": item(nil, usage.uploading),
        ])
    }
}

/// `POST /v2/images/{id}/import`.
enum ImportBody {
    static func request(_ call: Call) throws(ImageError) -> ImportRequest {
        let body = JSON.object(try call.object())
        guard let method = body["method"], method.members != nil else {
            throw .invalid("Import request requires a 'method' field.")
        }
        guard let name = method["name"]?.string else {
            throw .invalid("Import request requires a 'name' field of its method.")
        }
        let source: ImageImport
        switch name {
        case "glance-direct": source = .staged
        case "web-download":
            guard let address = method["uri"]?.string else {
                throw .invalid("Import method 'web-download' requires a 'uri'.")
            }
            source = .web(address)
        case "copy-image": source = .copy
        case "glance-download":
            guard let image = method["glance_image_id"]?.string, let region = method["glance_region"]?.string else {
                throw .invalid("Import method 'glance-download' requires 'glance_image_id' and 'glance_region'.")
            }
            source = .other(
                image: image, region: region, interface: method["glance_service_interface"]?.string ?? "public")
        default: throw .invalid("Unknown import method name '\(name)'.")
        }
        var stores: [String]?
        if let value = body["stores"] {
            guard let items = value.array else { throw .invalid("'stores' must be a list.") }
            stores = []
            for item in items {
                guard let store = item.string else { throw .invalid("'stores' must be a list of names.") }
                stores?.append(store)
            }
        }
        let all = try flag(body, "all_stores") ?? false
        guard !all || stores == nil else { throw .invalid("'stores' and 'all_stores' exclude one another.") }
        if let stores, stores.isEmpty { throw .invalid("'stores' is empty.") }
        // A task shows what was asked for, less what is nobody's business.
        let input = JSON.of(["import_req": body, "backend": .array((stores ?? []).map { .string($0) })])
        return ImportRequest(
            source: source, stores: stores, allStores: all,
            allMustSucceed: try flag(body, "all_stores_must_succeed") ?? true,
            input: String(decoding: input.utf8, as: UTF8.self))
    }

    private static func flag(_ body: JSON, _ name: String) throws(ImageError) -> Bool? {
        guard let value = body[name] else { return nil }
        guard case .bool(let flag) = value else { throw .invalid("'\(name)' must be true or false.") }
        return flag
    }
}
