import Codecs
import Disks
import Primitives

/// The head of the state log: appends groups in LSN order to one segment after another. Used by the
/// committer only.
final class StateLog {
    private let segments: SegmentTable
    private let spares: SpareSegments
    private let builder: GroupBuilder
    private let mutant: Mutant?

    private var segment: UInt32
    private var file: (any DiskFile)?
    private(set) var offset: Int
    private var lastHash: UInt64
    private(set) var lastGroupOffset: Int
    private(set) var nextLSN: UInt64
    /// The highest LSN known to be on the medium.
    private(set) var syncedLSN: UInt64
    /// Something was acknowledged since the last group that vouches for it.
    private(set) var needsSeal = false
    /// The segment that recovery cut, and where: the rest of it may go once the new one's header is durable.
    private var cut: (segment: UInt32, end: Int)?

    let groupBytesMax: Int

    /// Starts behind `tail`: the next append opens a new segment whose header records the cut.
    init(segments: SegmentTable, spares: SpareSegments, tail: LogTail, mutant: Mutant?) {
        self.segments = segments
        self.spares = spares
        self.mutant = mutant
        groupBytesMax = min(Limits.groupBytesMax, segments.segmentBytes / 4)
        builder = GroupBuilder(buffer: AlignedBuffer(groupBytesMax + Limits.groupBytesExtra))
        segment = tail.segment
        offset = tail.endOffset
        lastHash = tail.lastHash
        lastGroupOffset = tail.lastGroupOffset
        nextLSN = tail.nextLSN
        syncedLSN = tail.nextLSN - 1
        file = nil
        if tail.segment != SegmentHeader.none { cut = (tail.segment, tail.endOffset) }
        #if DEBUG
            if mutant == .writeBehindCut, segment != SegmentHeader.none {
                do { file = try segments.disk.open(SegmentTable.path(segment), .writeDirect) } catch { file = nil }
            }
        #endif
    }

    struct Appended {
        var firstLSN: UInt64
        var segment: UInt32
        var groupOffset: Int
        var payloadOffsets: [Int]
        var totalBytes: Int
        var hash: UInt64
        /// The LSN behind the group's last.
        var nextLSN: UInt64
        var flushNanoseconds: UInt64
    }

    enum AppendError: Error {
        /// No segment could be had; nothing was written.
        case noSegment(DiskError)
        /// The write or its flush failed: the log can't be trusted any more in this process.
        case failed(DiskError)
    }

    /// Writes one group and makes it durable. An empty one is a SEAL.
    func append(_ records: ArraySlice<EncodedRecord>) throws(AppendError) -> Appended {
        let total = GroupBuilder.totalBytes(records)
        if file == nil || offset + total > segments.segmentBytes { try openNext() }
        let built = builder.build(
            records, firstLSN: nextLSN, syncedLSN: syncedLSN, segment: segment, offset: offset, previousHash: lastHash,
            secret: segments.secret)
        let start = MonotonicClock.now()
        do throws(DiskError) {
            try file!.write(builder.buffer.range(0, built.totalBytes), at: Int64(offset))
            #if DEBUG
                if mutant == .skipGroupSync { return finish(built, records.count, start) }
                if mutant == .retryFailedSync {
                    do throws(DiskError) { try file!.sync() } catch { try file!.sync() }
                    return finish(built, records.count, start)
                }
            #endif
            try file!.sync()
        } catch {
            throw .failed(error)
        }
        return finish(built, records.count, start)
    }

    private func finish(
        _ built: (totalBytes: Int, hash: UInt64, payloadOffsets: [Int]), _ count: Int, _ start: UInt64
    ) -> Appended {
        // A SEAL has a number of its own: else nothing behind it could vouch for it.
        let appended = Appended(
            firstLSN: nextLSN, segment: segment, groupOffset: offset, payloadOffsets: built.payloadOffsets,
            totalBytes: built.totalBytes, hash: built.hash, nextLSN: nextLSN + UInt64(max(1, count)),
            flushNanoseconds: MonotonicClock.now() - start)
        lastGroupOffset = offset
        offset += built.totalBytes
        lastHash = built.hash
        nextLSN = appended.nextLSN
        syncedLSN = nextLSN - 1
        needsSeal = count > 0
        if let cut, cut.segment != segment {
            self.cut = nil
            spares.giveBack(cut.segment, from: cut.end)
        }
        return appended
    }

