import GRDB
private import Primitives

/// A volume as the operator of the daemon sees it.
package struct VolumeLine: Sendable, Equatable {
    package var id: String
    package var name: String?
    package var projectID: String
    /// GiB.
    package var size: Int
    /// With its percent while it is `downloading`.
    package var status: String
    package var snapshots: Int
    package var attachments: Int
}

extension VolumeService {
    /// All volumes of all projects, oldest first. Blocks, on the caller's thread: for the operator's socket, whose threads may.
    package func volumeLines() throws(VolumeError) -> [VolumeLine] {
        let downloads = downloads.withLock { $0 }
        return try readHere { db in
            try Table.all(
                db,
                """
                SELECT id, name, project_id, size, status,
                    (SELECT COUNT(*) FROM volume_snapshots WHERE volume_id = volumes.id) AS snapshots,
                    (SELECT COUNT(*) FROM volume_attachments WHERE volume_id = volumes.id) AS attachments
                FROM volumes ORDER BY created_at, id
                """, []
            ) { row in
                let id: String = row["id"]
                let status: String = row["status"]
                let percent = status == VolumeStatus.downloading.rawValue ? downloads[id].map { " \($0)%" } : nil
                return VolumeLine(
                    id: id, name: row["name"], projectID: row["project_id"], size: row["size"],
                    status: status + (percent ?? ""), snapshots: row["snapshots"], attachments: row["attachments"])
            }
        }
    }
}
