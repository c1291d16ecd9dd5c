import GRDB
private import Primitives
import VolumeDrivers

/// A volume as a client asks for it.
package struct VolumeRequest: Sendable {
    package var name: String?
    package var description: String?
    /// GiB; nil takes the source's.
    package var size: Int?
    /// An id or a name.
    package var type: String?
    package var metadata: [String: String] = [:]
    package var zone: String?
    package var snapshotID: String?
    package var sourceVolumeID: String?
    package var image: String?
    package var backupID: String?
    package var groupID: String?
    /// Volumes on whose backend it is to be, and not to be.
    package var nearVolumes: [String] = []
    package var farVolumes: [String] = []

    package init() {}
}

/// How a new volume comes by its bytes.
enum VolumeOrigin: Sendable {
    case blank
    case clone(CloneSource)
    case image(SourceImage)
    case backup(Backup)
}

extension VolumeService {
    /// Answers with the volume while it is `creating`; it becomes `available`, or `error` with a message.
    package func createVolume(_ request: VolumeRequest, for asker: Asker) async throws(VolumeError) -> VolumeDetail {
        let image = try await image(for: request, asker)
        let id = newID()
        let begun = try await operations.begin([id]) { () async throws(VolumeError) in
            try await write { db in try self.insertVolume(db, id: id, request, image, asker) }
        } work: { begun in
            await self.make(begun.volume, begun.origin, far: request.farVolumes, requestID: asker.requestID)
        }
        return try await volume(begun.volume.id, in: begun)
    }

    /// What was inserted, even if it is done or gone by now.
    private func volume(
        _ id: String, in begun: (volume: Volume, origin: VolumeOrigin, typeName: String, metadata: [String: String])
    ) async throws(VolumeError) -> VolumeDetail {
        VolumeDetail(
            volume: begun.volume, typeName: begun.typeName, metadata: begun.metadata, imageMetadata: [:],
            adminMetadata: [:], attachments: [])
    }

    private func image(for request: VolumeRequest, _ asker: Asker) async throws(VolumeError) -> SourceImage? {
        guard let reference = request.image else { return nil }
        guard let image = try await images.image(reference, for: asker) else {
            throw .invalid("Invalid image identifier or unable to access requested image.")
        }
        guard image.isActive else { throw .invalid("Image \(image.id) is not active.") }
        return image
    }

    func insertVolume(
        _ db: Database, id: String, _ request: VolumeRequest, _ image: SourceImage?, _ asker: Asker
    ) throws -> (volume: Volume, origin: VolumeOrigin, typeName: String, metadata: [String: String]) {
        let source = try source(db, request, image, asker)
        let type = try type(db, request, source, asker)
        guard let size = request.size ?? source?.size else {
            throw VolumeError.invalid("Invalid input received: Volume size must be specified as an option.")
        }
        guard (1...Limits.sizeMax).contains(size) else {
            throw VolumeError.invalid(
                "Invalid input received: Volume size '\(size)' must be an integer and greater than 0")
        }
        if let source, size < source.size {
            throw VolumeError.invalid(
                "Invalid input received: Volume size '\(size)'GB cannot be smaller than \(source.what) size "
                    + "\(source.size)GB. They must be >= original \(source.what) size.")
        }
        let zone = request.zone ?? source?.zone ?? configuration.zone
        guard zone == configuration.zone else {
            throw VolumeError.invalid("Invalid input received: Availability zone '\(zone)' is invalid.")
        }
        let encryption = try Lookups.encryption(db, typeID: type.id)
        if let encrypted = source?.encrypted, encrypted != (encryption != nil) {
            throw VolumeError.invalid("Invalid input received: the source and the new volume differ in encryption.")
        }
        if let bytes = source?.blockBytes, bytes != type.blockBytes {
            throw VolumeError.invalid("Invalid input received: the source has blocks of \(bytes) bytes.")
        }
        if type.isMultiattach, encryption != nil {
            throw VolumeError.invalid("Multiattach cannot be used with encrypted volumes.")
        }
        let group = try request.groupID.map { try checkGroup(db, $0, type: type, asker) }
        try Quotas.checkSize(db, project: asker.projectID, size: size, configuration)
        try Quotas.demand(
            db, project: asker.projectID,
            [
                (.volumes, 1), (.gigabytes, size), (.volumesOf(type.name), 1), (.gigabytesOf(type.name), size),
            ], configuration)
        var volume = Volume(
            id: id, projectID: asker.projectID, userID: asker.userID, name: request.name,
            description: request.description, size: size, status: .creating, attachStatus: .detached, typeID: type.id,
            zone: zone, bootable: source?.bootable ?? false, multiattach: type.isMultiattach,
            encrypted: encryption != nil,
            consumesQuota: true, blockBytes: type.blockBytes, writeCache: type.writeCache, createdAt: now)
        volume.snapshotID = request.snapshotID
        volume.sourceVolumeID = request.sourceVolumeID
        volume.groupID = group?.id
        // The key id that goes with a key manager of one fixed key, which is the only kind that needs no service.
        if encryption != nil { volume.encryptionKeyID = "00000000-0000-0000-0000-000000000000" }
        try Rows.insert(db, volume)
        try Facts.merge(db, id, .metadata, request.metadata)
        if let backup = request.backupID {
            try Table.insert(db, "volume_restores", ["volume_id": id, "backup_id": backup])
        }
        if let properties = source?.imageProperties { try Facts.merge(db, id, .image, properties) }
        return (volume, source?.origin ?? .blank, type.name, request.metadata)
    }

