import GRDB
import Primitives
import Records

/// One image's bytes on their way from a client. Ends with `finish` or `abandon`, exactly one of them.
package final class ImageUpload: Sendable {
    /// What the bytes are for.
    enum Purpose: Sendable {
        /// The image is `active` afterwards.
        case data(stores: [String])
        /// They wait for their import.
        case staging
    }

    private let service: ImageService
    private let imageID: String
    private let key: String
    private let purpose: Purpose
    private let expected: Int64?
    private let bytesMax: Int64
    private let intake: ImageIntake

    init(
        _ service: ImageService, _ image: Image, key: String, purpose: Purpose, expected: Int64?, bytesMax: Int64,
        intake: ImageIntake
    ) {
        self.service = service
        imageID = image.id
        self.key = key
        self.purpose = purpose
        self.expected = expected
        self.bytesMax = bytesMax
        self.intake = intake
    }

    /// Waits until there is room for at least one byte; throws what was refused.
    package func makeRoom() async throws(ImageError) {
        guard intake.byteCount <= bytesMax else {
            throw .tooLarge("The image is larger than it may be: \(bytesMax) bytes.")
        }
        try await intake.makeRoom()
    }

    /// Copies as many of the bytes as there is room for; after `makeRoom`.
    package func take(_ bytes: UnsafeRawBufferPointer) -> Int { unsafe intake.take(bytes) }

    /// All bytes are here. When it returns, they are durable and the image says so; when it throws, all is as before the
    /// upload.
    package func finish() async throws(ImageError) {
        do throws(ImageError) {
            if intake.byteCount > bytesMax {
                throw .tooLarge("The image is larger than it may be: \(bytesMax) bytes.")
            }
            if let expected, expected != intake.byteCount {
                throw .invalid("\(expected) bytes were announced, and \(intake.byteCount) came.")
            }
            let taken = try await intake.finish()
            let findings = intake.inspected()
            if let refusal = findings.refusal, case .data = purpose { throw refusal }
            try await service.uploaded(imageID, key, taken, findings, purpose)
            service.release(key)
            service.uploads.withLock { $0 -= 1 }
        } catch {
            await abandon()
            throw error
        }
    }

    /// The image is as it was before, without bytes.
    package func abandon() async {
        await intake.abandon()
        service.release(key)
        await service.uploadFailed(imageID, key)
        service.uploads.withLock { $0 -= 1 }
    }
}

extension ImageService {
    /// - Parameters:
    ///   - expected: bytes that were announced, if any were.
    ///   - store: nil: the default one.
    package func beginUpload(
        _ id: String, store name: String?, expected: Int64?, for asker: ImageAsker
    ) async throws(ImageError) -> ImageUpload {
        if let name, !configuration.stores.contains(name) { throw .invalid("There is no store \(name).") }
        return try await begin(
            id, .saving, .data(stores: [name ?? configuration.stores[0]]), expected, "upload_image", for: asker)
    }

    package func beginStaging(
        _ id: String, expected: Int64?, for asker: ImageAsker
    ) async throws(ImageError) -> ImageUpload {
        guard configuration.importMethods.contains("glance-direct") else {
            throw .notFound("Images are not imported in this way here.")
        }
        return try await begin(id, .uploading, .staging, expected, "modify_image", for: asker)
    }

    private func begin(
        _ id: String, _ status: ImageStatus, _ purpose: ImageUpload.Purpose, _ expected: Int64?, _ rule: String,
        for asker: ImageAsker
    ) async throws(ImageError) -> ImageUpload {
        let now = now
        let key = "\(id)/\(newID())"
        try admitUpload()
        hold(key)
        do throws(ImageError) {
            let (image, bytesMax) = try await write { [configuration] db in
                var image = try Self.owned(db, id, for: asker, rule)
                guard image.status == .queued else {
                    throw ImageError.conflict(
                        "Image status transition from \(image.status.rawValue) to \(status.rawValue) is not allowed")
                }
                guard image.diskFormat != nil, image.containerFormat != nil else {
                    throw ImageError.invalid(
                        "Properties disk_format, container_format must be set prior to saving data.")
                }
                let bytesMax = try Self.bytesLeft(db, image, configuration)
                if let expected, expected > bytesMax {
                    throw ImageError.tooLarge("The image is larger than it may be: \(bytesMax) bytes.")
                }
                image.status = status
                if case .staging = purpose { image.stagedKey = key } else { image.dataKey = key }
                image.updatedAt = now
                try ImageRows.update(db, image)
                return (image, bytesMax)
            }
            let writer: any ImageWriter
            do throws(ImageError) {
                writer = try await onDataThread { [store] () throws(ImageError) in
                    try store.begin(key, byteCount: expected)
                }
            } catch {
                release(key)
                await uploadFailed(id, key)
                throw error
            }
            let intake = ImageIntake(
                writer: writer, inspector: inspector(for: image), threads: dataThreads)
            return ImageUpload(
                self, image, key: key, purpose: purpose, expected: expected, bytesMax: bytesMax, intake: intake)
        } catch {
            release(key)
            uploads.withLock { $0 -= 1 }
            throw error
        }
    }

    private func admitUpload() throws(ImageError) {
        let isAdmitted = uploads.withLock { count in
            guard count < Limits.uploadsMax else { return false }
            count += 1
            return true
        }
        guard isAdmitted else { throw .busy }
    }

    /// What an upload to this image may have, as far as it is known when it begins.
    static func bytesLeft(_ db: Database, _ image: Image, _ configuration: ImageConfiguration) throws -> Int64 {
        guard let max = configuration.projectBytesMax else { return configuration.sizeMax }
        return min(configuration.sizeMax, Swift.max(0, max - (try usedBytes(db, image.owner))))
    }

