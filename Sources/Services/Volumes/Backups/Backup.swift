import GRDB
private import Primitives

/// What a backup is doing, as the API names it.
package enum BackupStatus: String, Sendable, CaseIterable {
    case creating, available, deleting, error, restoring
    case errorDeleting = "error_deleting"
    case deleted

    static let deletable: [BackupStatus] = [.available, .error]
    static let driven: [BackupStatus] = [.creating, .deleting, .restoring]
}

/// One backup, as its row has it. It outlives its volume.
package struct Backup: Sendable, Equatable {
    package var id: String
    package var projectID: String
    package var userID: String
    package var volumeID: String
    /// It was made from this snapshot.
    package var snapshotID: String?
    /// It holds only what is different from this one.
    package var parentID: String?
    package var name: String?
    package var description: String?
    package var status: BackupStatus
    /// GiB of the volume or snapshot.
    package var size: Int
    package var container: String
    /// How the names of its objects begin; empty until it is carried out.
    package var prefix: String
    /// Whose container that is.
    package var storeProjectID: String
    package var zone: String
    package var host: String
    package var failReason: String?
    package var objectCount: Int
    package var encryptionKeyID: String?
    /// The moment that it shows.
    package var dataTimestamp: Int64
    /// The volume that has a snapshot of the backup's own, for the next one to be compared with.
    package var baseVolumeID: String?
    package var restoreVolumeID: String?
    package var createdAt: Int64
    package var updatedAt: Int64?

    var place: BackupPlace { BackupPlace(projectID: storeProjectID, container: container) }
}

/// A backup with what its view shows besides.
package struct BackupDetail: Sendable, Equatable {
    package var backup: Backup
    package var metadata: [String: String]
    package var hasDependents: Bool
}

/// The snapshots that backups keep for themselves. They are no rows, and count for nobody: an id that begins so belongs to
/// the backup whose id follows, and what no backup names is deleted.
enum BackupBase {
    private static let prefix = "backup-"
    static func id(of backup: String) -> String { prefix + backup }
    static func backup(of id: String) -> String? { id.hasPrefix(prefix) ? String(id.dropFirst(prefix.count)) : nil }
}

extension Backup {
    init(_ row: Row) {
        id = row["id"]
        projectID = row["project_id"]
        userID = row["user_id"]
        volumeID = row["volume_id"]
        snapshotID = row["snapshot_id"]
        parentID = row["parent_id"]
        name = row["name"]
        description = row["description"]
        status = BackupStatus(rawValue: row["status"]) ?? .error
        size = row["size"]
        container = row["container"]
        prefix = row["prefix"]
        storeProjectID = row["store_project_id"]
        zone = row["zone"]
        host = row["host"]
        failReason = row["fail_reason"]
        objectCount = row["object_count"]
        encryptionKeyID = row["encryption_key_id"]
        dataTimestamp = row["data_timestamp"]
        baseVolumeID = row["base_volume_id"]
        restoreVolumeID = row["restore_volume_id"]
        createdAt = row["created_at"]
        updatedAt = row["updated_at"]
    }

    /// `YYYYMMDDHHMMSS`, as names of objects have it.
    static func stamp(_ microseconds: Int64) -> String {
        CivilDate(unixSeconds: microseconds / 1_000_000).text(dateSeparator: "", timeSeparator: "").filter {
            $0.isNumber
        }
    }
}

/// The rows of backups.
enum BackupRows {
    /// Restores under way have a row each: of a volume that has one, nobody may say that it is whole.
    static let tables = """
        CREATE TABLE volume_backups (
            id TEXT NOT NULL PRIMARY KEY,
            project_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            volume_id TEXT NOT NULL,
            snapshot_id TEXT,
            parent_id TEXT,
            name TEXT,
            description TEXT,
            status TEXT NOT NULL,
            size INTEGER NOT NULL,
            container TEXT NOT NULL,
            prefix TEXT NOT NULL,
            store_project_id TEXT NOT NULL,
            zone TEXT NOT NULL,
            host TEXT NOT NULL,
            fail_reason TEXT,
            object_count INTEGER NOT NULL,
            encryption_key_id TEXT,
            data_timestamp INTEGER NOT NULL,
            base_volume_id TEXT,
            restore_volume_id TEXT,
            created_at INTEGER NOT NULL,
            updated_at INTEGER);
        CREATE INDEX volume_backups_by_project ON volume_backups(project_id, created_at);
        CREATE INDEX volume_backups_by_volume ON volume_backups(volume_id, data_timestamp);
        CREATE INDEX volume_backups_by_parent ON volume_backups(parent_id);
        CREATE INDEX volume_backups_by_status ON volume_backups(status);
        CREATE INDEX volume_backups_by_base ON volume_backups(base_volume_id);
        CREATE TABLE volume_restores (
            volume_id TEXT NOT NULL PRIMARY KEY REFERENCES volumes(id) ON DELETE CASCADE,
            backup_id TEXT NOT NULL);
        CREATE INDEX volume_restores_by_backup ON volume_restores(backup_id);
        """

