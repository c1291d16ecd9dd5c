import ControlFace
import Primitives
import Volumes

/// What resources look like on the wire (volume-api.md 3 to 14): exactly the keys that the version has.
struct Views: Sendable {
    let base: String
    let project: String
    let version: Microversion
    let isAdmin: Bool
    /// Whoever has the secret of a target may write to the volume: it is not for those who may only look.
    let seesSecrets: Bool

    init(_ call: Call) {
        base = call.base
        project = call.asker.projectID
        version = call.version
        isAdmin = call.asker.isAdmin
        seesSecrets = Policy.allows(.member, call)
    }

    private func has(_ minor: Int) -> Bool { version.minor >= minor }

    func links(_ collection: String, _ id: String) -> JSON {
        .array([
            .of(["rel": .string("self"), "href": .string("\(base)/v3/\(project)/\(collection)/\(id)")]),
            .of(["rel": .string("bookmark"), "href": .string("\(base)/\(project)/\(collection)/\(id)")]),
        ])
    }

    static func number(_ value: Int) -> JSON { .number(String(value)) }
    static func time(_ value: Int64?) -> JSON { value.map { .string(ShownTime.text($0)) } ?? .null }
    static func facts(_ facts: [String: String]) -> JSON {
        .object(facts.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: .string($0.value)) })
    }

    // MARK: Volumes.

    func summary(_ detail: VolumeDetail) -> JSON {
        .of([
            "id": .string(detail.volume.id), "name": .text(detail.volume.name),
            "links": links("volumes", detail.volume.id),
        ])
    }

    /// - Parameter isFull: of a show or a detailed list; the answers to a creation and an update have less.
    func volume(_ detail: VolumeDetail, isFull: Bool, showsAdminMetadata: Bool = true) -> JSON {
        let volume = detail.volume
        var metadata = detail.metadata
        if showsAdminMetadata { metadata.merge(detail.adminMetadata) { $1 } }
        var view = JSON.of([
            "id": .string(volume.id), "name": .text(volume.name), "description": .text(volume.description),
            "status": .string(volume.status.shown), "size": Self.number(volume.size),
            "created_at": Self.time(volume.createdAt), "updated_at": Self.time(volume.updatedAt),
            "availability_zone": .string(volume.zone), "volume_type": .text(detail.typeName),
            "snapshot_id": .text(volume.snapshotID), "source_volid": .text(volume.sourceVolumeID),
            "consistencygroup_id": .null, "metadata": Self.facts(metadata),
            "bootable": .string(volume.bootable ? "true" : "false"), "encrypted": .bool(volume.encrypted),
            "multiattach": .bool(volume.multiattach), "user_id": .string(volume.userID),
            "replication_status": .null, "links": links("volumes", volume.id),
            "attachments": .array(
                detail.attachments.filter { $0.status == .attached }.map { attachment(of: volume.id, $0) }),
        ])
        if isAdmin { view.add("migration_status", .text(volume.migrationStatus)) }
        if isFull {
            if !detail.imageMetadata.isEmpty {
                view.add("volume_image_metadata", Self.facts(detail.imageMetadata))
            }
            view.add("os-vol-tenant-attr:tenant_id", .string(volume.projectID))
            if isAdmin {
                view.add("os-vol-host-attr:host", .text(volume.host))
                view.add("os-vol-mig-status-attr:migstat", .text(volume.migrationStatus))
                view.add("os-vol-mig-status-attr:name_id", .null)
            }
        }
        if has(13) { view.add("group_id", .text(volume.groupID)) }
        if has(21), isAdmin { view.add("provider_id", .null) }
        if has(48) {
            // No target is shared between volumes, so nobody has to lock one.
            view.add("shared_targets", .bool(false))
            view.add("service_uuid", .null)
        }
        if has(61), isAdmin { view.add("cluster_name", .null) }
        if has(63) { view.add("volume_type_id", .text(volume.typeID)) }
        if has(64), let key = volume.encryptionKeyID { view.add("encryption_key_id", .string(key)) }
        if has(65) { view.add("consumes_quota", .bool(volume.consumesQuota)) }
        return view
    }

    private func attachment(of volume: String, _ attachment: Attachment) -> JSON {
        .of([
            "id": .string(volume), "attachment_id": .string(attachment.id), "volume_id": .string(volume),
            "server_id": .text(attachment.instanceID), "host_name": isAdmin ? .text(attachment.host) : .null,
            "device": .text(attachment.mountpoint), "attached_at": Self.time(attachment.attachedAt),
        ])
    }

    // MARK: Snapshots.

    func snapshot(_ detail: SnapshotDetail, isFull: Bool) -> JSON {
        let snapshot = detail.snapshot
        var view = JSON.of([
            "id": .string(snapshot.id), "created_at": Self.time(snapshot.createdAt),
            "updated_at": Self.time(snapshot.updatedAt), "name": .text(snapshot.name),
            "description": .text(snapshot.description), "volume_id": .string(snapshot.volumeID),
            "status": .string(snapshot.status.rawValue), "size": Self.number(snapshot.size),
            "metadata": Self.facts(detail.metadata),
        ])
        if isFull {
            view.add("os-extended-snapshot-attributes:progress", .string(snapshot.progress))
            view.add("os-extended-snapshot-attributes:project_id", .string(snapshot.projectID))
        }
        if has(14) { view.add("group_snapshot_id", .text(snapshot.groupSnapshotID)) }
        if has(41) { view.add("user_id", .string(snapshot.userID)) }
        if has(65) { view.add("consumes_quota", .bool(snapshot.consumesQuota)) }
        return view
    }

    // MARK: Attachments.

    func attachment(_ detail: AttachmentDetail, isFull: Bool) -> JSON {
        let attachment = detail.attachment
        var view = JSON.of([
            "id": .string(attachment.id), "status": .string(attachment.status.rawValue),
            "instance": .text(attachment.instanceID), "volume_id": .string(attachment.volumeID),
        ])
        guard isFull else { return view }
        view.add("attached_at", .string(attachment.attachedAt.map { ShownTime.text($0) } ?? ""))
        view.add("detached_at", .string(""))
        view.add("attach_mode", .string(attachment.mode ?? "null"))
        let connection = seesSecrets ? detail.connection.map { flatConnection($0) } : nil
        view.add("connection_info", connection ?? .object([]))
        return view
    }

    /// Contents and kind side by side, as the attachments API has it.
    private func flatConnection(_ connection: Connection) -> JSON {
        var view = connectionData(connection)
        view.add("driver_volume_type", .string("iscsi"))
        view.add("attachment_id", .text(connection.attachmentID))
        view.add("enforce_multipath", .bool(connection.enforcesMultipath))
        return view
    }

    func connection(_ connection: Connection) -> JSON {
        .of([
            "driver_volume_type": .string("iscsi"), "data": connectionData(connection),
            "enforce_multipath": .bool(connection.enforcesMultipath),
        ])
    }

    /// The only place where a CHAP secret is written out: to the host that it is for.
    private func connectionData(_ connection: Connection) -> JSON {
        var view = JSON.of([
            "target_discovered": .bool(false), "target_portal": .text(connection.portals.first),
            "target_iqn": .string(connection.target), "target_lun": Self.number(connection.unit),
            "volume_id": .string(connection.volumeID), "auth_method": .string("CHAP"),
            "auth_username": .string(connection.chapName),
            "auth_password": .string(String(decoding: connection.chapSecret.bytes, as: UTF8.self)),
            "encrypted": .bool(connection.encrypted), "access_mode": .string(connection.accessMode),
            "discard": .bool(connection.discards), "qos_specs": connection.qos.map { Self.facts($0) } ?? .null,
            "cacheable": .bool(false), "logical_block_size": .string(String(connection.blockBytes)),
            "physical_block_size": .string(String(connection.blockBytes)),
        ])
        guard connection.multipath, connection.portals.count > 1 else { return view }
        view.add("target_portals", .array(connection.portals.map { .string($0) }))
        view.add("target_iqns", .array(connection.portals.map { _ in .string(connection.target) }))
        view.add("target_luns", .array(connection.portals.map { _ in Self.number(connection.unit) }))
        return view
    }

    // MARK: Transfers.

    func transferSummary(_ transfer: Transfer) -> JSON {
        .of([
            "id": .string(transfer.id), "volume_id": .string(transfer.volumeID), "name": .text(transfer.name),
            "links": links("volume-transfers", transfer.id),
        ])
    }

    /// - Parameters:
    ///   - key: only in the answer to its creation.
    ///   - isNewer: asked for at `volume-transfers`, where more is told.
    func transfer(_ transfer: Transfer, key: Secret?, isNewer: Bool) -> JSON {
        var view = JSON.of([
            "id": .string(transfer.id), "created_at": Self.time(transfer.createdAt), "name": .text(transfer.name),
            "volume_id": .string(transfer.volumeID), "links": links("volume-transfers", transfer.id),
        ])
        if let key { view.add("auth_key", .string(String(decoding: key.bytes, as: UTF8.self))) }
        guard isNewer else { return view }
        view.add("no_snapshots", .bool(transfer.noSnapshots))
        if has(57) {
            view.add("destination_project_id", .null)
            view.add("source_project_id", .string(transfer.sourceProjectID))
            view.add("accepted", .bool(false))
        }
        return view
    }
}
