package import Codecs
package import Primitives

// The surface that services build on. Bodies live beside what they belong to.

/// The size of a frame: a large object's unit of storage and verification.
package let frameBytes = 131_072
/// The largest object body that rides inside its own record.
package let inlineBytesMax = 131_072

extension ChunkStore {
    // MARK: Reading rows. These may wait for the disk: never call them on an event loop.

    package func account(_ name: Bytes) throws(ChunkError) -> AccountRow? { fatalError("to come") }
    package func container(_ account: Bytes, _ name: Bytes) throws(ChunkError) -> ContainerRow? { fatalError("to come") }
    package func object(_ container: UInt64, _ name: Bytes) throws(ChunkError) -> ObjectRow? { fatalError("to come") }

    /// At most `limit` (and `Limits.pageRowsMax`) rows of the range in bytewise order, or against it.
    package func containers(
        of account: Bytes, in range: NameRange, reverse: Bool, limit: Int
    ) throws(ChunkError) -> Page<ContainerRow> { fatalError("to come") }

    package func objects(
        in container: UInt64, _ range: NameRange, reverse: Bool, limit: Int
    ) throws(ChunkError) -> Page<ObjectRow> { fatalError("to come") }

    // MARK: Reading rows from memory only. These never block.

    package enum Cached<Row: Sendable>: Sendable {
        case found(Row)
        case absent
        /// Not in memory: ask again, blocking, on a work thread.
        case unknown
    }

    package func cachedContainer(_ account: Bytes, _ name: Bytes) -> Cached<ContainerRow> { fatalError("to come") }
    package func cachedObject(_ container: UInt64, _ name: Bytes) -> Cached<ObjectRow> { fatalError("to come") }

    // MARK: Reading bytes.

    /// Opens the bytes of a version; nil when that version has been overwritten or deleted since the row was
    /// read (look the row up again). What is open stays readable to its end, whatever happens to the name.
    package func reader(_ row: ObjectRow) throws(ChunkError) -> ObjectReader? { fatalError("to come") }

    // MARK: Writing.

    /// A fresh id, never handed out before: for a container that is being made.
    package func nextID() -> UInt64 { fatalError("to come") }

    /// Takes the container shared and the object's name exclusively, then runs `then`: at once on this
    /// thread if both are free, else later on `threads`. Hold both from looking the rows up until the write is applied:
    /// hand the hold to `submit`, or `release()` it.
    package func latchObject(
        _ account: Bytes, _ container: Bytes, _ object: Bytes, on threads: WorkThreads,
        then: @escaping @Sendable (LatchHold) -> Void
    ) { fatalError("to come") }

    /// Takes the container exclusively (PUT, POST, DELETE of the container itself).
    package func latchContainer(
        _ account: Bytes, _ container: Bytes, on threads: WorkThreads,
        then: @escaping @Sendable (LatchHold) -> Void
    ) { fatalError("to come") }

    /// Takes the account's own row exclusively (POST of its metadata). Does not exclude writes to containers.
    package func latchAccount(
        _ account: Bytes, on threads: WorkThreads, then: @escaping @Sendable (LatchHold) -> Void
    ) { fatalError("to come") }

    /// Enqueues one operation. Never blocks for the disk; may wait shortly when the committer's queue is full.
    /// `completion` runs through `sink` after the operation is durable and visible (I1), or has failed and
    /// changed nothing. The hold is released at that moment, before `completion` runs.
    package func submit(
        _ operation: Operation, holding hold: LatchHold, sink: any CompletionSink,
        completion: @escaping @Sendable (Result<Void, ChunkError>) -> Void
    ) { fatalError("to come") }

    /// Starts a body of more than `inlineBytesMax` bytes, or of unknown length. See `Upload`.
    package func beginUpload(threads: WorkThreads, sink: any CompletionSink) throws(ChunkError) -> Upload {
        fatalError("to come")
    }
}

/// One change of state. Each is atomic, and all counters of container and account change with it.
package enum Operation: Sendable {
    /// Creates or replaces the account's own attributes. `created` is kept if it exists.
    case putAccount(name: Bytes, timestamp: Timestamp, attributes: [UInt8])
    /// Creates (with `id` from `nextID()`, `existing` nil) or replaces the attributes of `existing`.
    case putContainer(account: Bytes, name: Bytes, id: UInt64, existing: ContainerRow?, timestamp: Timestamp, attributes: [UInt8])
    /// The caller holds it exclusively and found it empty.
    case deleteContainer(ContainerRow, timestamp: Timestamp)
    case putObject(container: ContainerRow, name: Bytes, draft: ObjectDraft, body: NewBody, replacing: ObjectRow?)
    /// Replaces content type, attributes and `modified`; the bytes stay.
    case setObjectMetadata(container: ContainerRow, row: ObjectRow, timestamp: Timestamp, contentType: Bytes, attributes: [UInt8])
    case deleteObject(container: ContainerRow, row: ObjectRow, timestamp: Timestamp)

    package enum NewBody: Sendable {
        /// At most `inlineBytesMax` bytes; compressed and hashed on the calling thread.
        case inline([UInt8])
        case uploaded(UploadedBody)
    }
}

/// Latches held on behalf of one request. Released by `submit` or by `release()`, exactly once counts.
package final class LatchHold: Sendable {
    package func release() { fatalError("to come") }
}

/// The bytes of one version, pinned while this object lives. Safe to use from one thread at a time.
package final class ObjectReader: Sendable {
    package let size: Int
    /// Frames of `frameBytes`, the last one shorter.
    package let frameCount: Int

    init(size: Int) { self.size = size; frameCount = 0 }

    /// Bytes that a frame's buffer needs (a multiple of 512, at least the frame's own size, at most `frameBytes`).
    package func bufferBytes(frame: Int) -> Int { fatalError("to come") }

    /// Reads and verifies one frame into `buffer` (at least `bufferBytes(frame:)`), and returns its length. May block.
    package func read(frame: Int, into buffer: UnsafeMutableRawBufferPointer) throws(ChunkError) -> Int { fatalError("to come") }

    /// The same from the page cache only: nil if it would have to wait for the disk. For event loops.
    package func readCached(frame: Int, into buffer: UnsafeMutableRawBufferPointer) throws(ChunkError) -> Int? { fatalError("to come") }
}

/// The writer of one large body: takes bytes as they come, hashes (MD5), compresses and writes them off the
/// caller's thread, in bounded memory. One caller at a time, which never blocks.
package final class Upload: Sendable {
    init() {}

    /// Copies the bytes in. False means: enough is in flight, stop reading from the socket; `onReady` is then
    /// called once, through the sink, when there is room (or when the upload has failed, which `finish` reports).
    package func append(_ bytes: UnsafeRawBufferPointer) -> Bool { fatalError("to come") }

    /// Set before the first `append`.
    package func setOnReady(_ onReady: @escaping @Sendable () -> Void) { fatalError("to come") }

    /// Ends the body: all of it is on the medium (fdatasynced) when `completion` runs on `threads`.
    package func finish(_ completion: @escaping @Sendable (Result<UploadedBody, ChunkError>) -> Void) { fatalError("to come") }

    /// Forgets what was written. Harmless after `finish` has completed and was not submitted.
    package func cancel() { fatalError("to come") }
}

/// A body that is durable but not yet named by anything. Dropping it without `submit` loses it, as it should.
package final class UploadedBody: Sendable {
    package let size: Int
    package let etag: MD5Digest
    let owner: UInt64
    init(size: Int, etag: MD5Digest, owner: UInt64) { self.size = size; self.etag = etag; self.owner = owner }
}
