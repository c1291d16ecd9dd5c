import GRDB

/// What went wrong after its request was answered: the numbers are the API's.
enum MessageEvent: Sendable {
    case noBackend
    case creationFailed
    case imageFailed
    case snapshotFailed
    case snapshotDeletionFailed
    case extensionFailed
    case attachmentFailed
    case interrupted
    case backupFailed
    case backupDeletionFailed
    case restoreFailed

    var action: (id: String, text: String) {
        switch self {
        case .noBackend: ("001", "schedule allocate volume")
        case .creationFailed, .interrupted: ("008", "create volume from backend storage")
        case .imageFailed: ("005", "copy image to volume")
        case .snapshotFailed: ("009", "create snapshot")
        case .snapshotDeletionFailed: ("010", "delete snapshot")
        case .extensionFailed: ("007", "extend volume")
        case .backupFailed: ("013", "create backup")
        case .backupDeletionFailed: ("014", "delete backup")
        case .restoreFailed: ("015", "restore backup")
        case .attachmentFailed: ("004", "update attachment")
        }
    }

    var detail: (id: String, text: String) {
        switch self {
        case .noBackend: ("003", "Could not find any available weighted backend.")
        case .extensionFailed: ("010", "Volume Driver failed to extend volume.")
        default: ("001", "An unknown error occurred.")
        }
    }
}

extension VolumeService {
    /// Adds a message for the project's users, and drops the oldest beyond the bound.
    func leaveMessage(
        _ db: Database, _ event: MessageEvent, project: String, requestID: String?, resourceType: String,
        resourceID: String
    ) throws {
        try Table.insert(
            db, "volume_messages",
            [
                "id": newID(), "project_id": project,
                "event_id": "VOLUME_\(resourceType)_\(event.action.id)_\(event.detail.id)",
                "text": "\(event.action.text): \(event.detail.text)", "request_id": requestID,
                "resource_type": resourceType, "resource_id": resourceID, "created_at": now,
                "guaranteed_until": now + Limits.messageSeconds * 1_000_000,
            ])
        try db.execute(
            sql: """
                DELETE FROM volume_messages WHERE project_id = ? AND id NOT IN (
                    SELECT id FROM volume_messages WHERE project_id = ? ORDER BY created_at DESC, id LIMIT ?)
                """, arguments: [project, project, Limits.messagesMax])
    }

    package func messages(_ query: ListQuery, for asker: Asker) async throws(VolumeError) -> Page<UserMessage> {
        let query = own(query, asker, allProjects: false)
        return try await read { db in try ListSource.messages.page(db, query, UserMessage.init) }
    }

    package func message(_ id: String, for asker: Asker) async throws(VolumeError) -> UserMessage {
        try await read { db in try Self.message(db, id, for: asker) }
    }

    package func deleteMessage(_ id: String, for asker: Asker) async throws(VolumeError) {
        try await write { db in
            _ = try Self.message(db, id, for: asker)
            try Table.delete(db, "volume_messages", where: "id = ?", [id])
        }
    }

    private static func message(_ db: Database, _ id: String, for asker: Asker) throws -> UserMessage {
        guard let message = try Table.one(db, "SELECT * FROM volume_messages WHERE id = ?", [id], UserMessage.init),
            asker.sees(message.projectID)
        else { throw VolumeError.notFound(kind: "Message", id: id) }
        return message
    }

    /// The query narrowed to the asker's project, unless an administrator wants all.
    func own(_ query: ListQuery, _ asker: Asker, allProjects: Bool) -> ListQuery {
        var query = query
        if !(asker.isAdmin && allProjects) { query.require("project_id", asker.projectID) }
        return query
    }
}
