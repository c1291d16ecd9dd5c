private import Crypto
import GRDB
package import Primitives

extension VolumeService {
    /// Offers the volume to whoever knows the key, which is told here and never again.
    package func createTransfer(
        volumeID: String, name: String?, noSnapshots: Bool, allowsEncrypted: Bool, for asker: Asker
    ) async throws(VolumeError) -> (transfer: Transfer, key: Secret) {
        let key = hexText(configuration.randomBytes(16))
        let salt = hexText(configuration.randomBytes(8))
        let hash = hash(key, salt: salt)
        let (id, now) = (newID(), now)
        let transfer = try await write { db in
            let volume = try Lookups.volume(db, volumeID, for: asker)
            guard !volume.encrypted || allowsEncrypted else {
                throw VolumeError.invalid("Invalid volume: transferring encrypted volume is not supported")
            }
            guard volume.groupID == nil else {
                throw VolumeError.invalid("Invalid volume: a volume of a group can't be transferred")
            }
            // A host of the older way may still be connected: it must not follow the volume to another project.
            guard try Lookups.exports(db, of: volumeID).isEmpty else {
                throw VolumeError.invalid("Invalid volume: a host is still connected to volume \(volumeID)")
            }
            if !noSnapshots {
                let snapshots = try Lookups.snapshots(db, of: volumeID)
                guard snapshots.allSatisfy({ $0.status == .available && $0.groupSnapshotID == nil }) else {
                    throw VolumeError.invalid("Invalid snapshot: all snapshots must be available to be transferred")
                }
            }
            guard
                try Transitions.volume(
                    db, volumeID, from: [.available], to: .awaitingTransfer, now: now, attach: [.detached])
            else { throw VolumeError.invalid("Invalid volume: status must be available") }
            let transfer = Transfer(
                id: id, volumeID: volumeID, name: name, sourceProjectID: volume.projectID, noSnapshots: noSnapshots,
                createdAt: now)
            try Table.insert(
                db, "volume_transfers",
                [
                    "id": id, "volume_id": volumeID, "name": name, "source_project_id": volume.projectID,
                    "salt": salt, "key_hash": hash, "no_snapshots": noSnapshots, "created_at": now,
                ])
            return transfer
        }
        return (transfer, Secret(key))
    }

    package func transfers(
        _ query: ListQuery, allProjects: Bool, for asker: Asker
    ) async throws(VolumeError) -> Page<Transfer> {
        var query = query
        if !(asker.isAdmin && allProjects) { query.require("source_project_id", asker.projectID) }
        let narrowed = query
        return try await read { db in try ListSource.transfers.page(db, narrowed, Transfer.init) }
    }

    package func transfer(_ id: String, for asker: Asker) async throws(VolumeError) -> Transfer {
        try await read { db in
            let transfer = try Self.transfer(db, id)
            guard asker.sees(transfer.sourceProjectID) else {
                throw VolumeError.notFound(kind: "Transfer", id: id)
            }
            return transfer
        }
    }

    /// Takes the volume back.
    package func deleteTransfer(_ id: String, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            let transfer = try Self.transfer(db, id)
            guard asker.sees(transfer.sourceProjectID) else {
                throw VolumeError.notFound(kind: "Transfer", id: id)
            }
            try Table.delete(db, "volume_transfers", where: "id = ?", [id])
            try Transitions.settle(db, transfer.volumeID, from: .awaitingTransfer, to: .available, now: now)
        }
    }

    /// Makes the volume the caller's, with its snapshots unless the offer left them out.
    package func acceptTransfer(_ id: String, key: Secret, for asker: Asker) async throws(VolumeError) -> Transfer {
        let (now, configuration) = (now, configuration)
        return try await write { db in
            let transfer = try Self.transfer(db, id)
            guard try self.isKey(db, key, of: id) else {
                throw VolumeError.invalid("Invalid auth key: Attempt to transfer \(id) with invalid auth key.")
            }
            guard let volume = try Lookups.volume(db, transfer.volumeID), volume.status == .awaitingTransfer else {
                throw VolumeError.invalid("Invalid volume: status must be awaiting-transfer")
            }
            let snapshots = transfer.noSnapshots ? [] : try Lookups.snapshots(db, of: volume.id)
            try Quotas.checkSize(db, project: asker.projectID, size: volume.size, configuration)
            try Quotas.demand(
                db, project: asker.projectID, try Self.wants(db, volume, snapshots, configuration), configuration)
            try db.execute(
                sql: """
                    UPDATE volumes SET project_id = ?, user_id = ?, status = 'available', previous_status = NULL,
                        updated_at = ?
                    WHERE id = ? AND status = 'awaiting-transfer'
                    """, arguments: [asker.projectID, asker.userID, now, volume.id])
            for snapshot in snapshots {
                try Table.update(
                    db, "volume_snapshots",
                    ["project_id": asker.projectID, "user_id": asker.userID, "updated_at": now], where: "id = ?",
                    [snapshot.id])
            }
            try Table.delete(db, "volume_transfers", where: "id = ?", [id])
            return transfer
        }
    }

    private static func wants(
        _ db: Database, _ volume: Volume, _ snapshots: [Snapshot], _ configuration: VolumeConfiguration
    ) throws -> [(kind: QuotaKind, amount: Int)] {
        var size = volume.size
        if configuration.snapshotsCountGigabytes { size += snapshots.reduce(0) { $0 + $1.size } }
        var wants: [(kind: QuotaKind, amount: Int)] = [
            (.volumes, 1), (.gigabytes, size), (.snapshots, snapshots.count),
        ]
        if let typeID = volume.typeID, let type = try Lookups.type(db, id: typeID) {
            wants += [
                (.volumesOf(type.name), 1), (.gigabytesOf(type.name), size), (.snapshotsOf(type.name), snapshots.count),
            ]
        }
        return wants
    }

    private static func transfer(_ db: Database, _ id: String) throws -> Transfer {
        guard let transfer = try Table.one(db, "SELECT * FROM volume_transfers WHERE id = ?", [id], Transfer.init)
        else { throw VolumeError.notFound(kind: "Transfer", id: id) }
        return transfer
    }

    private func isKey(_ db: Database, _ key: Secret, of id: String) throws -> Bool {
        let row = try Row.fetchOne(
            db, sql: "SELECT salt, key_hash FROM volume_transfers WHERE id = ?", arguments: [id])
        guard let row else { return false }
        let given = hash(String(decoding: key.bytes, as: UTF8.self), salt: row["salt"])
        return constantTimeEquals(Array(given.utf8), Array((row["key_hash"] as String).utf8))
    }

    /// The key has 128 random bits: nothing slower than a plain hash is needed.
    private func hash(_ key: String, salt: String) -> String {
        hexText(Array(SHA256.hash(data: Array((salt + ":" + key).utf8))))
    }
}
