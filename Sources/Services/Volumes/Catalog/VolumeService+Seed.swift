import GRDB

extension VolumeService {
    /// What every installation has: the default types, and the parts that operators see. What is there keeps its state,
    /// and takes the names that the host, the backend and the zone have by now: there is one of each.
    func seed() async throws(VolumeError) {
        let hasBackups = !backups.driverName.isEmpty
        let (typeID, groupTypeID, now, configuration) = (newID(), newID(), now, configuration)
        try await write { db in
            try db.execute(
                sql: """
                    INSERT INTO volume_types (id, name, description, is_public, qos_id, created_at)
                    VALUES (?, ?, 'Default Volume Type', 1, NULL, ?) ON CONFLICT DO NOTHING
                    """, arguments: [typeID, configuration.defaultTypeName, now])
            let isNew = try Table.count(db, "SELECT COUNT(*) FROM volume_group_types", []) == 0
            if isNew {
                try Table.insert(
                    db, "volume_group_types",
                    [
                        "id": groupTypeID, "name": Self.consistentGroupType,
                        "description": "Default group type for migrating cgsnapshot", "is_public": true,
                        "created_at": now,
                    ])
                try Facts.merge(db, groupTypeID, .spec, ["consistent_group_snapshot_enabled": "<is> True"])
            }
            try Table.delete(db, "volume_services", where: "binary_name = ?", hasBackups ? [""] : [Self.backupBinary])
            let parts = Self.parts(configuration, hasBackups: hasBackups)
            for (binary, host) in parts {
                try Table.delete(
                    db, "volume_services", where: "binary_name = ? AND host NOT IN (\(Table.marks(parts.count)))",
                    [binary] + parts.map { $0.host })
                try db.execute(
                    sql: """
                        INSERT INTO volume_services (binary_name, host, disabled, disabled_reason, frozen, updated_at)
                        VALUES (?, ?, 0, NULL, 0, NULL) ON CONFLICT DO NOTHING
                        """, arguments: [binary, host])
            }
            let (places, zone) = (configuration.places, configuration.zone)
            try Table.update(
                db, "volumes", ["host": configuration.place], where: "host NOT IN (\(Table.marks(places.count)))",
                places)
            try Table.update(db, "volumes", ["zone": zone], where: "zone <> ?", [zone])
            try Table.update(db, "volume_groups", ["zone": zone], where: "zone <> ?", [zone])
        }
    }

    static let consistentGroupType = "default_cgsnapshot_type"

    /// The parts of this service by the names that operators' tools know.
    static func parts(
        _ configuration: VolumeConfiguration, hasBackups: Bool
    ) -> [(binary: String, host: String)] {
        (hasBackups ? [(backupBinary, configuration.host)] : []) + [
            ("cinder-scheduler", configuration.host)
        ] + configuration.backends.map { ("cinder-volume", configuration.backendHost($0)) }
    }

    static func isDisabled(_ db: Database, _ backendHost: String) throws -> Bool {
        try Table.count(
            db,
            """
            SELECT COUNT(*) FROM volume_services
            WHERE binary_name = 'cinder-volume' AND host = ? AND (disabled = 1 OR frozen = 1)
            """, [backendHost]) > 0
    }
}
