import GRDB
import Primitives
package import Records

/// Images: their records, members, tags, metadata definitions, and the bytes' comings and goings.
///
/// Every function may be called from any task: rows are read and written on threads of the service's own.
package final class ImageService: Sendable {
    package let configuration: ImageConfiguration
    let records: RecordThreads<ImageError>

    /// - Parameter records: opened with `ImageService.migrations` among its migrations.
    package init(records: RecordStore, configuration: ImageConfiguration) {
        precondition(!configuration.stores.isEmpty)
        self.configuration = configuration
        self.records = RecordThreads(
            records, name: "images", count: Limits.workThreads, queueMax: Limits.workQueueMax)
    }

    /// Ends the threads after what they have. The record store stays open: it is the daemon's.
    package func stop() { records.stop() }

    // MARK: What the rest of the service reads and writes with.

    var now: Int64 { configuration.now() }

    /// A random UUID.
    func newID() -> String { RandomUUID.text(configuration.randomBytes(16)) }

    func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(ImageError) -> T {
        try await records.read(body)
    }

    @discardableResult
    func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(ImageError) -> T {
        try await records.write(body)
    }
}