    /// Takes a spare and writes its header; the group that follows is flushed together with it.
    private func openNext() throws(AppendError) {
        let spare: (id: UInt32, file: any DiskFile)
        do throws(DiskError) {
            spare = try spares.take()
        } catch {
            throw error.isNoSpace ? .noSegment(error) : .failed(error)
        }
        let header = SegmentHeader(
            kind: .state, id: spare.id, storeUUID: segments.storeUUID, previous: segment, previousEnd: UInt32(offset),
            previousHash: lastHash, firstLSN: nextLSN)
        do throws(DiskError) {
            var writesHeader = true
            #if DEBUG
                if mutant == .skipSegmentHeader { writesHeader = false }
            #endif
            if writesHeader { try segments.writeHeader(header, to: spare.file) }
        } catch {
            throw .failed(error)
        }
        segment = spare.id
        file = spare.file
        offset = SegmentHeader.byteCount
    }
}

/// Where the valid log ends.
struct LogTail: Sendable, Hashable {
    var segment: UInt32
    var endOffset: Int
    var lastGroupOffset: Int
    var lastHash: UInt64
    var nextLSN: UInt64

    static let empty = LogTail(segment: SegmentHeader.none, endOffset: 0, lastGroupOffset: 0, lastHash: 0, nextLSN: 1)
}

/// Keeps one segment ready, made off the hot path.
final class SpareSegments: Sendable {
    private let segments: SegmentTable
    private let mutex = PosixMutex()
    private let state = PosixGuarded<(id: UInt32, file: any DiskFile)?>(nil)
    private let surplus = PosixGuarded<[(segment: UInt32, end: Int?)]>([])
    private let zeroFilled: Bool
    let ballast: Ballast

    init(segments: SegmentTable, zeroFilled: Bool, ballast: Ballast) {
        self.segments = segments
        self.zeroFilled = zeroFilled
        self.ballast = ballast
    }

    /// Makes the spare if there is none. Blocks; called from the maintenance thread.
    func refill() throws(DiskError) {
        if mutex.withLock({ state.value != nil }) { return }
        let made = try segments.create(zeroFilled: zeroFilled)
        mutex.withLock { state.value = made }
    }

    /// Notes that a segment holds nothing from `end` on (nil: behind what was ever written to it): those blocks can go
    /// to the file system.
    func giveBack(_ segment: UInt32, from end: Int?) { mutex.withLock { surplus.value.append((segment, end)) } }

    /// Truncates what `giveBack` noted. Called from the maintenance thread.
    func trim() throws(DiskError) {
        while let noted = mutex.withLock({ surplus.value.popLast() }) {
            try segments.trim(noted.segment, from: noted.end)
        }
    }

    /// The spare, or one made now (reserved only: this is on somebody's way).
    func take() throws(DiskError) -> (id: UInt32, file: any DiskFile) {
        let ready = mutex.withLock {
            defer { state.value = nil }
            return state.value
        }
        let spare: (id: UInt32, file: any DiskFile)
        if let ready {
            spare = ready
        } else {
            do throws(DiskError) {
                spare = try segments.create(zeroFilled: false)
            } catch {
                // What the ballast is for: deletes go on when everything else is full.
                guard error.isNoSpace, ballast.release() else { throw error }
                spare = try segments.create(zeroFilled: false)
            }
        }
        try segments.adopt(spare.id)
        return spare
    }

    /// Gives the blocks of an unused spare back at close.
    func discard() throws(DiskError) {
        let ready = mutex.withLock {
            defer { state.value = nil }
            return state.value
        }
        if let ready { try segments.removeSpare(ready.id) }
    }
}