    private struct Source {
        var what: String
        var size: Int
        var zone: String?
        var typeID: String?
        var encrypted: Bool?
        var blockBytes: Int?
        var bootable: Bool
        var imageProperties: [String: String]
        var origin: VolumeOrigin
    }

    private func source(
        _ db: Database, _ request: VolumeRequest, _ image: SourceImage?, _ asker: Asker
    ) throws -> Source? {
        let given = [request.snapshotID, request.sourceVolumeID, request.image, request.backupID].compactMap { $0 }
        guard given.count <= 1 else {
            throw VolumeError.invalid(
                "Invalid input received: May specify only one of snapshot, imageRef, source volume or backup")
        }
        if let id = request.snapshotID {
            let snapshot = try Lookups.snapshot(db, id, for: asker)
            guard snapshot.status == .available || snapshot.status == .backingUp else {
                throw VolumeError.invalid(
                    "Invalid snapshot: Originating snapshot status must be one of available, backing-up values")
            }
            guard let volume = try Lookups.volume(db, snapshot.volumeID) else {
                throw VolumeError.notFound(kind: "Volume", id: snapshot.volumeID)
            }
            return try source(
                db, "snapshot", volume, size: snapshot.size, .clone(.snapshot(id, of: snapshot.volumeID)))
        }
        if let id = request.sourceVolumeID {
            let volume = try Lookups.volume(db, id, for: asker)
            let readable: [VolumeStatus] = [
                .available, .inUse, .reserved, .attaching, .detaching, .retyping, .extending, .uploading, .backingUp,
                .awaitingTransfer, .maintenance,
            ]
            guard readable.contains(volume.status) else {
                throw VolumeError.invalid(
                    "Invalid volume: Source volume status is \(volume.status.shown); it cannot be cloned.")
            }
            return try source(db, "source-volume", volume, size: volume.size, .clone(.volume(id)))
        }
        if let id = request.backupID { return try source(db, backup: id, asker) }
        guard let image else { return nil }
        return Source(
            what: "image", size: image.size, bootable: true, imageProperties: image.properties, origin: .image(image))
    }

    private func source(
        _ db: Database, _ what: String, _ volume: Volume, size: Int, _ origin: VolumeOrigin
    ) throws -> Source {
        Source(
            what: what, size: size, zone: volume.zone, typeID: volume.typeID, encrypted: volume.encrypted,
            blockBytes: volume.blockBytes, bootable: volume.bootable,
            imageProperties: try Facts.read(db, volume.id, .image), origin: origin)
    }

