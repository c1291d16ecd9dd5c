import ControlFace
import HTTPTypes
import Images

// The roles are the service's to check: what a caller can't see is not found, whatever they wanted to do with it.
extension Routes {
    static let metadefRoutes: [Route] =
        namespaceRoutes + propertyRoutes + objectRoutes + tagDefinitionRoutes + resourceTypeRoutes

    private static let namespaceRoutes: [Route] = [
        Route(.get, "metadefs/namespaces", .anyone, "get_metadef_namespaces") { h, c async throws(ImageError) in
            let request = try DefinitionListRequest(c, "/metadefs/namespaces", ofNamespaces: true)
            let page = try await h.images.namespaces(request.query, for: c.asker)
            return .ok(
                request.body(
                    "namespaces", page.map { DefinitionViews.detail($0) }, last: page.last?.namespace.name))
        },
        Route(.post, "metadefs/namespaces", .anyone, "add_metadef_namespace") { h, c async throws(ImageError) in
            let new = try DefinitionFields.namespace(.object(try c.object()))
            let detail = try await h.images.create(new, for: c.asker)
            var reply = Reply(.created, .json(DefinitionViews.detail(detail)))
            reply.headers[.location] = "\(c.base)/v2/metadefs/namespaces/\(PageLinks.escaped(detail.namespace.name))"
            return reply
        },
        Route(.get, "metadefs/namespaces/*", .anyone, "get_metadef_namespace") { h, c async throws(ImageError) in
            let detail = try await h.images.namespace(c.arguments[0], for: c.asker)
            return .ok(DefinitionViews.detail(detail, resourceType: c.parameter("resource_type")))
        },
        Route(.put, "metadefs/namespaces/*", .anyone, "modify_metadef_namespace") { h, c async throws(ImageError) in
            let fields = try DefinitionFields.namespace(.object(try c.object())).fields
            return .ok(
                DefinitionViews.namespace(
                    try await h.images.updateNamespace(c.arguments[0], fields, for: c.asker)))
        },
        Route(.delete, "metadefs/namespaces/*", .anyone, "delete_metadef_namespace") {
            h, c async throws(ImageError) in
            try await h.images.deleteNamespace(c.arguments[0], for: c.asker)
            return .noContent
        },
    ]

    private static let propertyRoutes: [Route] = [
        Route(.get, "metadefs/namespaces/*/properties", .anyone, "get_metadef_properties") {
            h, c async throws(ImageError) in
            let properties = try await h.images.propertyDefinitions(in: c.arguments[0], for: c.asker)
            return .ok(.of(["properties": DefinitionViews.properties(properties)]))
        },
        Route(.post, "metadefs/namespaces/*/properties", .anyone, "add_metadef_property") {
            h, c async throws(ImageError) in
            let new = try DefinitionFields.property(.object(try c.object()))
            try await h.images.addProperty(new, to: c.arguments[0], for: c.asker)
            return Reply(.created, .json(DefinitionViews.property(new)))
        },
        Route(.delete, "metadefs/namespaces/*/properties", .anyone, "delete_metadef_namespace") {
            h, c async throws(ImageError) in
            try await h.images.deleteDefinitions(.property, in: c.arguments[0], for: c.asker)
            return .noContent
        },
        Route(.get, "metadefs/namespaces/*/properties/*", .anyone, "get_metadef_property") {
            h, c async throws(ImageError) in
            let type = c.parameter("resource_type")
            return .ok(
                DefinitionViews.property(
                    try await h.images.propertyDefinition(
                        c.arguments[1], in: c.arguments[0], resourceType: type?.isEmpty == false ? type : nil,
                        for: c.asker)))
        },
        Route(.put, "metadefs/namespaces/*/properties/*", .anyone, "modify_metadef_property") {
            h, c async throws(ImageError) in
            let new = try DefinitionFields.property(.object(try c.object()))
            try await h.images.updateProperty(c.arguments[1], in: c.arguments[0], to: new, for: c.asker)
            return .ok(DefinitionViews.property(new))
        },
        Route(.delete, "metadefs/namespaces/*/properties/*", .anyone, "remove_metadef_property") {
            h, c async throws(ImageError) in
            try await h.images.deleteDefinition(.property, c.arguments[1], in: c.arguments[0], for: c.asker)
            return .noContent
        },
    ]

