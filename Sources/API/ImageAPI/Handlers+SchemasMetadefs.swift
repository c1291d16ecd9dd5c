import ControlFace
import Images

/// What metadata definitions look like.
enum DefinitionSchemas {
    private static func reference(_ name: String) -> JSON { .of(["$ref": .string("#/definitions/\(name)")]) }

    private static let count: JSON = .of(["type": .string("integer"), "minimum": .number("0")])
    private static let countOrZero: JSON = .of([
        "allOf": .array([reference("positiveInteger"), .of(["default": .number("0")])])
    ])
    private static func texts(notEmpty: Bool) -> JSON {
        var list = SchemaField.list(SchemaField.text().json).json
        if notEmpty { list.add("minItems", .number("1")) }
        list.add("uniqueItems", .bool(true))
        return list
    }

    private static let type = SchemaField.text().oneOf(DefinitionFields.types + [nil]).json

    /// The fields of a property's definition.
    private static let propertyFields: JSON = .of([
        "name": SchemaField.text(max: Limits.definitionNameMax).json,
        "title": SchemaField.text().json,
        "description": SchemaField.text().json,
        "operators": SchemaField.list(SchemaField.text().json).json,
        "type": type,
        "required": reference("stringArray"),
        "minimum": .of(["type": .string("number")]),
        "maximum": .of(["type": .string("number")]),
        "maxLength": reference("positiveInteger"),
        "minLength": reference("positiveIntegerDefault0"),
        "pattern": SchemaField.text().with("format", .string("regex")).json,
        "enum": SchemaField.list(nil).json,
        "readonly": SchemaField.flag().json,
        "default": .object([]),
        "items": .of([
            "type": .string("object"), "properties": .of(["type": type, "enum": SchemaField.list(nil).json]),
        ]),
        "maxItems": reference("positiveInteger"),
        "minItems": reference("positiveIntegerDefault0"),
        "uniqueItems": SchemaField.flag().with("default", .bool(false)).json,
        "additionalItems": SchemaField.flag().json,
    ])

    /// What the documents of namespaces and objects refer to.
    private static let definitions: JSON = .of([
        "positiveInteger": count, "positiveIntegerDefault0": countOrZero, "stringArray": texts(notEmpty: false),
        "property": .of([
            "type": .string("object"),
            "additionalProperties": .of([
                "type": .string("object"), "required": .array([.string("title"), .string("type")]),
                "properties": propertyFields,
            ]),
        ]),
    ])

    private static let propertyDefinitions: JSON = .of([
        "positiveInteger": count, "positiveIntegerDefault0": countOrZero, "stringArray": texts(notEmpty: true),
    ])

    private static func listOfObjects(_ fields: JSON) -> JSON {
        .of(["type": .string("array"), "items": .of(["type": .string("object"), "properties": fields])])
    }

    private static func joined(_ parts: JSON...) -> JSON { .object(parts.flatMap { $0.members ?? [] }) }

    // MARK: Namespaces

    private static let namespaceFields = joined(
        SchemaDocument.fields([
            "namespace": .text("The name, which no other namespace has", max: Limits.definitionNameMax),
            "display_name": .text("The name to show to people", max: Limits.definitionNameMax),
            "description": .text("What the namespace is about, for people", max: Limits.definitionTextMax),
            "visibility": .text("Who sees the namespace").oneOf(["public", "private"]),
            "protected": .flag("Whether deleting the namespace is refused"),
            "owner": .text("The project that the namespace belongs to", max: Limits.nameMax),
            "created_at": .time("When the namespace was made"),
            "updated_at": .time("When the namespace was last changed"),
            "schema": .text().readOnly,
            "self": .text().readOnly,
        ]),
        .of([
            "resource_type_associations": listOfObjects(
                SchemaDocument.fields(["name": .text(), "prefix": .text(), "properties_target": .text()])),
            "properties": reference("property"),
            "objects": listOfObjects(
                .of([
                    "name": SchemaField.text().json, "description": SchemaField.text().json,
                    "required": reference("stringArray"), "properties": reference("property"),
                ])),
            "tags": listOfObjects(SchemaDocument.fields(["name": .text()])),
        ]))

    static let namespace = SchemaDocument.item(
        "namespace", namespaceFields, required: ["namespace"], definitions: definitions)
    static let namespaces = SchemaDocument.collection(
        "namespaces", of: SchemaDocument.item("namespace", namespaceFields, required: ["namespace"]),
        definitions: definitions)

    // MARK: Resource types

    static let association = SchemaDocument.item(
        "resource_type_association",
        SchemaDocument.fields([
            "name": .text("The kind of resource, as orchestration templates call it", max: Limits.definitionNameMax),
            "prefix": .text(
                "What the properties' names begin with on such resources, with the separator",
                max: Limits.definitionNameMax),
            "properties_target": .text(
                "Which of the resource's sets of properties is meant, where it has several",
                max: Limits.definitionNameMax),
            "created_at": .time("When the association was made"),
            "updated_at": .time("When the association was last changed"),
        ]), required: ["name"])
    static let associations = SchemaDocument.collection("resource_type_associations", of: association)

    // MARK: Properties

    static let property = SchemaDocument.item(
        "property", propertyFields, required: ["type", "title", "name"], definitions: propertyDefinitions)
    static let properties = SchemaDocument.collection(
        "properties", of: SchemaDocument.item("property", propertyFields, required: ["type", "title"]),
        isDictionary: true, definitions: propertyDefinitions)

    // MARK: Objects

    private static let objectFields = joined(
        .of([
            "name": SchemaField.text(max: Limits.definitionNameMax).json, "description": SchemaField.text().json,
            "required": reference("stringArray"), "properties": reference("property"),
        ]),
        SchemaDocument.fields([
            "schema": .text().readOnly, "self": .text().readOnly,
            "created_at": .time("When the object was made"),
            "updated_at": .time("When the object was last changed"),
        ]))

    static let object = SchemaDocument.item("object", objectFields, required: ["name"], definitions: definitions)
    static let objects = SchemaDocument.collection(
        "objects", of: SchemaDocument.item("object", objectFields, required: ["name"]), definitions: definitions)

    // MARK: Tags

    static let tag = SchemaDocument.item(
        "tag",
        SchemaDocument.fields([
            "name": .text(max: Limits.definitionNameMax),
            "created_at": .time("When the tag was made"),
            "updated_at": .time("When the tag was last changed"),
        ]), required: ["name"])
    static let tags = SchemaDocument.collection("tags", of: tag)
}
