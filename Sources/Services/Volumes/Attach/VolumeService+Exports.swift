import GRDB
import Primitives
import VolumeDrivers

/// Which host is to reach a volume, and how; from what it says of itself.
struct HostClaim: Sendable {
    var initiator: String
    var host: String?
    var multipath: Bool
    var enforcesMultipath: Bool
    var isReadOnly: Bool

    /// `.invalid` if the connector lacks what iSCSI needs.
    init(_ connector: [String: String], isReadOnly: Bool) throws(VolumeError) {
        guard let initiator = connector["initiator"], !initiator.isEmpty else {
            throw .invalid("Invalid input received: Connector doesn't have required information: initiator")
        }
        self.initiator = initiator
        host = connector["host"]
        multipath = Placement.isTrue(connector["multipath"] ?? "")
        enforcesMultipath = Placement.isTrue(connector["enforce_multipath"] ?? "")
        self.isReadOnly = isReadOnly
    }
}

extension VolumeService {
    /// Opens the volume for a host: the row with its fresh credentials first, so that what is open is always known.
    ///
    /// - Parameter id: of the attachment, or of this connection alone.
    func openExport(
        _ id: String, volumeID: String, attachmentID: String?, _ claim: HostClaim
    ) async throws(VolumeError) -> Connection {
        let target = configuration.targetPrefix + newID()
        let chapName = hexText(configuration.randomBytes(10))
        let secret = hexText(configuration.randomBytes(16))
        let row = try await settle { db in
            if let row = try Lookups.export(db, id) { return row }
            try Table.insert(
                db, "volume_exports",
                [
                    "id": id, "volume_id": volumeID, "attachment_id": attachmentID, "initiator": claim.initiator,
                    "host": claim.host, "target": target, "chap_name": chapName, "chap_secret": secret,
                    "read_only": claim.isReadOnly, "multipath": claim.multipath,
                    "enforces_multipath": claim.enforcesMultipath, "portals": nil,
                ])
            guard let row = try Lookups.export(db, id) else { throw VolumeError.notFound(kind: "Export", id: id) }
            return row
        }
        do throws(DriverError) {
            let portals = try await exporter.export(row.export)
            return try await record(id, portals: portals.map(\.text))
        } catch {
            try await settle { db in try Table.delete(db, "volume_exports", where: "id = ?", [id]) }
            throw .backend(error.description)
        }
    }

    private func record(_ id: String, portals: [String]) async throws(DriverError) -> Connection {
        let discards = driver.traits.discards
        do throws(VolumeError) {
            return try await settle { db in
                try Table.update(
                    db, "volume_exports", ["portals": portals.joined(separator: ",")], where: "id = ?", [id])
                guard let row = try Lookups.export(db, id),
                    let connection = try Self.connection(db, row, discards: discards)
                else { throw VolumeError.notFound(kind: "Export", id: id) }
                return connection
            }
        } catch {
            throw .failed(error.description)
        }
    }

    /// nil if the volume is gone.
    static func connection(_ db: Database, _ row: ExportRow, discards: Bool) throws -> Connection? {
        guard let volume = try Lookups.volume(db, row.export.volumeID), !row.portals.isEmpty else { return nil }
        return Connection(
            volumeID: volume.id, attachmentID: row.attachmentID, portals: row.portals, target: row.export.target,
            unit: 0, chapName: row.export.chapName, chapSecret: row.export.chapSecret,
            accessMode: row.export.isReadOnly ? "ro" : "rw", encrypted: volume.encrypted, discards: discards,
            blockBytes: volume.blockBytes, qos: try hostPolicy(db, volume), multipath: row.multipath,
            enforcesMultipath: row.enforcesMultipath)
    }

    /// What the host is to enforce of the type's policy, with shares of the volume's size worked out.
    private static func hostPolicy(_ db: Database, _ volume: Volume) throws -> [String: String]? {
        guard let typeID = volume.typeID, let id = try Lookups.type(db, id: typeID)?.qosID,
            let policy = try Lookups.policy(db, id), policy.consumer != "back-end", !policy.specs.isEmpty
        else { return nil }
        var specs: [String: String] = [:]
        for (key, value) in policy.specs {
            guard key.hasSuffix("_per_gb"), let share = Int(value) else {
                if !key.hasSuffix("_per_gb_min") { specs[key] = value }
                continue
            }
            let least = policy.specs[key + "_min"].flatMap { Int($0) } ?? 0
            let product = share.multipliedReportingOverflow(by: volume.size)
            specs[String(key.dropLast("_per_gb".count))] = String(
                max(product.overflow ? .max : product.partialValue, least))
        }
        return specs
    }

    /// Ends one target's sessions, then forgets it with its secret.
    func closeExport(_ id: String) async throws(VolumeError) {
        do throws(DriverError) {
            try await exporter.unexport(id)
        } catch {
            throw .backend(error.description)
        }
        try await settle { db in try Table.delete(db, "volume_exports", where: "id = ?", [id]) }
    }

    /// All targets of a volume.
    func closeExports(of volumeID: String) async throws(VolumeError) {
        let open = try await settle { db in try Lookups.exports(db, of: volumeID).map(\.export.id) }
        for id in open { try await closeExport(id) }
    }

    /// Opens every recorded target again, after a restart; answers how many. One that can't be opened stays recorded,
    /// for the next start.
    func reopenExports() async throws(VolumeError) -> Int {
        let rows = try await read { db in try Table.all(db, "SELECT * FROM volume_exports", [], ExportRow.init) }
        var opened = 0
        for row in rows {
            do throws(DriverError) {
                let portals = try await exporter.export(row.export)
                let text = portals.map(\.text).joined(separator: ",")
                try await keep(portals: text, of: row.export.id)
                opened += 1
            } catch {
                configuration.onFault("the target of export \(row.export.id) could not be opened again: \(error)")
            }
        }
        return opened
    }

    private func keep(portals: String, of id: String) async throws(DriverError) {
        do throws(VolumeError) {
            try await settle { db in
                try Table.update(db, "volume_exports", ["portals": portals], where: "id = ?", [id])
            }
        } catch {
            throw .failed(error.description)
        }
    }
}
