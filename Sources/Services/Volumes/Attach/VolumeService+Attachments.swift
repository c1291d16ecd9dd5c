import GRDB
import VolumeDrivers

package struct AttachmentRequest: Sendable {
    package var volumeID: String
    package var instanceID: String?
    package var connector: [String: String]?
    package var mode: String?

    package init(volumeID: String, instanceID: String?, connector: [String: String]?, mode: String?) {
        self.volumeID = volumeID
        self.instanceID = instanceID
        self.connector = connector
        self.mode = mode
    }
}

extension VolumeService {
    /// Reserves the volume; with a connector, opens its target as well.
    package func createAttachment(
        _ request: AttachmentRequest, for asker: Asker
    ) async throws(VolumeError) -> AttachmentDetail {
        // A host that could not connect anyway must not leave the volume reserved.
        if let connector = request.connector { _ = try HostClaim(connector, isReadOnly: true) }
        let (id, now) = (newID(), now)
        return try await operations.complete([request.volumeID, id]) { () async throws(VolumeError) in
            let attachment = try await self.write { db in
                let volume = try Lookups.volume(db, request.volumeID, for: asker)
                return try Self.reserve(db, volume, id: id, request, now: now)
            }
            guard let connector = request.connector else {
                return AttachmentDetail(attachment: attachment, connection: nil)
            }
            return try await self.connect(attachment, connector)
        }
    }

    private static func reserve(
        _ db: Database, _ volume: Volume, id: String, _ request: AttachmentRequest, now: Int64
    ) throws -> Attachment {
        guard !volume.status.isError else {
            throw VolumeError.invalid(
                "Invalid volume: Volume attachments can not be created if the volume is in an error state. The Volume "
                    + "\(volume.id) currently has a status of: \(volume.status.shown)")
        }
        try checkMode(db, volume, request.mode ?? request.connector?["mode"])
        let attachments = try Lookups.attachments(db, of: [volume.id])
        guard attachments.count < Limits.attachmentsMax else {
            throw VolumeError.invalid("Invalid volume: Volume \(volume.id) has too many attachments.")
        }
        var states: [VolumeStatus] = [.available, .downloading]
        if volume.multiattach { states.append(.inUse) }
        let reserved = try Transitions.volume(
            db, volume.id, from: states, to: .reserved, now: now, remembering: false)
        if !reserved {
            // A second attachment of the same instance: it moves from one host to another.
            let moves =
                [.inUse, .reserved].contains(volume.status) && request.instanceID != nil
                && attachments.contains { $0.instanceID == request.instanceID }
            guard moves else {
                throw VolumeError.invalid(
                    "Invalid volume: Volume \(volume.id) status must be \(states.map(\.rawValue).joined(separator: " or ")) "
                        + "to reserve, but the current status is \(volume.status.shown).")
            }
        }
        if volume.attachStatus == .detached {
            try Table.update(db, "volumes", ["attach_status": "reserved"], where: "id = ?", [volume.id])
        }
        let attachment = Attachment(
            id: id, volumeID: volume.id, projectID: volume.projectID, instanceID: request.instanceID,
            status: .reserved, mode: request.mode, connector: [:], createdAt: now)
        try Rows.insert(db, attachment)
        return attachment
    }

    /// Tells the attachment's host where the volume is. May be repeated with the same host.
    package func updateAttachment(
        _ id: String, connector: [String: String], for asker: Asker
    ) async throws(VolumeError) -> AttachmentDetail {
        let attachment = try await read { db in try Lookups.attachment(db, id, for: asker) }
        return try await operations.complete([attachment.volumeID, id]) { () async throws(VolumeError) in
            try await self.connect(attachment, connector)
        }
    }

