import ControlFace
import HTTPTypes
import Images

extension Routes {
    static let schemaRoutes: [Route] = [
        schema("schemas/image", Schemas.image), schema("schemas/images", Schemas.images),
        schema("schemas/member", Schemas.member), schema("schemas/members", Schemas.members),
        schema("schemas/task", Schemas.task), schema("schemas/tasks", Schemas.tasks),
        schema("schemas/metadefs/namespace", DefinitionSchemas.namespace),
        schema("schemas/metadefs/namespaces", DefinitionSchemas.namespaces),
        schema("schemas/metadefs/resource_type", DefinitionSchemas.association),
        schema("schemas/metadefs/resource_types", DefinitionSchemas.associations),
        schema("schemas/metadefs/property", DefinitionSchemas.property),
        schema("schemas/metadefs/properties", DefinitionSchemas.properties),
        schema("schemas/metadefs/object", DefinitionSchemas.object),
        schema("schemas/metadefs/objects", DefinitionSchemas.objects),
        schema("schemas/metadefs/tag", DefinitionSchemas.tag),
        schema("schemas/metadefs/tags", DefinitionSchemas.tags),
    ]

    /// Schemas say what the service is, not what it has: every caller may read them.
    private static func schema(_ pattern: StaticString, _ document: JSON) -> Route {
        Route(.get, pattern, .anyone, "get_schema") { _, _ async throws(ImageError) in .ok(document) }
    }
}
