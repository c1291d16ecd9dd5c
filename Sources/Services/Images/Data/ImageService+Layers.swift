import GRDB
import Records

/// An image as a disk is made from it.
package struct BootableImage: Sendable, Equatable {
    package var detail: ImageDetail
    /// GiB that a disk for it has at least.
    package var gibibytes: Int
}

extension ImageService {
    /// Formats whose bytes are a disk's as they are.
    private static let plainFormats: Set<String> = ["raw", "iso", "ami", "ari", "aki"]

    /// The image as the caller may see it; nil if there is none, or it can't be told which one is meant.
    ///
    /// - Parameter reference: an id, a URL that ends in one, or a name.
    package func bootable(_ reference: String, for asker: ImageAsker) async throws(ImageError) -> BootableImage? {
        let id = String(reference.split(separator: "/").last ?? "")
        return try await read { db in
            var found = try ImageRows.find(db, id)
            if found == nil {
                let named = try Row.fetchAll(
                    db,
                    sql: "SELECT \(ImageRows.columns) FROM images WHERE name = ? AND deleted_at IS NULL LIMIT 64",
                    arguments: [reference]
                ).map(ImageRows.decode).filter { try Self.isVisible(db, $0, to: asker) }
                found = named.count == 1 ? named[0] : nil
            }
            guard let image = found, try Self.isVisible(db, image, to: asker) else { return nil }
            let bytes = image.virtualSize ?? image.size ?? 0
            let gibibytes = Int(clamping: max(image.minDisk, (bytes + (1 << 30) - 1) >> 30))
            return BootableImage(detail: try ImageRows.detail(db, image), gibibytes: max(1, gibibytes))
        }
    }

    /// The store's name for a layer with the image's disk: its own bytes where they are a disk's, else what was read out of
    /// them, once for all disks that are made from it.
    package func diskKey(of id: String) async throws(ImageError) -> String {
        let image = try await read { db in try ImageRows.find(db, id) }
        guard let image, image.status == .active, let key = image.dataKey else {
            throw .conflict("Image \(id) is not active.")
        }
        guard let format = image.diskFormat, image.containerFormat == "bare" || Self.plainFormats.contains(format)
        else {
            throw .unsupported("No disk can be made from an image in a container.")
        }
        if Self.plainFormats.contains(format) { return key }
        return try await disk(of: key, byteCount: image.size ?? 0, format)
    }

    /// Makes an image of bytes that are there already, and hashes them behind the answer: `saving` until then.
    ///
    /// - Parameter freeze: gives the bytes that name in the store.
    package func adopt(
        _ new: NewImage, byteCount: Int64, for asker: ImageAsker,
        freeze: (_ key: String) async throws(ImageError) -> Void
    ) async throws(ImageError) -> String {
        guard new.containerFormat == "bare", new.diskFormat == "raw" else {
            throw .unsupported("A volume becomes an image of the formats 'bare' and 'raw' only.")
        }
        let made = try await create(new, for: asker)
        let (id, now) = (made.image.id, now)
        let key = "\(id)/\(newID())"
        do throws(ImageError) {
            try await write { [configuration] db in
                guard var image = try ImageRows.find(db, id) else { throw ImageError.noImage(id) }
                guard byteCount <= (try Self.bytesLeft(db, image, configuration)) else {
                    throw ImageError.tooLarge("The project's images may have no more bytes.")
                }
                image.status = .saving
                image.dataKey = key
                image.updatedAt = now
                try ImageRows.update(db, image)
            }
            try await freeze(key)
            let began = work.begin { [self] in await hash(made.image, key, byteCount) }
            guard began else { throw .busy }
        } catch {
            await discard(id)
            throw error
        }
        return id
    }

    /// One pass over the bytes, which don't change any more.
    private func hash(_ image: Image, _ key: String, _ byteCount: Int64) async {
        let intake = ImageIntake(writer: NoWriter(), inspector: inspector(for: image), threads: dataThreads)
        do throws(ImageError) {
            let reader = try await onDataThread { [store] () throws(ImageError) in try store.open(key) }
            var offset: Int64 = 0
            while offset < byteCount {
                try await intake.makeRoom()
                let start = offset
                let count = Int(min(Int64(ImageIntake.blockBytes), byteCount - start))
                try await onDataThread { () throws(ImageError) in try intake.fill(reader, at: start, count: count) }
                offset += Int64(count)
            }
            let taken = try await intake.finish()
            let findings = intake.inspected()
            if let refusal = findings.refusal { throw refusal }
            try await uploaded(image.id, key, taken, findings, .data(stores: [configuration.stores[0]]))
        } catch {
            await intake.abandon()
            configuration.onFault("image \(image.id) could not be made from its volume: \(error)")
            await discard(image.id)
        }
    }

    /// An image that never became one leaves nothing behind.
    private func discard(_ id: String) async {
        let now = now
        await quietly { () async throws(ImageError) in
            try await records.settle { db in
                if let image = try ImageRows.find(db, id) { try Self.bury(db, image, now: now) }
            }
        }
        await emptyTrash()
    }
}

/// For bytes that are in the store already.
private struct NoWriter: ImageWriter {
    func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {}
    func skip(_ count: Int64) throws(ImageError) {}
    func finish() throws(ImageError) {}
}
