/// Metadata definitions: a catalog of the properties that images and other resources may have, for people and for the
/// programs that offer them. It is read only by clients: nothing here checks images against it.

package enum DefinitionVisibility: String, Sendable {
    case `public`, `private`
}

/// A named set of definitions, as it is read.
package struct DefinitionNamespace: Sendable, Equatable {
    package var name: String
    package var displayName: String?
    package var description: String?
    package var visibility: DefinitionVisibility
    /// Nothing of it is deleted while it is set.
    package var isProtected: Bool
    /// The project that sees it while it is private.
    package var owner: String
    package var createdAt: Int64
    package var updatedAt: Int64
}

/// What clients say of a namespace itself; what they leave out falls back to these values, in updates too.
package struct NamespaceFields: Sendable, Equatable {
    package var name: String
    package var displayName: String?
    package var description: String?
    package var visibility = DefinitionVisibility.private
    package var isProtected = false
    /// nil: the caller's project.
    package var owner: String?

    package init(name: String) { self.name = name }
}

/// A property that resources may have.
package struct PropertyDefinition: Sendable, Equatable {
    package var name: String
    /// What its values are like: one JSON object, which is checked before it comes here.
    package var schema: String

    package init(name: String, schema: String) {
        self.name = name
        self.schema = schema
    }
}

/// Properties that belong together.
package struct ObjectDefinition: Sendable, Equatable {
    package var name: String
    package var description: String?
    /// Names of those properties that must be given: a JSON list.
    package var required: String
    /// A JSON object, of definitions by their names.
    package var properties: String
    package var createdAt: Int64 = 0
    package var updatedAt: Int64 = 0

    package init(name: String, description: String?, required: String, properties: String) {
        self.name = name
        self.description = description
        self.required = required
        self.properties = properties
    }
}

package struct TagDefinition: Sendable, Equatable {
    package var name: String
    package var createdAt: Int64
    package var updatedAt: Int64
}

/// A kind of resource that a namespace applies to.
package struct ResourceTypeAssociation: Sendable, Equatable {
    package var name: String
    /// What the names of the properties begin with on resources of that kind.
    package var prefix: String?
    /// Which of the resource's sets of properties is meant, where it has several.
    package var target: String?
    package var createdAt: Int64 = 0
    package var updatedAt: Int64 = 0

    package init(name: String, prefix: String?, target: String?) {
        self.name = name
        self.prefix = prefix
        self.target = target
    }
}

package struct ResourceType: Sendable, Equatable {
    package var name: String
    package var createdAt: Int64
    package var updatedAt: Int64
}

/// A namespace with all that is in it, to be made.
package struct NewNamespace: Sendable, Equatable {
    package var fields: NamespaceFields
    package var properties: [PropertyDefinition] = []
    package var objects: [ObjectDefinition] = []
    package var tags: [String] = []
    package var associations: [ResourceTypeAssociation] = []

    package init(_ fields: NamespaceFields) { self.fields = fields }
}

/// A namespace with all that is in it.
package struct NamespaceDetail: Sendable, Equatable {
    package var namespace: DefinitionNamespace
    package var properties: [PropertyDefinition] = []
    package var objects: [ObjectDefinition] = []
    package var tags: [TagDefinition] = []
    package var associations: [ResourceTypeAssociation] = []
}

/// What a namespace has several of.
package enum DefinitionKind: String, Sendable {
    case property, object, tag, association

    var table: String {
        switch self {
        case .property: "definition_properties"
        case .object: "definition_objects"
        case .tag: "definition_tags"
        case .association: "definition_associations"
        }
    }

    /// As refusals call it.
    var noun: String { self == .association ? "resource type association" : "metadata definition \(rawValue)" }

    /// The most of the kind that one namespace may have.
    var countMax: Int { self == .association ? Limits.associationsMax : Limits.definitionsMax }

    /// The policies' names for deleting one of them.
    var deleteRule: String {
        switch self {
        case .property: "remove_metadef_property"
        case .object: "delete_metadef_object"
        case .tag: "delete_metadef_tag"
        case .association: "remove_metadef_resource_type_association"
        }
    }
}

/// What a listing of definitions asks for.
package struct DefinitionQuery: Sendable, Equatable {
    package enum Column: String, Sendable {
        case name, description, visibility, owner
        case displayName = "display_name"
        case isProtected = "protected"
        case createdAt = "created_at"
        case updatedAt = "updated_at"
    }

    /// nil: as many as there may be.
    package var limit: Int?
    /// The name behind which the page begins.
    package var marker: String?
    package var column = Column.createdAt
    package var isDescending = true
    // MARK: Of namespaces only.
    package var visibility: DefinitionVisibility?
    /// Those that are associated with at least one of them; nil: any.
    package var resourceTypes: [String]?

    package init() {}
}
