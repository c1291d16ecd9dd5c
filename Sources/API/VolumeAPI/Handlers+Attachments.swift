import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static let attachmentRoutes: [Route] = [
        Route(.get, "attachments", since: 27, .reader, "volume:attachment_list") { h, c async throws(VolumeError) in
            try await h.listAttachments(c, isDetailed: false)
        },
        Route(.post, "attachments", since: 27, .member, "volume:attachment_create") { h, c async throws(VolumeError) in
            try await h.createAttachment(c)
        },
        Route(.get, "attachments/detail", since: 27, .reader, "volume:attachment_list") {
            h, c async throws(VolumeError) in
            try await h.listAttachments(c, isDetailed: true)
        },
        Route(.get, "attachments/*", since: 27, .reader, "volume:attachment_show") { h, c async throws(VolumeError) in
            let detail = try await h.volumes.attachment(c.arguments[0], for: c.asker)
            return .ok(.of(["attachment": Views(c).attachment(detail, isFull: true)]))
        },
        Route(.put, "attachments/*", since: 27, .member, "volume:attachment_update") { h, c async throws(VolumeError) in
            let fields = try c.fields("attachment").only(["connector"])
            guard let connector = try fields.connector("connector"), !connector.isEmpty else {
                throw .invalid("Invalid input for field/attribute connector. It does not have enough properties")
            }
            let detail = try await h.volumes.updateAttachment(c.arguments[0], connector: connector, for: c.asker)
            return .ok(.of(["attachment": Views(c).attachment(detail, isFull: true)]))
        },
        Route(.delete, "attachments/*", since: 27, .member, "volume:attachment_delete") {
            h, c async throws(VolumeError) in
            let remaining = try await h.volumes.deleteAttachment(c.arguments[0], for: c.asker)
            let views = Views(c)
            return .ok(.of(["attachments": .array(remaining.map { views.attachment($0, isFull: false) })]))
        },
        Route(.post, "attachments/*/action", since: 44, .member, "volume:attachment_complete") {
            h, c async throws(VolumeError) in
            try await h.act(
                c,
                [
                    Action("os-complete", .member, "volume:attachment_complete", hasFields: false) {
                        h, c, id, _ async throws(VolumeError) in
                        try await h.volumes.completeAttachment(id, for: c.asker)
                        return .noContent
                    }
                ])
        },
    ]
}

extension Handlers {
    func listAttachments(_ call: Call, isDetailed: Bool) async throws(VolumeError) -> Reply {
        let views = Views(call)
        return try await list(
            call, ListRequest.attachments, "attachments", id: { $0.attachment.id },
            view: { views.attachment($0, isFull: isDetailed) },
            fetch: { query async throws(VolumeError) in
                try await volumes.attachments(query, allProjects: call.wantsAllProjects, for: call.asker)
            })
    }

    func createAttachment(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("attachment")
        var known: Set<String> = ["volume_uuid", "instance_uuid", "connector"]
        if call.version.minor >= 54 { known.insert("mode") }
        try fields.only(known)
        let volumeID = try uuid("volume_uuid", fields)
        guard let volumeID else { throw .invalid("'volume_uuid' is a required property") }
        let mode = try fields.text("mode")
        if let mode, mode != "rw", mode != "ro" {
            throw .invalid("Invalid input for field/attribute mode. '\(mode)' is not one of ['rw', 'ro']")
        }
        var connector = try fields.connector("connector")
        if connector?.isEmpty == true { connector = nil }
        let detail = try await volumes.createAttachment(
            AttachmentRequest(
                volumeID: volumeID, instanceID: try uuid("instance_uuid", fields), connector: connector, mode: mode),
            for: call.asker)
        return .ok(.of(["attachment": Views(call).attachment(detail, isFull: true)]))
    }

    private func uuid(_ name: String, _ fields: Shape) throws(VolumeError) -> String? {
        guard let text = try fields.text(name) else { return nil }
        guard Shape.isUUID(text) else {
            throw .invalid("Invalid input for field/attribute \(name). Value: \(text). '\(text)' is not a 'uuid'")
        }
        return text
    }
}
