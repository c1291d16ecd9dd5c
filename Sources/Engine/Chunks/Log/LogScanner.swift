import Codecs
import Disks
private import Glibc
import Primitives

/// Reads the state log past the page cache, group by group, and tells where it ends and why.
struct LogScanner {
    let segments: SegmentTable
    let mutant: Mutant?

    /// What came after the last valid group.
    enum Ending: Sendable {
        /// Nothing, or a tail that was never durable: cut here.
        case torn
        /// Later records prove that what lies here was committed.
        case damaged(segment: UInt32, offset: Int)
    }

    struct Outcome: Sendable {
        var tail: LogTail
        var ending: Ending
        /// Segments that groups were read from, in order.
        var scanned: [UInt32]
    }

    /// Folds every valid group from `start` on into `visit`, in order.
    ///
    /// - Parameter indexLSN: the highest LSN that any index copy has applied: proof of what was committed.
    func scan(
        from start: LogTail, indexLSN: UInt64, stopAfter lastLSN: UInt64 = .max,
        _ visit: (GroupHeader, [Record]) throws(ChunkError) -> Void
    ) throws(ChunkError) -> Outcome {
        let (headers, unreadable) = try stateSegments()
        var tail = start
        var scanned: [UInt32] = []
        var window: SegmentWindow?
        while true {
            if tail.nextLSN > lastLSN { return Outcome(tail: tail, ending: .torn, scanned: scanned) }
            if tail.segment != SegmentHeader.none {
                if window?.id != tail.segment {
                    window = try openWindow(tail.segment)
                    if window != nil { scanned.append(tail.segment) }
                }
                if window != nil, let group = try readGroup(&window!, at: tail.endOffset, after: tail) {
                    try visit(group.header, group.records)
                    tail.lastGroupOffset = tail.endOffset
                    tail.endOffset += group.header.totalBytes
                    tail.lastHash = group.header.hash
                    tail.nextLSN = group.header.nextLSN
                    continue
                }
            }
            if let next = successor(of: tail, in: headers) {
                tail.segment = next.id
                tail.endOffset = SegmentHeader.byteCount
                tail.lastGroupOffset = 0
                continue
            }
            let ending = try judge(tail, headers: headers, unreadable: unreadable, indexLSN: indexLSN)
            return Outcome(tail: tail, ending: ending, scanned: scanned)
        }
    }

    /// Headers of all state segments, and the segments whose header does not verify: torn, or damaged.
    private func stateSegments() throws(ChunkError) -> (headers: [SegmentHeader], unreadable: [UInt32]) {
        do throws(DiskError) {
            var headers: [SegmentHeader] = []
            var unreadable: [UInt32] = []
            for id in try SegmentTable.existing(segments.disk) {
                do throws(DiskError) {
                    if let header = try segments.readHeader(id) {
                        if header.kind == .state { headers.append(header) }
                    } else {
                        unreadable.append(id)
                    }
                } catch {
                    // A bad sector under one header must not keep the rest from being read.
                    guard error.code == EIO else { throw error }
                    unreadable.append(id)
                }
            }
            return (headers, unreadable)
        } catch {
            throw .disk(error)
        }
    }

    private func openWindow(_ id: UInt32) throws(ChunkError) -> SegmentWindow? {
        do throws(DiskError) {
            return try SegmentWindow(
                id: id, file: segments.disk.open(SegmentTable.path(id), .readDirect),
                segmentBytes: segments.segmentBytes)
        } catch {
            if error.isNotFound { return nil }
            throw .disk(error)
        }
    }

    /// Whether the group or the segment behind `tail` says that the group before it was what `tail` says.
    func continues(_ tail: LogTail) throws(ChunkError) -> Bool {
        if successor(of: tail, in: try stateSegments().headers) != nil { return true }
        guard tail.segment != SegmentHeader.none, var window = try openWindow(tail.segment) else { return false }
        return try readGroup(&window, at: tail.endOffset, after: tail) != nil
    }

    private func successor(of tail: LogTail, in headers: [SegmentHeader]) -> SegmentHeader? {
        #if DEBUG
            if mutant == .ignoreSuccessor, tail.segment != SegmentHeader.none { return nil }
        #endif
        return headers.last {
            $0.previous == tail.segment && $0.firstLSN == tail.nextLSN
                && (tail.segment == SegmentHeader.none
                    || Int($0.previousEnd) == tail.endOffset && $0.previousHash == tail.lastHash)
        }
    }