    private static let objectRoutes: [Route] = [
        Route(.get, "metadefs/namespaces/*/objects", .anyone, "get_metadef_objects") {
            h, c async throws(ImageError) in
            let name = c.arguments[0]
            let request = try DefinitionListRequest(c, "/metadefs/namespaces/\(name)/objects", ofNamespaces: false)
            let page = try await h.images.objectDefinitions(request.query, in: name, for: c.asker)
            return .ok(
                request.body(
                    "objects", page.map { DefinitionViews.object($0, in: name) }, last: page.last?.name))
        },
        Route(.post, "metadefs/namespaces/*/objects", .anyone, "add_metadef_object") {
            h, c async throws(ImageError) in
            let new = try DefinitionFields.object(.object(try c.object()))
            let made = try await h.images.addObject(new, to: c.arguments[0], for: c.asker)
            return Reply(.created, .json(DefinitionViews.object(made, in: c.arguments[0])))
        },
        Route(.delete, "metadefs/namespaces/*/objects", .anyone, "delete_metadef_namespace") {
            h, c async throws(ImageError) in
            try await h.images.deleteDefinitions(.object, in: c.arguments[0], for: c.asker)
            return .noContent
        },
        Route(.get, "metadefs/namespaces/*/objects/*", .anyone, "get_metadef_object") {
            h, c async throws(ImageError) in
            let object = try await h.images.objectDefinition(c.arguments[1], in: c.arguments[0], for: c.asker)
            return .ok(DefinitionViews.object(object, in: c.arguments[0]))
        },
        Route(.put, "metadefs/namespaces/*/objects/*", .anyone, "modify_metadef_object") {
            h, c async throws(ImageError) in
            let new = try DefinitionFields.object(.object(try c.object()))
            let object = try await h.images.updateObject(
                c.arguments[1], in: c.arguments[0], to: new, for: c.asker)
            return .ok(DefinitionViews.object(object, in: c.arguments[0]))
        },
        Route(.delete, "metadefs/namespaces/*/objects/*", .anyone, "delete_metadef_object") {
            h, c async throws(ImageError) in
            try await h.images.deleteDefinition(.object, c.arguments[1], in: c.arguments[0], for: c.asker)
            return .noContent
        },
    ]

    private static let tagDefinitionRoutes: [Route] = [
        Route(.get, "metadefs/namespaces/*/tags", .anyone, "get_metadef_tags") { h, c async throws(ImageError) in
            let name = c.arguments[0]
            let request = try DefinitionListRequest(c, "/metadefs/namespaces/\(name)/tags", ofNamespaces: false)
            let page = try await h.images.tagDefinitions(request.query, in: name, for: c.asker)
            return .ok(
                request.body("tags", page.map { .of(["name": .string($0.name)]) }, last: page.last?.name))
        },
        Route(.post, "metadefs/namespaces/*/tags", .anyone, "add_metadef_tags") { h, c async throws(ImageError) in
            let names = try DefinitionFields.tags(.object(try c.object()))
            let wish = c.headers[.appendTags]?.lowercased() ?? ""
            try await h.images.setTags(
                names, isAppended: ["1", "t", "true", "on", "y", "yes"].contains(wish), in: c.arguments[0],
                for: c.asker)
            return Reply(
                .created, .json(.of(["tags": .array(names.map { .of(["name": .string($0)]) })])))
        },
        Route(.delete, "metadefs/namespaces/*/tags", .anyone, "delete_metadef_tags") {
            h, c async throws(ImageError) in
            try await h.images.deleteDefinitions(.tag, in: c.arguments[0], for: c.asker)
            return .noContent
        },
        Route(.get, "metadefs/namespaces/*/tags/*", .anyone, "get_metadef_tag") { h, c async throws(ImageError) in
            .ok(
                DefinitionViews.tag(
                    try await h.images.tagDefinition(c.arguments[1], in: c.arguments[0], for: c.asker)))
        },
        Route(.post, "metadefs/namespaces/*/tags/*", .anyone, "add_metadef_tag") { h, c async throws(ImageError) in
            let name = try DefinitionFields.tag(.of(["name": .string(c.arguments[1])]))
            let made = try await h.images.addTag(definition: name, to: c.arguments[0], for: c.asker)
            return Reply(.created, .json(DefinitionViews.tag(made)))
        },
        Route(.put, "metadefs/namespaces/*/tags/*", .anyone, "modify_metadef_tag") {
            h, c async throws(ImageError) in
            let name = try DefinitionFields.tag(.object(try c.object()))
            return .ok(
                DefinitionViews.tag(
                    try await h.images.renameTag(c.arguments[1], in: c.arguments[0], to: name, for: c.asker)))
        },
        Route(.delete, "metadefs/namespaces/*/tags/*", .anyone, "delete_metadef_tag") {
            h, c async throws(ImageError) in
            try await h.images.deleteDefinition(.tag, c.arguments[1], in: c.arguments[0], for: c.asker)
            return .noContent
        },
    ]

    private static let resourceTypeRoutes: [Route] = [
        Route(.get, "metadefs/resource_types", .anyone, "list_metadef_resource_types") {
            h, c async throws(ImageError) in
            let types = try await h.images.resourceTypes(for: c.asker)
            return .ok(.of(["resource_types": .array(types.map(DefinitionViews.resourceType))]))
        },
        Route(.get, "metadefs/namespaces/*/resource_types", .anyone, "get_metadef_resource_type") {
            h, c async throws(ImageError) in
            let found = try await h.images.associations(in: c.arguments[0], for: c.asker)
            return .ok(.of(["resource_type_associations": .array(found.map(DefinitionViews.association))]))
        },
        Route(
            .post, "metadefs/namespaces/*/resource_types", .anyone, "add_metadef_resource_type_association"
        ) { h, c async throws(ImageError) in
            let new = try DefinitionFields.association(.object(try c.object()))
            let made = try await h.images.associate(new, with: c.arguments[0], for: c.asker)
            return Reply(.created, .json(DefinitionViews.association(made)))
        },
        Route(
            .delete, "metadefs/namespaces/*/resource_types/*", .anyone, "remove_metadef_resource_type_association"
        ) { h, c async throws(ImageError) in
            try await h.images.deleteDefinition(.association, c.arguments[1], in: c.arguments[0], for: c.asker)
            return .noContent
        },
    ]
}

extension HTTPField.Name {
    static var appendTags: Self { Self("X-Openstack-Append") ?? .vary }
}
