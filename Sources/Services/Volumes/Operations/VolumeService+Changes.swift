import GRDB
private import Primitives
import VolumeDrivers

extension VolumeService {
    package func volumes(
        _ query: ListQuery, allProjects: Bool, for asker: Asker
    ) async throws(VolumeError) -> Page<VolumeDetail> {
        let query = own(query, asker, allProjects: allProjects)
        return try await read { [self] db in
            let page = try ListSource.volumes.page(db, query, Volume.init)
            let details = try Lookups.details(db, page.items).map(withProgress)
            return Page(items: details, isFull: page.isFull, count: page.count)
        }
    }

    package func volume(_ id: String, for asker: Asker) async throws(VolumeError) -> VolumeDetail {
        try await read { [self] db in withProgress(try Lookups.detail(db, id, for: asker)) }
    }

    /// Shows how far a volume that is filled from an image is.
    private func withProgress(_ detail: VolumeDetail) -> VolumeDetail {
        guard detail.volume.status == .downloading, let percent = downloads.withLock({ $0[detail.volume.id] }) else {
            return detail
        }
        var detail = detail
        detail.imageMetadata["download_progress"] = "\(percent)%"
        return detail
    }

    /// How many volumes, how large together, and every value that each metadata key has.
    package func summary(
        allProjects: Bool, for asker: Asker
    ) async throws(VolumeError) -> (count: Int, size: Int, metadata: [String: [String]]) {
        let project = asker.isAdmin && allProjects ? nil : asker.projectID
        return try await read { db in
            let condition = project == nil ? "1 = 1" : "project_id = ?"
            let arguments: [(any DatabaseValueConvertible)?] = project.map { [$0] } ?? []
            let count = try Table.count(db, "SELECT COUNT(*) FROM volumes WHERE \(condition)", arguments)
            let size = try Table.count(db, "SELECT SUM(size) FROM volumes WHERE \(condition)", arguments)
            var metadata: [String: [String]] = [:]
            let facts = try Table.all(
                db,
                """
                SELECT DISTINCT name, value FROM volume_facts WHERE kind = 'metadata' AND owner IN (
                    SELECT id FROM volumes WHERE \(condition)) ORDER BY name, value LIMIT \(Limits.pageMax)
                """, arguments
            ) { row in (name: row["name"] as String, value: row["value"] as String) }
            for fact in facts { metadata[fact.name, default: []].append(fact.value) }
            return (count, size, metadata)
        }
    }

    /// - Parameters:
    ///   - name, description: `.some(nil)` clears it.
    ///   - metadata: replaces all of it; nil leaves it.
    package func updateVolume(
        _ id: String, name: String??, description: String??, metadata: [String: String]?, for asker: Asker
    ) async throws(VolumeError) -> VolumeDetail {
        let now = now
        return try await write { db in
            let volume = try Lookups.volume(db, id, for: asker)
            try Table.update(
                db, "volumes",
                ["name": name ?? volume.name, "description": description ?? volume.description, "updated_at": now],
                where: "id = ?", [id])
            if let metadata { try Facts.replace(db, id, .metadata, metadata) }
            return try Lookups.detail(db, id, for: asker)
        }
    }

    // MARK: Metadata of volumes and snapshots.

    package enum MetadataOwner: Sendable, Equatable {
        case volume(String)
        case snapshot(String)
        /// What a volume shows of its image.
        case image(String)

        fileprivate var id: String {
            switch self {
            case .volume(let id), .snapshot(let id), .image(let id): id
            }
        }

        fileprivate var kind: Facts.Kind {
            if case .image = self { return .image }
            return .metadata
        }

        fileprivate func check(_ db: Database, _ asker: Asker) throws {
            switch self {
            case .volume(let id), .image(let id): _ = try Lookups.volume(db, id, for: asker)
            case .snapshot(let id): _ = try Lookups.snapshot(db, id, for: asker)
            }
        }
    }

    package func metadata(_ owner: MetadataOwner, for asker: Asker) async throws(VolumeError) -> [String: String] {
        try await read { db in
            try owner.check(db, asker)
            return try Facts.read(db, owner.id, owner.kind)
        }
    }

