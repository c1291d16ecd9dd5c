import ControlFace
import Images

/// How metadata definitions are read from requests: every key, type and length is checked here.
struct DefinitionFields {
    private let kind: String
    private let value: JSON

    /// - Parameters:
    ///   - readOnly: keys that only the service sets (403).
    ///   - ignored: such keys where what was exported once comes back, inside another document.
    init(
        _ value: JSON, _ kind: String, _ allowed: Set<String>, readOnly: Set<String> = [], ignored: Set<String> = []
    ) throws(ImageError) {
        self.kind = kind
        self.value = value
        guard let members = value.members else { throw Self.invalid(kind, "it must be an object") }
        if let key = members.first(where: { readOnly.contains($0.key) })?.key {
            throw .forbidden("Attribute '\(key)' is read-only.")
        }
        if let key = members.first(where: { !allowed.contains($0.key) && !ignored.contains($0.key) })?.key {
            throw Self.invalid(kind, "Additional properties are not allowed ('\(key)' was unexpected)")
        }
    }

    private static func invalid(_ kind: String, _ why: String) -> ImageError {
        .invalid("Provided object does not match schema '\(kind)': \(why).")
    }

    private func wrong(_ key: String, _ why: String) -> ImageError { Self.invalid(kind, "'\(key)' \(why)") }

    func text(_ key: String, max: Int? = nil) throws(ImageError) -> String? {
        guard let item = value[key] else { return nil }
        guard let text = item.string else { throw wrong(key, "is not of type 'string'") }
        if let max, text.unicodeScalars.count > max { throw wrong(key, "is longer than \(max) characters") }
        return text
    }

    func name(_ key: String = "name") throws(ImageError) -> String {
        guard let text = try text(key, max: Limits.definitionNameMax) else {
            throw wrong(key, "is a required property")
        }
        guard !text.isEmpty else { throw wrong(key, "must not be empty") }
        return text
    }

    func flag(_ key: String) throws(ImageError) -> Bool? {
        guard let item = value[key] else { return nil }
        guard case .bool(let flag) = item else { throw wrong(key, "is not of type 'boolean'") }
        return flag
    }

    func list(_ key: String) throws(ImageError) -> [JSON]? {
        guard let item = value[key] else { return nil }
        guard let items = item.array else { throw wrong(key, "is not of type 'array'") }
        return items
    }

    func texts(_ key: String, isUnique: Bool = false) throws(ImageError) -> [String]? {
        guard let items = try list(key) else { return nil }
        var texts: [String] = []
        for item in items {
            guard let text = item.string else { throw wrong(key, "has items that are not of type 'string'") }
            texts.append(text)
        }
        if isUnique, Set(texts).count != texts.count { throw wrong(key, "has non-unique elements") }
        return texts
    }

    private func number(_ key: String) throws(ImageError) {
        guard let item = value[key] else { return }
        guard case .number = item else { throw wrong(key, "is not of type 'number'") }
    }

    private func count(_ key: String) throws(ImageError) {
        guard let item = value[key] else { return }
        guard case .number(let text) = item, let number = Int64(text) else {
            throw wrong(key, "is not of type 'integer'")
        }
        guard number >= 0 else { throw wrong(key, "is less than the minimum of 0") }
    }

    private func type(_ isRequired: Bool) throws(ImageError) {
        guard let text = try text("type") else {
            if isRequired { throw wrong("type", "is a required property") }
            return
        }
        guard Self.types.contains(text) else {
            throw wrong("type", "is not one of \(Self.types.joined(separator: ", "))")
        }
    }

    // MARK: Properties

    static let types = ["array", "boolean", "integer", "number", "object", "string"]
    private static let times: Set<String> = ["created_at", "updated_at"]
    private static let generated: Set<String> = ["self", "schema", "created_at", "updated_at"]
    private static let propertyKeys: Set<String> = [
        "title", "description", "operators", "type", "required", "minimum", "maximum", "maxLength", "minLength",
        "pattern", "enum", "readonly", "default", "items", "maxItems", "minItems", "uniqueItems", "additionalItems",
    ]

