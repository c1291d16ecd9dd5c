import GRDB

/// What one project's images take.
package struct ImageUsage: Sendable, Equatable {
    package var bytes: Int64
    package var stagedBytes: Int64
    package var images: Int64
    package var uploading: Int64
}

extension ImageService {
    package func usage(for asker: ImageAsker) async throws(ImageError) -> ImageUsage {
        try await read { db in
            let row = try Row.fetchOne(
                db,
                sql: """
                    SELECT IFNULL(SUM(CASE WHEN staged_key IS NULL THEN size END), 0) AS bytes,
                    IFNULL(SUM(CASE WHEN staged_key IS NOT NULL THEN size END), 0) AS staged, COUNT(*) AS images,
                    IFNULL(SUM(status IN ('saving', 'uploading', 'importing')), 0) AS uploading
                    FROM images WHERE owner = ? AND deleted_at IS NULL
                    """, arguments: [asker.projectID])
            return ImageUsage(
                bytes: row?["bytes"] ?? 0, stagedBytes: row?["staged"] ?? 0, images: row?["images"] ?? 0,
                uploading: row?["uploading"] ?? 0)
        }
    }
}