    /// Writes the facts, and answers all that there are afterwards.
    ///
    /// - Parameters:
    ///   - replacing: whether others go.
    ///   - accepts: asked with what there is, before anything changes; `.stale` if it answers false.
    package func setMetadata(
        _ owner: MetadataOwner, _ facts: [String: String], replacing: Bool,
        accepts: @escaping @Sendable ([String: String]) -> Bool, for asker: Asker
    ) async throws(VolumeError) -> [String: String] {
        try await write { db in
            try owner.check(db, asker)
            guard accepts(try Facts.read(db, owner.id, owner.kind)) else { throw VolumeError.stale }
            if replacing {
                try Facts.replace(db, owner.id, owner.kind, facts)
            } else {
                try Facts.merge(db, owner.id, owner.kind, facts)
            }
            let all = try Facts.read(db, owner.id, owner.kind)
            guard all.count <= Limits.metadataCountMax else {
                throw VolumeError.invalid("A resource may have at most \(Limits.metadataCountMax) metadata items.")
            }
            return all
        }
    }

    /// `.notFound` if there is none of that name.
    package func removeMetadata(
        _ owner: MetadataOwner, _ name: String, accepts: @escaping @Sendable ([String: String]) -> Bool,
        for asker: Asker
    ) async throws(VolumeError) {
        try await write { db in
            try owner.check(db, asker)
            guard accepts(try Facts.read(db, owner.id, owner.kind)) else { throw VolumeError.stale }
            guard try Facts.remove(db, owner.id, owner.kind, name) else {
                throw VolumeError.notFound(kind: "Metadata item", id: name)
            }
        }
    }

    // MARK: Flags.

