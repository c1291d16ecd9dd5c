import Codecs
import Disks
package import Primitives
private import Synchronization

extension LayeredVolume {
    package typealias Completion = @Sendable (Result<Void, ChunkError>) -> Void

    /// Writes whole sectors. `completion` runs through `sink` once they are durable and every reader sees them (I1), or when
    /// they are refused. Never waits; the bytes are not touched after it has returned.
    ///
    /// A write of at most `Limits.volumeAtomicBytesMax` is one record.
    /// - Parameter isCached: tell once every reader sees them and they survive the end of this process. A power cut may take
    ///   them back, the latest ones first, until `flush`.
    package func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, isCached: Bool = false, sink: any CompletionSink,
        completion: @escaping Completion
    ) {
        write(bytes, at: offset, givesBack: false, isCached: isCached, sink: sink, completion: completion)
    }

    /// - Parameter givesBack: part of an unmapping, which goes on when the store is full.
    private func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, givesBack: Bool, isCached: Bool, sink: any CompletionSink,
        completion: @escaping Completion
    ) {
        guard let blocks = blocks(offset, UInt64(bytes.count)) else {
            return sink.wake([{ completion(.failure(.cancelled)) }])
        }
        if writeAtOnce(bytes, blocks, givesBack, isCached, sink, completion) { return }
        let job = BlockWrite(
            volume: self, blocks: blocks, skip: Int(offset % UInt64(Self.blockBytes)), count: bytes.count,
            givesBack: givesBack, isCached: isCached, sink: sink, completion: completion)
        job.start(bytes)
    }

    /// What most writes are: whole blocks that one record has room for, and nobody in the way. False if it isn't so; then
    /// nothing has happened.
    private func writeAtOnce(
        _ bytes: UnsafeRawBufferPointer, _ blocks: Range<UInt64>, _ givesBack: Bool, _ isCached: Bool,
        _ sink: any CompletionSink, _ completion: @escaping Completion
    ) -> Bool {
        guard bytes.count == blocks.count * Self.blockBytes, blocks.count <= Limits.volumeRecordBlocksMax,
            isCached || bytes.count < Limits.volumeBulkBytesMin, refusal(givesBack) == nil,
            let hold = locks.tryTake(blocks, .shared)
        else { return false }
        guard gate.tryEnter() else {
            locks.release(hold)
            return false
        }
        defer { gate.leave() }
        guard takes(blocks) else {
            locks.release(hold)
            return false
        }
        submit(
            bytes, blocks.lowerBound, isCached, hold: WriteHold(volume: self, hold: hold), sink: sink,
            completion: completion)
        return true
    }

    /// Inside the gate: whole blocks, as one record.
    fileprivate func submit(
        _ bytes: UnsafeRawBufferPointer, _ firstBlock: UInt64, _ isCached: Bool, hold: any SubmissionHold,
        sink: any CompletionSink, completion: @escaping Completion
    ) {
        let layer = head.id
        #if DEBUG
            store.configuration.atPlace?("head found")
        #endif
        let encoded = EncodedBlocks(bytes, firstBlock: firstBlock, store.secret)
        let record = Record.volumeWrite(
            layer: layer, firstBlock: firstBlock, entries: encoded.entries, isInline: true)
        var entry = record.encoded()
        entry.rawBytes = bytes.count
        entry.payload = encoded.payload
        entry.payloadHash = encoded.payload.isEmpty ? 0 : encoded.payloadHash
        store.enqueue(
            Submission(
                record: record, encoded: entry, isCached: isCached, hold: hold, sink: sink, completion: completion))
    }

    /// Why nothing may be written, if so.
    fileprivate func refusal(_ givesBack: Bool) -> ChunkError? {
        if isGone || !isWritable { return .cancelled }
        return !givesBack && store.counters.spaceRefused.load(ordering: .relaxed) ? .noSpace : nil
    }

    /// Makes durable all that was acknowledged before, of this volume and of others. See `ChunkStore.flush`.
    package func flush(sink: any CompletionSink, completion: @escaping Completion) {
        store.flush(sink: sink, completion: completion)
    }

    /// Makes the range read as zeros and gives its space back, down to the last sector. `isCached` as for `write`.
    package func zero(
        _ offset: UInt64, _ count: UInt64, isCached: Bool = false, sink: any CompletionSink,
        completion: @escaping Completion
    ) {
        guard let blocks = blocks(offset, count) else {
            return sink.wake([{ completion(.failure(.cancelled)) }])
        }
        let head = offset % UInt64(Self.blockBytes)
        let tail = (offset + count) % UInt64(Self.blockBytes)
        var whole = blocks
        var edges: [(offset: UInt64, count: Int)] = []
        if head != 0 || count < UInt64(Self.blockBytes) && tail != 0 {
            let length = min(count, UInt64(Self.blockBytes) - head)
            edges.append((offset, Int(length)))
            whole = whole.lowerBound + 1..<whole.upperBound
        }
        if tail != 0, whole.lowerBound < whole.upperBound {
            edges.append((offset + count - tail, Int(tail)))
            whole = whole.lowerBound..<whole.upperBound - 1
        }
        let gathering = Gathering(edges.count + (whole.isEmpty ? 0 : 1), sink, completion)
        for edge in edges {
            let zeros = [UInt8](repeating: 0, count: edge.count)
            zeros.withUnsafeBytes {
                write(
                    $0, at: edge.offset, givesBack: true, isCached: isCached, sink: InlineSink.shared,
                    completion: gathering.part)
            }
        }
        if !whole.isEmpty { trim(whole, isCached, gathering.part) }
    }

    /// Reads whole sectors, lets `change` alter them, and writes them back with nothing in between. See `BlockDevice.update`.
    /// `isCached` as for `write`.
    package func update(
        _ offset: UInt64, _ count: Int, isCached: Bool = false, sink: any CompletionSink,
        change: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Bool, completion: @escaping Completion
    ) {
        guard let blocks = blocks(offset, UInt64(count)), count <= Limits.volumeAtomicBytesMax else {
            return sink.wake([{ completion(.failure(.cancelled)) }])
        }
        let job = BlockWrite(
            volume: self, blocks: blocks, skip: Int(offset % UInt64(Self.blockBytes)), count: count,
            isCached: isCached, sink: sink, completion: completion, change: change)
        job.start(UnsafeRawBufferPointer(start: nil, count: 0))
    }

    private static var blockBytes: Int { Limits.volumeBlockBytes }

    /// The blocks that the sectors touch; nil if they are not within the volume, or no sectors.
    private func blocks(_ offset: UInt64, _ count: UInt64) -> Range<UInt64>? {
        let unit = UInt64(Self.blockBytes)
        guard offset % 512 == 0, count % 512 == 0, count > 0, offset < byteCount, count <= byteCount - offset else {
            return nil
        }
        return offset / unit..<(offset + count + unit - 1) / unit
    }

    /// Inside the gate: whether the blocks are still there to be written to. The volume may be gone by now, or smaller than it
    /// was when the request was looked at: put back to a snapshot from before it grew. What would be written behind the end
    /// would show when it grows again.
    fileprivate func takes(_ blocks: Range<UInt64>) -> Bool {
        !isGone && isWritable && blocks.upperBound <= byteCount / UInt64(Self.blockBytes)
    }

    private func trim(_ blocks: Range<UInt64>, _ isCached: Bool, _ completion: @escaping Completion) {
        let isAdmitted = locks.take(blocks, .shared) { [self] hold in
            let held = VolumeHold(self, hold, records: 1)
            let isLetIn = gate.enter { [self] in
                defer { gate.leave() }
                guard takes(blocks) else { return held.fail(.cancelled, completion) }
                let leavesZeros = depth > 1
                let record = Record.volumeTrim(
                    layer: head.id, firstBlock: blocks.lowerBound, count: UInt64(blocks.count),
                    leavesZeros: leavesZeros)
                store.enqueue(
                    Submission(
                        record: record, encoded: record.encoded(), isCached: isCached, hold: held,
                        sink: InlineSink.shared, completion: completion))
            }
            if !isLetIn { held.fail(.overloaded, completion) }
        }
        if !isAdmitted { completion(.failure(.overloaded)) }
    }
}