    /// A volume that its hosts encrypt is of no use under a type that says nothing of it, nor one with larger blocks under
    /// a type with smaller ones; any other takes the default.
    private func source(_ db: Database, backup id: String, _ asker: Asker) throws -> Source {
        let backup = try BackupRows.find(db, id, for: asker)
        guard backup.status == .available || backup.status == .restoring else {
            throw VolumeError.invalid("Invalid backup: Backup status must be available")
        }
        let original = try Lookups.volume(db, backup.volumeID)
        let isPlain = backup.encryptionKeyID == nil && original?.blockBytes ?? 512 == 512
        return Source(
            what: "backup", size: backup.size, typeID: isPlain ? nil : original?.typeID, bootable: false,
            imageProperties: [:],
            origin: .backup(backup))
    }

    /// The type named, else the source's, else the project's default, else the configured one.
    private func type(_ db: Database, _ request: VolumeRequest, _ source: Source?, _ asker: Asker) throws -> VolumeType
    {
        if let named = request.type { return try Lookups.type(db, named: named, for: asker) }
        // An image may say what it is best kept on.
        if case .image? = source?.origin, let named = source?.imageProperties["cinder_img_volume_type"] {
            return try Lookups.type(db, named: named, for: asker)
        }
        if let id = source?.typeID, let type = try Lookups.type(db, id: id) { return type }
        return try defaultType(db, project: asker.projectID)
    }

    private func checkGroup(_ db: Database, _ id: String, type: VolumeType, _ asker: Asker) throws -> VolumeGroup {
        let group = try Lookups.group(db, id, for: asker)
        guard group.status == .available else {
            throw VolumeError.invalid("Invalid group: Group \(id) status must be available.")
        }
        guard group.volumeTypeIDs.contains(type.id) else {
            throw VolumeError.invalid(
                "Invalid input received: Invalid volume_type provided: \(type.id) (requested type must be supported by "
                    + "this group).")
        }
        guard try Lookups.volumes(db, inGroup: id).count < Limits.groupVolumesMax else {
            throw VolumeError.invalid("Invalid group: Group \(id) has no room for another volume.")
        }
        return group
    }

    // MARK: Behind the answer.

    func make(_ volume: Volume, _ origin: VolumeOrigin, far: [String], requestID: String?) async {
        let place: String
        do throws(VolumeError) {
            switch try await findPlace(volume, far: far) {
            case .place(let found): place = found
            case .refused(let reason):
                configuration.onFault("volume \(volume.id) has no place: \(reason)")
                return try await abandon(volume, .noBackend, requestID)
            }
        } catch {
            return await fail(volume, .noBackend, requestID, error.description)
        }
        if case .backup(let backup) = origin {
            return await makeFromBackup(volume, backup, requestID: requestID)
        }
        let new = NewVolume(
            id: volume.id, bytes: volume.bytes, blockBytes: volume.blockBytes, writeCache: volume.writeCache)
        var event = MessageEvent.creationFailed
        do throws(DriverError) {
            switch origin {
            case .blank, .backup: try await driver.create(new)
            case .clone(let source): try await driver.clone(new, from: source)
            case .image(let image):
                event = .imageFailed
                try await fill(new, from: image)
            }
        } catch {
            return await fail(volume, event, requestID, error.description)
        }
        let now = now
        do throws(VolumeError) {
            let isWanted = try await settle { db in
                // One that is downloading may be reserved by now: it stays so.
                try Table.update(db, "volumes", ["host": place, "updated_at": now], where: "id = ?", [volume.id])
                try Table.update(
                    db, "volumes", ["status": "available", "previous_status": nil],
                    where: "id = ? AND status IN ('creating', 'downloading')", [volume.id])
                let status = try Lookups.volume(db, volume.id)?.status
                return status != nil && status != .deleting
            }
            // An administrator's word deleted it before its bytes were there: they must not outlive their row.
            if !isWanted { await carryOutDeletion(volume.id, leavingBytes: false, requestID: requestID) }
        } catch {
            // The row stays `creating`: the sweeper ends it.
            configuration.onFault("volume \(volume.id) was made, but not recorded: \(error)")
        }
    }

