import GRDB
import Primitives
package import Records
private import Synchronization

/// Images: their records, members, tags, metadata definitions, and the bytes' comings and goings.
///
/// Every function may be called from any task: rows are read and written on threads of the service's own.
package final class ImageService: Sendable {
    package let configuration: ImageConfiguration
    let store: any ImageStore
    let web: any WebSource
    let converter: any DiskConverter
    let records: RecordThreads<ImageError>
    /// For hashing, and for the store, which blocks.
    let dataThreads: WorkThreads
    let uploads = PosixLocked(0)
    /// Keys of bytes that are being written: not to be removed before their writer has ended, who would bring them back.
    private let writing = PosixLocked<Set<String>>([])
    let work = BackgroundWork()
    /// For reading disks out of images, which takes long: few at a time.
    let conversionThreads = WorkThreads(
        name: "image-disk", count: Limits.conversionsMax, queueMax: Limits.tasksMax)
    /// For the converter, which uses another program: one at a time.
    let converterThread = WorkThreads(name: "image-convert", count: 1, queueMax: Limits.converterQueueMax)
    /// Who waits for the disk of which bytes.
    let conversions = PosixLocked<[String: [DiskWaiter]]>([:])
    /// Disks take long: what makes one ends when the service does, and the next volume begins it anew.
    private let stopping = Atomic(false)
    var isStopping: Bool { stopping.load(ordering: .relaxed) }

    /// - Parameter records: opened with `ImageService.migrations` among its migrations.
    package init(
        records: RecordStore, store: any ImageStore, web: any WebSource, converter: any DiskConverter = NoConverter(),
        configuration: ImageConfiguration
    ) {
        precondition(!configuration.stores.isEmpty)
        self.configuration = configuration
        self.store = store
        self.web = web
        self.converter = converter
        dataThreads = WorkThreads(
            name: "image-data", count: max(4, 2 * configuration.cores), queueMax: Limits.dataQueueMax)
        self.records = RecordThreads(
            records, name: "images", count: Limits.workThreads, queueMax: Limits.workQueueMax)
    }

    /// Ends the threads after what they have. The record store stays open: it is the daemon's.
    package func stop() {
        stopping.store(true, ordering: .relaxed)
        work.finish()
        conversionThreads.stop()
        converterThread.stop()
        dataThreads.stop()
        records.stop()
    }

    /// Brings what a crash interrupted to an end; before the first request.
    package func start() async throws(ImageError) {
        try await recover()
        await emptyTrash()
    }

    /// Carries imports and conversions out until cancelled; then waits for those under way.
    package func run() async {
        await withTaskCancellationHandler {
            await work.run()
        } onCancel: {
            stopping.store(true, ordering: .relaxed)
            work.finish()
        }
    }

    /// Returns when no import and no conversion is under way.
    package func settle() async { await work.settle() }

    // MARK: What the rest of the service reads and writes with.

    /// Before a row has the key, until its writer has ended; then comes `emptyTrash`, if the bytes are not wanted any more.
    func hold(_ key: String) { writing.withLock { _ = $0.insert(key) } }
    func release(_ key: String) { writing.withLock { _ = $0.remove(key) } }
    func isHeld(_ key: String) -> Bool { writing.withLock { $0.contains(key) } }

    var now: Int64 { configuration.now() }

    /// A random UUID.
    func newID() -> String { RandomUUID.text(configuration.randomBytes(16)) }

    func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(ImageError) -> T {
        try await records.read(body)
    }

    /// Runs something that blocks on a thread that may.
    func onDataThread<T: Sendable>(
        _ body: @escaping @Sendable () throws(ImageError) -> T
    ) async throws(ImageError) -> T {
        let result: Result<T, ImageError> = await withCheckedContinuation { continuation in
            let admitted = dataThreads.run {
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

    @discardableResult
    func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(ImageError) -> T {
        try await records.write(body)
    }
}