/// A volume's blocks, held for the one record of a write.
private struct WriteHold: SubmissionHold {
    let volume: LayeredVolume
    let hold: BlockLocks.Hold

    func release() { volume.locks.release(hold) }
}

/// A volume's blocks, held for records that are on their way: free again when the last of them is applied or refused.
private final class VolumeHold: SubmissionHold {
    private let volume: LayeredVolume
    private let hold: BlockLocks.Hold
    private let left: Atomic<Int>

    init(_ volume: LayeredVolume, _ hold: BlockLocks.Hold, records: Int) {
        self.volume = volume
        self.hold = hold
        left = Atomic(records)
    }

    func release() {
        if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { volume.locks.release(hold) }
    }

    func fail(_ error: ChunkError, _ completion: LayeredVolume.Completion) {
        release()
        completion(.failure(error))
    }
}

/// Several parts of one request: the first failure, or success when all are done.
private final class Gathering: Sendable {
    private let state: PosixLocked<(left: Int, failure: ChunkError?)>
    private let sink: any CompletionSink
    private let completion: LayeredVolume.Completion

    init(_ parts: Int, _ sink: any CompletionSink, _ completion: @escaping LayeredVolume.Completion) {
        state = PosixLocked((parts, nil))
        self.sink = sink
        self.completion = completion
    }

