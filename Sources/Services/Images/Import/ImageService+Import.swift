import GRDB
import Primitives
import Records

/// Imports: the request checks and is answered; the bytes come behind it.
extension ImageService {
    private static let taskProperty = "os_glance_import_task"
    private static let pendingProperty = "os_glance_importing_to_stores"
    private static let failedProperty = "os_glance_failed_import"
    /// What an image takes over of another, beside its formats and bytes.
    private static let inheritedPrefixes = ["hw_", "os_distro", "os_secure_boot", "trait:"]

    /// Begins the import; answers the task's id.
    package func beginImport(
        _ request: ImportRequest, of id: String, for asker: ImageAsker
    ) async throws(ImageError) -> String {
        try check(request)
        let now = now
        let taskID = newID()
        let stores = try stores(request)
        let image = try await write { db in
            var image = try Self.importable(db, id, request, for: asker)
            let has = try String.fetchAll(
                db, sql: "SELECT store FROM image_stores WHERE image_id = ?", arguments: [id])
            let wanted = request.source == .copy ? stores.filter { !has.contains($0) } : stores
            if request.source == .copy, request.stores != nil, wanted.count < stores.count {
                throw ImageError.conflict("Image is already present at one of the stores.")
            }
            if let other = try ImageRows.property(db, id, Self.taskProperty) {
                throw ImageError.conflict("Image has the import task \(other) already.")
            }
            if request.source != .copy {
                image.status = .importing
                image.updatedAt = now
                try ImageRows.update(db, image)
            }
            try ImageRows.setProperty(db, id, Self.taskProperty, taskID)
            try ImageRows.setProperty(db, id, Self.pendingProperty, wanted.joined(separator: ","))
            try ImageRows.setProperty(db, id, Self.failedProperty, "")
            try Self.insert(
                db,
                ImageTask(
                    id: taskID, type: "api_image_import", status: .pending, owner: asker.projectID, imageID: id,
                    userID: asker.userID, requestID: asker.requestID, input: request.input, result: nil, message: "",
                    createdAt: now, updatedAt: now, expiresAt: nil))
            return image
        }
        let began = work.begin { [self] in
            await carryOut(request, image, stores: stores, taskID: taskID, for: asker)
        }
        guard began else {
            await fail(image, request, taskID: taskID, ImageError.busy)
            throw .busy
        }
        return taskID
    }

    private func check(_ request: ImportRequest) throws(ImageError) {
        guard configuration.importMethods.contains(request.source.method) else {
            throw .invalid("Requested import method '\(request.source.method)' is disabled.")
        }
        switch request.source {
        case .web(let address): try web.check(address)
        case .other(let image, _, _):
            guard RandomUUID.isWellFormed(image) else {
                throw .invalid("image id does not look like a UUID")
            }
        case .staged, .copy: break
        }
    }

    private func stores(_ request: ImportRequest) throws(ImageError) -> [String] {
        if request.allStores { return configuration.stores }
        guard let named = request.stores else { return [configuration.stores[0]] }
        for name in named where !configuration.stores.contains(name) {
            throw .conflict("There is no store \(name).")
        }
        return named
    }

    private static func importable(
        _ db: Database, _ id: String, _ request: ImportRequest, for asker: ImageAsker
    ) throws -> Image {
        let image =
            request.source == .copy ? try visible(db, id, for: asker) : try owned(db, id, for: asker, "modify_image")
        if request.source == .copy, !asker.isAdmin {
            throw ImageError.denied("copy_image")
        }
        let needed: ImageStatus =
            switch request.source {
            case .staged: .uploading
            case .web, .other: .queued
            case .copy: .active
            }
        guard image.status == needed else {
            throw ImageError.conflict(
                "Image needs to be in '\(needed.rawValue)' state to use '\(request.source.method)' import")
        }
        guard image.diskFormat != nil, image.containerFormat != nil else {
            throw ImageError.conflict("'disk_format' and 'container_format' need to be set before import")
        }
        return image
    }

    // MARK: Behind the request

