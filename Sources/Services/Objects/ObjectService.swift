package import Chunks
package import Primitives

/// Accounts, containers and objects: the rules of the Object API over the stores that keep them.
///
/// It knows no HTTP connection and no token: a face hands it decoded paths, header lists and a verified `Caller`, and it
/// decides, for every operation, whether that caller may, and what the answer holds. State lives in the stores only.
package final class ObjectService: Sendable {
    package let configuration: ObjectServiceConfiguration
    /// The store that keeps a path's rows and bytes: the first device of its partition on the ring.
    let store: @Sendable (ObjectPath) -> ChunkStore
    let clock: TimestampClock
    let threads: WorkThreads
    let resellerPrefix: [UInt8]

    /// - Parameters:
    ///   - store: finds a path's device, through a ring; called for each request, so it must be quick and never block.
    ///   - clock: shared by all writers of these stores, already advanced past what they hold.
    ///   - workThreads: where blocking work runs.
    package init(
        configuration: ObjectServiceConfiguration, store: @escaping @Sendable (ObjectPath) -> ChunkStore,
        clock: TimestampClock, workThreads: WorkThreads
    ) {
        self.configuration = configuration
        self.store = store
        self.clock = clock
        self.threads = workThreads
        resellerPrefix = Array(configuration.resellerPrefix.utf8)
    }
}
