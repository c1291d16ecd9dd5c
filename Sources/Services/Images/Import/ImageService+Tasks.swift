import GRDB

/// What a listing of tasks asks for.
package struct TaskQuery: Sendable, Equatable {
    package var type: String?
    package var status: ImageTaskStatus?
    package var isDescending = true
    package var limit = Limits.pageDefault
    package var marker: String?

    package init() {}
}

extension ImageService {
    package func task(_ id: String, for asker: ImageAsker) async throws(ImageError) -> ImageTask {
        try await read { db in
            guard let task = try Self.task(db, id), asker.isAdmin || task.owner == asker.projectID else {
                throw ImageError.notFound("Failed to find task \(id)")
            }
            return task
        }
    }

    package func tasks(_ query: TaskQuery, for asker: ImageAsker) async throws(ImageError) -> [ImageTask] {
        let now = now
        return try await read { db in
            var conditions = ["(expires_at IS NULL OR expires_at > ?)"]
            var arguments: StatementArguments = [now]
            if !asker.isAdmin {
                conditions.append("owner = ?")
                arguments += [asker.projectID]
            }
            if let type = query.type {
                conditions.append("type = ?")
                arguments += [type]
            }
            if let status = query.status {
                conditions.append("status = ?")
                arguments += [status.rawValue]
            }
            if let marker = query.marker {
                guard let last = try Self.task(db, marker) else {
                    throw ImageError.invalid("Invalid marker. Task could not be found.")
                }
                conditions.append("(created_at, id) \(query.isDescending ? "<" : ">") (?, ?)")
                arguments += [last.createdAt, last.id]
            }
            let direction = query.isDescending ? "DESC" : "ASC"
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM image_tasks WHERE \(conditions.joined(separator: " AND "))
                    ORDER BY created_at \(direction), id \(direction) LIMIT ?
                    """, arguments: arguments + [min(query.limit, Limits.pageMax)]
            ).map(Self.decodeTask)
        }
    }

    /// The tasks of one image, oldest first.
    package func tasks(of imageID: String, for asker: ImageAsker) async throws(ImageError) -> [ImageTask] {
        let now = now
        return try await read { db in
            _ = try Self.visible(db, imageID, for: asker)
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM image_tasks WHERE image_id = ? AND (expires_at IS NULL OR expires_at > ?)
                    ORDER BY created_at, id LIMIT ?
                    """, arguments: [imageID, now, Limits.pageMax]
            ).map(Self.decodeTask)
        }
    }

    static func insert(_ db: Database, _ task: ImageTask) throws {
        // Ended ones go when their time is over.
        try db.execute(sql: "DELETE FROM image_tasks WHERE expires_at <= ?", arguments: [task.createdAt])
        try db.execute(
            sql: """
                INSERT INTO image_tasks (id, type, status, owner, image_id, user_id, request_id, input, result, message,
                created_at, updated_at, expires_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)
                """,
            arguments: [
                task.id, task.type, task.status.rawValue, task.owner, task.imageID, task.userID, task.requestID,
                task.input, task.result, task.message, task.createdAt, task.updatedAt, task.expiresAt,
            ])
    }

    func move(_ db: Database, task id: String, to status: ImageTaskStatus, message: String) throws {
        let now = now
        let hasEnded = status == .success || status == .failure
        try db.execute(
            sql: "UPDATE image_tasks SET status = ?, message = ?, updated_at = ?, expires_at = ? WHERE id = ?",
            arguments: [status.rawValue, message, now, hasEnded ? now + configuration.taskSeconds : nil, id])
    }

    private static func task(_ db: Database, _ id: String) throws -> ImageTask? {
        try Row.fetchOne(db, sql: "SELECT * FROM image_tasks WHERE id = ?", arguments: [id]).map(decodeTask)
    }

    private static func decodeTask(_ row: Row) throws -> ImageTask {
        guard let status = ImageTaskStatus(rawValue: row["status"]) else {
            throw DatabaseError(message: "a task's row has an unknown status")
        }
        return ImageTask(
            id: row["id"], type: row["type"], status: status, owner: row["owner"], imageID: row["image_id"],
            userID: row["user_id"], requestID: row["request_id"], input: row["input"], result: row["result"],
            message: row["message"], createdAt: row["created_at"], updatedAt: row["updated_at"],
            expiresAt: row["expires_at"])
    }
}