    private func carryOut(
        _ request: ImportRequest, _ image: Image, stores: [String], taskID: String, for asker: ImageAsker
    ) async {
        do throws(ImageError) {
            try await records.settle { [self] db in try move(db, task: taskID, to: .processing, message: "") }
            switch request.source {
            case .staged: try await adoptStaged(image, stores: stores, taskID)
            case .web(let address): try await download(address, image, stores: stores, taskID)
            case .copy: try await copy(image, to: stores, taskID)
            case .other(let source, let region, let interface):
                try await adopt(source, region, interface, image, stores: stores, taskID, for: asker)
            }
        } catch {
            await fail(image, request, taskID: taskID, error)
        }
        await emptyTrash()
    }

    /// In the transaction in which the image has its bytes: a crash finds both done or neither.
    private func complete(_ db: Database, _ image: Image, _ taskID: String) throws {
        try ImageRows.update(db, image)
        try ImageRows.removeProperty(db, image.id, Self.taskProperty)
        try ImageRows.setProperty(db, image.id, Self.pendingProperty, "")
        try move(db, task: taskID, to: .success, message: "Copied \(image.size ?? 0) bytes")
    }

    private func fail(_ image: Image, _ request: ImportRequest, taskID: String, _ error: ImageError) async {
        await quietly { [self] () async throws(ImageError) in
            try await records.settle { [self] db in
                if let found = try ImageRows.find(db, image.id) {
                    if request.source != .copy, found.status == .importing { try Self.requeue(db, found) }
                    try ImageRows.removeProperty(db, image.id, Self.taskProperty)
                    let pending = try ImageRows.property(db, image.id, Self.pendingProperty) ?? ""
                    try ImageRows.setProperty(db, image.id, Self.failedProperty, pending)
                    try ImageRows.setProperty(db, image.id, Self.pendingProperty, "")
                }
                try move(db, task: taskID, to: .failure, message: error.description)
            }
        }
        await emptyTrash()
    }

    /// The staged bytes were hashed and looked at when they came: they only change hands.
    private func adoptStaged(_ image: Image, stores: [String], _ taskID: String) async throws(ImageError) {
        let now = now
        try await records.settle { [self] db in
            var found = try Self.stillImporting(db, image)
            guard
                let staged = try Row.fetchOne(
                    db, sql: "SELECT * FROM image_staged WHERE image_id = ?", arguments: [image.id]),
                let key = found.stagedKey
            else { throw ImageError.conflict("There are no staged bytes.") }
            if let refusal = staged["refusal"] as String? { throw ImageError.unsupported(refusal) }
            found.dataKey = key
            found.stagedKey = nil
            found.size = staged["size"]
            found.checksum = staged["checksum"]
            found.hashAlgorithm = "sha512"
            found.hashValue = staged["hash_value"]
            found.virtualSize = staged["virtual_size"]
            found.status = .active
            found.updatedAt = now
            try complete(db, found, taskID)
            try ImageRows.setStores(db, image.id, stores)
            try db.execute(sql: "DELETE FROM image_staged WHERE image_id = ?", arguments: [image.id])
        }
    }

    private static func stillImporting(_ db: Database, _ image: Image) throws -> Image {
        guard let found = try ImageRows.find(db, image.id), found.status == .importing else {
            throw ImageError.gone("The image was deleted meanwhile.")
        }
        return found
    }

    private func download(
        _ address: String, _ image: Image, stores: [String], _ taskID: String
    ) async throws(ImageError) {
        let key = "\(image.id)/\(newID())"
        hold(key)
        defer { release(key) }
        let bytesMax = try await records.settle { [configuration] db in
            var found = try Self.stillImporting(db, image)
            found.dataKey = key
            try ImageRows.update(db, found)
            return try Self.bytesLeft(db, found, configuration)
        }
        let writer = try await onDataThread { [store] () throws(ImageError) in try store.begin(key, byteCount: nil) }
        let intake = ImageIntake(writer: writer, inspector: inspector(for: image), threads: dataThreads)
        do throws(ImageError) {
            try await web.fetch(address, into: WebIntake(intake: intake, bytesMax: bytesMax))
            let taken = try await intake.finish()
            let findings = intake.inspected()
            if let refusal = findings.refusal { throw refusal }
            let now = now
            try await records.settle { [self] db in
                var found = try Self.stillImporting(db, image)
                guard taken.byteCount <= (try Self.bytesLeft(db, found, configuration)) else {
                    throw ImageError.tooLarge("The project's images may have no more bytes.")
                }
                found.size = taken.byteCount
                found.checksum = taken.checksum
                found.hashAlgorithm = "sha512"
                found.hashValue = taken.hash
                found.virtualSize = findings.virtualSize
                found.status = .active
                found.updatedAt = now
                try complete(db, found, taskID)
                try ImageRows.setStores(db, image.id, stores)
            }
        } catch {
            await intake.abandon()
            throw error
        }
    }

