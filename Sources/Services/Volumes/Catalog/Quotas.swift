import GRDB

/// What a quota counts.
package enum QuotaKind: Sendable, Hashable {
    case volumes, snapshots, gigabytes, backups, backupGigabytes, groups, perVolumeGigabytes
    /// The same for one volume type, by its name.
    case volumesOf(String), gigabytesOf(String), snapshotsOf(String)

    package static let plain: [QuotaKind] = [
        .volumes, .snapshots, .gigabytes, .backups, .backupGigabytes, .groups, .perVolumeGigabytes,
    ]

    /// The kinds of one volume type.
    package static func kinds(ofType name: String) -> [QuotaKind] {
        [.volumesOf(name), .gigabytesOf(name), .snapshotsOf(name)]
    }

    package var name: String {
        switch self {
        case .volumes: "volumes"
        case .snapshots: "snapshots"
        case .gigabytes: "gigabytes"
        case .backups: "backups"
        case .backupGigabytes: "backup_gigabytes"
        case .groups: "groups"
        case .perVolumeGigabytes: "per_volume_gigabytes"
        case .volumesOf(let type): "volumes_\(type)"
        case .gigabytesOf(let type): "gigabytes_\(type)"
        case .snapshotsOf(let type): "snapshots_\(type)"
        }
    }
}

package struct QuotaUsage: Sendable, Equatable {
    /// -1 is none.
    package var limit: Int
    package var inUse: Int
    /// By operations under way.
    package var reserved: Int
}

/// Limits and what is used of them, counted from the rows themselves within the transaction that adds one: there is no
/// second book that could disagree.
enum Quotas {
    static func limit(
        _ db: Database, _ kind: QuotaKind, project: String, _ configuration: VolumeConfiguration
    ) throws -> Int {
        let own = try value(db, scope: "project", subject: project, kind)
        return try own ?? classLimit(db, kind, className: "default", configuration)
    }

    static func classLimit(
        _ db: Database, _ kind: QuotaKind, className: String, _ configuration: VolumeConfiguration
    ) throws -> Int {
        try value(db, scope: "class", subject: className, kind) ?? configuration.quotaDefaults[kind] ?? -1
    }

    private static func value(_ db: Database, scope: String, subject: String, _ kind: QuotaKind) throws -> Int? {
        try Int.fetchOne(
            db, sql: "SELECT value FROM volume_quotas WHERE scope = ? AND subject = ? AND name = ?",
            arguments: [scope, subject, kind.name])
    }

    /// Rows still `creating` and sizes still being grown to are reserved; all others are in use.
    static func usage(
        _ db: Database, _ kind: QuotaKind, project: String, _ configuration: VolumeConfiguration
    ) throws -> QuotaUsage {
        let limit = try limit(db, kind, project: project, configuration)
        let counted: (inUse: Int, reserved: Int)
        switch kind {
        case .volumes: counted = try volumes(db, project, type: nil)
        case .volumesOf(let type): counted = try volumes(db, project, type: type)
        case .snapshots: counted = try snapshots(db, project, type: nil, sum: "1")
        case .snapshotsOf(let type): counted = try snapshots(db, project, type: type, sum: "1")
        case .gigabytes: counted = try gigabytes(db, project, type: nil, configuration)
        case .gigabytesOf(let type): counted = try gigabytes(db, project, type: type, configuration)
        case .groups:
            counted = (
                try Table.count(
                    db, "SELECT COUNT(*) FROM volume_groups WHERE project_id = ? AND status <> 'creating'", [project]),
                try Table.count(
                    db, "SELECT COUNT(*) FROM volume_groups WHERE project_id = ? AND status = 'creating'", [project])
            )
        case .backups: counted = try backups(db, project, sum: "1")
        case .backupGigabytes: counted = try backups(db, project, sum: "size")
        case .perVolumeGigabytes: counted = (0, 0)
        }
        return QuotaUsage(limit: limit, inUse: counted.inUse, reserved: counted.reserved)
    }

    private static let typed = " AND type_id = (SELECT id FROM volume_types WHERE name = ?)"

    private static func pair(
        _ db: Database, _ sql: String, _ arguments: [(any DatabaseValueConvertible)?]
    ) throws -> (inUse: Int, reserved: Int) {
        let row = try Row.fetchOne(db, sql: sql, arguments: StatementArguments(arguments))
        return ((row?["in_use"] as Int?) ?? 0, (row?["reserved"] as Int?) ?? 0)
    }

