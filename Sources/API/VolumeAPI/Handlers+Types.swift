import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static let typeRoutes: [Route] = plainTypeRoutes + specRoutes + encryptionRoutes + policyRoutes + defaultTypeRoutes

    private static let plainTypeRoutes: [Route] = [
        Route(.get, "types", .reader, "volume_extension:type_get_all") { h, c async throws(VolumeError) in
            try await h.listTypes(c)
        },
        Route(.post, "types", .admin, "volume_extension:type_create") { h, c async throws(VolumeError) in
            try await h.createType(c)
        },
        Route(.get, "types/default", .reader, "volume_extension:type_get") { h, c async throws(VolumeError) in
            let type = try await h.volumes.defaultType(for: c.asker)
            return .ok(.of(["volume_type": Views(c).type(type, .shown)]))
        },
        Route(.get, "types/*", .reader, "volume_extension:type_get") { h, c async throws(VolumeError) in
            let type = try await h.volumes.type(c.arguments[0], for: c.asker)
            return .ok(.of(["volume_type": Views(c).type(type, .shown)]))
        },
        Route(.put, "types/*", .admin, "volume_extension:type_update") { h, c async throws(VolumeError) in
            try await h.updateType(c)
        },
        Route(.delete, "types/*", .admin, "volume_extension:type_delete") { h, c async throws(VolumeError) in
            try await h.volumes.deleteType(c.arguments[0])
            return .accepted
        },
        Route(.get, "types/*/os-volume-type-access", .admin, "volume_extension:volume_type_access") {
            h, c async throws(VolumeError) in
            let id = c.arguments[0]
            let projects = try await h.volumes.typeAccess(id)
            return .ok(
                .of([
                    "volume_type_access": .array(
                        projects.map { .of(["volume_type_id": .string(id), "project_id": .string($0)]) })
                ]))
        },
        Route(.post, "types/*/action", .admin, "volume_extension:volume_type_access") {
            h, c async throws(VolumeError) in
            try await h.act(
                c,
                [
                    Action("addProjectAccess", .admin, "volume_extension:volume_type_access:addProjectAccess") {
                        h, c, id, body async throws(VolumeError) in
                        try await h.volumes.addTypeAccess(id, project: try body.requiredText("project"))
                        return .accepted
                    },
                    Action("removeProjectAccess", .admin, "volume_extension:volume_type_access:removeProjectAccess") {
                        h, c, id, body async throws(VolumeError) in
                        try await h.volumes.removeTypeAccess(id, project: try body.requiredText("project"))
                        return .accepted
                    },
                ])
        },
    ]

    private static let specRoutes: [Route] = [
        Route(.get, "types/*/extra_specs", .reader, "volume_extension:types_extra_specs:index") {
            h, c async throws(VolumeError) in
            let type = try await h.volumes.type(c.arguments[0], for: c.asker)
            return .ok(.of(["extra_specs": Views(c).type(type, .shown)["extra_specs"] ?? .object([])]))
        },
        Route(.post, "types/*/extra_specs", .admin, "volume_extension:types_extra_specs:create") {
            h, c async throws(VolumeError) in
            guard let json = c.body?["extra_specs"], c.body?.members?.count == 1 else {
                throw .invalid("'extra_specs' is a required property")
            }
            let specs = try Shape.facts(json, "extra_specs", keysMayHave: Shape.isSpecByte)
            try await h.volumes.setExtraSpecs(c.arguments[0], specs)
            return .ok(.of(["extra_specs": Views.facts(specs)]))
        },
        Route(.get, "types/*/extra_specs/*", .reader, "volume_extension:types_extra_specs:show") {
            h, c async throws(VolumeError) in
            let type = try await h.volumes.type(c.arguments[0], for: c.asker)
            guard let value = Views(c).type(type, .shown)["extra_specs"]?[c.arguments[1]] else {
                throw .notFound(kind: "Volume Type \(type.id) has no extra specs with key", id: c.arguments[1])
            }
            return .ok(.object([.init(key: c.arguments[1], value: value)]))
        },
        Route(.put, "types/*/extra_specs/*", .admin, "volume_extension:types_extra_specs:update") {
            h, c async throws(VolumeError) in
            guard let body = c.body else { throw .invalid("Missing request body") }
            let specs = try Shape.facts(body, "extra_specs", keysMayHave: Shape.isSpecByte)
            guard specs.count == 1, specs[c.arguments[1]] != nil else {
                throw .invalid("Request body and URI mismatch")
            }
            let type = try await h.volumes.type(c.arguments[0], for: c.asker)
            guard type.extraSpecs[c.arguments[1]] != nil else {
                throw .notFound(kind: "Volume Type \(type.id) has no extra specs with key", id: c.arguments[1])
            }
            try await h.volumes.setExtraSpecs(c.arguments[0], specs)
            return .ok(Views.facts(specs))
        },
        Route(.delete, "types/*/extra_specs/*", .admin, "volume_extension:types_extra_specs:delete") {
            h, c async throws(VolumeError) in
            try await h.volumes.removeExtraSpec(c.arguments[0], c.arguments[1])
            return .accepted
        },
    ]

    private static let defaultTypeRoutes: [Route] = [
        Route(.get, "default-types", since: 62, .admin, "volume_extension:default_get_all") {
            h, c async throws(VolumeError) in
            let defaults = try await h.volumes.defaultTypes()
            return .ok(.of(["default_types": .array(defaults.map { Views.defaultType($0.project, $0.typeID) })]))
        },
        Route(.get, "default-types/*", since: 62, .admin, "volume_extension:default_get") {
            h, c async throws(VolumeError) in
            let defaults = try await h.volumes.defaultTypes()
            guard let found = defaults.first(where: { $0.project == c.arguments[0] }) else {
                throw .notFound(kind: "Default type for project", id: c.arguments[0])
            }
            return .ok(.of(["default_type": Views.defaultType(found.project, found.typeID)]))
        },
        Route(.put, "default-types/*", since: 62, .admin, "volume_extension:default_set_or_update") {
            h, c async throws(VolumeError) in
            let fields = try c.fields("default_type").only(["volume_type"])
            let typeID = try await h.volumes.setDefaultType(
                project: c.arguments[0], type: try fields.requiredText("volume_type"), for: c.asker)
            return .ok(.of(["default_type": Views.defaultType(c.arguments[0], typeID)]))
        },
        Route(.delete, "default-types/*", since: 62, .admin, "volume_extension:default_unset") {
            h, c async throws(VolumeError) in
            try await h.volumes.removeDefaultType(project: c.arguments[0])
            return .noContent
        },
    ]
}