    func part(_ result: Result<Void, ChunkError>) {
        let (isLast, failure) = state.withLock { state -> (Bool, ChunkError?) in
            state.left -= 1
            if case .failure(let error) = result, state.failure == nil { state.failure = error }
            return (state.left == 0, state.failure)
        }
        guard isLast else { return }
        let completion = completion
        sink.wake([{ completion(failure.map { .failure($0) } ?? .success(())) }])
    }
}

/// One write, or read-change-write, on its way to the log.
///
/// Blocks first, gate second: whoever waits for blocks must not keep a snapshot waiting. What can go on at once does so on
/// the caller's thread and from the caller's bytes; else the bytes are copied and the rest happens on a thread that may block.
private final class BlockWrite: Sendable {
    private let volume: LayeredVolume
    private let blocks: Range<UInt64>
    /// Bytes before the sectors in the first block, and the sectors' own.
    private let skip: Int
    private let count: Int
    private let givesBack: Bool
    private let isCached: Bool
    private let sink: any CompletionSink
    private let completion: LayeredVolume.Completion
    private let change: (@Sendable (UnsafeMutableRawBufferPointer) -> Bool)?

    private static let blockBytes = Limits.volumeBlockBytes

    init(
        volume: LayeredVolume, blocks: Range<UInt64>, skip: Int, count: Int, givesBack: Bool = false, isCached: Bool,
        sink: any CompletionSink, completion: @escaping LayeredVolume.Completion,
        change: (@Sendable (UnsafeMutableRawBufferPointer) -> Bool)? = nil
    ) {
        self.volume = volume
        self.blocks = blocks
        self.skip = skip
        self.count = count
        self.givesBack = givesBack
        self.isCached = isCached
        self.sink = sink
        self.completion = completion
        self.change = change
    }

    private var isWhole: Bool { change == nil && skip == 0 && count % Self.blockBytes == 0 }
    /// Cached writes stay in the log: a segment of bodies would have to be flushed before the record that names it.
    private var isBulk: Bool { isWhole && !isCached && count >= Limits.volumeBulkBytesMin }
    private var mode: BlockLocks.Mode {
        #if DEBUG
            if volume.store.configuration.mutant == .dropBlockLock { return .shared }
        #endif
        return isWhole ? .shared : .exclusive
    }

    func start(_ bytes: UnsafeRawBufferPointer) {
        if let refusal = volume.refusal(givesBack) { return fail(refusal, nil) }
        guard !isBulk, let hold = volume.locks.tryTake(blocks, mode) else { return wait([UInt8](bytes)) }
        guard volume.gate.tryEnter() else { return enter([UInt8](bytes), hold) }
        guard volume.takes(blocks) else { return leave(.cancelled, hold) }
        if isWhole { return submit(bytes, hold) }
        do throws(ChunkError) {
            if let merged = try merged(bytes, mayBlock: false) { return finish(merged, hold) }
        } catch {
            return leave(error, hold)
        }
        let copy = [UInt8](bytes)
        volume.resume { self.mergeAndFinish(copy, hold) }
    }

    private func wait(_ bytes: [UInt8]) {
        let isAdmitted = volume.locks.take(blocks, mode) { [self] hold in
            volume.resume { self.enter(bytes, hold) }
        }
        if !isAdmitted { fail(.overloaded, nil) }
    }

    private func enter(_ bytes: [UInt8], _ hold: BlockLocks.Hold) {
        let isLetIn = volume.gate.enter { [self] in volume.resume { self.mergeAndFinish(bytes, hold) } }
        if !isLetIn { fail(.overloaded, hold) }
    }

    /// Inside the gate, on a thread that may block.
    private func mergeAndFinish(_ bytes: [UInt8], _ hold: BlockLocks.Hold) {
        guard volume.takes(blocks) else { return leave(.cancelled, hold) }
        if isBulk { return bytes.withUnsafeBytes { submitBulk($0, hold) } }
        if isWhole { return bytes.withUnsafeBytes { submit($0, hold) } }
        do throws(ChunkError) {
            let merged = try mergedBlocking(bytes)
            finish(merged, hold)
        } catch {
            leave(error, hold)
        }
    }

