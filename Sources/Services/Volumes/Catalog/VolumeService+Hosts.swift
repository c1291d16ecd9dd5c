import GRDB
package import VolumeDrivers

/// What one host holds of one project.
package struct HostShare: Sendable, Equatable {
    package var project: String
    package var volumes: Int
    package var volumeGigabytes: Int
    package var snapshots: Int
    package var snapshotGigabytes: Int

    package init(project: String, volumes: Int, volumeGigabytes: Int, snapshots: Int, snapshotGigabytes: Int) {
        self.project = project
        self.volumes = volumes
        self.volumeGigabytes = volumeGigabytes
        self.snapshots = snapshots
        self.snapshotGigabytes = snapshotGigabytes
    }
}

/// The backend, as operators and schedulers see it.
package struct PoolView: Sendable {
    package var backend: String
    package var traits: DriverTraits
    package var statistics: DriverStatistics
    /// GiB of all volumes and snapshots.
    package var provisioned: Int
    /// GiB of volumes.
    package var allocated: Int
    package var isUsable: Bool
}

extension VolumeService {
    package func services() async throws(VolumeError) -> [ServiceRecord] {
        try await read { db in
            try Table.all(db, "SELECT * FROM volume_services ORDER BY binary_name, host", [], ServiceRecord.init)
        }
    }

    package func setService(
        binary: String, host: String, isDisabled: Bool, reason: String?
    ) async throws(VolumeError) {
        let now = now
        let known = try await write { db in
            try Table.update(
                db, "volume_services", ["disabled": isDisabled, "disabled_reason": reason, "updated_at": now],
                where: "binary_name = ? AND host = ?", [binary, host])
        }
        guard known > 0 else { throw .notFound(kind: "Service \(binary) on host", id: host) }
    }

    /// A frozen host takes no new volumes.
    package func setFrozen(host: String, _ isFrozen: Bool) async throws(VolumeError) {
        let now = now
        let known = try await write { db in
            try Table.update(
                db, "volume_services", ["frozen": isFrozen, "updated_at": now],
                where: "binary_name = 'cinder-volume' AND host = ?", [host])
        }
        guard known > 0 else { throw .invalid("Invalid input received: Host \(host) could not be found.") }
    }

    /// - Parameter host: of the machine, of the backend, or of the pool.
    package func shares(ofHost host: String) async throws(VolumeError) -> [HostShare] {
        let names = [configuration.host] + configuration.backends.map(configuration.backendHost) + configuration.places
        guard names.contains(host) else { throw .notFound(kind: "Host", id: host) }
        return try await read { db in
            let volumes = try Table.all(
                db,
                """
                SELECT project_id, COUNT(*) AS amount, SUM(size) AS size FROM volumes
                WHERE host = ? OR instr(host, ? || '@') = 1 OR instr(host, ? || '#') = 1
                GROUP BY project_id ORDER BY project_id
                """, [host, host, host]
            ) { (project: $0["project_id"] as String, amount: $0["amount"] as Int, size: $0["size"] as Int) }
            let snapshots = try Table.all(
                db,
                """
                SELECT project_id, COUNT(*) AS amount, SUM(size) AS size FROM volume_snapshots
                WHERE volume_id IN (
                    SELECT id FROM volumes WHERE host = ? OR instr(host, ? || '@') = 1 OR instr(host, ? || '#') = 1)
                GROUP BY project_id
                """, [host, host, host]
            ) { (project: $0["project_id"] as String, amount: $0["amount"] as Int, size: $0["size"] as Int) }
            let byProject = Dictionary(uniqueKeysWithValues: snapshots.map { ($0.project, $0) })
            return volumes.map { share in
                HostShare(
                    project: share.project, volumes: share.amount, volumeGigabytes: share.size,
                    snapshots: byProject[share.project]?.amount ?? 0,
                    snapshotGigabytes: byProject[share.project]?.size ?? 0)
            }
        }
    }

    /// What the pools are, one for each backend; the space is the one store's, in each of them.
    package func pools() async throws(VolumeError) -> [PoolView] {
        let statistics = try await statistics()
        let (traits, configuration) = (driver.traits, configuration)
        return try await read { db in
            let volumes = try Table.count(db, "SELECT SUM(size) FROM volumes", [])
            let snapshots = try Table.count(db, "SELECT SUM(size) FROM volume_snapshots", [])
            return try configuration.backends.map { backend in
                PoolView(
                    backend: backend, traits: traits, statistics: statistics, provisioned: volumes + snapshots,
                    allocated: volumes,
                    isUsable: try !Self.isDisabled(db, configuration.backendHost(backend)))
            }
        }
    }
}
