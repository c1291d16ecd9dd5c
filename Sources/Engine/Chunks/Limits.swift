/// Every bound of the engine, by name.
package enum Limits {
    /// A group closes at this many bytes (or a quarter of the segment, if that is less) or operations.
    static let groupBytesMax = 1 << 20
    static let groupOperationsMax = 512
    /// What the last record of a group may add to that.
    static let groupBytesExtra = 256 << 10
    /// Submissions that wait for the committer; beyond it `submit` fails with `.overloaded`.
    static let committerQueueMax = 16_384
    static let committerQueueBytesMax = 256 << 20
    /// Groups that are on the medium and wait to be acknowledged, before the committer waits for that.
    static let durableGroupsMax = 4
    /// Operations of a group that are applied and told of in one go.
    static let acknowledgedAtOnceMax = 6
    /// What a thread other than the committer commits in one go, and how long that may take before it is told of.
    static let lentBytesMax = 1 << 20
    /// Who gathers work to commit stops there: one more full buffer from a socket is still within `lentBytesMax`.
    static let lentBytesEnough = 256 << 10
    static let lentMilliseconds = 1_000
    /// Opaque attributes of one row.
    package static let attributeBytesMax = 32_768
    /// The payload of one record: an object's inline body, or a volume's blocks.
    static let recordPayloadMax = 256 << 10
    /// Everything in one record but its payload.
    static let recordAttributesMax = 65_536
    package static let nameBytesMax = 4_096
    /// Rows in one page of a listing.
    package static let pageRowsMax = 10_000
    /// The overlay is frozen at whichever comes first.
    static let overlayLogBytesMax = 64 << 20
    static let overlayOperationsMax = 100_000
    static let overlayAgeSecondsMax = 30
    /// Idle time after which the last group is sealed.
    static let sealAfterMilliseconds = 100
    /// Rows of objects, containers and accounts kept decoded in memory.
    static let cachedObjectRowsMax = 16_384
    static let cachedContainersMax = 4_096
    /// Segment files kept open for reading.
    static let openSegmentsMax = 512
    /// An upload's blocks between the socket and the disk.
    static let uploadBlockBytes = 1 << 20
    static let uploadBlocksInFlightMax = 4
    /// Frames that a reader asks the disk for ahead of its stream.
    static let prefetchFrames = 32
    /// Frames' worth of memory kept for the next compression.
    static let idleScratchMax = 8
    /// Blocks kept for the next upload.
    static let idleUploadBlocksMax = 16
    /// Frames in a map leaf, and leaves in a map: 8 GiB, over the largest object of the API.
    static let leafEntries = 256
    static let leavesMax = 256
    /// The unit of a volume's map, the blocks of one extent, and those that are compressed together.
    package static let volumeBlockBytes = 4096
    static let extentBlocksMax = 32
    static let compressionUnitBlocks = 4
    /// A write that is no longer than this is one record: whole after a power cut, or not there.
    package static let volumeAtomicBytesMax = 131_072
    /// Blocks of one record: the longest atomic write may begin and end within a block.
    static let volumeRecordBlocksMax = 33
    /// From here on the bytes of a write go to L segments, at most so many in a group.
    static let volumeBulkBytesMin = 256 << 10
    static let volumeBulkGroupBytes = 512 << 10
    /// 64 TiB: a leaf's index is 32 bits.
    package static let volumeBytesMax: UInt64 = 64 << 40
    /// A change of the layer tree: any group has room for it.
    static let treeRecordBytesMax = groupBytesExtra
    /// Spares are written full of zeros in pieces of this: a commit's flush waits for the piece that is under way.
    static let zeroFillBytes = 128 << 10
    /// Leaves that one call looks through for runs of blocks that are alike: 4 GiB.
    static let runsLeavesMax = 4_096
    /// Leaves that a difference of layers holds at a time: 1 GiB of the volume, 4 MiB of memory.
    static let differenceLeavesMax = 1_024
    /// Layers that stand on one another.
    package static let layerDepthMax = 256
    package static let handleBytesMax = 255
    package static let handleAttributesMax = 4_096
    /// Leaves of volumes, resolved through their layers, kept in memory: 128 MiB.
    static let resolvedLeavesMax = 32_768
    /// Leaves of dropped layers that one checkpoint removes from the index.
    static let leavesSweptMax = 16_384
    /// Requests of one volume that may wait for its gate or for a block.
    static let volumeWaitersMax = 4_096
    /// Extents are stored in units of this.
    static let sectorBytes = 512
    /// Tries of a read that a checkpoint or an overwrite got in the way of.
    static let readAttemptsMax = 16
}
