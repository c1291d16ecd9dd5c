import ControlFace
import Volumes

/// One key of an action request's body: since which version, for whom, and what it does.
struct Action: Sendable {
    typealias Handler = @Sendable (Handlers, Call, _ id: String, Shape) async throws(VolumeError) -> Reply

    let name: String
    let since: Int
    let role: Route.Role
    let rule: String
    /// Whether the value under the name is an object that is looked at.
    let hasFields: Bool
    let handler: Handler

    init(
        _ name: String, since: Int = 0, _ role: Route.Role, _ rule: String, hasFields: Bool = true,
        _ handler: @escaping Handler
    ) {
        self.name = name
        self.since = since
        self.role = role
        self.rule = rule
        self.hasFields = hasFields
        self.handler = handler
    }
}

extension Handlers {
    /// Exactly one action a request.
    func act(_ call: Call, _ actions: [Action]) async throws(VolumeError) -> Reply {
        guard let members = call.body?.members, members.count == 1, let member = members.first,
            let action = actions.first(where: { $0.name == member.key && $0.since <= call.version.minor })
        else {
            let name = call.body?.members?.first?.key ?? ""
            throw .invalid("There is no such action: \(name)")
        }
        try Policy.check(action.role, action.rule, call)
        // What an action without fields has beside its name means nothing: clients send null, a text, or the id again.
        let body = member.value == .null || !action.hasFields ? .object([]) : member.value
        return try await action.handler(self, call, call.arguments[0], try Shape(body, action.name))
    }
}

/// `POST /volumes/{id}/action`.
enum VolumeActions {
    static let all: [Action] = attaching + changing + administrative

    private static let attaching: [Action] = [
        Action("os-reserve", .member, "volume_extension:volume_actions:reserve", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.reserve(id, for: c.asker)
            return .accepted
        },
        Action("os-unreserve", .member, "volume_extension:volume_actions:unreserve", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.unreserve(id, for: c.asker)
            return .accepted
        },
        Action("os-begin_detaching", .member, "volume_extension:volume_actions:begin_detaching", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.beginDetaching(id, for: c.asker)
            return .accepted
        },
        Action("os-roll_detaching", .member, "volume_extension:volume_actions:roll_detaching", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.rollDetaching(id, for: c.asker)
            return .accepted
        },
        Action("os-attach", .member, "volume_extension:volume_actions:attach") {
            h, c, id, body async throws(VolumeError) in
            try await h.attach(c, id, body)
        },
        Action("os-detach", .member, "volume_extension:volume_actions:detach") {
            h, c, id, body async throws(VolumeError) in
            try await h.volumes.detachVolume(id, attachmentID: try body.text("attachment_id"), for: c.asker)
            return .accepted
        },
        Action("os-initialize_connection", .member, "volume_extension:volume_actions:initialize_connection") {
            h, c, id, body async throws(VolumeError) in
            let connector = try body.connector("connector") ?? [:]
            let connection = try await h.volumes.initializeConnection(id, connector: connector, for: c.asker)
            return .ok(.of(["connection_info": Views(c).connection(connection)]))
        },
        Action("os-terminate_connection", .member, "volume_extension:volume_actions:terminate_connection") {
            h, c, id, body async throws(VolumeError) in
            let connector = try body.connector("connector") ?? [:]
            try await h.volumes.terminateConnection(id, connector: connector, for: c.asker)
            return .accepted
        },
    ]

    private static let changing: [Action] = [
        Action("os-extend", .member, "volume:extend") { h, c, id, body async throws(VolumeError) in
            guard let size = try body.integer("new_size"), size >= 1, size <= Limits.sizeMax else {
                throw .invalid("Invalid input for field/attribute new_size. It must be an integer of at least 1.")
            }
            try await h.volumes.extendVolume(id, to: size, online: c.version.minor >= 42, for: c.asker)
            return .accepted
        },
        Action("os-extend_volume_completion", since: 71, .reader, "volume:extend_volume_completion") {
            h, c, id, body async throws(VolumeError) in
            try Policy.checkService("volume:extend_volume_completion", c)
            _ = try body.only(["error"]).bool("error")
            try await h.volumes.completeExtension(id, for: c.asker)
            return .accepted
        },
        Action("os-update_readonly_flag", .member, "volume:update_readonly_flag") {
            h, c, id, body async throws(VolumeError) in
            guard let flag = try body.bool("readonly") else { throw .invalid("'readonly' is a required property") }
            try await h.volumes.setReadOnly(id, flag, for: c.asker)
            return .accepted
        },
        Action("os-set_bootable", .member, "volume_extension:volume_actions:set_bootable") {
            h, c, id, body async throws(VolumeError) in
            guard let flag = try body.bool("bootable") else { throw .invalid("'bootable' is a required property") }
            try await h.volumes.setBootable(id, flag, for: c.asker)
            return .done
        },
        Action("os-retype", .member, "volume:retype") { h, c, id, body async throws(VolumeError) in
            let type = try body.requiredText("new_type")
            let policy = try body.text("migration_policy") ?? "never"
            guard ["never", "on-demand"].contains(policy) else {
                throw .invalid(
                    "Invalid input for field/attribute migration_policy. '\(policy)' is not one of never, on-demand")
            }
            try await h.volumes.retype(id, to: type, mayMove: policy == "on-demand", for: c.asker)
            return .accepted
        },
        Action("revert", since: 40, .member, "volume:revert_to_snapshot") { h, c, id, body async throws(VolumeError) in
            try await h.volumes.revert(id, to: try body.requiredText("snapshot_id"), for: c.asker)
            return .accepted
        },
        Action("os-set_image_metadata", .member, "volume_extension:volume_image_metadata:set") {
            h, c, id, body async throws(VolumeError) in
            guard let facts = try body.metadata("metadata") else { throw .invalid("'metadata' is a required property") }
            let all = try await h.volumes.setMetadata(
                .image(id), facts, replacing: false, accepts: { _ in true }, for: c.asker)
            return .ok(.of(["metadata": Views.facts(all)]))
        },
        Action("os-unset_image_metadata", .member, "volume_extension:volume_image_metadata:remove") {
            h, c, id, body async throws(VolumeError) in
            try await h.volumes.removeMetadata(
                .image(id), try body.requiredText("key"), accepts: { _ in true }, for: c.asker)
            return .done
        },
        Action("os-show_image_metadata", .reader, "volume_extension:volume_image_metadata:show", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            .ok(.of(["metadata": Views.facts(try await h.volumes.metadata(.image(id), for: c.asker))]))
        },
        Action("os-volume_upload_image", .member, "volume_extension:volume_actions:upload_image") {
            h, c, id, body async throws(VolumeError) in try await h.uploadImage(c, id, body)
        },
        Action("os-reimage", since: 68, .member, "volume:reimage") { h, c, id, _ async throws(VolumeError) in
            _ = try await h.volumes.volume(id, for: c.asker)
            throw .invalid("Invalid image identifier or unable to access requested image.")
        },
    ]

