package import Codecs
import Disks
package import Primitives
import Synchronization

/// The writer of one large body: takes bytes as they come, hashes (MD5), compresses and writes them off the
/// caller's thread, in bounded memory. One caller at a time, which never blocks.
///
/// Blocks go down two lanes at once, MD5 and compress-and-write, because MD5 alone fills a core (measured.md
/// section 2). Leaves are logged as they fill, after the frames that they name were flushed (I4).
package final class Upload: Sendable {
    private let store: ChunkStore
    private let sink: any CompletionSink
    private let digestLane: SerialLane
    private let writeLane: SerialLane
    let owner: UInt64
    private let framesPerBlock: Int

    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())
    /// Touched in the digest lane only, and in the write lane only.
    private let digest = PosixGuarded(MD5())
    private let writer: PosixGuarded<WriterState>

    private struct State {
        var block: AlignedBuffer?
        var fill = 0
        var size = 0
        var inFlight = 0
        var isWaiting = false
        var onReady: (@Sendable () -> Void)?
        var failure: ChunkError?
        var isCancelled = false
        var lanesLeft = 2
        var leavesPending = 0
        var leavesLogged = 0
        var isDrained = false
        var completion: (@Sendable (Result<UploadedBody, ChunkError>) -> Void)?
    }

    private struct WriterState {
        var group: AlignedBuffer
        var entries: [UInt8] = []
        var leaf: UInt32 = 0
        var frame: UInt64 = 0
        var touched: [BulkSegment] = []
    }

    init(store: ChunkStore, threads: WorkThreads, sink: any CompletionSink, owner: UInt64) {
        self.store = store
        self.sink = sink
        self.owner = owner
        digestLane = SerialLane(threads: threads)
        writeLane = SerialLane(threads: threads)
        framesPerBlock = max(1, min(Limits.uploadBlockBytes, store.segments.segmentBytes / 4) / frameBytes)
        writer = PosixGuarded(
            WriterState(group: AlignedBuffer(framesPerBlock * frameBytes + 2 * GroupLayout.alignment)))
    }

    private var blockBytes: Int { framesPerBlock * frameBytes }

    /// Called once, through the sink, each time `append` has said false and there is room again, or the upload
    /// has failed. Set it before the first `append`.
    package func setOnReady(_ onReady: @escaping @Sendable () -> Void) {
        mutex.withLock { state.value.onReady = onReady }
    }

    /// Copies the bytes in. False means: enough is in flight, stop reading from the socket until `onReady`.
    package func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let block = mutex.withLock { () -> AlignedBuffer in
                if let block = state.value.block { return block }
                let block = store.bulk.takeBlock(blockBytes)
                state.value.block = block
                state.value.fill = 0
                return block
            }
            let fill = mutex.withLock { state.value.fill }
            let count = min(rest.count, blockBytes - fill)
            block.bytes.copy(UnsafeRawBufferPointer(rebasing: rest.prefix(count)), at: fill)
            rest = rest.dropFirst(count)
            mutex.withLock {
                state.value.fill += count
                state.value.size += count
            }
            if fill + count == blockBytes { dispatchBlock() }
        }
        return mutex.withLock {
            if state.value.inFlight < 2 * Limits.uploadBlocksInFlightMax || state.value.failure != nil { return true }
            state.value.isWaiting = true
            return false
        }
    }

    /// Ends the body. When `completion` runs (on a work thread), all of it is on the medium, and its map is in the log.
    package func finish(_ completion: @escaping @Sendable (Result<UploadedBody, ChunkError>) -> Void) {
        dispatchBlock()
        mutex.withLock { state.value.completion = completion }
        digestLane.add { self.laneIsDone() }
        writeLane.add {
            self.finishLeaf()
            self.laneIsDone()
        }
    }

    /// Forgets what was written. Harmless at any time; after `finish` has completed it does nothing.
    package func cancel() {
        let wasFinishing = mutex.withLock { () -> Bool in
            state.value.isCancelled = true
            if state.value.failure == nil { state.value.failure = .cancelled }
            state.value.block = nil
            return state.value.completion != nil || state.value.isDrained
        }
        if !wasFinishing { writeLane.add { self.abandonLeaves() } }
    }

    // MARK: Lanes

    private func dispatchBlock() {
        let (block, count) = mutex.withLock { () -> (AlignedBuffer?, Int) in
            defer { state.value.block = nil }
            guard state.value.block != nil, state.value.fill > 0 else { return (nil, 0) }
            state.value.inFlight += 2
            return (state.value.block, state.value.fill)
        }
        guard let block else { return }
        let done = BlockUse(users: 2) { self.store.bulk.giveBlock(block) }
        digestLane.add {
            if !self.hasFailed { self.digest.value.update(block.range(0, count)) }
            done.leave()
            self.blockIsDone()
        }
        writeLane.add {
            if !self.hasFailed { self.write(block.range(0, count)) }
            done.leave()
            self.blockIsDone()
        }
    }

    private var hasFailed: Bool { mutex.withLock { state.value.failure != nil } }

    private func fail(_ error: ChunkError) {
        mutex.withLock { if state.value.failure == nil { state.value.failure = error } }
    }

    private func blockIsDone() {
        let ready = mutex.withLock { () -> (@Sendable () -> Void)? in
            state.value.inFlight -= 1
            guard state.value.isWaiting,
                state.value.inFlight <= Limits.uploadBlocksInFlightMax || state.value.failure != nil
            else {
                return nil
            }
            state.value.isWaiting = false
            return state.value.onReady
        }
        if let ready { sink.wake([ready]) }
    }

    /// In the write lane: frames of one block, as one group of an L segment.
    private func write(_ bytes: UnsafeRawBufferPointer) {
        if store.counters.spaceRefused.load(ordering: .relaxed) { return fail(.noSpace) }
        if let reason = store.readOnlyReason { return fail(.readOnly(reason)) }
        let frames = (bytes.count + frameBytes - 1) / frameBytes
        let group = writer.value.group
        // Attributes: none. The descriptor names the owner and the frame's number, for salvage.
        let metaBytes = GroupLayout.headerBytes + frames * GroupLayout.descriptorBytes
        var at = roundUp(metaBytes, to: Limits.sectorBytes)
        group.bytes.zero(metaBytes, at - metaBytes)
        var placed: [(offset: Int, count: Int, isLZ4: Bool, hash: UInt64)] = []
        for frame in 0..<frames {
            let start = frame * frameBytes
            let raw = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + frameBytes, bytes.count)])
            let (count, isLZ4) = FrameCodec.encode(raw, into: group.mutableRange(at, group.bytes.count - at))
            let hash = XXH3.hash(group.range(at, count), store.secret)
            placed.append((at, count, isLZ4, hash))
            writeDescriptor(group, frame, raw.count, placed[frame])
            at += count
        }
        let total = roundUp(at, to: GroupLayout.alignment)
        group.bytes.zero(at, total - at)
        do throws(DiskError) {
            let (segment, offset) = try store.bulk.reserve(total)
            seal(group, frames: frames, metaBytes: metaBytes, total: total, segment: segment.id, offset: offset)
            try segment.write(group.range(0, total), at: offset)
            if !writer.value.touched.contains(where: { $0 === segment }) { writer.value.touched.append(segment) }
            store.memoryMutex.withLock { store.memory.value.bytesStored += Int64(total) }
            for extent in placed {
                addEntry(
                    Extent(
                        segment: segment.id, offset: UInt32(offset + extent.offset), storedBytes: UInt32(extent.count),
                        isLZ4: extent.isLZ4, tag: extent.hash))
            }
        } catch {
            // No space costs this upload (its range is never used again); anything else, the trust in the disk.
            if !error.isNoSpace { store.becomeReadOnly(.ioError(error)) }
            fail(error.isNoSpace ? .noSpace : .disk(error))
        }
    }

    private func writeDescriptor(
        _ group: AlignedBuffer, _ index: Int, _ rawCount: Int,
        _ place: (offset: Int, count: Int, isLZ4: Bool, hash: UInt64)
    ) {
        let at = GroupLayout.headerBytes + index * GroupLayout.descriptorBytes
        let out = group.bytes
        out.zero(at, GroupLayout.descriptorBytes)
        out[at] = RecordType.frame.rawValue
        out[at + 1] = place.isLZ4 ? GroupEntry.lz4Flag : 0
        out.set(UInt32(rawCount), at: at + 12)
        out.set(UInt32(place.count), at: at + 16)
        out.set(UInt32(place.offset), at: at + 20)
        out.set(owner, at: at + 24)
        out.set(writer.value.frame, at: at + 32)
        out.set(place.hash, at: at + 40)
        writer.value.frame += 1
    }

    private func seal(_ group: AlignedBuffer, frames: Int, metaBytes: Int, total: Int, segment: UInt32, offset: Int) {
        GroupHeader.writeBulk(
            group.bytes, total: total, metaBytes: metaBytes, count: frames, segment: segment, offset: offset,
            store.secret)
    }

    private func addEntry(_ extent: Extent) {
        withUnsafeBytes(of: extent.locator.littleEndian) { writer.value.entries.append(contentsOf: $0) }
        withUnsafeBytes(of: extent.taggedWord.littleEndian) { writer.value.entries.append(contentsOf: $0) }
        if writer.value.entries.count == Limits.leafEntries * Extent.byteCount { finishLeaf() }
    }

    /// Flushes what the leaf names, then logs the leaf.
    private func finishLeaf() {
        let entries = writer.value.entries
        guard !entries.isEmpty, !hasFailed else { return }
        writer.value.entries = []
        let leaf = writer.value.leaf
        writer.value.leaf += 1
        guard leaf < UInt32(Limits.leavesMax) else { return fail(.noSpace) }
        #if DEBUG
            let mutant = store.configuration.mutant
        #else
            let mutant: Mutant? = nil
        #endif
        if mutant != .skipBulkSync {
            do throws(DiskError) {
                for segment in writer.value.touched { try segment.sync() }
            } catch {
                store.becomeReadOnly(.ioError(error))
                return fail(.disk(error))
            }
        }
        // The newest segment may get more frames; the others are done with.
        writer.value.touched = writer.value.touched.suffix(1)
        logLeaf(leaf, entries)
    }

    private func logLeaf(_ leaf: UInt32, _ entries: [UInt8]) {
        mutex.withLock {
            state.value.leavesPending += 1
            state.value.leavesLogged += 1
        }
        let record = Record.uploadLeaf(owner: owner, index: leaf, entries: entries)
        store.enqueue(
            Submission(record: record, encoded: record.encoded(), hold: nil, sink: InlineSink.shared) { result in
                if case .failure(let error) = result { self.fail(error) }
                self.mutex.withLock { self.state.value.leavesPending -= 1 }
                self.completeIfDrained()
            })
    }

    private func laneIsDone() {
        mutex.withLock { state.value.lanesLeft -= 1 }
        completeIfDrained()
    }

    private func completeIfDrained() {
        let (completion, failure, size) = mutex.withLock {
            () -> ((@Sendable (Result<UploadedBody, ChunkError>) -> Void)?, ChunkError?, Int) in
            guard state.value.lanesLeft == 0, state.value.leavesPending == 0, let completion = state.value.completion
            else {
                return (nil, nil, 0)
            }
            state.value.completion = nil
            state.value.isDrained = true
            return (completion, state.value.failure, state.value.size)
        }
        guard let completion else { return }
        // Leaf completions run on the committer's thread: what follows must not.
        writeLane.add {
            if let failure {
                self.abandonLeaves()
                completion(.failure(failure))
            } else {
                completion(
                    .success(
                        UploadedBody(
                            store: self.store, size: size, etag: self.digest.value.finalize(), owner: self.owner)))
            }
        }
    }

    private func abandonLeaves() {
        let logged = mutex.withLock { state.value.leavesLogged }
        if logged > 0 { store.abandonUpload(owner) }
    }
}