    /// One log keeps all stores of a daemon: a further store is a further name for the same bytes.
    private func copy(_ image: Image, to stores: [String], _ taskID: String) async throws(ImageError) {
        let now = now
        try await records.settle { [self] db in
            guard var found = try ImageRows.find(db, image.id), found.status == .active else {
                throw ImageError.gone("The image was deleted meanwhile.")
            }
            let has = try String.fetchAll(
                db, sql: "SELECT store FROM image_stores WHERE image_id = ?", arguments: [image.id])
            try ImageRows.setStores(db, image.id, has + stores)
            found.updatedAt = now
            try complete(db, found, taskID)
        }
    }

    /// The bytes of an image of this daemon, in O(1): both have the same.
    private func adopt(
        _ source: String, _ region: String, _ interface: String, _ image: Image, stores: [String],
        _ taskID: String, for asker: ImageAsker
    ) async throws(ImageError) {
        guard region == configuration.region, ["public", "internal", "admin"].contains(interface) else {
            throw .invalid("No image service of region '\(region)' and interface '\(interface)' is known here.")
        }
        let now = now
        try await records.settle { [self] db in
            var found = try Self.stillImporting(db, image)
            let other = try Self.visible(db, source, for: asker)
            guard other.status == .active, let key = other.dataKey else {
                throw ImageError.conflict("The image \(source) is not active.")
            }
            guard (other.size ?? 0) <= (try Self.bytesLeft(db, found, configuration)) else {
                throw ImageError.tooLarge("The project's images may have no more bytes.")
            }
            found.dataKey = key
            found.size = other.size
            found.virtualSize = other.virtualSize
            found.checksum = other.checksum
            found.hashAlgorithm = other.hashAlgorithm
            found.hashValue = other.hashValue
            found.diskFormat = other.diskFormat
            found.containerFormat = other.containerFormat
            found.status = .active
            found.updatedAt = now
            try complete(db, found, taskID)
            try ImageRows.setStores(db, image.id, stores)
            for row in try Row.fetchAll(
                db, sql: "SELECT name, value FROM image_properties WHERE image_id = ?", arguments: [source])
            {
                let name: String = row["name"]
                guard Self.inheritedPrefixes.contains(where: { name.hasPrefix($0) }) else { continue }
                try ImageRows.setProperty(db, image.id, name, row["value"])
            }
        }
    }

    /// Takes the bytes of one store away; the last store keeps them.
    package func removeFromStore(_ store: String, _ id: String, for asker: ImageAsker) async throws(ImageError) {
        let now = now
        let known = configuration.stores.contains(store)
        try await write { db in
            guard asker.isAdmin else {
                throw ImageError.denied("delete_image_location")
            }
            var image = try Self.visible(db, id, for: asker)
            guard known else { throw ImageError.notFound("Image \(id) is not stored on store \(store).") }
            guard image.status == .active else { throw ImageError.conflict("Image \(id) is not active.") }
            let has = try String.fetchAll(
                db, sql: "SELECT store FROM image_stores WHERE image_id = ?", arguments: [id])
            guard has.contains(store) else {
                throw ImageError.notFound("Image \(id) is not stored on store \(store).")
            }
            guard has.count > 1 else {
                throw ImageError.forbidden("Cannot delete image data from the only store containing it.")
            }
            try ImageRows.setStores(db, id, has.filter { $0 != store })
            image.updatedAt = now
            try ImageRows.update(db, image)
        }
    }
}
