import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static let policyRoutes: [Route] = [
        Route(.get, "qos-specs", .admin, "volume_extension:qos_specs_manage:get_all") {
            h, c async throws(VolumeError) in
            let views = Views(c)
            return try await h.list(
                c, ListRequest.policies, "qos_specs", id: { $0.id }, view: { views.policy($0) },
                fetch: { query async throws(VolumeError) in try await h.volumes.policies(query) })
        },
        Route(.post, "qos-specs", .admin, "volume_extension:qos_specs_manage:create") {
            h, c async throws(VolumeError) in
            let fields = try c.fields("qos_specs")
            let policy = try await h.volumes.createPolicy(
                name: try fields.requiredText("name"), consumer: try h.consumer(fields) ?? "back-end",
                specs: try h.policySpecs(fields, besides: ["name", "consumer"]))
            return .ok(.of(["qos_specs": Views(c).policy(policy), "links": Views(c).links("qos-specs", policy.id)]))
        },
        Route(.get, "qos-specs/*", .admin, "volume_extension:qos_specs_manage:get") { h, c async throws(VolumeError) in
            let policy = try await h.volumes.policy(c.arguments[0])
            return .ok(.of(["qos_specs": Views(c).policy(policy), "links": Views(c).links("qos-specs", policy.id)]))
        },
        Route(.put, "qos-specs/*", .admin, "volume_extension:qos_specs_manage:update") {
            h, c async throws(VolumeError) in
            let fields = try c.fields("qos_specs")
            guard !fields.names.isEmpty else { throw .invalid("Invalid input for field/attribute qos_specs.") }
            try await h.volumes.updatePolicy(
                c.arguments[0], consumer: try h.consumer(fields),
                specs: try h.policySpecs(fields, besides: ["consumer"]))
            return .ok(.of(["qos_specs": fields.value]))
        },
        Route(.delete, "qos-specs/*", .admin, "volume_extension:qos_specs_manage:delete") {
            h, c async throws(VolumeError) in
            try await h.volumes.deletePolicy(c.arguments[0], force: try c.flag("force") ?? false)
            return .accepted
        },
        Route(.put, "qos-specs/*/delete_keys", .admin, "volume_extension:qos_specs_manage:delete") {
            h, c async throws(VolumeError) in
            guard let keys = c.body?["keys"]?.array?.compactMap(\.string), !keys.isEmpty else {
                throw .invalid("Malformed request body: 'keys' is a required property")
            }
            try await h.volumes.removePolicyKeys(c.arguments[0], keys)
            return .accepted
        },
        Route(.get, "qos-specs/*/associate", .admin, "volume_extension:qos_specs_manage:update") {
            h, c async throws(VolumeError) in
            guard let typeID = c.parameter("vol_type_id") else { throw .invalid("Volume Type id must not be None.") }
            try await h.volumes.associate(c.arguments[0], typeID: typeID)
            return .accepted
        },
        Route(.get, "qos-specs/*/disassociate", .admin, "volume_extension:qos_specs_manage:update") {
            h, c async throws(VolumeError) in
            guard let typeID = c.parameter("vol_type_id") else { throw .invalid("Volume Type id must not be None.") }
            try await h.volumes.disassociate(c.arguments[0], typeID: typeID)
            return .accepted
        },
        Route(.get, "qos-specs/*/disassociate_all", .admin, "volume_extension:qos_specs_manage:update") {
            h, c async throws(VolumeError) in
            try await h.volumes.disassociate(c.arguments[0], typeID: nil)
            return .accepted
        },
        Route(.get, "qos-specs/*/associations", .admin, "volume_extension:qos_specs_manage:get_all") {
            h, c async throws(VolumeError) in
            let types = try await h.volumes.associations(c.arguments[0])
            return .ok(
                .of([
                    "qos_associations": .array(
                        types.map {
                            .of([
                                "association_type": .string("volume_type"), "name": .string($0.name),
                                "id": .string($0.id),
                            ])
                        })
                ]))
        },
    ]
}

extension Handlers {
    func consumer(_ fields: Shape) throws(VolumeError) -> String? {
        guard let consumer = try fields.text("consumer") else { return nil }
        guard ["front-end", "back-end", "both"].contains(consumer) else {
            throw .invalid("Valid consumer of QoS specs are: ['front-end', 'back-end', 'both']")
        }
        return consumer
    }

    /// Numbers are taken as their text.
    func policySpecs(_ fields: Shape, besides others: Set<String>) throws(VolumeError) -> [String: String] {
        let members = (fields.value.members ?? []).filter { !others.contains($0.key) }
        let texts = members.map { member -> JSON.Member in
            guard case .number(let text) = member.value else { return member }
            return .init(key: member.key, value: .string(text))
        }
        return try Shape.facts(.object(texts), "qos_specs", keysMayHave: Shape.isSpecByte)
    }
}