    package func setReadOnly(_ id: String, _ isReadOnly: Bool, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            _ = try Lookups.volume(db, id, for: asker)
            guard
                try Table.update(
                    db, "volumes", ["updated_at": now], where: "id = ? AND status = 'available'", [id]) > 0
            else {
                throw VolumeError.invalid(
                    "Invalid volume: Volume \(id) status must be available to update readonly flag.")
            }
            try Facts.merge(db, id, .admin, ["readonly": isReadOnly ? "True" : "False"])
        }
    }

    package func setBootable(_ id: String, _ isBootable: Bool, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await write { db in
            _ = try Lookups.volume(db, id, for: asker)
            try Table.update(db, "volumes", ["bootable": isBootable, "updated_at": now], where: "id = ?", [id])
        }
    }

    // MARK: An administrator's word.

    package struct Reset: Sendable {
        package var status: VolumeStatus?
        package var attachStatus: AttachStatus?
        package var migrationStatus: MigrationStatus?
        package init(status: VolumeStatus?, attachStatus: AttachStatus?, migrationStatus: MigrationStatus?) {
            self.status = status
            self.attachStatus = attachStatus
            self.migrationStatus = migrationStatus
        }
    }

    /// Sets states. `detached` takes the attachments away, their targets first.
    package func resetVolume(_ id: String, _ reset: Reset, for asker: Asker) async throws(VolumeError) {
        let now = now
        try await operations.complete([id]) { () async throws(VolumeError) in
            try await self.read { db in
                _ = try Lookups.volume(db, id, for: asker)
                let attachments = try Lookups.attachments(db, of: [id])
                if reset.status == .inUse || reset.attachStatus == .attached, attachments.isEmpty {
                    throw VolumeError.invalid("Invalid volume: Volume \(id) has no attachments.")
                }
            }
            if reset.attachStatus == .detached { try await self.closeExports(of: id) }
            try await self.settle { db in
                if reset.attachStatus == .detached {
                    for attachment in try Lookups.attachments(db, of: [id]) {
                        try Rows.removeAttachment(db, attachment.id)
                    }
                    _ = try Facts.remove(db, id, .admin, "attached_mode")
                }
                try db.execute(
                    sql: """
                        UPDATE volumes SET status = COALESCE(?, status), attach_status = COALESCE(?, attach_status),
                            migration_status = COALESCE(?, migration_status), updated_at = ?
                        WHERE id = ?
                        """,
                    arguments: [
                        reset.status?.rawValue, reset.attachStatus?.rawValue, reset.migrationStatus?.rawValue, now, id,
                    ])
                if reset.migrationStatus == .some(.none) {
                    try Table.update(db, "volumes", ["migration_status": nil], where: "id = ?", [id])
                }
            }
        }
    }

    // MARK: Another type.

    /// Changes the type: of volumes of one backend nothing but the row.
    /// - Parameter mayMove: whether it may go to another backend that takes the type; all are one store, so nothing is copied.
    package func retype(
        _ id: String, to reference: String, mayMove: Bool = false, for asker: Asker
    ) async throws(VolumeError) {
        let statistics = try await statistics()
        let (now, configuration, traits) = (now, configuration, driver.traits)
        try await write { db in
            let volume = try Lookups.volume(db, id, for: asker)
            let type: VolumeType
            do {
                type = try Lookups.type(db, named: reference, for: asker)
            } catch VolumeError.notFound {
                throw VolumeError.invalid("Invalid input received: Volume type \(reference) could not be found.")
            }
            try Self.checkRetype(db, volume, to: type)
            guard
                try Transitions.volume(db, id, from: [.available, .inUse], to: .retyping, now: now)
            else {
                throw VolumeError.invalid(
                    "Invalid volume: Volume \(id) status must be available or in-use to retype.")
            }
            try Quotas.demand(
                db, project: volume.projectID, [(.volumesOf(type.name), 1), (.gigabytesOf(type.name), volume.size)],
                configuration)
            let others = try Table.count(db, "SELECT SUM(size) FROM volumes WHERE id <> ?", [id])
            let takers = try configuration.backends.filter { backend in
                let placement = Placement(
                    traits: traits, statistics: statistics, provisioned: others, configuration: configuration,
                    backend: backend)
                let isHere = configuration.place(backend) == volume.host
                guard placement.refusal(size: volume.size, specs: type.extraSpecs) == nil else { return false }
                if isHere || !mayMove { return isHere }
                return try !Self.isDisabled(db, configuration.backendHost(backend))
            }
            let stays = takers.contains { configuration.place($0) == volume.host }
            if !stays, let backend = takers.first {
                try Table.update(
                    db, "volumes",
                    [
                        "type_id": type.id, "multiattach": type.isMultiattach, "host": configuration.place(backend),
                        "migration_status": MigrationStatus.success.rawValue,
                    ], where: "id = ?", [id])
            } else if !stays {
                try self.leaveMessage(
                    db, .noBackend, project: volume.projectID, requestID: asker.requestID, resourceType: "VOLUME",
                    resourceID: id)
            } else {
                try Table.update(
                    db, "volumes", ["type_id": type.id, "multiattach": type.isMultiattach], where: "id = ?", [id])
            }
            try Transitions.settle(db, id, from: .retyping, to: nil, now: now)
        }
    }

    private static func checkRetype(_ db: Database, _ volume: Volume, to type: VolumeType) throws {
        guard volume.typeID != type.id else {
            throw VolumeError.invalid("Invalid input received: Retype: the volume is of that type already.")
        }
        guard volume.groupID == nil else {
            throw VolumeError.invalid("Invalid volume: Volume \(volume.id) must not be part of a group.")
        }
        let encryption = try Lookups.encryption(db, typeID: type.id)
        guard volume.encrypted == (encryption != nil) else {
            throw VolumeError.invalid("Invalid input received: Retype between encrypted and plain types needs a copy.")
        }
        guard volume.blockBytes == type.blockBytes else {
            throw VolumeError.invalid("Invalid input received: Retype can't change the size of blocks.")
        }
        guard volume.writeCache == type.writeCache else {
            throw VolumeError.invalid("Invalid input received: Retype can't turn a write cache on or off.")
        }
        if volume.multiattach != type.isMultiattach {
            guard volume.status == .available else {
                throw VolumeError.invalid("Invalid volume: Volume must be available to change its multiattach.")
            }
            guard !(type.isMultiattach && volume.encrypted) else {
                throw VolumeError.invalid("Multiattach cannot be used with encrypted volumes.")
            }
        }
        guard volume.status == .inUse else { return }
        let old = try volume.typeID.flatMap { try Lookups.type(db, id: $0)?.qosID }
        guard old != type.qosID else { return }
        for id in [old, type.qosID].compactMap({ $0 }) {
            if let policy = try Lookups.policy(db, id), policy.consumer != "back-end" {
                throw VolumeError.invalid("Retype cannot change front-end qos specs for in-use volume: \(volume.id).")
            }
        }
    }
}
