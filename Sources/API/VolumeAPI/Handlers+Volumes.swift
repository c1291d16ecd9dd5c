import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static let volumeRoutes: [Route] =
        [
            Route(.get, "volumes", .reader, "volume:get_all") { h, c async throws(VolumeError) in
                try await h.listVolumes(c, isDetailed: false)
            },
            Route(.post, "volumes", .member, "volume:create") { h, c async throws(VolumeError) in
                try await h.createVolume(c)
            },
            Route(.get, "volumes/detail", .reader, "volume:get_all") { h, c async throws(VolumeError) in
                try await h.listVolumes(c, isDetailed: true)
            },
            Route(.get, "volumes/summary", since: 12, .reader, "volume:get_all") { h, c async throws(VolumeError) in
                try await h.summarize(c)
            },
            Route(.get, "volumes/*", .reader, "volume:get") { h, c async throws(VolumeError) in
                let detail = try await h.volumes.volume(c.arguments[0], for: c.asker)
                return .ok(.of(["volume": Views(c).volume(detail, isFull: true)]))
            },
            Route(.put, "volumes/*", .member, "volume:update") { h, c async throws(VolumeError) in
                try await h.updateVolume(c)
            },
            Route(.delete, "volumes/*", .member, "volume:delete") { h, c async throws(VolumeError) in
                try await h.deleteVolume(c)
            },
            Route(.post, "volumes/*/action", .reader, "volume:action") { h, c async throws(VolumeError) in
                try await h.act(c, VolumeActions.all)
            },
            Route(.get, "volumes/*/encryption", .reader, "volume_extension:volume_encryption_metadata") {
                h, c async throws(VolumeError) in try await h.showEncryption(c)
            },
            Route(.get, "volumes/*/encryption/*", .reader, "volume_extension:volume_encryption_metadata") {
                h, c async throws(VolumeError) in try await h.showEncryption(c)
            },
        ] + metadataRoutes("volumes/*/metadata", "volumes/*/metadata/*", "volume") { .volume($0) }

    /// `GET POST PUT` on all of it, `GET PUT DELETE` on one.
    static func metadataRoutes(
        _ all: StaticString, _ one: StaticString, _ kind: String,
        _ owner: @escaping @Sendable (String) -> VolumeService.MetadataOwner
    ) -> [Route] {
        [
            Route(.get, all, .reader, "\(kind):get_metadata") { h, c async throws(VolumeError) in
                try await h.showMetadata(c, owner(c.arguments[0]))
            },
            Route(.post, all, .member, "\(kind):create_metadata") { h, c async throws(VolumeError) in
                try await h.writeMetadata(c, owner(c.arguments[0]), replacing: false)
            },
            Route(.put, all, .member, "\(kind):update_metadata") { h, c async throws(VolumeError) in
                try await h.writeMetadata(c, owner(c.arguments[0]), replacing: true)
            },
            Route(.get, one, .reader, "\(kind):get_metadata") { h, c async throws(VolumeError) in
                try await h.showMetadataItem(c, owner(c.arguments[0]))
            },
            Route(.put, one, .member, "\(kind):update_metadata") { h, c async throws(VolumeError) in
                try await h.writeMetadataItem(c, owner(c.arguments[0]))
            },
            Route(.delete, one, .member, "\(kind):delete_metadata") { h, c async throws(VolumeError) in
                try await h.volumes.removeMetadata(
                    owner(c.arguments[0]), c.arguments[1], accepts: h.condition(c), for: c.asker)
                return .done
            },
        ]
    }
}

extension Handlers {
    func listVolumes(_ call: Call, isDetailed: Bool) async throws(VolumeError) -> Reply {
        let views = Views(call)
        return try await list(
            call, ListRequest.volumes, "volumes", id: { $0.volume.id },
            view: { isDetailed ? views.volume($0, isFull: true) : views.summary($0) },
            fetch: { query async throws(VolumeError) in
                try await volumes.volumes(query, allProjects: call.wantsAllProjects, for: call.asker)
            })
    }

    func summarize(_ call: Call) async throws(VolumeError) -> Reply {
        let summary = try await volumes.summary(allProjects: call.wantsAllProjects, for: call.asker)
        var view = JSON.of([
            "total_count": Views.number(summary.count), "total_size": Views.number(summary.size),
        ])
        if call.version.minor >= 36 {
            view.add(
                "metadata",
                .object(
                    summary.metadata.sorted { $0.key < $1.key }.map {
                        .init(key: $0.key, value: .array($0.value.map { .string($0) }))
                    }))
        }
        return .ok(.of(["volume-summary": view]))
    }

    private static let createFields: Set<String> = [
        "name", "description", "display_name", "display_description", "volume_type", "metadata", "snapshot_id",
        "source_volid", "consistencygroup_id", "size", "availability_zone", "multiattach", "image_id", "imageRef",
        "group_id", "backup_id", "OS-SCH-HNT:scheduler_hints", "user_id", "project_id", "attach_status", "status",
    ]

