import ControlFace
import Volumes

extension Views {
    /// The specs of a type that users may know of.
    private static let shownSpecs: Set<String> = ["RESKEY:availability_zones", "multiattach", "replication_enabled"]

    enum TypeAnswer { case created, shown, updated }

    func type(_ type: VolumeType, _ answer: TypeAnswer) -> JSON {
        let specs = isAdmin ? type.extraSpecs : type.extraSpecs.filter { Self.shownSpecs.contains($0.key) }
        var view = JSON.of([
            "id": .string(type.id), "name": .string(type.name), "is_public": .bool(type.isPublic),
            "description": .text(type.description), "extra_specs": Self.facts(specs),
        ])
        if answer == .shown, isAdmin { view.add("qos_specs_id", .text(type.qosID)) }
        if answer != .updated { view.add("os-volume-type-access:is_public", .bool(type.isPublic)) }
        return view
    }

    func encryption(_ record: EncryptionRecord) -> JSON {
        .of([
            "volume_type_id": .string(record.typeID), "encryption_id": .string(record.id),
            "key_size": record.keySize.map { Self.number($0) } ?? .null, "provider": .string(record.provider),
            "control_location": .string(record.controlLocation), "cipher": .text(record.cipher),
        ])
    }

    func encryptionInFull(_ record: EncryptionRecord) -> JSON {
        var view = encryption(record)
        view.add("deleted", .bool(false))
        view.add("created_at", Self.time(record.createdAt))
        view.add("updated_at", Self.time(record.updatedAt))
        view.add("deleted_at", .null)
        return view
    }

    func policy(_ policy: QoSPolicy) -> JSON {
        .of([
            "id": .string(policy.id), "name": .string(policy.name), "consumer": .string(policy.consumer),
            "specs": Self.facts(policy.specs),
        ])
    }

    func group(_ group: VolumeGroup, volumes: [String]?) -> JSON {
        var view = JSON.of([
            "id": .string(group.id), "status": .string(group.status.rawValue),
            "availability_zone": .string(group.zone), "created_at": Self.time(group.createdAt),
            "name": .text(group.name), "description": .text(group.description), "group_type": .string(group.typeID),
            "volume_types": .array(group.volumeTypeIDs.map { .string($0) }),
        ])
        if version.minor >= 14 {
            view.add("group_snapshot_id", .text(group.groupSnapshotID))
            view.add("source_group_id", .text(group.sourceGroupID))
        }
        if let volumes { view.add("volumes", .array(volumes.map { .string($0) })) }
        if version.minor >= 38 { view.add("replication_status", .string("disabled")) }
        if version.minor >= 58, isAdmin { view.add("project_id", .string(group.projectID)) }
        return view
    }

    func groupType(_ type: GroupType) -> JSON {
        .of([
            "id": .string(type.id), "name": .string(type.name), "description": .text(type.description),
            "is_public": .bool(type.isPublic), "group_specs": Self.facts(isAdmin ? type.specs : [:]),
        ])
    }

    func groupSnapshot(_ snapshot: GroupSnapshot) -> JSON {
        var view = JSON.of([
            "id": .string(snapshot.id), "group_id": .string(snapshot.groupID),
            "group_type_id": .string(snapshot.groupTypeID), "status": .string(snapshot.status.rawValue),
            "created_at": Self.time(snapshot.createdAt), "name": .text(snapshot.name),
            "description": .text(snapshot.description),
        ])
        if version.minor >= 58, isAdmin { view.add("project_id", .string(snapshot.projectID)) }
        return view
    }

    func message(_ message: UserMessage) -> JSON {
        .of([
            "id": .string(message.id), "event_id": .string(message.eventID), "user_message": .string(message.text),
            "message_level": .string("ERROR"), "created_at": Self.time(message.createdAt),
            "guaranteed_until": Self.time(message.guaranteedUntil), "request_id": .text(message.requestID),
            "resource_type": .text(message.resourceType), "resource_uuid": .text(message.resourceID),
            "links": links("messages", message.id),
        ])
    }

    func service(_ service: ServiceRecord, zone: String, now: Int64) -> JSON {
        var view = JSON.of([
            "binary": .string(service.binary), "host": .string(service.host), "zone": .string(zone),
            "status": .string(service.isDisabled ? "disabled" : "enabled"), "state": .string("up"),
            "updated_at": Self.time(now), "disabled_reason": .text(service.disabledReason),
        ])
        if service.binary == "cinder-volume" {
            view.add("replication_status", .string("disabled"))
            view.add("active_backend_id", .null)
            view.add("frozen", .bool(service.isFrozen))
            if version.minor >= 49 { view.add("backend_state", .string("up")) }
        }
        if version.minor >= 7 { view.add("cluster", .null) }
        return view
    }
}