    private func connect(
        _ attachment: Attachment, _ connector: [String: String]
    ) async throws(VolumeError) -> AttachmentDetail {
        let (id, now) = (attachment.id, now)
        let isReadOnly = try await settle { db in
            guard let volume = try Lookups.volume(db, attachment.volumeID),
                let current = try Lookups.attachments(db, of: [volume.id]).first(where: { $0.id == id })
            else { throw VolumeError.notFound(kind: "Volume attachment", id: id) }
            guard !volume.status.isError else {
                throw VolumeError.conflict(
                    "Volume attachments can not be updated if the volume is in an error state. The Volume "
                        + "\(volume.id) currently has a status of: \(volume.status.shown)")
            }
            try Self.checkMode(db, volume, connector["mode"] ?? current.mode)
            try Self.checkHosts(db, volume, current, connector)
            return try Self.isReadOnly(db, volume, connector["mode"] ?? current.mode)
        }
        do throws(VolumeError) {
            let claim = try HostClaim(connector, isReadOnly: isReadOnly)
            let connection = try await openExport(
                id, volumeID: attachment.volumeID, attachmentID: id, claim)
            let updated = try await settle { db in
                try Self.recordConnection(db, id, connector, isReadOnly: isReadOnly, now: now)
            }
            return AttachmentDetail(attachment: updated, connection: connection)
        } catch {
            // Where the attachment vanished meanwhile nothing is left open.
            if case .notFound = error { try await closeExport(id) }
            if case .backend(let why) = error {
                configuration.onFault("attachment \(id) could not be connected: \(why)")
                try await settle { db in
                    try Table.update(
                        db, "volume_attachments", ["status": "error_attaching", "updated_at": now], where: "id = ?",
                        [id])
                }
            }
            throw error
        }
    }

    private static func recordConnection(
        _ db: Database, _ id: String, _ connector: [String: String], isReadOnly: Bool, now: Int64
    ) throws -> Attachment {
        guard
            var attachment = try Table.one(
                db, "SELECT * FROM volume_attachments WHERE id = ?", [id], Attachment.init)
        else { throw VolumeError.notFound(kind: "Volume attachment", id: id) }
        if attachment.status != .attached { attachment.status = .attaching }
        attachment.host = connector["host"]
        attachment.mountpoint = connector["mountpoint"] ?? attachment.mountpoint
        attachment.mode = isReadOnly ? "ro" : "rw"
        attachment.connector = connector
        attachment.updatedAt = now
        try Table.update(
            db, "volume_attachments",
            [
                "status": attachment.status.rawValue, "host": attachment.host, "mountpoint": attachment.mountpoint,
                "mode": attachment.mode, "updated_at": now,
            ], where: "id = ?", [id])
        try Facts.replace(db, id, .connector, connector)
        try Transitions.restand(db, attachment.volumeID, now: now)
        return attachment
    }

    /// On a volume for one host, a second host may connect only for the instance that is there: it is moving.
    private static func checkHosts(
        _ db: Database, _ volume: Volume, _ attachment: Attachment, _ connector: [String: String]
    ) throws {
        guard !volume.multiattach else { return }
        let others = try Lookups.attachments(db, of: [volume.id]).filter { other in
            other.id != attachment.id && [.attaching, .attached, .detaching].contains(other.status)
        }
        let isMove =
            others.count <= 1 && attachment.instanceID != nil
            && others.allSatisfy { $0.instanceID == attachment.instanceID && $0.host != connector["host"] }
        guard others.isEmpty || isMove else {
            throw VolumeError.conflict("duplicate connectors detected on volume \(volume.id)")
        }
    }

    static func checkMode(_ db: Database, _ volume: Volume, _ mode: String?) throws {
        let flags = try Facts.read(db, volume.id, .admin)
        guard mode == "rw", flags["readonly"] == "True" else { return }
        throw VolumeError.invalid(
            "Invalid attaching mode 'rw' for volume \(volume.id).")
    }

    static func isReadOnly(_ db: Database, _ volume: Volume, _ mode: String?) throws -> Bool {
        try mode == "ro" || Facts.read(db, volume.id, .admin)["readonly"] == "True"
    }

