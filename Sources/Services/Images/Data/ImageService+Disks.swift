import GRDB
private import ImageFormats
import Primitives
import Records

/// Disks that are read out of images, once for all volumes that are made from them.
extension ImageService {
    /// The store's name for the disk's layer; makes it if it isn't there. Whoever asks meanwhile waits for the same.
    ///
    /// - Parameter progress: gets percents while the disk is being made.
    func disk(
        of key: String, byteCount: Int64, _ format: String, progress: @escaping @Sendable (Int) -> Void
    ) async throws(ImageError) -> String {
        if let known = try await knownDisk(of: key) { return known }
        try checkReadable(format)
        let result: Result<String, ImageError> = await withCheckedContinuation { continuation in
            let isFirst = conversions.withLock { waiting in
                waiting[key, default: []].append(DiskWaiter(continuation: continuation, progress: progress))
                return waiting[key]?.count == 1
            }
            guard isFirst else { return }
            let began = work.begin { [self] in
                let result: Result<String, ImageError>
                do throws(ImageError) {
                    result = .success(try await readOut(key, byteCount: byteCount, format))
                } catch {
                    result = .failure(error)
                }
                answer(key, result)
            }
            if !began { answer(key, .failure(.busy)) }
        }
        return try result.get()
    }

    func knownDisk(of key: String) async throws(ImageError) -> String? {
        try await read { db in
            try String.fetchOne(
                db, sql: "SELECT disk_key FROM image_disks WHERE data_key = ? AND virtual_size IS NOT NULL",
                arguments: [key])
        }
    }

    private func checkReadable(_ format: String) throws(ImageError) {
        if format == ImageFormat.qcow2.rawValue { return }
        let what = "No disk can be made from an image of the format '\(format)' here"
        guard Self.convertible.contains(format) else { throw .unsupported("\(what); convert it to raw or qcow2.") }
        do throws(ImageError) {
            try converter.check()
        } catch {
            throw .unsupported("\(what): \(error); or convert it to raw or qcow2.")
        }
    }

    private func answer(_ key: String, _ result: Result<String, ImageError>) {
        let waiting = conversions.withLock { $0.removeValue(forKey: key) ?? [] }
        for waiter in waiting { waiter.continuation.resume(returning: result) }
    }

    private func progress(of key: String) -> DiskProgress {
        DiskProgress { [self] in
            isStopping
        } tell: { [self] percent in
            if percent % 10 == 0 { configuration.onNotice("the image bytes \(key) are made a disk: \(percent) %") }
            for waiter in conversions.withLock({ $0[key] ?? [] }) { waiter.progress(percent) }
        }
    }

    private func readOut(_ key: String, byteCount: Int64, _ format: String) async throws(ImageError) -> String {
        // Between the look and the lock another may have done it.
        let disk = "disk/\(newID())"
        let known = try await records.settle { db in
            let known = try String.fetchOne(
                db, sql: "SELECT disk_key FROM image_disks WHERE data_key = ? AND virtual_size IS NOT NULL",
                arguments: [key])
            if known == nil {
                // A restart finds this, and removes what there is of the disk.
                try db.execute(
                    sql: "INSERT OR REPLACE INTO image_disks (data_key, disk_key, virtual_size) VALUES (?, ?, NULL)",
                    arguments: [key, disk])
            }
            return known
        }
        if let known { return known }
        do throws(ImageError) {
            let began = now
            let progress = progress(of: key)
            try progress.report(0)
            let virtualBytes: Int64
            if format == ImageFormat.qcow2.rawValue {
                virtualBytes = try await Self.on(conversionThreads) { [self] () throws(ImageError) in
                    try copyDisk(from: key, byteCount: byteCount, to: disk, progress: progress)
                }
            } else {
                virtualBytes = try await Self.on(converterThread) { [self] () throws(ImageError) in
                    try convertDisk(from: key, byteCount: byteCount, format, to: disk, progress: progress)
                }
            }
            let isWanted = try await records.settle { db in
                try db.execute(
                    sql: "UPDATE image_disks SET virtual_size = ? WHERE data_key = ? AND disk_key = ?",
                    arguments: [virtualBytes, key, disk])
                return db.changesCount > 0
            }
            guard isWanted else { throw ImageError.gone("The image was deleted meanwhile.") }
            configuration.onNotice(
                "a disk of \(virtualBytes) bytes was read out of the image bytes \(key) in \(now - began) s")
            return disk
        } catch {
            await quietly { () async throws(ImageError) in
                try await records.settle { db in
                    try db.execute(sql: "DELETE FROM image_disks WHERE disk_key = ?", arguments: [disk])
                    try db.execute(sql: "INSERT OR IGNORE INTO image_trash (key) VALUES (?)", arguments: [disk])
                }
            }
            await emptyTrash()
            throw error
        }
    }