    /// A definition by itself, with its name.
    static func property(_ value: JSON) throws(ImageError) -> PropertyDefinition {
        let fields = try DefinitionFields(value, "property", propertyKeys.union(["name"]), readOnly: times)
        let name = try fields.name()
        if let required = try fields.list("required"), required.isEmpty {
            throw fields.wrong("required", "is too short")
        }
        return PropertyDefinition(name: name, schema: try fields.propertySchema())
    }

    /// Definitions as a dictionary.
    static func properties(_ value: JSON?) throws(ImageError) -> [PropertyDefinition] {
        guard let value else { return [] }
        guard let members = value.members else { throw invalid("properties", "it must be an object") }
        var properties: [PropertyDefinition] = []
        for member in members {
            guard (1...Limits.definitionNameMax).contains(member.key.unicodeScalars.count) else {
                throw invalid("property", "a name has 1 to \(Limits.definitionNameMax) characters")
            }
            let fields = try DefinitionFields(
                member.value, "property", propertyKeys.union(["confidential"]), ignored: ["name"])
            _ = try fields.text("name", max: Limits.definitionNameMax)
            _ = try fields.flag("confidential")
            properties.append(PropertyDefinition(name: member.key, schema: try fields.propertySchema()))
        }
        return properties
    }

    /// The definition as it is kept: checked, without its name.
    private func propertySchema() throws(ImageError) -> String {
        guard try text("title") != nil else { throw wrong("title", "is a required property") }
        try type(true)
        for key in ["description", "pattern"] { _ = try text(key) }
        for key in ["readonly", "uniqueItems", "additionalItems"] { _ = try flag(key) }
        for key in ["minimum", "maximum"] { try number(key) }
        for key in ["maxLength", "minLength", "maxItems", "minItems"] { try count(key) }
        _ = try texts("operators")
        _ = try texts("required", isUnique: true)
        _ = try list("enum")
        if let items = value["items"] {
            let fields = try DefinitionFields(items, "items", ["type", "enum"])
            try fields.type(false)
            _ = try fields.list("enum")
        }
        let kept = (value.members ?? []).filter { $0.key != "name" }
        return String(decoding: JSON.object(kept).utf8, as: UTF8.self)
    }

    // MARK: Objects, tags, associations

    static func object(_ value: JSON, isNested: Bool = false) throws(ImageError) -> ObjectDefinition {
        let fields = try DefinitionFields(
            value, "object", ["name", "description", "required", "properties"], readOnly: isNested ? [] : generated,
            ignored: isNested ? generated : [])
        let properties = try properties(value["properties"]).map { property in
            JSON.Member(key: property.name, value: JSONParser.parse(Array(property.schema.utf8)) ?? .null)
        }
        let required = try fields.texts("required", isUnique: true) ?? []
        return ObjectDefinition(
            name: try fields.name(), description: try fields.text("description"),
            required: String(decoding: JSON.array(required.map { .string($0) }).utf8, as: UTF8.self),
            properties: String(decoding: JSON.object(properties).utf8, as: UTF8.self))
    }

    static func tag(_ value: JSON, isNested: Bool = false) throws(ImageError) -> String {
        try DefinitionFields(value, "tag", ["name"], readOnly: isNested ? [] : times, ignored: isNested ? times : [])
            .name()
    }

    static func tags(_ value: JSON) throws(ImageError) -> [String] {
        let fields = try DefinitionFields(value, "tags", ["tags"], readOnly: times)
        var names: [String] = []
        for item in try fields.list("tags") ?? [] {
            names.append(try DefinitionFields(item, "tags", ["name"]).name())
        }
        return names
    }

    static func association(
        _ value: JSON, isNested: Bool = false
    ) throws(ImageError) -> ResourceTypeAssociation {
        let fields = try DefinitionFields(
            value, "resource_type_association", ["name", "prefix", "properties_target"],
            readOnly: isNested ? [] : times, ignored: isNested ? times : [])
        return ResourceTypeAssociation(
            name: try fields.name(), prefix: try fields.text("prefix", max: Limits.definitionNameMax),
            target: try fields.text("properties_target", max: Limits.definitionNameMax))
    }