    /// Bytes of all images of the project, staged ones included.
    static func usedBytes(_ db: Database, _ owner: String?) throws -> Int64 {
        try Int64.fetchOne(
            db, sql: "SELECT IFNULL(SUM(size), 0) FROM images WHERE owner IS ? AND deleted_at IS NULL",
            arguments: [owner]) ?? 0
    }

    func inspector(for image: Image) -> any StreamInspector {
        guard image.containerFormat == "bare" else { return NoInspection() }
        return FormatInspector(
            declared: image.diskFormat ?? "raw", requiresMatch: configuration.requiresFormatMatch)
    }

    /// The row says that the bytes are there.
    func uploaded(
        _ id: String, _ key: String, _ taken: TakenBytes, _ findings: StreamFindings, _ purpose: ImageUpload.Purpose
    ) async throws(ImageError) {
        let now = now
        let configuration = configuration
        try await records.settle { db in
            guard var image = try ImageRows.find(db, id) else {
                throw ImageError.gone("Image \(id) could not be found after upload. The image may have been deleted.")
            }
            // Of all uploads that end at once, those that exceed the quota together don't all end well.
            let left = try Self.bytesLeft(db, image, configuration)
            guard taken.byteCount <= left else {
                throw ImageError.tooLarge("The project's images may have no more than \(left) further bytes.")
            }
            image.updatedAt = now
            switch purpose {
            case .data(let stores):
                guard image.status == .saving, image.dataKey == key else {
                    throw ImageError.gone("Image \(id) was changed during the upload.")
                }
                image.status = .active
                image.size = taken.byteCount
                image.checksum = taken.checksum
                image.hashAlgorithm = "sha512"
                image.hashValue = taken.hash
                image.virtualSize = findings.virtualSize
                try ImageRows.setStores(db, id, stores)
            case .staging:
                guard image.status == .uploading, image.stagedKey == key else {
                    throw ImageError.gone("Image \(id) was changed during the upload.")
                }
                image.size = taken.byteCount
                try db.execute(
                    sql: """
                        INSERT OR REPLACE INTO image_staged (image_id, size, checksum, hash_value, virtual_size, refusal)
                        VALUES (?, ?, ?, ?, ?, ?)
                        """,
                    arguments: [
                        id, taken.byteCount, taken.checksum, taken.hash, findings.virtualSize,
                        findings.refusal?.description,
                    ])
            }
            try ImageRows.update(db, image)
        }
    }

    /// Back to `queued`, without bytes, if the image still waits for these.
    func uploadFailed(_ id: String, _ key: String) async {
        await quietly { () async throws(ImageError) in
            try await records.settle { db in
                if let image = try ImageRows.find(db, id), image.dataKey == key || image.stagedKey == key {
                    try Self.requeue(db, image)
                }
                try ImageRows.discard(db, key: key)
            }
        }
        await emptyTrash()
    }

    /// The image has no bytes any more, and waits for some.
    static func requeue(_ db: Database, _ image: Image) throws {
        var image = image
        let keys = [image.dataKey, image.stagedKey]
        image.status = .queued
        image.dataKey = nil
        image.stagedKey = nil
        image.size = nil
        image.virtualSize = nil
        image.checksum = nil
        image.hashAlgorithm = nil
        image.hashValue = nil
        try ImageRows.update(db, image)
        try ImageRows.setStores(db, image.id, [])
        try db.execute(sql: "DELETE FROM image_staged WHERE image_id = ?", arguments: [image.id])
        for key in keys { try ImageRows.discard(db, key: key) }
    }

    /// Removes bytes that no image has. What fails is tried again with the next deletion, and after a restart.
    func emptyTrash() async {
        await quietly { [self] () async throws(ImageError) in
            let keys = try await read { db in try String.fetchAll(db, sql: "SELECT key FROM image_trash") }
            for key in keys where !isHeld(key) {
                try await onDataThread { [store] () throws(ImageError) in try store.remove(key) }
                try await records.settle { db in
                    try db.execute(sql: "DELETE FROM image_trash WHERE key = ?", arguments: [key])
                }
            }
        }
    }

    /// For what nobody is there to be told: operators are.
    func quietly(_ body: () async throws(ImageError) -> Void) async {
        do throws(ImageError) {
            try await body()
        } catch {
            configuration.onFault("\(error)")
        }
    }

    /// What was under way when the daemon ended is undone: uploads begin anew, and so do imports.
    func recover() async throws(ImageError) {
        let now = now
        try await write { db in
            let interrupted = try Row.fetchAll(
                db,
                sql: """
                    SELECT \(ImageRows.columns) FROM images WHERE deleted_at IS NULL AND (status IN ('saving', 'importing')
                    OR status = 'uploading' AND id NOT IN (SELECT image_id FROM image_staged))
                    """
            ).map(ImageRows.decode)
            for image in interrupted { try Self.requeue(db, image) }
            // Of any image: one that was being copied into further stores is active meanwhile.
            try db.execute(
                sql: """
                    DELETE FROM image_properties WHERE name IN ('os_glance_importing_to_stores', 'os_glance_import_task')
                    """)
            // Disks that were being read out of images begin anew.
            try db.execute(
                sql:
                    "INSERT OR IGNORE INTO image_trash (key) SELECT disk_key FROM image_disks WHERE virtual_size IS NULL"
            )
            try db.execute(sql: "DELETE FROM image_disks WHERE virtual_size IS NULL")
            try db.execute(
                sql: """
                    UPDATE image_tasks SET status = 'failure', message = 'The daemon ended before the task did.',
                    updated_at = ? WHERE status IN ('pending', 'processing')
                    """, arguments: [now])
        }
    }
}
