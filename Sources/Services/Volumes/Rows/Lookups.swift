import GRDB

/// The rows by id, as the asker may see them: what they may not is not there.
enum Lookups {
    static func volume(_ db: Database, _ id: String) throws -> Volume? {
        try Table.one(db, "SELECT * FROM volumes WHERE id = ?", [id], Volume.init)
    }

    static func volume(_ db: Database, _ id: String, for asker: Asker) throws -> Volume {
        guard let volume = try volume(db, id), asker.sees(volume.projectID) else {
            throw VolumeError.notFound(kind: "Volume", id: id)
        }
        return volume
    }

    static func snapshot(_ db: Database, _ id: String) throws -> Snapshot? {
        try Table.one(db, "SELECT * FROM volume_snapshots WHERE id = ?", [id], Snapshot.init)
    }

    static func snapshot(_ db: Database, _ id: String, for asker: Asker) throws -> Snapshot {
        guard let snapshot = try snapshot(db, id), asker.sees(snapshot.projectID) else {
            throw VolumeError.notFound(kind: "Snapshot", id: id)
        }
        return snapshot
    }

    static func snapshots(_ db: Database, of volume: String) throws -> [Snapshot] {
        try Table.all(
            db, "SELECT * FROM volume_snapshots WHERE volume_id = ? ORDER BY created_at, id", [volume], Snapshot.init)
    }

    static func attachments(_ db: Database, of volumes: [String]) throws -> [Attachment] {
        guard !volumes.isEmpty else { return [] }
        let found = try Table.all(
            db,
            """
            SELECT * FROM volume_attachments WHERE volume_id IN (\(Table.marks(volumes.count))) ORDER BY created_at, id
            """, volumes, Attachment.init)
        let connectors = try Facts.read(db, found.map(\.id), .connector)
        return found.map { attachment in
            var attachment = attachment
            attachment.connector = connectors[attachment.id] ?? [:]
            return attachment
        }
    }

    static func attachment(_ db: Database, _ id: String, for asker: Asker) throws -> Attachment {
        guard
            var attachment = try Table.one(
                db, "SELECT * FROM volume_attachments WHERE id = ?", [id], Attachment.init),
            asker.sees(attachment.projectID)
        else { throw VolumeError.notFound(kind: "Volume attachment", id: id) }
        attachment.connector = try Facts.read(db, id, .connector)
        return attachment
    }

    static func exports(_ db: Database, of volume: String) throws -> [ExportRow] {
        try Table.all(db, "SELECT * FROM volume_exports WHERE volume_id = ? ORDER BY id", [volume], ExportRow.init)
    }

    static func export(_ db: Database, _ id: String) throws -> ExportRow? {
        try Table.one(db, "SELECT * FROM volume_exports WHERE id = ?", [id], ExportRow.init)
    }

    static func details(_ db: Database, _ volumes: [Volume]) throws -> [VolumeDetail] {
        let ids = volumes.map(\.id)
        let metadata = try Facts.read(db, ids, .metadata)
        let image = try Facts.read(db, ids, .image)
        let admin = try Facts.read(db, ids, .admin)
        let attachments = Dictionary(grouping: try attachments(db, of: ids), by: \.volumeID)
        let names = try typeNames(db)
        return volumes.map { volume in
            VolumeDetail(
                volume: volume, typeName: volume.typeID.flatMap { names[$0] }, metadata: metadata[volume.id] ?? [:],
                imageMetadata: image[volume.id] ?? [:], adminMetadata: admin[volume.id] ?? [:],
                attachments: attachments[volume.id] ?? [])
        }
    }

    static func detail(_ db: Database, _ id: String, for asker: Asker) throws -> VolumeDetail {
        let volume = try volume(db, id, for: asker)
        return try details(db, [volume])[0]
    }

    static func details(_ db: Database, _ snapshots: [Snapshot]) throws -> [SnapshotDetail] {
        let metadata = try Facts.read(db, snapshots.map(\.id), .metadata)
        return snapshots.map { SnapshotDetail(snapshot: $0, metadata: metadata[$0.id] ?? [:]) }
    }