    // MARK: Namespaces

    static func namespace(_ value: JSON) throws(ImageError) -> NewNamespace {
        let fields = try DefinitionFields(
            value, "namespace",
            [
                "namespace", "display_name", "description", "visibility", "protected", "owner",
                "resource_type_associations", "properties", "objects", "tags",
            ], readOnly: generated)
        var itself = NamespaceFields(name: try fields.name("namespace"))
        itself.displayName = try fields.text("display_name", max: Limits.definitionNameMax)
        itself.description = try fields.text("description", max: Limits.definitionTextMax)
        if let text = try fields.text("visibility") {
            guard let visibility = DefinitionVisibility(rawValue: text) else {
                throw fields.wrong("visibility", "is not one of public, private")
            }
            itself.visibility = visibility
        }
        itself.isProtected = try fields.flag("protected") ?? false
        itself.owner = try fields.text("owner", max: Limits.nameMax)
        if itself.owner?.isEmpty == true { itself.owner = nil }
        var new = NewNamespace(itself)
        new.properties = try properties(value["properties"])
        for item in try fields.list("objects") ?? [] { new.objects.append(try object(item, isNested: true)) }
        for item in try fields.list("tags") ?? [] { new.tags.append(try tag(item, isNested: true)) }
        for item in try fields.list("resource_type_associations") ?? [] {
            new.associations.append(try association(item, isNested: true))
        }
        return new
    }
}

/// A listing of definitions as the query of the address asks for it.
struct DefinitionListRequest {
    private(set) var query = DefinitionQuery()
    private let pairs: [(name: String, value: String)]
    private let path: String

    private static let itemColumns: [String: DefinitionQuery.Column] = [
        "name": .name, "created_at": .createdAt, "updated_at": .updatedAt,
    ]
    private static let namespaceColumns: [String: DefinitionQuery.Column] = [
        "namespace": .name, "display_name": .displayName, "description": .description, "visibility": .visibility,
        "protected": .isProtected, "owner": .owner, "created_at": .createdAt, "updated_at": .updatedAt,
    ]

    /// - Parameter path: where the listing is, behind `/v2`.
    init(_ call: Call, _ path: String, ofNamespaces: Bool) throws(ImageError) {
        pairs = call.query
        self.path = "/v2" + path
        if ofNamespaces { query.limit = Limits.pageDefault }
        for (name, value) in call.query {
            switch name {
            case "limit":
                guard let number = Int(value) else { throw .invalid("limit param must be an integer") }
                guard number >= 0 else { throw .invalid("limit param must be positive") }
                query.limit = min(number, Limits.pageMax)
            case "marker": query.marker = value
            case "sort_key":
                guard let column = (ofNamespaces ? Self.namespaceColumns : Self.itemColumns)[value] else {
                    throw .invalid("Invalid sort key: \(value).")
                }
                query.column = column
            case "sort_dir":
                guard value == "asc" || value == "desc" else { throw .invalid("Invalid sort direction: \(value)") }
                query.isDescending = value == "desc"
            case "visibility":
                guard let visibility = DefinitionVisibility(rawValue: value) else {
                    throw .invalid("Invalid visibility value: \(value)")
                }
                query.visibility = visibility
            case "resource_types":
                let types = value.split(separator: ",").map(String.init)
                guard types.count <= Limits.associationsMax else {
                    throw .invalid("resource_types names at most \(Limits.associationsMax).")
                }
                query.resourceTypes = types
            default: break
            }
        }
    }

    /// - Parameter last: the name of the last item of the page.
    func body(_ key: String, _ items: [JSON], last: String?) -> JSON {
        var body = JSON.of([
            key: .array(items), "first": .string(PageLinks.link(path, pairs, marker: nil)),
            "schema": .string("/v2/schemas/metadefs/\(key)"),
        ])
        if let last, items.count == query.limit { body.add("next", .string(PageLinks.link(path, pairs, marker: last))) }
        return body
    }
}
