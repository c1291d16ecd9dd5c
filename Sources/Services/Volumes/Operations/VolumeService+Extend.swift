import GRDB
import VolumeDrivers

extension VolumeService {
    /// Answers while the volume is `extending`; then it is what it was before, with the new size.
    ///
    /// - Parameter online: it may be in use; its hosts are told.
    package func extendVolume(
        _ id: String, to size: Int, online: Bool, for asker: Asker
    ) async throws(VolumeError) {
        let now = now
        let configuration = configuration
        _ = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in
                let volume = try Lookups.volume(db, id, for: asker)
                let states: [VolumeStatus] = online ? [.available, .inUse] : [.available]
                guard states.contains(volume.status) else {
                    throw VolumeError.invalid(
                        "Invalid volume: Volume \(id) status must be \(states.map(\.rawValue)) to extend, but current "
                            + "status is \(volume.status.shown).")
                }
                guard size > volume.size, size <= Limits.sizeMax else {
                    throw VolumeError.invalid(
                        "Invalid input received: New size for extend must be greater than current size. (current: "
                            + "\(volume.size), extended: \(size)).")
                }
                try Quotas.checkSize(db, project: volume.projectID, size: size, configuration)
                var wants: [(kind: QuotaKind, amount: Int)] = [(.gigabytes, size - volume.size)]
                if let typeID = volume.typeID, let type = try Lookups.type(db, id: typeID) {
                    wants.append((.gigabytesOf(type.name), size - volume.size))
                }
                try Quotas.demand(db, project: volume.projectID, wants, configuration)
                guard try Transitions.volume(db, id, from: states, to: .extending, now: now) else {
                    throw VolumeError.invalid("Invalid volume: Volume \(id) is migrating or busy.")
                }
                try Table.update(db, "volumes", ["target_size": size], where: "id = ?", [id])
                return volume
            }
        } work: { volume in
            await self.carryOutExtension(volume, to: size, requestID: asker.requestID)
        }
    }

    private func carryOutExtension(_ volume: Volume, to size: Int, requestID: String?) async {
        let bytes = UInt64(size) << 30
        let (id, now) = (volume.id, now)
        var failed = false
        do throws(DriverError) {
            try await driver.extend(id, to: bytes)
        } catch {
            configuration.onFault("volume \(id) could not be extended: \(error)")
            failed = true
        }
        let didFail = failed
        do throws(VolumeError) {
            try await settle { db in
                if didFail {
                    guard try Transitions.settle(db, id, from: .extending, to: .errorExtending, now: now) else {
                        return
                    }
                    try self.leaveMessage(
                        db, .extensionFailed, project: volume.projectID, requestID: requestID, resourceType: "VOLUME",
                        resourceID: id)
                } else {
                    try Self.endExtension(db, id, size: size, now: now)
                }
            }
        } catch {
            configuration.onFault("volume \(id) was extended, but not recorded: \(error)")
        }
        if !didFail { await exporter.resized(id, to: bytes) }
    }

    /// The new size and the state before, in one statement: neither is ever seen without the other.
    static func endExtension(_ db: Database, _ id: String, size: Int, now: Int64) throws {
        try db.execute(
            sql: """
                UPDATE volumes SET size = ?, status = COALESCE(previous_status, 'available'), previous_status = NULL,
                    target_size = NULL, updated_at = ?
                WHERE id = ? AND status = 'extending'
                """, arguments: [size, now, id])
    }

    /// A compute service's word that its part of an extension is done. No driver here waits for one.
    package func completeExtension(_ id: String, for asker: Asker) async throws(VolumeError) {
        try await read { db in
            let volume = try Lookups.volume(db, id, for: asker)
            throw VolumeError.invalid(
                "Invalid volume: Volume \(id) is \(volume.status.shown); no extension of it waits for a completion.")
        }
    }
}
