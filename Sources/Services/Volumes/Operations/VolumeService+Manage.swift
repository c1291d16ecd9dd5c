import GRDB
import VolumeDrivers

/// Something of the driver's as administrators see it: with the row that it belongs to, or free to be taken over.
package struct Manageable: Sendable, Equatable {
    package var reference: String
    /// GiB, rounded up.
    package var size: Int
    /// The row that has it.
    package var managedAs: String?
    /// The driver's name of a snapshot's volume.
    package var sourceReference: String?
}

package struct ManageRequest: Sendable {
    package var reference: String
    package var host: String
    package var name: String?
    package var description: String?
    package var type: String?
    package var zone: String?
    package var isBootable: Bool
    package var metadata: [String: String]

    package init(
        reference: String, host: String, name: String?, description: String?, type: String?, zone: String?,
        isBootable: Bool, metadata: [String: String]
    ) {
        self.reference = reference
        self.host = host
        self.name = name
        self.description = description
        self.type = type
        self.zone = zone
        self.isBootable = isBootable
        self.metadata = metadata
    }
}

extension VolumeService {
    func inventory() async throws(VolumeError) -> Inventory {
        do throws(DriverError) {
            return try await driver.inventory()
        } catch {
            throw .backend(error.description)
        }
    }

    private func checkPlace(_ host: String) throws(VolumeError) {
        let names = configuration.places + configuration.backends.map(configuration.backendHost)
        guard names.contains(host) else {
            throw .invalid("Invalid input received: Service cinder-volume on host \(host) could not be found.")
        }
    }

    /// The id in a name such as `volume-{id}`: what clients call a backend's volumes and snapshots by default, whatever
    /// the driver calls them.
    private static func id(_ reference: String, behind prefix: String) -> String? {
        reference.hasPrefix(prefix) ? String(reference.dropFirst(prefix.count)) : nil
    }

    static func gibibytes(_ bytes: UInt64) -> Int { Int(clamping: (bytes + (1 << 30) - 1) >> 30) }

    package func manageableVolumes(host: String) async throws(VolumeError) -> [Manageable] {
        try checkPlace(host)
        let inventory = try await inventory()
        let known = Set(try await read { db in try String.fetchAll(db, sql: "SELECT id FROM volumes") })
        return inventory.volumes.map { volume in
            Manageable(
                reference: volume.reference, size: Self.gibibytes(volume.bytes),
                managedAs: volume.id.flatMap { known.contains($0) ? $0 : nil })
        }
    }

    package func manageableSnapshots(host: String) async throws(VolumeError) -> [Manageable] {
        try checkPlace(host)
        let inventory = try await inventory()
        let known = Set(try await read { db in try String.fetchAll(db, sql: "SELECT id FROM volume_snapshots") })
        let others = inventory.snapshots.filter { $0.id.flatMap { BackupBase.backup(of: $0) } == nil }
        return others.map { snapshot in
            Manageable(
                reference: snapshot.reference, size: Self.gibibytes(snapshot.bytes),
                managedAs: snapshot.id.flatMap { known.contains($0) ? $0 : nil },
                sourceReference: snapshot.volumeReference)
        }
    }