extension Views {
    static func defaultType(_ project: String, _ typeID: String) -> JSON {
        .of(["project_id": .string(project), "volume_type_id": .string(typeID)])
    }
}

extension Handlers {
    /// `None` for both kinds; nil if the query doesn't say.
    func publicFilter(_ call: Call) throws(VolumeError) -> Bool? {
        guard let text = call.parameter("is_public") else { return true }
        if text.lowercased() == "none" { return nil }
        guard let flag = Shape.truth(text) else { throw .invalid("Invalid is_public filter [\(text)]") }
        return flag
    }

    func listTypes(_ call: Call) async throws(VolumeError) -> Reply {
        let views = Views(call)
        var specs: [String: String] = [:]
        if call.version.minor >= 52, let text = call.parameter("extra_specs") {
            guard let pairs = LooseDictionary.parse(text) else {
                throw .invalid("Invalid input received: extra_specs filter '\(text)'.")
            }
            for (name, value) in pairs { specs[name] = value }
        }
        let (wanted, isPublic) = (specs, try publicFilter(call))
        let request = ListRequest(call: call, rules: ListRequest.types)
        let page = try await volumes.types(try request.query(), isPublic: isPublic, specs: wanted, for: call.asker)
        let body = request.body("volume_types", page, id: { $0.id }, { views.type($0, .shown) })
        guard let links = body["volume_types_links"] else { return .ok(body) }
        return .ok(.of(["volume_types": body["volume_types"] ?? .array([]), "volume_type_links": links]))
    }

    func createType(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("volume_type")
        try fields.only(["name", "description", "extra_specs", "os-volume-type-access:is_public"])
        let specs = fields.value["extra_specs"].flatMap { $0 == .null ? nil : $0 } ?? .object([])
        let type = try await volumes.createType(
            name: try fields.requiredText("name"), description: try fields.text("description"),
            isPublic: try fields.bool("os-volume-type-access:is_public") ?? true,
            extraSpecs: try Shape.facts(specs, "extra_specs", keysMayHave: Shape.isSpecByte))
        return .ok(.of(["volume_type": Views(call).type(type, .created)]))
    }

    func updateType(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("volume_type").only(["name", "description", "is_public"])
        let name = try fields.text("name")
        guard name != nil || fields.has("description") || fields.has("is_public") else {
            throw .invalid("Specify volume type name, description, is_public or a combination thereof.")
        }
        if let name, name.isEmpty { throw .invalid("Volume type name can not be empty.") }
        let type = try await volumes.updateType(
            call.arguments[0], name: name, description: try fields.change("description"),
            isPublic: try fields.bool("is_public"))
        return .ok(.of(["volume_type": Views(call).type(type, .updated)]))
    }
}
