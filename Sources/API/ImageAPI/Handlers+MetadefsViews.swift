import ControlFace
import Images

/// What clients see of metadata definitions; what has no value is left out.
enum DefinitionViews {
    static func namespace(_ namespace: DefinitionNamespace) -> JSON {
        var view = JSON.of(["namespace": .string(namespace.name)])
        if let text = namespace.displayName { view.add("display_name", .string(text)) }
        if let text = namespace.description { view.add("description", .string(text)) }
        view.add("visibility", .string(namespace.visibility.rawValue))
        view.add("protected", .bool(namespace.isProtected))
        view.add("owner", .string(namespace.owner))
        addTimes(&view, namespace.createdAt, namespace.updatedAt)
        view.add("self", .string("/v2/metadefs/namespaces/\(namespace.name)"))
        view.add("schema", .string("/v2/schemas/metadefs/namespace"))
        return view
    }

    private static func addTimes(_ view: inout JSON, _ created: Int64, _ updated: Int64) {
        view.add("created_at", .string(Views.time(created)))
        view.add("updated_at", .string(Views.time(updated)))
    }

    /// - Parameter resourceType: properties get the names that they have on resources of that type.
    static func detail(_ detail: NamespaceDetail, resourceType: String? = nil) -> JSON {
        let prefix = detail.associations.first { $0.name == resourceType }?.prefix ?? ""
        let name = detail.namespace.name
        var view = namespace(detail.namespace)
        if !detail.objects.isEmpty {
            view.add("objects", .array(detail.objects.map { object($0, in: name, prefix: prefix) }))
        }
        if !detail.associations.isEmpty {
            view.add("resource_type_associations", .array(detail.associations.map(association)))
        }
        if !detail.properties.isEmpty { view.add("properties", properties(detail.properties, prefix: prefix)) }
        if !detail.tags.isEmpty { view.add("tags", .array(detail.tags.map { .of(["name": .string($0.name)]) })) }
        return view
    }

    static func properties(_ properties: [PropertyDefinition], prefix: String = "") -> JSON {
        .object(properties.map { JSON.Member(key: prefix + $0.name, value: parsed($0.schema)) })
    }

    private static func parsed(_ text: String) -> JSON { JSONParser.parse(Array(text.utf8)) ?? .null }

    static func property(_ property: PropertyDefinition) -> JSON {
        var view = parsed(property.schema)
        view.add("name", .string(property.name))
        return view
    }

    static func object(_ object: ObjectDefinition, in namespace: String, prefix: String = "") -> JSON {
        var view = JSON.of(["name": .string(object.name)])
        if let text = object.description { view.add("description", .string(text)) }
        let required = parsed(object.required).array ?? []
        view.add("required", .array(required.map { .string(prefix + ($0.string ?? "")) }))
        let properties = parsed(object.properties).members ?? []
        view.add("properties", .object(properties.map { JSON.Member(key: prefix + $0.key, value: $0.value) }))
        addTimes(&view, object.createdAt, object.updatedAt)
        view.add("self", .string("/v2/metadefs/namespaces/\(namespace)/objects/\(object.name)"))
        view.add("schema", .string("/v2/schemas/metadefs/object"))
        return view
    }

    static func tag(_ tag: TagDefinition) -> JSON {
        var view = JSON.of(["name": .string(tag.name)])
        addTimes(&view, tag.createdAt, tag.updatedAt)
        return view
    }

    static func association(_ association: ResourceTypeAssociation) -> JSON {
        var view = JSON.of(["name": .string(association.name)])
        if let prefix = association.prefix { view.add("prefix", .string(prefix)) }
        if let target = association.target { view.add("properties_target", .string(target)) }
        addTimes(&view, association.createdAt, association.updatedAt)
        return view
    }

    static func resourceType(_ type: ResourceType) -> JSON {
        var view = JSON.of(["name": .string(type.name)])
        addTimes(&view, type.createdAt, type.updatedAt)
        return view
    }
}