    private static let administrative: [Action] = [
        Action("os-reset_status", .admin, "volume_extension:volume_admin_actions:reset_status") {
            h, c, id, body async throws(VolumeError) in try await h.reset(c, id, body)
        },
        Action("os-force_delete", .admin, "volume_extension:volume_admin_actions:force_delete", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.deleteVolume(id, cascade: true, force: true, for: c.asker)
            return .accepted
        },
        Action("os-force_detach", .admin, "volume_extension:volume_admin_actions:force_detach") {
            h, c, id, body async throws(VolumeError) in
            try await h.volumes.forceDetach(id, attachmentID: try body.text("attachment_id"), for: c.asker)
            return .accepted
        },
        Action("os-migrate_volume", .admin, "volume_extension:volume_admin_actions:migrate_volume") {
            h, c, id, body async throws(VolumeError) in
            _ = try await h.volumes.volume(id, for: c.asker)
            let place = try body.text("host", or: c.version.minor >= 16 ? "cluster" : "host")
            guard place != nil else {
                throw .invalid("'host' is a required property")
            }
            throw .invalid("Invalid input received: there is no other backend to migrate to.")
        },
        Action(
            "os-migrate_volume_completion", .admin, "volume_extension:volume_admin_actions:migrate_volume_completion"
        ) { h, c, id, _ async throws(VolumeError) in
            _ = try await h.volumes.volume(id, for: c.asker)
            throw .invalid("Invalid volume: Volume \(id) is not migrating.")
        },
        Action("os-unmanage", .admin, "volume_extension:volume_unmanage", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.unmanageVolume(id, for: c.asker)
            return .accepted
        },
    ]
}

extension Handlers {
    fileprivate func attach(_ call: Call, _ id: String, _ body: Shape) async throws(VolumeError) -> Reply {
        let instance = try body.text("instance_uuid")
        let host = try body.text("host_name")
        guard instance != nil || host != nil else {
            throw .invalid("Invalid request to attach volume to an invalid target")
        }
        if let instance, !Shape.isUUID(instance) {
            throw .invalid("Invalid input for field/attribute instance_uuid. '\(instance)' is not a 'uuid'")
        }
        let mode = try body.text("mode") ?? "rw"
        guard ["rw", "ro"].contains(mode) else {
            throw .invalid(
                "Invalid request to attach volume with an invalid mode. Attaching mode should be 'rw' or 'ro'")
        }
        try await volumes.attach(
            id, instanceID: instance, host: host, mountpoint: try body.requiredText("mountpoint"), mode: mode,
            for: call.asker)
        return .accepted
    }

    fileprivate func reset(_ call: Call, _ id: String, _ body: Shape) async throws(VolumeError) -> Reply {
        try body.only(["status", "attach_status", "migration_status"])
        let status = try one("status", body, VolumeStatus.init(rawValue:))
        let attachStatus = try one("attach_status", body, AttachStatus.init(rawValue:))
        let migrationStatus = try one("migration_status", body, MigrationStatus.init(rawValue:))
        guard status != nil || attachStatus != nil || migrationStatus != nil else {
            throw .invalid("Invalid input: a status is needed.")
        }
        if let attachStatus, attachStatus != .attached, attachStatus != .detached {
            throw .invalid("Invalid input for field/attribute attach_status. It is not one of attached, detached.")
        }
        try await volumes.resetVolume(
            id, .init(status: status, attachStatus: attachStatus, migrationStatus: migrationStatus), for: call.asker)
        return .accepted
    }

    /// A state by its name; nil if the field isn't there.
    func one<T>(_ name: String, _ body: Shape, _ make: (String) -> T?) throws(VolumeError) -> T? {
        guard let text = try body.text(name) else { return nil }
        guard let value = make(text.lowercased()) else {
            throw .invalid("Invalid input for field/attribute \(name). '\(text)' is no such state.")
        }
        return value
    }
}
