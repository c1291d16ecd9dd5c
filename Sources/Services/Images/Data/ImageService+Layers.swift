import GRDB
private import ImageFormats
import Primitives
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
    ///
    /// - Parameter progress: gets percents while that takes its time.
    package func diskKey(
        of id: String, progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws(ImageError) -> String {
        let (image, key, format) = try await diskSource(id)
        if Self.plainFormats.contains(format) { return key }
        return try await disk(of: key, byteCount: image.size ?? 0, format, progress: progress)
    }

    /// Whether `diskKey` answers at once.
    package func hasDisk(_ id: String) async throws(ImageError) -> Bool {
        let (_, key, format) = try await diskSource(id)
        if Self.plainFormats.contains(format) { return true }
        return try await knownDisk(of: key) != nil
    }

    private func diskSource(_ id: String) async throws(ImageError) -> (image: Image, key: String, format: String) {
        let image = try await read { db in try ImageRows.find(db, id) }
        guard let image, image.status == .active, let key = image.dataKey else {
            throw .conflict("Image \(id) is not active.")
        }
        guard let format = image.diskFormat, image.containerFormat == "bare" || Self.plainFormats.contains(format)
        else {
            throw .unsupported("No disk can be made from an image in a container.")
        }
        return (image, key, format)
    }

    /// Makes an image of bytes that are there already, and hashes them behind the answer: `saving` until then.
    ///
    /// - Parameter freeze: gives the bytes that name in the store.
    package func adopt(
        _ new: NewImage, byteCount: Int64, for asker: ImageAsker,
        freeze: (_ key: String) async throws(ImageError) -> Void
    ) async throws(ImageError) -> String {
        guard new.containerFormat == "bare", let format = new.diskFormat, format == "raw" || format == "qcow2" else {
            throw .unsupported(
                "A volume becomes an image of the container 'bare', and of the formats 'raw' and 'qcow2' only.")
        }
        let made = try await create(new, for: asker)
        let (id, now) = (made.image.id, now)
        let key = "\(id)/\(newID())"
        // A qcow2 is written from the frozen disk, which stays: it is what volumes from that image stand on.
        let disk = format == "raw" ? nil : "disk/\(newID())"
        hold(key)
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
                if let disk {
                    try db.execute(
                        sql: "INSERT INTO image_disks (data_key, disk_key, virtual_size) VALUES (?, ?, NULL)",
                        arguments: [key, disk])
                }
            }
            try await freeze(disk ?? key)
            let began = work.begin { [self] in
                await save(made.image, key, byteCount, disk: disk) { [self] intake throws(ImageError) in
                    if let disk {
                        try await pack(disk, byteCount, into: intake)
                    } else {
                        try await copy(key, byteCount, into: intake)
                    }
                }
            }
            guard began else { throw .busy }
        } catch {
            release(key)
            await discard(id, disk: disk)
            throw error
        }
        return id
    }

    /// The bytes pass the hashes and the inspection, and the image turns active.
    private func save(
        _ image: Image, _ key: String, _ byteCount: Int64, disk: String?,
        _ body: (ImageIntake) async throws(ImageError) -> Void
    ) async {
        var intake: ImageIntake?
        do throws(ImageError) {
            let writer: any ImageWriter =
                disk != nil
                ? try await onDataThread { [store] () throws(ImageError) in try store.begin(key, byteCount: nil) }
                : NoWriter()
            let made = ImageIntake(writer: writer, inspector: inspector(for: image), threads: dataThreads)
            intake = made
            try await body(made)
            let taken = try await made.finish()
            let findings = made.inspected()
            if let refusal = findings.refusal { throw refusal }
            if disk != nil {
                try await records.settle { db in
                    try db.execute(
                        sql: "UPDATE image_disks SET virtual_size = ? WHERE data_key = ?", arguments: [byteCount, key])
                }
            }
            try await uploaded(image.id, key, taken, findings, .data(stores: [configuration.stores[0]]))
            release(key)
        } catch {
            await intake?.abandon()
            release(key)
            configuration.onFault("image \(image.id) could not be made from its volume: \(error)")
            await discard(image.id, disk: disk)
        }
    }

    private func copy(_ key: String, _ byteCount: Int64, into intake: ImageIntake) async throws(ImageError) {
        let reader = try await onDataThread { [store] () throws(ImageError) in try store.open(key) }
        var offset: Int64 = 0
        while offset < byteCount {
            try await intake.makeRoom()
            let start = offset
            let count = Int(min(Int64(ImageIntake.blockBytes), byteCount - start))
            try await onDataThread { () throws(ImageError) in try intake.fill(reader, at: start, count: count) }
            offset += Int64(count)
        }
    }

    /// Writes the disk as a qcow2: one pass to see where it holds anything, one over what it holds.
    private func pack(_ disk: String, _ byteCount: Int64, into intake: ImageIntake) async throws(ImageError) {
        let reader = try await onDataThread { [store] () throws(ImageError) in try store.open(disk) }
        let layout = try await Self.on(conversionThreads) { () throws(ImageError) in
            try Self.layout(of: reader, byteCount: byteCount)
        }
        func give(_ bytes: [UInt8]) async throws(ImageError) {
            var start = 0
            while start < bytes.count {
                try await intake.makeRoom()
                start += unsafe bytes[start...].withUnsafeBytes { unsafe intake.take($0) }
            }
        }
        for index in 0..<layout.metadataClusters { try await give(layout.metadata(index)) }
        try await layout.forEachDataCluster { (cluster) async throws(ImageError) in
            let start = Int64(cluster) * Int64(QCOW2Layout.clusterBytes)
            let bytes = try await onDataThread { () throws(ImageError) in
                try Self.bytes(reader, at: start, end: byteCount, count: QCOW2Layout.clusterBytes)
            }
            try await give(bytes)
        }
    }

    private static func layout(of reader: any ImageReader, byteCount: Int64) throws(ImageError) -> QCOW2Layout {
        var map = QCOW2Layout.Map(virtualBytes: UInt64(byteCount))
        var offset: Int64 = 0
        while offset < byteCount {
            let piece = try bytes(reader, at: offset, end: byteCount, count: Limits.readBytes)
            for start in stride(from: 0, to: piece.count, by: QCOW2Layout.clusterBytes) {
                let end = min(start + QCOW2Layout.clusterBytes, piece.count)
                if !(unsafe piece[start..<end].withUnsafeBytes { unsafe Zeros.fill($0) }) {
                    map.mark(cluster: Int(offset) / QCOW2Layout.clusterBytes + start / QCOW2Layout.clusterBytes)
                }
            }
            offset += Int64(piece.count)
        }
        return QCOW2Layout(virtualBytes: UInt64(byteCount), map: map)
    }

    /// Zeros beyond the end.
    private static func bytes(
        _ reader: any ImageReader, at offset: Int64, end: Int64, count: Int
    ) throws(ImageError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let there = Int(min(Int64(count), end - offset))
        var failure: ImageError?
        unsafe bytes.withUnsafeMutableBytes { buffer in
            do throws(ImageError) {
                try unsafe reader.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<there]))
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// An image that never became one leaves nothing behind.
    private func discard(_ id: String, disk: String?) async {
        let now = now
        await quietly { () async throws(ImageError) in
            try await records.settle { db in
                if let image = try ImageRows.find(db, id) { try Self.bury(db, image, now: now) }
                if let disk {
                    try db.execute(sql: "DELETE FROM image_disks WHERE disk_key = ?", arguments: [disk])
                    try db.execute(sql: "INSERT OR IGNORE INTO image_trash (key) VALUES (?)", arguments: [disk])
                }
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