    static func typeNames(_ db: Database) throws -> [String: String] {
        var names: [String: String] = [:]
        for row in try Row.fetchAll(db, sql: "SELECT id, name FROM volume_types") { names[row["id"]] = row["name"] }
        return names
    }

    static func type(_ db: Database, id: String) throws -> VolumeType? {
        try withSpecs(db, try Table.one(db, "SELECT * FROM volume_types WHERE id = ?", [id], VolumeType.init))
    }

    /// By id first, then by name; hidden if the project has no access to a private one.
    static func type(_ db: Database, named reference: String, for asker: Asker) throws -> VolumeType {
        let found =
            try Table.one(db, "SELECT * FROM volume_types WHERE id = ?", [reference], VolumeType.init)
            ?? Table.one(db, "SELECT * FROM volume_types WHERE name = ?", [reference], VolumeType.init)
        guard let type = try withSpecs(db, found), try mayUse(db, type, asker) else {
            throw VolumeError.notFound(kind: "Volume type", id: reference)
        }
        return type
    }

    static func mayUse(_ db: Database, _ type: VolumeType, _ asker: Asker) throws -> Bool {
        if type.isPublic || asker.isAdmin { return true }
        return try Table.count(
            db, "SELECT COUNT(*) FROM volume_type_access WHERE type_id = ? AND project_id = ?",
            [type.id, asker.projectID]) > 0
    }

    private static func withSpecs(_ db: Database, _ type: VolumeType?) throws -> VolumeType? {
        guard var type else { return nil }
        type.extraSpecs = try Facts.read(db, type.id, .spec)
        return type
    }

    static func encryption(_ db: Database, typeID: String?) throws -> EncryptionRecord? {
        guard let typeID else { return nil }
        return try Table.one(
            db, "SELECT * FROM volume_encryptions WHERE type_id = ?", [typeID], EncryptionRecord.init)
    }

    static func policy(_ db: Database, _ id: String) throws -> QoSPolicy? {
        guard var policy = try Table.one(db, "SELECT * FROM volume_qos WHERE id = ?", [id], QoSPolicy.init) else {
            return nil
        }
        policy.specs = try Facts.read(db, id, .spec)
        return policy
    }

    static func group(_ db: Database, _ id: String, for asker: Asker) throws -> VolumeGroup {
        guard
            var group = try Table.one(db, "SELECT * FROM volume_groups WHERE id = ?", [id], VolumeGroup.init),
            asker.sees(group.projectID)
        else { throw VolumeError.notFound(kind: "Group", id: id) }
        group.volumeTypeIDs = try groupVolumeTypes(db, id)
        return group
    }

    static func groupVolumeTypes(_ db: Database, _ id: String) throws -> [String] {
        try String.fetchAll(
            db, sql: "SELECT type_id FROM volume_group_volume_types WHERE group_id = ? ORDER BY type_id",
            arguments: [id])
    }

    static func volumes(_ db: Database, inGroup id: String) throws -> [Volume] {
        try Table.all(db, "SELECT * FROM volumes WHERE group_id = ? ORDER BY created_at, id", [id], Volume.init)
    }

    static func groupSnapshot(_ db: Database, _ id: String, for asker: Asker) throws -> GroupSnapshot {
        guard
            let snapshot = try Table.one(
                db, "SELECT * FROM volume_group_snapshots WHERE id = ?", [id], GroupSnapshot.init),
            asker.sees(snapshot.projectID)
        else { throw VolumeError.notFound(kind: "GroupSnapshot", id: id) }
        return snapshot
    }

    static func snapshots(_ db: Database, ofGroupSnapshot id: String) throws -> [Snapshot] {
        try Table.all(
            db, "SELECT * FROM volume_snapshots WHERE group_snapshot_id = ? ORDER BY created_at, id", [id],
            Snapshot.init)
    }
}