    static func insert(_ db: Database, _ backup: Backup) throws {
        try Table.insert(
            db, "volume_backups",
            [
                "id": backup.id, "project_id": backup.projectID, "user_id": backup.userID,
                "volume_id": backup.volumeID, "snapshot_id": backup.snapshotID, "parent_id": backup.parentID,
                "name": backup.name, "description": backup.description, "status": backup.status.rawValue,
                "size": backup.size, "container": backup.container, "prefix": backup.prefix,
                "store_project_id": backup.storeProjectID, "zone": backup.zone, "host": backup.host,
                "fail_reason": backup.failReason, "object_count": backup.objectCount,
                "encryption_key_id": backup.encryptionKeyID, "data_timestamp": backup.dataTimestamp,
                "base_volume_id": backup.baseVolumeID, "restore_volume_id": backup.restoreVolumeID,
                "created_at": backup.createdAt, "updated_at": backup.updatedAt,
            ])
    }

    static func find(_ db: Database, _ id: String) throws -> Backup? {
        try Table.one(db, "SELECT * FROM volume_backups WHERE id = ?", [id], Backup.init)
    }

    static func find(_ db: Database, _ id: String, for asker: Asker) throws -> Backup {
        guard let backup = try find(db, id), asker.sees(backup.projectID) else {
            throw VolumeError.notFound(kind: "Backup", id: id)
        }
        return backup
    }

    static func details(_ db: Database, _ backups: [Backup]) throws -> [BackupDetail] {
        let ids = backups.map(\.id)
        let metadata = try Facts.read(db, ids, .metadata)
        let parents = Set(
            ids.isEmpty
                ? []
                : try String.fetchAll(
                    db,
                    sql: "SELECT DISTINCT parent_id FROM volume_backups WHERE parent_id IN (\(Table.marks(ids.count)))",
                    arguments: StatementArguments(ids)))
        return backups.map {
            BackupDetail(backup: $0, metadata: metadata[$0.id] ?? [:], hasDependents: parents.contains($0.id))
        }
    }

    static func hasDependents(_ db: Database, _ id: String) throws -> Bool {
        try Table.count(db, "SELECT COUNT(*) FROM volume_backups WHERE parent_id = ?", [id]) > 0
    }

    /// Whether a volume is being filled from it.
    static func isBeingRestored(_ db: Database, _ id: String) throws -> Bool {
        try Table.count(db, "SELECT COUNT(*) FROM volume_restores WHERE backup_id = ?", [id]) > 0
    }

    /// Whether another record names the same objects: one that was imported under another id.
    static func sharesObjects(_ db: Database, _ backup: Backup) throws -> Bool {
        try Table.count(
            db,
            """
            SELECT COUNT(*) FROM volume_backups
            WHERE id <> ? AND store_project_id = ? AND container = ? AND prefix = ?
            """, [backup.id, backup.storeProjectID, backup.container, backup.prefix]) > 0
    }

    /// Moves the backup if it is in one of the states; compare-and-swap as `Transitions`.
    static func move(
        _ db: Database, _ id: String, from states: [BackupStatus], to state: BackupStatus, now: Int64
    ) throws -> Bool {
        try Table.update(
            db, "volume_backups", ["status": state.rawValue, "updated_at": now],
            where: "id = ? AND status IN (\(Table.marks(states.count)))", [id] + states.map { $0.rawValue }) > 0
    }

    static func remove(_ db: Database, _ id: String) throws {
        try Facts.removeAll(db, id)
        try Table.delete(db, "volume_backups", where: "id = ?", [id])
    }
}
