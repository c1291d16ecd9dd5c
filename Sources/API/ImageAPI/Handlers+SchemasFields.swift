import ControlFace

/// The parts that JSON schemas are put together from.
struct SchemaField {
    private(set) var json: JSON

    private init(_ type: JSON, _ description: String?) {
        json = .of(["type": type])
        if let description { json.add("description", .string(description)) }
    }

    static func text(_ description: String? = nil, max: Int? = nil) -> SchemaField {
        SchemaField(.string("string"), description).with("maxLength", max)
    }

    /// A text or null.
    static func optionalText(_ description: String, max: Int? = nil) -> SchemaField {
        SchemaField(.array([.string("null"), .string("string")]), description).with("maxLength", max)
    }

    static func integer(_ description: String) -> SchemaField { SchemaField(.string("integer"), description) }

    static func optionalInteger(_ description: String) -> SchemaField {
        SchemaField(.array([.string("null"), .string("integer")]), description)
    }

    static func flag(_ description: String? = nil) -> SchemaField { SchemaField(.string("boolean"), description) }

    static func optionalObject(_ description: String) -> SchemaField {
        SchemaField(.array([.string("null"), .string("object")]), description)
    }

    static func list(_ items: JSON?, _ description: String? = nil) -> SchemaField {
        var field = SchemaField(.string("array"), description)
        if let items { field.json.add("items", items) }
        return field
    }

    /// A moment, as the service sets it.
    static func time(_ description: String) -> SchemaField { text(description).with("format", "date-time").readOnly }

    static let uuidPattern = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"

    var readOnly: SchemaField { with("readOnly", .bool(true)) }
    var isUUID: SchemaField { with("pattern", .string(Self.uuidPattern)) }
    /// A field that isn't the service's own but a custom property with a meaning.
    var isCustom: SchemaField { with("is_base", .bool(false)) }

    func oneOf(_ values: [String?]) -> SchemaField { with("enum", .array(values.map { .text($0) })) }

    func with(_ key: String, _ value: JSON) -> SchemaField {
        var field = self
        field.json.add(key, value)
        return field
    }

    private func with(_ key: String, _ number: Int?) -> SchemaField {
        number.map { with(key, .number(String($0))) } ?? self
    }

    private func with(_ key: String, _ text: String) -> SchemaField { with(key, .string(text)) }
}

/// Whole documents.
enum SchemaDocument {
    static func fields(_ fields: KeyValuePairs<String, SchemaField>) -> JSON {
        .object(fields.map { JSON.Member(key: $0.key, value: $0.value.json) })
    }

    /// - Parameter additional: what properties beyond these are like; false: there are none.
    static func item(
        _ name: String, _ fields: JSON, additional: JSON = .bool(false), required: [String] = [],
        definitions: JSON? = nil, links: JSON? = nil
    ) -> JSON {
        var document = JSON.of(["name": .string(name), "properties": fields, "additionalProperties": additional])
        if let definitions { document.add("definitions", definitions) }
        if !required.isEmpty { document.add("required", .array(required.map { .string($0) })) }
        if let links { document.add("links", links) }
        return document
    }

    /// - Parameter isDictionary: the items stand under their names.
    static func collection(
        _ name: String, of item: JSON, isDictionary: Bool = false, definitions: JSON? = nil, isPaged: Bool = true
    ) -> JSON {
        let items: JSON =
            isDictionary
            ? .of(["type": .string("object"), "additionalProperties": item])
            : .of(["type": .string("array"), "items": item])
        let text = SchemaField.text().json
        var fields = JSON.of([name: items])
        if isPaged {
            fields.add("first", text)
            fields.add("next", text)
        }
        fields.add("schema", text)
        var document = JSON.of([
            "name": .string(name), "properties": fields,
            "links": links((isPaged ? ["first", "next"] : []).map { ($0, $0) } + [("describedby", "schema")]),
        ])
        if let definitions { document.add("definitions", definitions) }
        return document
    }

    /// Relations, and the fields that have their addresses.
    static func links(_ links: [(String, String)]) -> JSON {
        .array(links.map { .of(["rel": .string($0.0), "href": .string("{\($0.1)}")]) })
    }
}