    private func mergedBlocking(_ bytes: [UInt8]) throws(ChunkError) -> AlignedBuffer? {
        let result: Result<AlignedBuffer?, ChunkError> = bytes.withUnsafeBytes { bytes in
            do throws(ChunkError) {
                return .success(try merged(bytes, mayBlock: true)?.value)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// What `merged` made: nil within if there is nothing to write.
    private struct Merged {
        var value: AlignedBuffer?
    }

    /// The blocks with the new sectors in them; nil: it would have to wait for the disk.
    private func merged(_ bytes: UnsafeRawBufferPointer, mayBlock: Bool) throws(ChunkError) -> Merged? {
        let total = blocks.count * Self.blockBytes
        let buffer = AlignedBuffer(total)
        let start = blocks.lowerBound * UInt64(Self.blockBytes)
        func load(_ offset: Int, _ length: Int) throws(ChunkError) -> Bool {
            let target = buffer.mutableRange(offset, length)
            if mayBlock {
                try volume.read(at: start + UInt64(offset), into: target)
                return true
            }
            return try volume.readCached(at: start + UInt64(offset), into: target)
        }
        if let change {
            guard try load(0, total) else { return nil }
            return Merged(value: change(buffer.mutableRange(skip, count)) ? buffer : nil)
        }
        let tail = (skip + count) % Self.blockBytes
        if skip != 0 || blocks.count == 1 {
            guard try load(0, Self.blockBytes) else { return nil }
        }
        if tail != 0, blocks.count > 1 {
            guard try load(total - Self.blockBytes, Self.blockBytes) else { return nil }
        }
        buffer.bytes.copy(bytes, at: skip)
        return Merged(value: buffer)
    }

    private func finish(_ merged: Merged, _ hold: BlockLocks.Hold) { finish(merged.value, hold) }

    private func finish(_ merged: AlignedBuffer?, _ hold: BlockLocks.Hold) {
        if let merged { return submit(merged.range(0, blocks.count * Self.blockBytes), hold) }
        volume.gate.leave()
        volume.locks.release(hold)
        let completion = completion
        sink.wake([{ completion(.success(())) }])
    }

    /// Inside the gate: whole blocks, in records of at most `Limits.volumeRecordBlocksMax`.
    private func submit(_ bytes: UnsafeRawBufferPointer, _ hold: BlockLocks.Hold) {
        let most = Limits.volumeRecordBlocksMax
        let records = (blocks.count + most - 1) / most
        let held = VolumeHold(volume, hold, records: records)
        let done = records == 1 ? completion : Gathering(records, sink, completion).part
        let sink = records == 1 ? sink : InlineSink.shared
        for i in 0..<records {
            let first = i * most
            let count = min(most, blocks.count - first)
            let part = UnsafeRawBufferPointer(
                rebasing: bytes[first * Self.blockBytes..<(first + count) * Self.blockBytes])
            volume.submit(
                part, blocks.lowerBound + UInt64(first), isCached, hold: held, sink: sink, completion: done)
        }
        volume.gate.leave()
    }

    /// Inside the gate, on a thread that may block: the bytes go to L segments and are synced before the records that name
    /// them are enqueued (I4).
    private func submitBulk(_ bytes: UnsafeRawBufferPointer, _ hold: BlockLocks.Hold) {
        let store = volume.store
        let layer = volume.head.id
        let most = store.bulkBlocksMax
        let records = (blocks.count + most - 1) / most
        let held = VolumeHold(volume, hold, records: records)
        let gathering = Gathering(records, sink, completion)
        var placed: [(block: UInt64, entries: [MapEntry])] = []
        do throws(ChunkError) {
            var touched: [BulkSegment] = []
            for i in 0..<records {
                let first = i * most
                let count = min(most, blocks.count - first)
                let block = blocks.lowerBound + UInt64(first)
                let part = UnsafeRawBufferPointer(
                    rebasing: bytes[first * Self.blockBytes..<(first + count) * Self.blockBytes])
                let encoded = EncodedBlocks(part, firstBlock: block, store.secret)
                placed.append(
                    (block, try store.writeBulk(encoded, owner: layer, firstBlock: block, touched: &touched)))
            }
            try store.syncBulk(touched)
        } catch {
            for _ in 0..<records { held.release() }
            volume.gate.leave()
            let completion = completion
            return sink.wake([{ completion(.failure(error)) }])
        }
        for (block, entries) in placed {
            let record = Record.volumeWrite(layer: layer, firstBlock: block, entries: entries, isInline: false)
            store.enqueue(
                Submission(
                    record: record, encoded: record.encoded(), hold: held, sink: InlineSink.shared,
                    completion: gathering.part))
        }
        volume.gate.leave()
    }

    private func leave(_ error: ChunkError, _ hold: BlockLocks.Hold) {
        volume.gate.leave()
        fail(error, hold)
    }

    private func fail(_ error: ChunkError, _ hold: BlockLocks.Hold?) {
        if let hold { volume.locks.release(hold) }
        let completion = completion
        sink.wake([{ completion(.failure(error)) }])
    }
}