    private func fill(_ volume: NewVolume, from image: SourceImage) async throws(DriverError) {
        guard try await images.downloads(image) else {
            return try await images.fill(volume, from: image, progress: { _ in })
        }
        let now = now
        do throws(VolumeError) {
            try await settle { db in
                try Transitions.settle(db, volume.id, from: .creating, to: .downloading, now: now)
            }
        } catch {
            throw .failed(error.description)
        }
        downloads.withLock { $0[volume.id] = 0 }
        defer { downloads.withLock { $0[volume.id] = nil } }
        try await images.fill(volume, from: image) { [self] percent in
            downloads.withLock { if $0[volume.id] != nil { $0[volume.id] = percent } }
        }
    }

    /// Where a volume goes.
    enum Finding: Sendable {
        case place(String)
        /// Why no backend takes it.
        case refused(String)
    }

    /// The first backend that takes the volume.
    /// - Parameter far: volumes that must be on other backends.
    func findPlace(_ volume: Volume, far: [String]) async throws(VolumeError) -> Finding {
        let statistics = try await statistics()
        let (traits, configuration) = (driver.traits, configuration)
        return try await settle { db in
            guard traits.blockSizes.contains(volume.blockBytes) else {
                return .refused("no backend has blocks of \(volume.blockBytes) bytes")
            }
            let specs = try volume.typeID.map { try Facts.read(db, $0, .spec) } ?? [:]
            let provisioned = try Table.count(db, "SELECT SUM(size) FROM volumes WHERE id <> ?", [volume.id])
            let avoided = try far.compactMap { try Lookups.volume(db, $0)?.host }
            var reason = "there is no backend"
            for backend in configuration.backends {
                let place = configuration.place(backend)
                if try Self.isDisabled(db, configuration.backendHost(backend)) {
                    reason = "\(backend) is disabled"
                } else if avoided.contains(place) {
                    reason = "\(backend) holds what the volume must be far from"
                } else if let refusal = Placement(
                    traits: traits, statistics: statistics, provisioned: provisioned, configuration: configuration,
                    backend: backend
                ).refusal(size: volume.size, specs: specs) {
                    reason = refusal
                } else {
                    return .place(place)
                }
            }
            return .refused(reason)
        }
    }

    /// The place of a volume that is on the backends already, by its type alone.
    static func place(
        _ db: Database, ofType typeID: String?, _ configuration: VolumeConfiguration
    ) throws -> String {
        let specs = try typeID.map { try Facts.read(db, $0, .spec) } ?? [:]
        let wanted = specs["volume_backend_name"] ?? specs["capabilities:volume_backend_name"]
        let backend = wanted.flatMap { wanted in
            configuration.backends.first { Placement.satisfies($0, wanted) }
        }
        return configuration.place(backend ?? configuration.backend)
    }

    func statistics() async throws(VolumeError) -> DriverStatistics {
        do throws(DriverError) {
            return try await driver.statistics()
        } catch {
            throw .backend(error.description)
        }
    }

    private func fail(_ volume: Volume, _ event: MessageEvent, _ requestID: String?, _ why: String) async {
        configuration.onFault("volume \(volume.id) could not be made: \(why)")
        do throws(VolumeError) {
            try await abandon(volume, event, requestID)
        } catch {
            configuration.onFault("volume \(volume.id) stays \(volume.status.rawValue): \(error)")
        }
    }

    private func abandon(_ volume: Volume, _ event: MessageEvent, _ requestID: String?) async throws(VolumeError) {
        let now = now
        try await settle { db in
            let ended = try [VolumeStatus.creating, .downloading, .reserved].contains { state in
                try Transitions.settle(db, volume.id, from: state, to: .error, now: now)
            }
            guard ended else { return }
            try self.leaveMessage(
                db, event, project: volume.projectID, requestID: requestID, resourceType: "VOLUME",
                resourceID: volume.id)
        }
    }
}