/// Counts the lanes that still use a block.
private final class BlockUse: Sendable {
    private let users: Atomic<Int>
    private let onLast: @Sendable () -> Void

    init(users: Int, onLast: @escaping @Sendable () -> Void) {
        self.users = Atomic(users)
        self.onLast = onLast
    }

    func leave() { if users.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { onLast() } }
}

/// A body that is durable but not yet named by anything. Dropping it without submitting it loses it, as it should.
package final class UploadedBody: Sendable {
    package let size: Int
    package let etag: MD5Digest
    let owner: UInt64
    private let store: ChunkStore
    private let isNamed = Atomic<Bool>(false)

    init(store: ChunkStore, size: Int, etag: MD5Digest, owner: UInt64) {
        self.store = store
        self.size = size
        self.etag = etag
        self.owner = owner
    }

    /// The PUT that names it is on its way; if that fails, recovery drops the leaves.
    func markNamed() { isNamed.store(true, ordering: .relaxed) }

    deinit { if size > 0 && !isNamed.load(ordering: .relaxed) { store.abandonUpload(owner) } }
}

extension ChunkStore {
    /// Starts a body of more than `inlineBytesMax` bytes, or of unknown length.
    ///
    /// - Parameter threads: at least three, or its two lanes and its caller wait for each other's processor.
    package func beginUpload(threads: WorkThreads, sink: any CompletionSink) throws(ChunkError) -> Upload {
        if let reason = readOnlyReason { throw .readOnly(reason) }
        if counters.spaceRefused.load(ordering: .relaxed) { throw .noSpace }
        return Upload(store: self, threads: threads, sink: sink, owner: nextID())
    }

    /// Logs that an upload's leaves name nothing any more. If even that fails, recovery finds out.
    func abandonUpload(_ owner: UInt64) {
        let record = Record.dropUpload(owner: owner)
        enqueue(Submission(record: record, encoded: record.encoded(), hold: nil, sink: InlineSink.shared) { _ in })
    }
}