    func createVolume(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields(
            "volume", beside: ["OS-SCH-HNT:scheduler_hints", "scheduler_hints", "os-scheduler-hints:scheduler_hints"])
        if call.version.minor >= 53 { try fields.only(Self.createFields) }
        var request = VolumeRequest()
        request.name = try fields.text("name", or: "display_name")
        request.description = try fields.text("description", or: "display_description")
        request.metadata = try fields.metadata("metadata") ?? [:]
        request.zone = try fields.text("availability_zone")
        request.snapshotID = try fields.text("snapshot_id")
        request.sourceVolumeID = try fields.text("source_volid")
        request.type = try fields.text("volume_type")
        request.image = try fields.text("imageRef", or: "image_id", max: 1_024)
        if call.version.minor >= 13 { request.groupID = try fields.text("group_id") }
        if try fields.text("consistencygroup_id") != nil {
            throw .invalid("Invalid input received: consistency groups are served as groups.")
        }
        if call.version.minor >= 47 { request.backupID = try fields.text("backup_id") }
        if try fields.bool("multiattach") == true {
            throw .invalid(
                "Invalid input received: multiattach parameter has been removed. The default behavior is to use "
                    + "multiattach enabled volume types. Contact your administrator to create a multiattach enabled "
                    + "volume type and use it to create multiattach volumes.")
        }
        if let size = try fields.integer("size") {
            guard size >= 1, size <= Limits.sizeMax else {
                throw .invalid(
                    "Invalid input for field/attribute size. \(size) is not between 1 and \(Limits.sizeMax).")
            }
            request.size = size
        }
        try readHints(call, fields, &request)
        let detail = try await volumes.createVolume(request, for: call.asker)
        return Reply(.accepted, .of(["volume": Views(call).volume(detail, isFull: false)]))
    }

    private func readHints(_ call: Call, _ fields: Shape, _ request: inout VolumeRequest) throws(VolumeError) {
        let given =
            call.body?["OS-SCH-HNT:scheduler_hints"] ?? call.body?["scheduler_hints"]
            ?? fields.value["OS-SCH-HNT:scheduler_hints"]
        guard let given, given != .null else { return }
        let hints = try Shape(given, "scheduler_hints")
        for name in ["same_host", "different_host"] {
            let ids: [String]
            switch hints.value[name] {
            case nil, .null?: continue
            case .string(let id)?: ids = [id]
            case .array(let items)?: ids = items.compactMap(\.string)
            default: throw .invalid("Invalid input for field/attribute \(name).")
            }
            guard ids.count <= FaceLimits.filtersMax, ids.allSatisfy(Shape.isUUID) else {
                throw .invalid("Invalid input for field/attribute \(name). It takes ids of volumes.")
            }
            // There is one backend: whatever shares it with another volume is at the same host.
            if name == "different_host" { request.farVolumes = ids }
        }
    }

    func updateVolume(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("volume")
        let known: Set<String> = ["name", "description", "display_name", "display_description", "metadata"]
        if call.version.minor >= 53 { try fields.only(known) }
        guard fields.names.contains(where: known.contains) else {
            throw .invalid("Invalid input for field/attribute volume. Value: {} does not have enough properties")
        }
        let name = try fields.change("name", or: "display_name")
        let description = try fields.change("description", or: "display_description")
        let detail = try await volumes.updateVolume(
            call.arguments[0], name: name, description: description, metadata: try fields.metadata("metadata"),
            for: call.asker)
        return .ok(.of(["volume": Views(call).volume(detail, isFull: false)]))
    }

    func deleteVolume(_ call: Call) async throws(VolumeError) -> Reply {
        let cascade = try call.flag("cascade") ?? false
        var force = false
        if call.version.minor >= 23, try call.flag("force") ?? false {
            try Policy.check(.admin, "volume:force_delete", call)
            force = true
        }
        try await volumes.deleteVolume(call.arguments[0], cascade: cascade, force: force, for: call.asker)
        return .accepted
    }

    func showEncryption(_ call: Call) async throws(VolumeError) -> Reply {
        let detail = try await volumes.volume(call.arguments[0], for: call.asker)
        var view = JSON.of(["encryption_key_id": .text(detail.volume.encryptionKeyID)])
        if detail.volume.encrypted, let typeID = detail.volume.typeID,
            let record = try await volumes.encryption(ofType: typeID)
        {
            view.add("control_location", .string(record.controlLocation))
            view.add("cipher", .text(record.cipher))
            view.add("key_size", record.keySize.map { Views.number($0) } ?? .null)
            view.add("provider", .string(record.provider))
        }
        guard call.arguments.count > 1 else { return .ok(view) }
        guard let value = view[call.arguments[1]] else {
            throw .notFound(kind: "Encryption metadata", id: call.arguments[1])
        }
        return .ok(value)
    }
}