    /// Takes over a volume that the driver holds; answers while it is `managing`.
    package func manageVolume(_ request: ManageRequest, for asker: Asker) async throws(VolumeError) -> VolumeDetail {
        try checkPlace(request.host)
        let inventory = try await inventory()
        let named = Self.id(request.reference, behind: "volume-")
        let found = inventory.volumes.first { $0.reference == request.reference || named != nil && $0.id == named }
        guard let stored = found else {
            throw .invalid("Failed to manage existing volume due to invalid backend reference \(request.reference).")
        }
        let (id, now) = (newID(), now)
        let volume = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                if let held = stored.id, try Lookups.volume(db, held) != nil {
                    throw VolumeError.invalid("Unable to manage existing volume. Volume \(held) already managed.")
                }
                return try self.insertManaged(
                    db, id: id, stored, request, asker, now: now)
            }
        } work: { volume in
            await self.adopt(volume, stored.reference)
        }
        return VolumeDetail(
            volume: volume, typeName: nil, metadata: request.metadata, imageMetadata: [:], adminMetadata: [:],
            attachments: [])
    }

    private func insertManaged(
        _ db: Database, id: String, _ stored: Inventory.StoredVolume, _ request: ManageRequest, _ asker: Asker,
        now: Int64
    ) throws -> Volume {
        let size = max(1, Self.gibibytes(stored.bytes))
        let type =
            try request.type.map { try Lookups.type(db, named: $0, for: asker) }
            ?? defaultType(db, project: asker.projectID)
        guard request.zone ?? configuration.zone == configuration.zone else {
            throw VolumeError.invalid(
                "Invalid input received: Availability zone '\(request.zone ?? "")' is invalid.")
        }
        guard try Lookups.encryption(db, typeID: type.id) == nil else {
            throw VolumeError.invalid("Invalid input received: an encrypted type can't be given to what exists.")
        }
        // Hosts are told what the row says, and find what the driver made.
        guard (stored.blockBytes, stored.writeCache) == (type.blockBytes, type.writeCache) else {
            throw VolumeError.invalid(
                "Failed to manage existing volume due to volume type mismatch: it has blocks of \(stored.blockBytes) "
                    + "bytes and \(stored.writeCache ? "a" : "no") write cache.")
        }
        try Quotas.demand(
            db, project: asker.projectID,
            [(.volumes, 1), (.gigabytes, size), (.volumesOf(type.name), 1), (.gigabytesOf(type.name), size)],
            configuration)
        let place = request.host.contains("#") ? request.host : "\(request.host)#\(configuration.pool)"
        let volume = Volume(
            id: id, projectID: asker.projectID, userID: asker.userID, name: request.name,
            description: request.description, size: size, status: .managing, attachStatus: .detached,
            typeID: type.id, zone: configuration.zone, host: place, bootable: request.isBootable,
            multiattach: type.isMultiattach, encrypted: false, consumesQuota: true, blockBytes: type.blockBytes,
            writeCache: type.writeCache, createdAt: now)
        try Rows.insert(db, volume)
        try Facts.merge(db, id, .metadata, request.metadata)
        return volume
    }

    private func adopt(_ volume: Volume, _ reference: String) async {
        let (id, now) = (volume.id, now)
        var outcome = VolumeStatus.available
        do throws(DriverError) {
            let bytes = try await driver.adopt(reference, as: id)
            // A volume of ours is whole GiB.
            if bytes < volume.bytes { try await driver.extend(id, to: volume.bytes) }
        } catch {
            configuration.onFault("volume \(reference) could not be taken over: \(error)")
            outcome = .errorManaging
        }
        let status = outcome
        do throws(VolumeError) {
            try await settle { db in
                try Transitions.settle(db, id, from: .managing, to: status, now: now)
                guard status == .available else { return }
                try Table.delete(
                    db, "volume_strays", where: "reference = ? AND is_snapshot = 0", [reference])
            }
        } catch {
            configuration.onFault("volume \(id) stays managing: \(error)")
        }
    }

    /// Forgets the volume and leaves its bytes with the driver, to be managed again.
    package func unmanageVolume(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await operations.complete([id]) { () async throws(VolumeError) in
            try await self.write { db in
                let volume = try Lookups.volume(db, id, for: asker)
                guard !volume.encrypted else {
                    throw VolumeError.invalid("Invalid volume: Unmanaging encrypted volumes is not supported.")
                }
                guard try Lookups.snapshots(db, of: id).isEmpty else {
                    throw VolumeError.invalid("Invalid volume: Volume \(id) still has snapshots.")
                }
                guard volume.groupID == nil,
                    try Transitions.volume(
                        db, id, from: [.available, .error, .errorManaging], to: .unmanaging, now: now,
                        attach: [.detached])
                else {
                    throw VolumeError.invalid(
                        "Invalid volume: Volume \(id) must be available or error, unattached and in no group.")
                }
            }
            try await self.closeExports(of: id)
            try await self.settle { db in try Rows.removeVolume(db, id) }
        }
    }

    /// Takes over a snapshot that the driver holds, of a volume that is managed.
    package func manageSnapshot(
        _ reference: String, _ request: SnapshotRequest, for asker: Asker
    ) async throws(VolumeError) -> SnapshotDetail {
        let inventory = try await inventory()
        let named = Self.id(reference, behind: "_snapshot-")
        guard
            let stored = inventory.snapshots.first(where: {
                $0.reference == reference || named != nil && $0.id == named
            }),
            let owner = inventory.volumes.first(where: { $0.reference == stored.volumeReference }),
            owner.id == request.volumeID
        else {
            throw .invalid("Failed to manage existing snapshot due to invalid backend reference \(reference).")
        }
        let id = newID()
        let snapshot = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                if let held = stored.id, try Lookups.snapshot(db, held) != nil {
                    throw VolumeError.invalid("Unable to manage existing snapshot. Snapshot \(held) already managed.")
                }
                let volume = try Lookups.volume(db, request.volumeID, for: asker)
                return try self.insertSnapshot(db, id: id, of: volume, request, groupSnapshotID: nil, asker: asker)
            }
        } work: { snapshot in
            await self.adopt(snapshot, stored.reference)
        }
        return SnapshotDetail(snapshot: snapshot, metadata: request.metadata)
    }

    private func adopt(_ snapshot: Snapshot, _ reference: String) async {
        let (id, now) = (snapshot.id, now)
        var outcome = SnapshotStatus.available
        do throws(DriverError) {
            try await driver.adoptSnapshot(reference, of: snapshot.volumeID, as: id)
        } catch {
            configuration.onFault("snapshot \(reference) could not be taken over: \(error)")
            outcome = .error
        }
        let status = outcome
        do throws(VolumeError) {
            try await settle { db in
                try Table.update(
                    db, "volume_snapshots",
                    ["status": status.rawValue, "progress": status == .available ? "100%" : "0%", "updated_at": now],
                    where: "id = ? AND status = 'creating'", [id])
                guard status == .available else { return }
                try Table.delete(db, "volume_strays", where: "reference = ? AND is_snapshot = 1", [reference])
            }
        } catch {
            configuration.onFault("snapshot \(id) stays creating: \(error)")
        }
    }

    package func unmanageSnapshot(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            let snapshot = try Lookups.snapshot(db, id, for: asker)
            guard snapshot.groupSnapshotID == nil,
                try Transitions.snapshot(db, id, from: [.available, .error], to: .unmanaging, now: now)
            else { throw VolumeError.invalid("Invalid snapshot: Snapshot \(id) must be available or error.") }
            try Rows.removeSnapshot(db, id)
        }
    }

    /// What the driver holds and no row names.
    package func strays() async throws(VolumeError) -> [Stray] {
        try await read { db in
            try Table.all(
                db, "SELECT * FROM volume_strays ORDER BY found_at, reference LIMIT \(Limits.pageMax)", [], Stray.init)
        }
    }
}
