import GRDB
private import Primitives
import VolumeDrivers

// Rows as entities. A status that this version doesn't know reads as `error`: shown, and not acted upon.

extension Volume {
    init(_ row: Row) {
        id = row["id"]
        projectID = row["project_id"]
        userID = row["user_id"]
        name = row["name"]
        description = row["description"]
        size = row["size"]
        status = VolumeStatus(rawValue: row["status"]) ?? .error
        previousStatus = (row["previous_status"] as String?).flatMap { VolumeStatus(rawValue: $0) }
        attachStatus = AttachStatus(rawValue: row["attach_status"]) ?? .errorAttaching
        migrationStatus = row["migration_status"]
        typeID = row["type_id"]
        zone = row["zone"]
        host = row["host"]
        bootable = row["bootable"]
        multiattach = row["multiattach"]
        encryptionKeyID = row["encryption_key_id"]
        encrypted = row["encrypted"]
        snapshotID = row["snapshot_id"]
        sourceVolumeID = row["source_volume_id"]
        groupID = row["group_id"]
        consumesQuota = row["consumes_quota"]
        blockBytes = row["block_bytes"]
        writeCache = row["write_cache"]
        targetSize = row["target_size"]
        createdAt = row["created_at"]
        updatedAt = row["updated_at"]
    }
}

extension Snapshot {
    init(_ row: Row) {
        id = row["id"]
        volumeID = row["volume_id"]
        projectID = row["project_id"]
        userID = row["user_id"]
        name = row["name"]
        description = row["description"]
        status = SnapshotStatus(rawValue: row["status"]) ?? .error
        size = row["size"]
        progress = row["progress"]
        groupSnapshotID = row["group_snapshot_id"]
        consumesQuota = row["consumes_quota"]
        createdAt = row["created_at"]
        updatedAt = row["updated_at"]
    }
}

extension Attachment {
    /// Without its connector, which is read apart.
    init(_ row: Row) {
        id = row["id"]
        volumeID = row["volume_id"]
        projectID = row["project_id"]
        instanceID = row["instance_id"]
        host = row["host"]
        mountpoint = row["mountpoint"]
        status = AttachStatus(rawValue: row["status"]) ?? .errorAttaching
        mode = row["mode"]
        connector = [:]
        attachedAt = row["attached_at"]
        createdAt = row["created_at"]
        updatedAt = row["updated_at"]
    }
}

/// One row of `volume_exports`.
struct ExportRow: Sendable {
    var export: VolumeExport
    var attachmentID: String?
    var host: String?
    var multipath: Bool
    var enforcesMultipath: Bool
    /// As they were told last.
    var portals: [String]

    init(_ row: Row) {
        export = VolumeExport(
            id: row["id"], volumeID: row["volume_id"], target: row["target"], chapName: row["chap_name"],
            chapSecret: Secret(row["chap_secret"] as String), isReadOnly: row["read_only"], initiator: row["initiator"])
        attachmentID = row["attachment_id"]
        host = row["host"]
        multipath = row["multipath"]
        enforcesMultipath = row["enforces_multipath"]
        portals = ((row["portals"] as String?) ?? "").split(separator: ",").map(String.init)
    }
}

extension Transfer {
    init(_ row: Row) {
        id = row["id"]
        volumeID = row["volume_id"]
        name = row["name"]
        sourceProjectID = row["source_project_id"]
        noSnapshots = row["no_snapshots"]
        createdAt = row["created_at"]
    }
}

extension VolumeType {
    /// Without its specs, which are read apart.
    init(_ row: Row) {
        id = row["id"]
        name = row["name"]
        description = row["description"]
        isPublic = row["is_public"]
        qosID = row["qos_id"]
        extraSpecs = [:]
        createdAt = row["created_at"]
    }
}

extension QoSPolicy {
    /// Without its specs, which are read apart.
    init(_ row: Row) {
        id = row["id"]
        name = row["name"]
        consumer = row["consumer"]
        specs = [:]
    }
}

extension EncryptionRecord {
    init(_ row: Row) {
        id = row["id"]
        typeID = row["type_id"]
        provider = row["provider"]
        cipher = row["cipher"]
        keySize = row["key_size"]
        controlLocation = row["control_location"]
        createdAt = row["created_at"]
        updatedAt = row["updated_at"]
    }
}

extension VolumeGroup {
    /// Without its volume types, which are read apart.
    init(_ row: Row) {
        id = row["id"]
        projectID = row["project_id"]
        userID = row["user_id"]
        name = row["name"]
        description = row["description"]
        status = GroupStatus(rawValue: row["status"]) ?? .error
        typeID = row["type_id"]
        zone = row["zone"]
        groupSnapshotID = row["group_snapshot_id"]
        sourceGroupID = row["source_group_id"]
        volumeTypeIDs = []
        createdAt = row["created_at"]
    }
}

extension GroupType {
    /// Without its specs, which are read apart.
    init(_ row: Row) {
        id = row["id"]
        name = row["name"]
        description = row["description"]
        isPublic = row["is_public"]
        specs = [:]
        createdAt = row["created_at"]
    }
}

extension GroupSnapshot {
    init(_ row: Row) {
        id = row["id"]
        groupID = row["group_id"]
        groupTypeID = row["group_type_id"]
        projectID = row["project_id"]
        userID = row["user_id"]
        name = row["name"]
        description = row["description"]
        status = GroupStatus(rawValue: row["status"]) ?? .error
        createdAt = row["created_at"]
    }
}

extension UserMessage {
    init(_ row: Row) {
        id = row["id"]
        projectID = row["project_id"]
        eventID = row["event_id"]
        text = row["text"]
        requestID = row["request_id"]
        resourceType = row["resource_type"]
        resourceID = row["resource_id"]
        createdAt = row["created_at"]
        guaranteedUntil = row["guaranteed_until"]
    }
}

extension ServiceRecord {
    init(_ row: Row) {
        binary = row["binary_name"]
        host = row["host"]
        isDisabled = row["disabled"]
        disabledReason = row["disabled_reason"]
        isFrozen = row["frozen"]
        updatedAt = row["updated_at"]
    }
}

extension Stray {
    init(_ row: Row) {
        reference = row["reference"]
        size = row["size"]
        isSnapshot = row["is_snapshot"]
        volumeReference = row["volume_reference"]
        foundAt = row["found_at"]
    }
}