    /// Runs something that takes long on a thread that is there for it.
    static func on<T: Sendable>(
        _ threads: WorkThreads, _ body: @escaping @Sendable () throws(ImageError) -> T
    ) async throws(ImageError) -> T {
        let result: Result<T, ImageError> = await withCheckedContinuation { continuation in
            let admitted = threads.run {
                do throws(ImageError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
            if !admitted { continuation.resume(returning: .failure(.busy)) }
        }
        return try result.get()
    }

    /// Blocks for as long as it takes.
    private func copyDisk(
        from key: String, byteCount: Int64, to disk: String, progress: DiskProgress
    ) throws(ImageError) -> Int64 {
        let source = StoredImage(reader: try store.open(key), byteCount: UInt64(max(0, byteCount)))
        do throws(ImageReadError) {
            let reader = try QCOW2Reader(source, virtualBytesMax: UInt64(configuration.sizeMax))
            var sink = DiskWriter(
                writer: try source.failing { () throws(ImageError) in
                    try store.begin(disk, byteCount: Int64(reader.virtualBytes))
                })
            try reader.read(into: &sink) { position throws(ImageReadError) in
                let percent = reader.virtualBytes == 0 ? 100 : Int(position * 100 / reader.virtualBytes)
                try source.failing { () throws(ImageError) in try progress.report(percent) }
            }
            try source.failing { () throws(ImageError) in try sink.writer.finish() }
            return Int64(reader.virtualBytes)
        } catch {
            if let cause = source.cause { throw cause }
            throw .unsupported("No disk can be made from the image: \(error).")
        }
    }
}

/// Who waits for a disk.
struct DiskWaiter: Sendable {
    var continuation: CheckedContinuation<Result<String, ImageError>, Never>
    var progress: @Sendable (Int) -> Void
}

/// An image's bytes as the reader of its format wants them.
private final class StoredImage: ImageSource {
    let byteCount: UInt64
    private let reader: any ImageReader
    private let failure = PosixLocked<ImageError?>(nil)

    init(reader: any ImageReader, byteCount: UInt64) {
        self.reader = reader
        self.byteCount = byteCount
    }

    /// What the store said, if it was the store that failed.
    var cause: ImageError? { failure.withLock { $0 } }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(ImageReadError) {
        try failing { () throws(ImageError) in try unsafe reader.read(at: Int64(offset), into: buffer) }
    }

    func failing<T>(_ body: () throws(ImageError) -> T) throws(ImageReadError) -> T {
        do throws(ImageError) {
            return try body()
        } catch {
            failure.withLock { if $0 == nil { $0 = error } }
            throw .source(error.description)
        }
    }
}

private struct DiskWriter: DiskSink {
    let writer: any ImageWriter

    func data(_ bytes: UnsafeRawBufferPointer) throws(ImageReadError) {
        do throws(ImageError) { try unsafe writer.write(bytes) } catch { throw .source(error.description) }
    }

    func zeros(_ count: UInt64) throws(ImageReadError) {
        do throws(ImageError) { try writer.skip(Int64(count)) } catch { throw .source(error.description) }
    }
}
