import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static let snapshotRoutes: [Route] =
        [
            Route(.get, "snapshots", .reader, "volume:get_all_snapshots") { h, c async throws(VolumeError) in
                try await h.listSnapshots(c, isDetailed: false)
            },
            Route(.post, "snapshots", .member, "volume:create_snapshot") { h, c async throws(VolumeError) in
                try await h.createSnapshot(c)
            },
            Route(.get, "snapshots/detail", .reader, "volume:get_all_snapshots") { h, c async throws(VolumeError) in
                try await h.listSnapshots(c, isDetailed: true)
            },
            Route(.get, "snapshots/*", .reader, "volume:get_snapshot") { h, c async throws(VolumeError) in
                let detail = try await h.volumes.snapshot(c.arguments[0], for: c.asker)
                return .ok(.of(["snapshot": Views(c).snapshot(detail, isFull: true)]))
            },
            Route(.put, "snapshots/*", .member, "volume:update_snapshot") { h, c async throws(VolumeError) in
                try await h.updateSnapshot(c)
            },
            Route(.delete, "snapshots/*", .member, "volume:delete_snapshot") { h, c async throws(VolumeError) in
                try await h.volumes.deleteSnapshot(c.arguments[0], force: false, for: c.asker)
                return .accepted
            },
            Route(.post, "snapshots/*/action", .member, "volume:snapshot_action") { h, c async throws(VolumeError) in
                try await h.act(c, SnapshotActions.all)
            },
        ] + metadataRoutes("snapshots/*/metadata", "snapshots/*/metadata/*", "volume:snapshot") { .snapshot($0) }
        + transferRoutes("os-volume-transfer", since: 0, isNewer: false)
        + transferRoutes("volume-transfers", since: 55, isNewer: true)
}

/// `POST /snapshots/{id}/action`.
private enum SnapshotActions {
    static let all: [Action] = [
        Action("os-reset_status", .admin, "volume_extension:snapshot_admin_actions:reset_status") {
            h, c, id, body async throws(VolumeError) in
            try body.only(["status"])
            guard let status = try h.one("status", body, SnapshotStatus.init(rawValue:)) else {
                throw .invalid("'status' is a required property")
            }
            try await h.volumes.resetSnapshot(id, to: status, for: c.asker)
            return .accepted
        },
        Action("os-update_snapshot_status", .member, "snapshot_extension:snapshot_actions:update_snapshot_status") {
            h, c, id, body async throws(VolumeError) in
            guard let status = try h.one("status", body, SnapshotStatus.init(rawValue:)) else {
                throw .invalid("'status' is a required property")
            }
            let progress = try body.text("progress")
            if let progress {
                let digits = progress.utf8.dropLast()
                guard progress.hasSuffix("%"), (1...3).contains(digits.count),
                    digits.allSatisfy({ (0x30...0x39).contains($0) })
                else {
                    throw .invalid("Invalid input for field/attribute progress. It must be a percentage such as '80%'.")
                }
            }
            try await h.volumes.reportSnapshot(id, status, progress: progress, for: c.asker)
            return .accepted
        },
        Action("os-force_delete", .admin, "volume_extension:snapshot_admin_actions:force_delete", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.deleteSnapshot(id, force: true, for: c.asker)
            return .accepted
        },
        Action("os-unmanage", .admin, "snapshot_extension:snapshot_unmanage", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.unmanageSnapshot(id, for: c.asker)
            return .accepted
        },
    ]
}

extension Handlers {
    func listSnapshots(_ call: Call, isDetailed: Bool) async throws(VolumeError) -> Reply {
        let views = Views(call)
        return try await list(
            call, ListRequest.snapshots, "snapshots", id: { $0.snapshot.id },
            view: { views.snapshot($0, isFull: isDetailed) },
            fetch: { query async throws(VolumeError) in
                try await volumes.snapshots(query, allProjects: call.wantsAllProjects, for: call.asker)
            })
    }

    func createSnapshot(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("snapshot")
        try fields.only([
            "volume_id", "name", "description", "display_name", "display_description", "force", "metadata",
        ])
        guard fields.has("volume_id") else { throw .invalid("'volume_id' is a required property") }
        guard let volumeID = try fields.text("volume_id") else { throw .notFound(kind: "Volume", id: "None") }
        let force = try fields.bool("force")
        // From 3.66 on a volume in use needs no word for it, and forbidding it is no longer possible.
        if call.version.minor >= 66, force == false {
            throw .invalid("Invalid input received: The 'force' option is not accepted as false any more.")
        }
        let detail = try await volumes.createSnapshot(
            SnapshotRequest(
                volumeID: volumeID, name: try fields.text("name", or: "display_name"),
                description: try fields.text("description", or: "display_description"),
                metadata: try fields.metadata("metadata") ?? [:],
                allowsInUse: call.version.minor >= 66 || force == true), for: call.asker)
        return Reply(.accepted, .of(["snapshot": Views(call).snapshot(detail, isFull: false)]))
    }

    func updateSnapshot(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("snapshot")
        let known: Set<String> = ["name", "description", "display_name", "display_description"]
        try fields.only(known)
        guard !fields.names.isEmpty else { throw .invalid("Invalid input for field/attribute snapshot.") }
        let detail = try await volumes.updateSnapshot(
            call.arguments[0], name: try fields.change("name", or: "display_name"),
            description: try fields.change("description", or: "display_description"), for: call.asker)
        return .ok(.of(["snapshot": Views(call).snapshot(detail, isFull: false)]))
    }
}
