import GRDB

/// Rows written and removed as a whole, with all that hangs on them.
enum Rows {
    static func insert(_ db: Database, _ volume: Volume) throws {
        try Table.insert(
            db, "volumes",
            [
                "id": volume.id, "project_id": volume.projectID, "user_id": volume.userID, "name": volume.name,
                "description": volume.description, "size": volume.size, "status": volume.status.rawValue,
                "previous_status": volume.previousStatus?.rawValue, "attach_status": volume.attachStatus.rawValue,
                "migration_status": volume.migrationStatus, "type_id": volume.typeID, "zone": volume.zone,
                "host": volume.host, "bootable": volume.bootable, "multiattach": volume.multiattach,
                "encrypted": volume.encrypted, "encryption_key_id": volume.encryptionKeyID,
                "snapshot_id": volume.snapshotID, "source_volume_id": volume.sourceVolumeID,
                "group_id": volume.groupID, "consumes_quota": volume.consumesQuota, "block_bytes": volume.blockBytes,
                "write_cache": volume.writeCache, "target_size": volume.targetSize, "created_at": volume.createdAt,
                "updated_at": volume.updatedAt,
            ])
    }

    static func insert(_ db: Database, _ snapshot: Snapshot) throws {
        try Table.insert(
            db, "volume_snapshots",
            [
                "id": snapshot.id, "volume_id": snapshot.volumeID, "project_id": snapshot.projectID,
                "user_id": snapshot.userID, "name": snapshot.name, "description": snapshot.description,
                "status": snapshot.status.rawValue, "size": snapshot.size, "progress": snapshot.progress,
                "group_snapshot_id": snapshot.groupSnapshotID, "consumes_quota": snapshot.consumesQuota,
                "created_at": snapshot.createdAt, "updated_at": snapshot.updatedAt,
            ])
    }

    static func insert(_ db: Database, _ attachment: Attachment) throws {
        try Table.insert(
            db, "volume_attachments",
            [
                "id": attachment.id, "volume_id": attachment.volumeID, "project_id": attachment.projectID,
                "instance_id": attachment.instanceID, "host": attachment.host, "mountpoint": attachment.mountpoint,
                "status": attachment.status.rawValue, "mode": attachment.mode, "attached_at": attachment.attachedAt,
                "created_at": attachment.createdAt, "updated_at": attachment.updatedAt,
            ])
        try Facts.merge(db, attachment.id, .connector, attachment.connector)
    }

    /// The volume's row and every row and fact that belongs to it.
    static func removeVolume(_ db: Database, _ id: String) throws {
        for attachment in try Lookups.attachments(db, of: [id]) { try removeAttachment(db, attachment.id) }
        for snapshot in try Lookups.snapshots(db, of: id) { try removeSnapshot(db, snapshot.id) }
        try Table.delete(db, "volume_exports", where: "volume_id = ?", [id])
        try Table.delete(db, "volume_transfers", where: "volume_id = ?", [id])
        try Table.delete(db, "volume_restores", where: "volume_id = ?", [id])
        try Table.update(db, "volume_backups", ["base_volume_id": nil], where: "base_volume_id = ?", [id])
        try Facts.removeAll(db, id)
        try Table.delete(db, "volumes", where: "id = ?", [id])
    }

    static func removeSnapshot(_ db: Database, _ id: String) throws {
        try Facts.removeAll(db, id)
        try Table.delete(db, "volume_snapshots", where: "id = ?", [id])
    }

    /// The attachment with its export: its secret is gone with it.
    static func removeAttachment(_ db: Database, _ id: String) throws {
        try Facts.removeAll(db, id)
        try Table.delete(db, "volume_exports", where: "id = ?", [id])
        try Table.delete(db, "volume_attachments", where: "id = ?", [id])
    }

    static func removeGroup(_ db: Database, _ id: String) throws {
        try Table.delete(db, "volume_group_snapshots", where: "group_id = ?", [id])
        try Table.delete(db, "volume_groups", where: "id = ?", [id])
    }
}