    private static func volumes(_ db: Database, _ project: String, type: String?) throws -> (inUse: Int, reserved: Int)
    {
        try pair(
            db,
            """
            SELECT SUM(CASE WHEN status = 'creating' THEN 0 ELSE 1 END) AS in_use,
                SUM(CASE WHEN status = 'creating' THEN 1 ELSE 0 END) AS reserved
            FROM volumes WHERE project_id = ? AND consumes_quota = 1\(type == nil ? "" : typed)
            """, [project] + (type.map { [$0] } ?? []))
    }

    private static func snapshots(
        _ db: Database, _ project: String, type: String?, sum: String
    ) throws -> (inUse: Int, reserved: Int) {
        let typed = " AND volume_id IN (SELECT id FROM volumes WHERE 1 = 1\(typed))"
        return try pair(
            db,
            """
            SELECT SUM(CASE WHEN status = 'creating' THEN 0 ELSE \(sum) END) AS in_use,
                SUM(CASE WHEN status = 'creating' THEN \(sum) ELSE 0 END) AS reserved
            FROM volume_snapshots WHERE project_id = ? AND consumes_quota = 1\(type == nil ? "" : typed)
            """, [project] + (type.map { [$0] } ?? []))
    }

    private static func backups(
        _ db: Database, _ project: String, sum: String
    ) throws -> (inUse: Int, reserved: Int) {
        try pair(
            db,
            """
            SELECT SUM(CASE WHEN status = 'creating' THEN 0 ELSE \(sum) END) AS in_use,
                SUM(CASE WHEN status = 'creating' THEN \(sum) ELSE 0 END) AS reserved
            FROM volume_backups WHERE project_id = ?
            """, [project])
    }

    private static func gigabytes(
        _ db: Database, _ project: String, type: String?, _ configuration: VolumeConfiguration
    ) throws -> (inUse: Int, reserved: Int) {
        var total = try pair(
            db,
            """
            SELECT SUM(CASE WHEN status = 'creating' THEN 0 ELSE size END) AS in_use,
                SUM((CASE WHEN status = 'creating' THEN size ELSE 0 END)
                    + (CASE WHEN target_size IS NULL THEN 0 ELSE target_size - size END)) AS reserved
            FROM volumes WHERE project_id = ? AND consumes_quota = 1\(type == nil ? "" : typed)
            """, [project] + (type.map { [$0] } ?? []))
        if configuration.snapshotsCountGigabytes {
            let more = try snapshots(db, project, type: type, sum: "size")
            total = (total.inUse + more.inUse, total.reserved + more.reserved)
        }
        return total
    }

    /// Throws `.quota` unless that much more fits, of each.
    static func demand(
        _ db: Database, project: String, _ wants: [(kind: QuotaKind, amount: Int)],
        _ configuration: VolumeConfiguration
    ) throws {
        for want in wants where want.amount > 0 {
            let usage = try usage(db, want.kind, project: project, configuration)
            let used = usage.inUse + usage.reserved
            guard usage.limit >= 0, used + want.amount > usage.limit else { continue }
            switch want.kind {
            case .backups:
                throw VolumeError.quota("Maximum number of backups allowed (\(usage.limit)) exceeded")
            case .backupGigabytes:
                throw VolumeError.quota(
                    "Requested backup exceeds allowed Backup gigabytes quota. Requested \(want.amount)G, quota is "
                        + "\(usage.limit)G and \(used)G has been consumed.")
            case .gigabytes, .gigabytesOf, .perVolumeGigabytes:
                throw VolumeError.quota(
                    "Requested volume or snapshot exceeds allowed \(want.kind.name) quota. Requested "
                        + "\(want.amount)G, quota is \(usage.limit)G and \(used)G has been consumed.")
            case .snapshots, .snapshotsOf:
                throw VolumeError.quota(
                    "Maximum number of snapshots allowed (\(usage.limit)) exceeded for quota '\(want.kind.name)'.")
            case .volumes, .volumesOf:
                throw VolumeError.quota(
                    "Maximum number of volumes allowed (\(usage.limit)) exceeded for quota '\(want.kind.name)'.")
            case .groups:
                throw VolumeError.quota("Maximum number of groups allowed (\(usage.limit)) exceeded.")
            }
        }
    }

    /// Throws `.quota` if one volume may not be that large.
    static func checkSize(
        _ db: Database, project: String, size: Int, _ configuration: VolumeConfiguration
    ) throws {
        let limit = try limit(db, .perVolumeGigabytes, project: project, configuration)
        guard limit >= 0, size > limit else { return }
        throw VolumeError.quota("Requested volume size \(size)G is larger than maximum allowed limit \(limit)G.")
    }
}
