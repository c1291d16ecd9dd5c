import GRDB

extension VolumeService {
    /// Every kind, those of the volume types last.
    private static func kinds(_ db: Database) throws -> [QuotaKind] {
        let types = try String.fetchAll(db, sql: "SELECT name FROM volume_types ORDER BY name")
        return QuotaKind.plain + types.flatMap { QuotaKind.kinds(ofType: $0) }
    }

    package func quotas(of project: String) async throws(VolumeError) -> [(kind: QuotaKind, usage: QuotaUsage)] {
        let configuration = configuration
        return try await read { db in
            try Self.kinds(db).map { ($0, try Quotas.usage(db, $0, project: project, configuration)) }
        }
    }

    /// What a project without limits of its own has.
    package func quotaClass(_ name: String) async throws(VolumeError) -> [(kind: QuotaKind, limit: Int)] {
        let configuration = configuration
        return try await read { db in
            try Self.kinds(db).map { ($0, try Quotas.classLimit(db, $0, className: name, configuration)) }
        }
    }

    /// - Parameters:
    ///   - limits: by name; an unknown one is refused.
    ///   - checked: whether less than what is used is refused.
    package func setQuotas(
        of project: String, _ limits: [String: Int], checked: Bool
    ) async throws(VolumeError) {
        let configuration = configuration
        try await write { db in
            let kinds = try Self.checkNames(db, limits)
            for kind in kinds {
                guard checked, let limit = limits[kind.name], limit >= 0 else { continue }
                let usage = try Quotas.usage(db, kind, project: project, configuration)
                guard limit >= usage.inUse + usage.reserved else {
                    throw VolumeError.invalid(
                        "Invalid input received: Quota limit \(limit) for \(kind.name) is less than what is in use "
                            + "(\(usage.inUse + usage.reserved)).")
                }
            }
            try Self.store(db, scope: "project", subject: project, limits)
        }
    }

    package func setQuotaClass(_ name: String, _ limits: [String: Int]) async throws(VolumeError) {
        try await write { db in
            _ = try Self.checkNames(db, limits)
            try Self.store(db, scope: "class", subject: name, limits)
        }
    }

    /// Back to the defaults.
    package func resetQuotas(of project: String) async throws(VolumeError) {
        _ = try await write { db in
            try Table.delete(db, "volume_quotas", where: "scope = 'project' AND subject = ?", [project])
        }
    }

    private static func checkNames(_ db: Database, _ limits: [String: Int]) throws -> [QuotaKind] {
        let kinds = try kinds(db)
        let unknown = Set(limits.keys).subtracting(kinds.map(\.name)).sorted()
        guard unknown.isEmpty else {
            throw VolumeError.invalid(
                "Invalid input received: Bad key(s) in quota set: \(unknown.joined(separator: ","))")
        }
        return kinds
    }

    private static func store(_ db: Database, scope: String, subject: String, _ limits: [String: Int]) throws {
        for (name, value) in limits {
            try db.execute(
                sql: """
                    INSERT INTO volume_quotas (scope, subject, name, value) VALUES (?, ?, ?, ?)
                    ON CONFLICT (scope, subject, name) DO UPDATE SET value = excluded.value
                    """, arguments: [scope, subject, name, value])
        }
    }
}
