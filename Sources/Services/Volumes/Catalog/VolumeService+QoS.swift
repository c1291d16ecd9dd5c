import GRDB

extension VolumeService {
    package func policies(_ query: ListQuery) async throws(VolumeError) -> Page<QoSPolicy> {
        try await read { db in
            let page = try ListSource.policies.page(db, query, QoSPolicy.init)
            let specs = try Facts.read(db, page.items.map(\.id), .spec)
            return page.map { policy in
                var policy = policy
                policy.specs = specs[policy.id] ?? [:]
                return policy
            }
        }
    }

    package func policy(_ id: String) async throws(VolumeError) -> QoSPolicy {
        try await read { db in try Self.existingPolicy(db, id) }
    }

    package func createPolicy(
        name: String, consumer: String, specs: [String: String]
    ) async throws(VolumeError) -> QoSPolicy {
        let (id, now) = (newID(), now)
        return try await naming("QoS Specs \(name) already exists.") { db in
            try Table.insert(
                db, "volume_qos", ["id": id, "name": name, "consumer": consumer, "created_at": now])
            try Facts.merge(db, id, .spec, specs)
            return QoSPolicy(id: id, name: name, consumer: consumer, specs: specs)
        }
    }

    /// Adds to the specs; `consumer` nil stays.
    package func updatePolicy(
        _ id: String, consumer: String?, specs: [String: String]
    ) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingPolicy(db, id)
            if let consumer { try Table.update(db, "volume_qos", ["consumer": consumer], where: "id = ?", [id]) }
            try Facts.merge(db, id, .spec, specs)
        }
    }

    package func removePolicyKeys(_ id: String, _ keys: [String]) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingPolicy(db, id)
            for key in keys where try !Facts.remove(db, id, .spec, key) {
                throw VolumeError.invalid("QoS spec \(id) has no spec with key \(key).")
            }
        }
    }

    package func deletePolicy(_ id: String, force: Bool) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingPolicy(db, id)
            let users = try Table.count(db, "SELECT COUNT(*) FROM volume_types WHERE qos_id = ?", [id])
            guard users == 0 || force else {
                throw VolumeError.invalid("QoS Specs \(id) is still associated with entities.")
            }
            try Table.update(db, "volume_types", ["qos_id": nil], where: "qos_id = ?", [id])
            try Facts.removeAll(db, id)
            try Table.delete(db, "volume_qos", where: "id = ?", [id])
        }
    }

    package func associate(_ id: String, typeID: String) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingPolicy(db, id)
            let type = try Self.existingType(db, typeID)
            guard type.qosID == nil || type.qosID == id else {
                throw VolumeError.invalid(
                    "Type \(typeID) is already associated with another qos specs: \(type.qosID ?? "")")
            }
            try Table.update(db, "volume_types", ["qos_id": id], where: "id = ?", [typeID])
        }
    }

    /// - Parameter typeID: nil for all of them.
    package func disassociate(_ id: String, typeID: String?) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingPolicy(db, id)
            guard let typeID else {
                try Table.update(db, "volume_types", ["qos_id": nil], where: "qos_id = ?", [id])
                return
            }
            _ = try Self.existingType(db, typeID)
            try Table.update(db, "volume_types", ["qos_id": nil], where: "id = ? AND qos_id = ?", [typeID, id])
        }
    }

    /// The types that have the policy.
    package func associations(_ id: String) async throws(VolumeError) -> [VolumeType] {
        try await read { db in
            _ = try Self.existingPolicy(db, id)
            return try Table.all(
                db, "SELECT * FROM volume_types WHERE qos_id = ? ORDER BY name", [id], VolumeType.init)
        }
    }

    private static func existingPolicy(_ db: Database, _ id: String) throws -> QoSPolicy {
        guard let policy = try Lookups.policy(db, id) else { throw VolumeError.notFound(kind: "QoS Specs", id: id) }
        return policy
    }
}
