import Disks
import Primitives

/// The L segments that large bodies are written to, side by side by any number of uploads.
final class BulkSegments: Sendable {
    private let segments: SegmentTable
    private let mutex = PosixMutex()
    private let current = PosixGuarded<BulkSegment?>(nil)
    /// A lock of their own: the other one is held while a segment is made, and these are asked for on event loops.
    private let blocksMutex = PosixMutex()
    private let blocks = PosixGuarded<[AlignedBuffer]>([])

    private let hasRoom: @Sendable (Int64) -> Bool

    /// - Parameter hasRoom: whether so many more bytes may be taken from the disk for bodies.
    init(segments: SegmentTable, hasRoom: @escaping @Sendable (Int64) -> Bool) {
        self.segments = segments
        self.hasRoom = hasRoom
    }

    /// Gives back what the segment under way did not use. No upload may be under way.
    func close() throws(DiskError) {
        let last = mutex.withLock {
            defer { current.value = nil }
            return current.value
        }
        if let last { try segments.trim(last.id, from: last.used) }
    }

    /// A block's memory, used before or new. Not zeroed.
    func takeBlock(_ count: Int) -> AlignedBuffer {
        blocksMutex.withLock {
            if let block = blocks.value.popLast(), block.bytes.count >= count { return block }
            return AlignedBuffer(count)
        }
    }

    func giveBlock(_ block: AlignedBuffer) {
        blocksMutex.withLock { if blocks.value.count < Limits.idleUploadBlocksMax { blocks.value.append(block) } }
    }

    /// Room for `length` bytes that nobody else writes to. Opens a new segment when the current one is full.
    func reserve(_ length: Int) throws(DiskError) -> (segment: BulkSegment, offset: Int) {
        mutex.lock()
        defer { mutex.unlock() }
        if let segment = current.value, let offset = segment.take(length, segments.segmentBytes) {
            return (segment, offset)
        }
        guard hasRoom(Int64(segments.segmentBytes)) else {
            throw DiskError(operation: "reserve", path: SegmentTable.folder, code: DiskError.noSpace)
        }
        let spare = try segments.create(zeroFilled: false)
        try segments.adopt(spare.id)
        try segments.writeHeader(
            SegmentHeader(
                kind: .bulk, id: spare.id, storeUUID: segments.storeUUID, previous: SegmentHeader.none, previousEnd: 0,
                previousHash: 0, firstLSN: 0), to: spare.file)
        let segment = BulkSegment(id: spare.id, file: spare.file)
        current.value = segment
        guard let offset = segment.take(length, segments.segmentBytes) else {
            preconditionFailure("a bulk group larger than a segment")
        }
        return (segment, offset)
    }
}

/// One L segment being filled. Its flush is shared by all who wait for it.
final class BulkSegment: Sendable {
    let id: UInt32
    private let file: any DiskFile
    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())

    private struct State {
        var used = SegmentHeader.byteCount
        var writes: UInt64 = 1  // The header.
        var synced: UInt64 = 0
        var isSyncing = false
        var failure: DiskError?
    }

    init(id: UInt32, file: any DiskFile) {
        self.id = id
        self.file = file
    }

    var used: Int { mutex.withLock { state.value.used } }

    func take(_ length: Int, _ segmentBytes: Int) -> Int? {
        mutex.withLock {
            guard state.value.used + length <= segmentBytes else { return nil }
            defer { state.value.used += length }
            return state.value.used
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) {
        do throws(DiskError) {
            try file.write(bytes, at: Int64(offset))
        } catch {
            // What had no space was not written: others' bytes are as good as before.
            if !error.isNoSpace { mutex.withLock { if state.value.failure == nil { state.value.failure = error } } }
            throw error
        }
        mutex.withLock { state.value.writes += 1 }
    }

    /// Returns when everything that was written before the call is on the medium. One caller flushes, the others wait.
    func sync() throws(DiskError) {
        mutex.lock()
        defer { mutex.unlock() }
        let target = state.value.writes
        while true {
            // A failed flush may have dropped anybody's pages: all later callers fail too.
            if let failure = state.value.failure { throw failure }
            if state.value.synced >= target { return }
            if state.value.isSyncing {
                mutex.wait()
                continue
            }
            state.value.isSyncing = true
            let goal = state.value.writes
            mutex.unlock()
            var failure: DiskError?
            do throws(DiskError) { try file.sync() } catch { failure = error }
            mutex.lock()
            state.value.isSyncing = false
            if let failure { state.value.failure = failure } else { state.value.synced = goal }
            mutex.broadcast()
        }
    }
}
