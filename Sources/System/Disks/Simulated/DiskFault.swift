/// The calls that a simulated disk counts and can make fail.
package enum DiskCall: String, Sendable, Hashable, CaseIterable {
    case open, read, readCached, write, sync, allocate, truncate, size
    case rename, remove, makeDirectory, list, syncDirectory, space, lock

    /// Whether it changes the disk, or makes a change durable.
    package var isMutating: Bool {
        switch self {
        case .write, .sync, .allocate, .truncate, .rename, .remove, .makeDirectory, .syncDirectory: true
        default: false
        }
    }
}

/// One thing that will go wrong on a simulated disk.
package struct DiskFault: Sendable {
    package enum Effect: Sendable, Hashable {
        /// Nothing is done, and the call fails.
        case error(Int32)
        /// A write does some of its work, then fails; other calls fail at once.
        case short(Int32)
    }

    /// What becomes of the written pages when an fdatasync fails. In no case does a later sync write them.
    package enum AfterFailedSync: Sendable, Hashable, CaseIterable {
        /// They stay readable in the cache, marked clean, and are not on the medium (or only some are).
        case cleanAndKept
        /// The cache reads what the medium holds.
        case cleanAndReverted
        /// This sync succeeds, and did its work; the error shows at the file's next sync, which loses its pages.
        case reportedLate
    }

    /// nil: any call at all.
    package var calls: Set<DiskCall>?
    /// The i-th such call from now, from 0.
    package var index: Int
    package var effect: Effect
    /// Whether all such calls fail from then on.
    package var isSticky: Bool
    package var afterFailedSync: AfterFailedSync

    package init(
        calls: Set<DiskCall>?, index: Int, effect: Effect, isSticky: Bool,
        afterFailedSync: AfterFailedSync = .cleanAndKept
    ) {
        self.calls = calls
        self.index = index
        self.effect = effect
        self.isSticky = isSticky
        self.afterFailedSync = afterFailedSync
    }

    package static let ioError: Int32 = 5
    package static let noSpace: Int32 = 28
}
