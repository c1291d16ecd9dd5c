package import Primitives

/// A disk as the SCSI layer sees it: bytes at offsets, whoever keeps them.
///
/// Offsets and lengths are in bytes and multiples of `geometry.logicalBlockBytes`; the caller has checked them
/// against the size, and the device checks again, since the size may change between the two (`.outOfRange`).
///
/// **Threads.** Every call may come from any thread, many at once. Only `read` may wait for a disk. All other calls
/// return at once and finish through `sink`: `completion` runs once, after the change is visible to every reader and,
/// unless `durability` says otherwise, on the medium; or has failed and changed nothing that was acknowledged.
///
/// **Order.** A command that overlaps one that was acknowledged sees it. Overlapping commands that are both under way
/// may happen in either order, but each logical block holds one or the other, never a mixture.
///
/// **Lifetimes.** Bytes passed in are not touched after the call has returned.
package protocol BlockDevice: AnyObject, Sendable {
    /// As of now; asked for at every command, so it must cost next to nothing.
    var geometry: BlockGeometry { get }

    /// Fills `buffer` without waiting for a disk. False: it would have to wait, or the bytes did not verify; use `read`.
    func readCached(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BlockError) -> Bool

    /// Fills `buffer` with verified bytes; what was never written, or was unmapped, reads as zeros. May wait for a disk.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BlockError)

    func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, durability: Durability, sink: any CompletionSink,
        completion: @escaping BlockCompletion)

    /// Makes the range read as zeros. `deallocates` allows that its space be given back, too.
    func writeZeroes(
        _ range: BlockRange, deallocates: Bool, durability: Durability, sink: any CompletionSink,
        completion: @escaping BlockCompletion)

    /// Gives the space of the ranges back (at most `geometry.unmapRangesMax`); they read as zeros from then on, down to
    /// the last logical block.
    func unmap(_ ranges: [BlockRange], sink: any CompletionSink, completion: @escaping BlockCompletion)

    /// Reads the range (at most `geometry.atomicBytesMax`), lets `change` alter the bytes in place, and writes them back:
    /// in one piece, nobody else's write falls between. `change` runs at most once, on any thread, must not block, and answers
    /// false to leave the range as it was; then `completion` gets `.success` without a write.
    func update(
        _ range: BlockRange, durability: Durability, sink: any CompletionSink,
        change: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Bool, completion: @escaping BlockCompletion)

    /// Everything that was acknowledged before the call is on the medium when it completes.
    func flush(sink: any CompletionSink, completion: @escaping BlockCompletion)

    /// The first runs of the range, side by side from its start, alternating between mapped and not: at most `max` of
    /// them, so they may end before the range does. May wait for a disk.
    func allocation(of range: BlockRange, max: Int) throws(BlockError) -> [BlockRun]

    /// The space in use now, for reports to initiators; nil where the device does not count (the default).
    var space: BlockSpace? { get }

    /// Called after each change of size, on any thread; there is one observer, the logical unit.
    func observeResize(_ observer: @escaping @Sendable () -> Void)
}

package typealias BlockCompletion = @Sendable (Result<Void, BlockError>) -> Void

/// When a write counts as done.
package enum Durability: Sendable {
    /// When the device says so: on the medium, unless its owner turned the write cache on.
    case device
    /// On the medium (FUA).
    case medium
}

/// What a device is like. Sizes are in bytes.
package struct BlockGeometry: Sendable, Hashable {
    /// A multiple of `logicalBlockBytes`.
    package var byteCount: UInt64
    /// 512 or 4096.
    package var logicalBlockBytes: UInt32
    /// What writes and unmaps should be multiples of to be cheap: a multiple of `logicalBlockBytes`.
    package var granularityBytes: UInt32
    /// The largest `update`, and the largest write that a power cut leaves whole or not at all.
    package var atomicBytesMax: UInt32
    /// The longest single read, write or zeroing command.
    package var transferBytesMax: UInt32
    package var unmapRangesMax: Int
    /// Space can be given back.
    package var isThin: Bool
    /// Writes may be acknowledged before they are on the medium.
    package var hasWriteCache: Bool
    package var isReadOnly: Bool

    package init(
        byteCount: UInt64, logicalBlockBytes: UInt32 = 512, granularityBytes: UInt32 = 4096,
        atomicBytesMax: UInt32 = 131_072, transferBytesMax: UInt32 = 16 << 20, unmapRangesMax: Int = 256,
        isThin: Bool = true, hasWriteCache: Bool = false, isReadOnly: Bool = false
    ) {
        self.byteCount = byteCount
        self.logicalBlockBytes = logicalBlockBytes
        self.granularityBytes = granularityBytes
        self.atomicBytesMax = atomicBytesMax
        self.transferBytesMax = transferBytesMax
        self.unmapRangesMax = unmapRangesMax
        self.isThin = isThin
        self.hasWriteCache = hasWriteCache
        self.isReadOnly = isReadOnly
    }

    package var blockCount: UInt64 { byteCount / UInt64(logicalBlockBytes) }
}

/// Bytes of a device, from `offset` on.
package struct BlockRange: Sendable, Hashable {
    package var offset: UInt64
    package var count: UInt64

    package init(offset: UInt64, count: UInt64) {
        self.offset = offset
        self.count = count
    }

    package var end: UInt64 { offset + count }
}

/// A stretch of a device that has space of its own, or has none.
package struct BlockRun: Sendable, Hashable {
    package var range: BlockRange
    package var isMapped: Bool

    package init(range: BlockRange, isMapped: Bool) {
        self.range = range
        self.isMapped = isMapped
    }
}

/// Why a device could not do what it was asked for. The SCSI layer turns each into sense data.
package enum BlockError: Error, Sendable, Hashable {
    /// The range is not within the device (any more).
    case outOfRange
    /// Bytes can't be read back as they were written; the offset is that of the first bad logical block.
    case unreadable(offset: UInt64)
    /// The medium took no write; nothing was acknowledged.
    case writeFailed
    /// No space is left for writes; reads and unmaps go on.
    case noSpace
    /// Written to by nobody: the owner said so, or the store is in trouble and serves reads only.
    case readOnly
    /// Too much is under way: try again.
    case overloaded
    /// The device was taken away.
    case gone
}