    /// The host has the volume: `attached`, and the volume is in use.
    package func completeAttachment(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            let attachment = try Lookups.attachment(db, id, for: asker)
            guard [.attaching, .reserved, .attached].contains(attachment.status) else {
                throw VolumeError.invalid(
                    "Invalid input received: Attachment \(id) is \(attachment.status.rawValue).")
            }
            try Table.update(
                db, "volume_attachments",
                ["status": "attached", "attached_at": attachment.attachedAt ?? now, "updated_at": now],
                where: "id = ?", [id])
            try Transitions.restand(db, attachment.volumeID, now: now)
            try Facts.merge(db, attachment.volumeID, .admin, ["attached_mode": attachment.mode ?? "rw"])
        }
    }

    /// Ends the attachment's target and forgets it; answers what remains on the volume. An attachment that is being
    /// removed twice at once is removed once.
    package func deleteAttachment(_ id: String, for asker: Asker) async throws(VolumeError) -> [AttachmentDetail] {
        let attachment = try await read { db in try Lookups.attachment(db, id, for: asker) }
        try checkOwner(attachment, asker)
        return try await operations.complete([attachment.volumeID, id]) { () async throws(VolumeError) in
            try await self.detach(attachment)
            return try await self.remaining(on: attachment.volumeID)
        }
    }

    /// A user must not take an instance's disk from under it where a compute service is in charge.
    func checkOwner(_ attachment: Attachment, _ asker: Asker) throws(VolumeError) {
        guard configuration.guardsInstanceAttachments, attachment.instanceID != nil, !asker.isService else { return }
        throw .conflict("Detach volume from instance \(attachment.instanceID ?? "") using the Compute API")
    }

    /// The target goes first, its sessions with it; then the row, then what the volume is without it.
    func detach(_ attachment: Attachment) async throws(VolumeError) {
        let now = now
        do throws(VolumeError) {
            try await closeExport(attachment.id)
        } catch {
            try await settle { db in
                try Table.update(
                    db, "volume_attachments", ["status": "error_detaching", "updated_at": now], where: "id = ?",
                    [attachment.id])
            }
            throw error
        }
        let isLast = try await settle { db in
            try Rows.removeAttachment(db, attachment.id)
            try Transitions.restand(db, attachment.volumeID, now: now)
            return try Lookups.attachments(db, of: [attachment.volumeID]).isEmpty
        }
        // Hosts of the older way have no attachment of their own to end theirs with.
        if isLast { try await closeExports(of: attachment.volumeID) }
    }

    private func remaining(on volumeID: String) async throws(VolumeError) -> [AttachmentDetail] {
        let discards = driver.traits.discards
        return try await settle { db in
            try Self.connected(db, try Lookups.attachments(db, of: [volumeID]), discards: discards)
        }
    }

    private static func connected(
        _ db: Database, _ attachments: [Attachment], discards: Bool
    ) throws -> [AttachmentDetail] {
        try attachments.map { attachment in
            let row = try Lookups.export(db, attachment.id)
            return AttachmentDetail(
                attachment: attachment, connection: try row.flatMap { try connection(db, $0, discards: discards) })
        }
    }

    package func attachments(
        _ query: ListQuery, allProjects: Bool, for asker: Asker
    ) async throws(VolumeError) -> Page<AttachmentDetail> {
        let query = own(query, asker, allProjects: allProjects)
        let discards = driver.traits.discards
        return try await read { db in
            let page = try ListSource.attachments.page(db, query, Attachment.init)
            let details = try Self.connected(db, page.items, discards: discards)
            return Page(items: details, isFull: page.isFull, count: page.count)
        }
    }

    package func attachment(_ id: String, for asker: Asker) async throws(VolumeError) -> AttachmentDetail {
        let discards = driver.traits.discards
        return try await read { db in
            try Self.connected(db, [try Lookups.attachment(db, id, for: asker)], discards: discards)[0]
        }
    }
}