    private func readGroup(
        _ window: inout SegmentWindow, at offset: Int, after tail: LogTail
    ) throws(ChunkError) -> (header: GroupHeader, records: [Record])? {
        guard let bytes = try window.group(at: offset) else { return nil }
        var checksPosition = true
        #if DEBUG
            if mutant == .skipPositionCheck { checksPosition = false }
        #endif
        guard
            let header = GroupHeader(
                bytes, segment: window.id, offset: offset, segmentBytes: segments.segmentBytes, segments.secret,
                checksPosition: checksPosition)
        else { return nil }
        var checksChain = true
        #if DEBUG
            if mutant == .skipChainCheck { checksChain = false }
        #endif
        if checksChain {
            guard header.previousHash == tail.lastHash, header.firstLSN == tail.nextLSN else { return nil }
        }
        let view = GroupView(header: header, bytes: bytes)
        guard let entries = view.entries() else { return nil }
        var checksPayload = true
        #if DEBUG
            if mutant == .skipPayloadCheck { checksPayload = false }
        #endif
        if checksPayload { guard view.verifyPayloads(entries, segments.secret) else { return nil } }
        var records: [Record] = []
        records.reserveCapacity(entries.count)
        for entry in entries {
            guard let record = Record(entry, segment: window.id, groupOffset: UInt32(offset)) else {
                // It verifies, so it was written: never a torn tail.
                throw .unusable(
                    "segment \(window.id) holds, at \(offset), a record that this program does not understand: use a newer program"
                )
            }
            records.append(record)
        }
        return (header, records)
    }

    /// Torn or damaged? Looks for anything later that vouches for the group that should begin at the tail.
    private func judge(
        _ tail: LogTail, headers: [SegmentHeader], unreadable: [UInt32], indexLSN: UInt64
    ) throws(ChunkError) -> Ending {
        #if DEBUG
            if mutant == .truncateCommittedDamage { return .torn }
        #endif
        let damaged = Ending.damaged(segment: tail.segment, offset: tail.endOffset)
        if indexLSN >= tail.nextLSN { return damaged }
        var candidates = headers.filter { $0.firstLSN >= tail.nextLSN && $0.id != tail.segment }.map(\.id)
        // A segment that was begun behind the tail says where its predecessor ended: more than we could read.
        for header in headers where header.previous == tail.segment && header.firstLSN > tail.nextLSN { return damaged }
        if tail.segment != SegmentHeader.none { candidates.insert(tail.segment, at: 0) }
        candidates += unreadable.filter { $0 != tail.segment }
        for id in candidates {
            guard var window = try openWindow(id) else { continue }
            var offset = id == tail.segment ? tail.endOffset : SegmentHeader.byteCount
            while offset < segments.segmentBytes {
                // Wherever it lies: what a group of ours says was durable was so, a misdirected copy of it included.
                if let bytes = try window.group(at: offset),
                    let header = GroupHeader(
                        bytes, segment: id, offset: offset, segmentBytes: segments.segmentBytes, segments.secret,
                        checksPosition: false)
                {
                    if header.syncedLSN >= tail.nextLSN { return damaged }
                }
                offset += GroupLayout.alignment
            }
        }
        return .torn
    }
}

/// A segment file read in large aligned pieces.
struct SegmentWindow {
    let id: UInt32
    private let file: any DiskFile
    private let segmentBytes: Int
    private var buffer: AlignedBuffer
    private var start = 0
    private var count = 0

    static let windowBytes = 4 << 20

    init(id: UInt32, file: any DiskFile, segmentBytes: Int) {
        self.id = id
        self.file = file
        self.segmentBytes = segmentBytes
        buffer = AlignedBuffer(min(Self.windowBytes, segmentBytes))
    }

    /// The bytes of what may be a group at the offset: all of it if it has a plausible header. nil if not.
    mutating func group(at offset: Int) throws(ChunkError) -> UnsafeRawBufferPointer? {
        guard offset + GroupLayout.alignment <= segmentBytes, try load(offset, GroupLayout.alignment) else {
            return nil
        }
        let first = buffer.range(offset - start, GroupLayout.alignment)
        guard let (total, _) = GroupHeader.peek(first, segmentBytes: segmentBytes, offset: offset) else { return nil }
        guard try load(offset, total) else { return nil }
        return buffer.range(offset - start, total)
    }

    /// Makes `length` bytes from `offset` available; false if the file ends before.
    private mutating func load(_ offset: Int, _ length: Int) throws(ChunkError) -> Bool {
        if offset >= start && offset + length <= start + count { return true }
        if length > buffer.bytes.count { buffer = AlignedBuffer(roundUp(length, to: GroupLayout.alignment)) }
        start = offset
        let wanted = min(buffer.bytes.count, segmentBytes - offset)
        do throws(DiskError) {
            count = try file.read(into: buffer.mutableRange(0, wanted), at: Int64(offset))
        } catch {
            count = 0
            throw .disk(error)
        }
        return length <= count
    }
}
