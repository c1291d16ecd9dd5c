import GRDB
import VolumeDrivers

/// Attaching as it was before attachments had an API of their own: reserve, initialize the connection, attach; begin
/// detaching, terminate the connection, detach.
extension VolumeService {
    package func reserve(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            let volume = try Lookups.volume(db, id, for: asker)
            let states: [VolumeStatus] = volume.multiattach ? [.available, .inUse] : [.available]
            guard try Transitions.volume(db, id, from: states, to: .attaching, now: now) else {
                throw VolumeError.invalid(
                    "Invalid volume: Volume status must be available to reserve, but the status is "
                        + "\(volume.status.shown).")
            }
        }
    }

    /// Takes the reservation back; a volume that isn't reserved stays as it is.
    package func unreserve(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            _ = try Lookups.volume(db, id, for: asker)
            guard try Transitions.volume(db, id, from: [.attaching], to: .available, now: now, remembering: false)
            else { return }
            try Transitions.restand(db, id, now: now)
        }
    }

    package func beginDetaching(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            _ = try Lookups.volume(db, id, for: asker)
            guard
                try Transitions.volume(db, id, from: [.inUse], to: .detaching, now: now, attach: [.attached])
            else {
                throw VolumeError.invalid(
                    "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be "
                        + "'attached' to detach.")
            }
        }
    }

    package func rollDetaching(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            _ = try Lookups.volume(db, id, for: asker)
            _ = try Transitions.volume(db, id, from: [.detaching], to: .inUse, now: now, remembering: false)
        }
    }

    /// Records that an instance, or a host, has the volume.
    package func attach(
        _ id: String, instanceID: String?, host: String?, mountpoint: String, mode: String?, for asker: Asker
    ) async throws(VolumeError) {
        let (attachmentID, now) = (newID(), now)
        try await write { db in
            let volume = try Lookups.volume(db, id, for: asker)
            try Self.checkMode(db, volume, mode)
            let existing = try Lookups.attachments(db, of: [id])
            // Said twice by the same one, it is done once.
            if volume.status == .inUse,
                existing.contains(where: {
                    instanceID != nil && $0.instanceID == instanceID || host != nil && $0.host == host
                })
            {
                return
            }
            guard existing.count < Limits.attachmentsMax else {
                throw VolumeError.invalid("Invalid volume: Volume \(id) has too many attachments.")
            }
            var states: [VolumeStatus] = [.available, .attaching]
            if volume.multiattach { states.append(.inUse) }
            guard try Transitions.volume(db, id, from: states, to: .inUse, now: now, remembering: false) else {
                throw VolumeError.invalid(
                    "Invalid volume: status must be available or attaching, but is \(volume.status.shown)")
            }
            let isReadOnly = try Self.isReadOnly(db, volume, mode)
            try Rows.insert(
                db,
                Attachment(
                    id: attachmentID, volumeID: id, projectID: volume.projectID, instanceID: instanceID, host: host,
                    mountpoint: mountpoint, status: .attached, mode: isReadOnly ? "ro" : "rw", connector: [:],
                    attachedAt: now, createdAt: now))
            try Table.update(db, "volumes", ["attach_status": "attached"], where: "id = ?", [id])
            try Facts.merge(db, id, .admin, ["attached_mode": isReadOnly ? "ro" : "rw"])
        }
    }

    /// - Parameter attachmentID: nil for the only one there is.
    package func detachVolume(_ id: String, attachmentID: String?, for asker: Asker) async throws(VolumeError) {
        let attachment = try await attachmentToDetach(id, attachmentID, mustBeUsed: true, asker)
        if let attachment { try checkOwner(attachment, asker) }
        let now = now
        try await operations.complete([id]) { () async throws(VolumeError) in
            if let attachment {
                try await self.detach(attachment)
            } else {
                try await self.closeExports(of: id)
            }
            try await self.settle { db in
                _ = try Transitions.volume(
                    db, id, from: [.detaching, .attaching], to: .available, now: now, remembering: false)
                try Transitions.restand(db, id, now: now)
            }
        }
    }

    /// By an administrator's word, whatever the states are.
    package func forceDetach(_ id: String, attachmentID: String?, for asker: Asker) async throws(VolumeError) {
        let attachment = try await attachmentToDetach(id, attachmentID, mustBeUsed: false, asker)
        if let attachment { try checkOwner(attachment, asker) }
        let now = now
        try await operations.complete([id]) { () async throws(VolumeError) in
            if let attachment {
                try await self.detach(attachment)
            } else {
                try await self.closeExports(of: id)
            }
            try await self.settle { db in try Transitions.restand(db, id, now: now) }
        }
    }

    private func attachmentToDetach(
        _ id: String, _ attachmentID: String?, mustBeUsed: Bool, _ asker: Asker
    ) async throws(VolumeError) -> Attachment? {
        try await read { db in
            let volume = try Lookups.volume(db, id, for: asker)
            let attachments = try Lookups.attachments(db, of: [id])
            if mustBeUsed {
                guard [.inUse, .detaching, .attaching].contains(volume.status) else {
                    throw VolumeError.invalid(
                        "Invalid volume: Volume \(id) is \(volume.status.shown), not in use.")
                }
            }
            if let attachmentID {
                guard let found = attachments.first(where: { $0.id == attachmentID }) else {
                    throw VolumeError.notFound(kind: "Volume attachment", id: attachmentID)
                }
                return found
            }
            guard attachments.count <= 1 else {
                throw VolumeError.invalid(
                    "Invalid volume: Detach volume failed: More than one attachment, but no attachment_id provided.")
            }
            return attachments.first
        }
    }

    /// Opens the volume for the host; asked again by the same host, the answer is the same.
    package func initializeConnection(
        _ id: String, connector: [String: String], for asker: Asker
    ) async throws(VolumeError) -> Connection {
        let exportID = newID()
        return try await operations.complete([id, exportID]) { () async throws(VolumeError) in
            let (isReadOnly, known) = try await self.read { db in
                let volume = try Lookups.volume(db, id, for: asker)
                let closed: [VolumeStatus] = [
                    .maintenance, .creating, .deleting, .errorDeleting, .downloading, .managing, .errorManaging,
                    .reverting, .error, .awaitingTransfer,
                ]
                guard !closed.contains(volume.status) else {
                    throw VolumeError.invalid(
                        "Invalid volume: The volume cannot be connected while it is \(volume.status.shown).")
                }
                let known = try Lookups.exports(db, of: id).first { row in
                    row.attachmentID == nil && row.export.initiator == connector["initiator"]
                        && row.host == connector["host"]
                }
                return (try Self.isReadOnly(db, volume, connector["mode"]), known?.export.id)
            }
            let claim = try HostClaim(connector, isReadOnly: isReadOnly)
            return try await self.openExport(known ?? exportID, volumeID: id, attachmentID: nil, claim)
        }
    }

    /// Ends what `initializeConnection` opened for the host; for none it changes nothing.
    package func terminateConnection(
        _ id: String, connector: [String: String], for asker: Asker
    ) async throws(VolumeError) {
        let open = try await read { db in
            _ = try Lookups.volume(db, id, for: asker)
            return try Lookups.exports(db, of: id).filter { row in
                row.attachmentID == nil
                    && (connector["initiator"] == nil || row.export.initiator == connector["initiator"])
            }.map(\.export.id)
        }
        try await operations.complete([id]) { () async throws(VolumeError) in
            for export in open { try await self.closeExport(export) }
        }
    }
}
