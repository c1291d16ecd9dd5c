import Codecs
import Disks
import Primitives

/// The head of the state log: appends groups in LSN order to one segment after another. Used by
/// whoever has the duty to commit.
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
    /// What of the log is on the medium: shared with the applier.
    let flusher: LogFlusher
    /// Something was acknowledged since the last group that vouches for it.
    private(set) var needsSeal = false
    /// How often this segment was flushed behind some group, or because somebody asked for it.
    private var flushes = 0
    /// The segment that recovery cut, and where: the rest of it may go once the new one's header is durable.
    private var cut: (segment: UInt32, end: Int)?

    let groupBytesMax: Int

    /// Starts behind `tail`: the next append opens a new segment whose header records the cut.
    init(segments: SegmentTable, spares: SpareSegments, tail: LogTail, mutant: Mutant?) {
        self.segments = segments
        self.spares = spares
        self.mutant = mutant
        groupBytesMax = min(Limits.groupBytesMax, segments.segmentBytes / 4)
        builder = GroupBuilder(buffer: AlignedBuffer(pooled: groupBytesMax + Limits.groupBytesExtra))
        segment = tail.segment
        offset = tail.endOffset
        lastHash = tail.lastHash
        lastGroupOffset = tail.lastGroupOffset
        nextLSN = tail.nextLSN
        flusher = LogFlusher(syncedLSN: tail.nextLSN - 1, mutant: mutant)
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

    /// Writes one group. An empty one is a SEAL, which vouches for everything before it.
    ///
    /// - Parameter isDurable: flush it, and with it what was written before. Without, the group survives the process, and not
    ///   a power cut.
    func append(_ records: ArraySlice<some GroupMember>, isDurable: Bool) throws(AppendError) -> Appended {
        let total = GroupBuilder.totalBytes(records)
        if records.isEmpty { try flushWritten() }
        if file == nil || offset + total > segments.segmentBytes { try openNext() }
        let built = builder.build(
            records, firstLSN: nextLSN, syncedLSN: flusher.syncedLSN, segment: segment, offset: offset,
            previousHash: lastHash, secret: segments.secret)
        let start = MonotonicClock.now()
        // A SEAL has a number of its own: else nothing behind it could vouch for it.
        let behind = nextLSN + UInt64(max(1, records.count))
        do throws(DiskError) {
            try file!.write(builder.buffer.range(0, built.totalBytes), at: Int64(offset))
            flusher.wrote(upTo: behind - 1)
            if isDurable { try flusher.flush() }
        } catch {
            throw .failed(error)
        }
        if isDurable { flushes += 1 }
        let appended = Appended(
            firstLSN: nextLSN, segment: segment, groupOffset: offset, payloadOffsets: built.payloadOffsets,
            totalBytes: built.totalBytes, hash: built.hash, nextLSN: behind,
            flushNanoseconds: MonotonicClock.now() - start)
        lastGroupOffset = offset
        offset += built.totalBytes
        lastHash = built.hash
        nextLSN = behind
        needsSeal = !records.isEmpty
        if isDurable, let cut, cut.segment != segment {
            self.cut = nil
            spares.giveBack(cut.segment, from: cut.end)
        }
        return appended
    }

    /// Makes durable what was written and not flushed: somebody asked for it.
    func flush() throws(AppendError) {
        if flusher.syncedLSN < nextLSN - 1 { flushes += 1 }
        try flushWritten()
    }

    private func flushWritten() throws(AppendError) {
        do throws(DiskError) { try flusher.flush() } catch { throw .failed(error) }
    }

    /// Takes a spare and writes its header; the group that follows is flushed together with it. What lies in the segment before
    /// is flushed first: a later flush reaches one file only.
    private func openNext() throws(AppendError) {
        var flushesEnd = true
        #if DEBUG
            if mutant == .forgetFlushAtSegmentEnd { flushesEnd = false }
        #endif
        if flushesEnd { try flushWritten() }
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
        // Zeros written ahead make a flush cheap. Filled with few long groups, a segment would be written twice for nothing.
        if file != nil { spares.setZeroFill(flushes > segments.segmentBytes / Limits.groupBytesMax) }
        flushes = 0
        segment = spare.id
        file = spare.file
        flusher.goOn(in: spare.file)
        offset = SegmentHeader.byteCount
    }
}

/// What of the log is on the medium. The committer writes; it and the applier flush, and a flush that failed once fails for
/// both ever after, since the system tells of a lost write only once.
final class LogFlusher: Sendable {
    private let mutex = PosixMutex()
    private let state: PosixGuarded<State>
    private let mutant: Mutant?

    private struct State {
        var file: (any DiskFile)?
        var writtenLSN: UInt64
        var syncedLSN: UInt64
        var failure: DiskError?
    }

    init(syncedLSN: UInt64, mutant: Mutant?) {
        state = PosixGuarded(State(writtenLSN: syncedLSN, syncedLSN: syncedLSN))
        self.mutant = mutant
    }

    /// The highest LSN known to be on the medium.
    var syncedLSN: UInt64 { mutex.withLock { state.value.syncedLSN } }

    /// Everything that was written is flushed by now, or fails.
    func goOn(in file: any DiskFile) { mutex.withLock { state.value.file = file } }

    func wrote(upTo lsn: UInt64) { mutex.withLock { state.value.writtenLSN = lsn } }

    /// Returns when everything up to this number (nil: all that was written) is on the medium.
    func flush(upTo lsn: UInt64? = nil) throws(DiskError) {
        mutex.lock()
        defer { mutex.unlock() }
        if let failure = state.value.failure { throw failure }
        let wanted = lsn ?? state.value.writtenLSN
        guard state.value.syncedLSN < wanted, let file = state.value.file else { return }
        let reached = state.value.writtenLSN
        do throws(DiskError) {
            try sync(file)
        } catch {
            state.value.failure = error
            throw error
        }
        state.value.syncedLSN = reached
    }

    private func sync(_ file: any DiskFile) throws(DiskError) {
        #if DEBUG
            if mutant == .skipGroupSync { return }
            if mutant == .retryFailedSync {
                do throws(DiskError) { try file.sync() } catch { try file.sync() }
                return
            }
        #endif
        try file.sync()
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
    private let worthZeros = PosixGuarded(true)
    let ballast: Ballast

    init(segments: SegmentTable, zeroFilled: Bool, ballast: Ballast) {
        self.segments = segments
        self.zeroFilled = zeroFilled
        self.ballast = ballast
    }

    /// Makes the spare if there is none. Blocks; called from the maintenance thread.
    func refill() throws(DiskError) {
        let (isThere, writesZeros) = mutex.withLock { (state.value != nil, zeroFilled && worthZeros.value) }
        if isThere { return }
        let made = try segments.create(zeroFilled: writesZeros)
        mutex.withLock { state.value = made }
    }

    /// Whether the next spares are to be written full of zeros, or only reserved.
    func setZeroFill(_ isWorthIt: Bool) { mutex.withLock { worthZeros.value = isWorthIt } }

    var isWorthZeros: Bool { mutex.withLock { worthZeros.value } }

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
