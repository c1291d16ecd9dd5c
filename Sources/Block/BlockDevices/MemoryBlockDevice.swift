package import Primitives

/// A thin device in memory, for tests of whatever stands on the port. It keeps the port's contract to the letter, and
/// fails, waits and changes its size when told to.
///
/// Space is kept in granules of `geometry.granularityBytes`: a granule has memory from its first write on until an unmap
/// or a deallocating `writeZeroes` covers all of it. Changes are visible when the call returns; their completions come
/// as `completions` says.
package final class MemoryBlockDevice: BlockDevice {
    /// What a test can make fail.
    package enum Operation: Sendable, Hashable, CaseIterable {
        case read, write, writeZeroes, unmap, update, flush, allocation
    }

    /// When operations are told to be complete.
    package enum Completions: Sendable {
        /// Through the sink at once.
        case atOnce
        /// Through the sink, from another thread, as a committer does it.
        case fromAnotherThread
        /// When a test calls `release`.
        case heldBack
    }

    /// What was asked of the device so far.
    package struct Counts: Sendable, Hashable {
        package var reads = 0
        package var cachedReads = 0
        package var writes = 0
        /// Of the writes, zeroings and updates: those that had to be on the medium.
        package var throughWrites = 0
        package var zeroings = 0
        package var unmaps = 0
        package var updates = 0
        package var flushes = 0
    }

    private struct State {
        var geometry: BlockGeometry
        var granules: [UInt64: [UInt8]] = [:]
        var capacityBytes: UInt64?
        var completions = Completions.atOnce
        var held: [@Sendable () -> Void] = []
        var answersFromCache = true
        var failures: [Operation: [BlockError]] = [:]
        var standing: [Operation: BlockError] = [:]
        var unreadable: Set<UInt64> = []
        var observer: (@Sendable () -> Void)?
        var counts = Counts()
    }

    private let mutex = PosixMutex()
    private let state: PosixGuarded<State>
    private let announcer: WorkThreads?

    /// - Parameters:
    ///   - announces: a thread is started for `Completions.fromAnotherThread`; without it they come at once.
    package init(_ geometry: BlockGeometry, announces: Bool = false) {
        precondition(geometry.logicalBlockBytes == 512 || geometry.logicalBlockBytes == 4096)
        precondition(geometry.granularityBytes % geometry.logicalBlockBytes == 0 && geometry.granularityBytes > 0)
        precondition(geometry.byteCount % UInt64(geometry.logicalBlockBytes) == 0)
        state = PosixGuarded(State(geometry: geometry))
        announcer = announces ? WorkThreads(name: "memory-disk", count: 1, queueMax: 65_536) : nil
        if announces { state.value.completions = .fromAnotherThread }
    }

    // MARK: - The port

    package var geometry: BlockGeometry { mutex.withLock { state.value.geometry } }

    package func readCached(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BlockError) -> Bool {
        try mutex.withLock { () throws(BlockError) -> Bool in
            try check(offset, UInt64(buffer.count), max: state.value.geometry.transferBytesMax)
            let willFail = state.value.failures[.read] != nil || state.value.standing[.read] != nil
            guard state.value.answersFromCache, !willFail, firstUnreadable(offset, UInt64(buffer.count)) == nil else {
                return false
            }
            state.value.counts.cachedReads += 1
            copyOut(offset, buffer)
            return true
        }
    }

    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BlockError) {
        try mutex.withLock { () throws(BlockError) in
            state.value.counts.reads += 1
            try check(offset, UInt64(buffer.count), max: state.value.geometry.transferBytesMax)
            try fail(.read)
            if let bad = firstUnreadable(offset, UInt64(buffer.count)) { throw .unreadable(offset: bad) }
            copyOut(offset, buffer)
        }
    }

    package func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, durability: Durability, sink: any CompletionSink,
        completion: @escaping BlockCompletion
    ) {
        finish(sink, completion) { () throws(BlockError) in
            state.value.counts.writes += 1
            if durability == .medium { state.value.counts.throughWrites += 1 }
            try check(offset, UInt64(bytes.count), max: state.value.geometry.transferBytesMax)
            try refuseReadOnly()
            try fail(.write)
            try makeRoom(offset, UInt64(bytes.count))
            copyIn(offset, bytes)
        }
    }

    package func writeZeroes(
        _ range: BlockRange, deallocates: Bool, durability: Durability, sink: any CompletionSink,
        completion: @escaping BlockCompletion
    ) {
        finish(sink, completion) { () throws(BlockError) in
            state.value.counts.zeroings += 1
            if durability == .medium { state.value.counts.throughWrites += 1 }
            try check(range.offset, range.count, max: state.value.geometry.transferBytesMax)
            try refuseReadOnly()
            try fail(.writeZeroes)
            if !deallocates || !state.value.geometry.isThin { try makeRoom(range.offset, range.count) }
            zero(range, deallocates: deallocates && state.value.geometry.isThin)
        }
    }

    package func unmap(_ ranges: [BlockRange], sink: any CompletionSink, completion: @escaping BlockCompletion) {
        finish(sink, completion) { () throws(BlockError) in
            state.value.counts.unmaps += 1
            guard ranges.count <= state.value.geometry.unmapRangesMax else { throw .outOfRange }
            for range in ranges { try check(range.offset, range.count, max: nil) }
            try refuseReadOnly()
            try fail(.unmap)
            for range in ranges { zero(range, deallocates: state.value.geometry.isThin) }
        }
    }

    package func update(
        _ range: BlockRange, durability: Durability, sink: any CompletionSink,
        change: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Bool, completion: @escaping BlockCompletion
    ) {
        finish(sink, completion) { () throws(BlockError) in
            state.value.counts.updates += 1
            if durability == .medium { state.value.counts.throughWrites += 1 }
            try check(range.offset, range.count, max: state.value.geometry.atomicBytesMax)
            try refuseReadOnly()
            try fail(.update)
            if let bad = firstUnreadable(range.offset, range.count) { throw .unreadable(offset: bad) }
            var bytes = [UInt8](repeating: 0, count: Int(range.count))
            let room = wouldNeed(range.offset, range.count)
            let altered = bytes.withUnsafeMutableBytes { buffer in
                copyOut(range.offset, buffer)
                return change(buffer)
            }
            guard altered else { return }
            guard room else { throw .noSpace }
            bytes.withUnsafeBytes { copyIn(range.offset, $0) }
        }
    }

    package func flush(sink: any CompletionSink, completion: @escaping BlockCompletion) {
        finish(sink, completion) { () throws(BlockError) in
            state.value.counts.flushes += 1
            try fail(.flush)
        }
    }

    package func allocation(of range: BlockRange, max: Int) throws(BlockError) -> [BlockRun] {
        try mutex.withLock { () throws(BlockError) -> [BlockRun] in
            try check(range.offset, range.count, max: nil)
            try fail(.allocation)
            return runs(range, max)
        }
    }

    package var space: BlockSpace? {
        mutex.withLock {
            guard state.value.geometry.isThin else { return nil }
            let used = UInt64(state.value.granules.count) * UInt64(state.value.geometry.granularityBytes)
            return BlockSpace(used: used, available: state.value.capacityBytes.map { $0 - min($0, used) })
        }
    }

    package func observeResize(_ observer: @escaping @Sendable () -> Void) {
        mutex.withLock { state.value.observer = observer }
    }

    // MARK: - What a test turns

    /// Grows or shrinks the device; what lies beyond a new end is gone, and reads as zeros when it comes back.
    package func resize(to byteCount: UInt64) {
        let observer = mutex.withLock { () -> (@Sendable () -> Void)? in
            let old = state.value.geometry.byteCount
            precondition(byteCount % UInt64(state.value.geometry.logicalBlockBytes) == 0)
            if byteCount < old { zero(BlockRange(offset: byteCount, count: old - byteCount), deallocates: true) }
            state.value.geometry.byteCount = byteCount
            return state.value.observer
        }
        observer?()
    }

    /// Changes what the device says of itself, all but its size.
    package func describe(_ change: (inout BlockGeometry) -> Void) {
        mutex.withLock {
            let byteCount = state.value.geometry.byteCount
            change(&state.value.geometry)
            state.value.geometry.byteCount = byteCount
        }
    }

    /// The next operation of this kind fails so; calls queue up.
    package func failNext(_ operation: Operation, with error: BlockError) {
        mutex.withLock { state.value.failures[operation, default: []].append(error) }
    }

    /// Every operation of this kind fails so, until told otherwise with nil.
    package func failAlways(_ operation: Operation, with error: BlockError?) {
        mutex.withLock { state.value.standing[operation] = error }
    }

    /// The logical block at this offset can't be read until it is written to as a whole.
    package func spoil(_ offset: UInt64) {
        mutex.withLock { _ = state.value.unreadable.insert(offset) }
    }

    /// How many bytes of granules there is room for; nil: as much as the machine has.
    package func limit(to capacityBytes: UInt64?) { mutex.withLock { state.value.capacityBytes = capacityBytes } }

    /// Whether `readCached` finds anything.
    package func cache(_ answers: Bool) { mutex.withLock { state.value.answersFromCache = answers } }

    package func complete(_ completions: Completions) { mutex.withLock { state.value.completions = completions } }

    /// How many completions are held back.
    package var heldCount: Int { mutex.withLock { state.value.held.count } }

    /// Tells the oldest `count` (or all) of the held-back completions; how many there were.
    @discardableResult
    package func release(_ count: Int? = nil) -> Int {
        let due = mutex.withLock { () -> [@Sendable () -> Void] in
            let due = Array(state.value.held.prefix(count ?? state.value.held.count))
            state.value.held.removeFirst(due.count)
            return due
        }
        for completion in due { completion() }
        return due.count
    }

    package var counts: Counts { mutex.withLock { state.value.counts } }

    /// Ends the thread of `announces`.
    package func stop() { announcer?.stop() }
}

// The rest runs under the mutex.
extension MemoryBlockDevice {
    private func finish(
        _ sink: any CompletionSink, _ completion: @escaping BlockCompletion, _ body: () throws(BlockError) -> Void
    ) {
        let announce = mutex.withLock { () -> (@Sendable () -> Void)? in
            let result: Result<Void, BlockError>
            do throws(BlockError) {
                try body()
                result = .success(())
            } catch { result = .failure(error) }
            let announce: @Sendable () -> Void = { sink.wake([{ completion(result) }]) }
            switch state.value.completions {
            case .heldBack:
                state.value.held.append(announce)
                return nil
            case .fromAnotherThread:
                guard let announcer else { return announce }
                announcer.resume(announce)
                return nil
            case .atOnce: return announce
            }
        }
        announce?()
    }

    private func check(_ offset: UInt64, _ count: UInt64, max: UInt32?) throws(BlockError) {
        let geometry = state.value.geometry
        let block = UInt64(geometry.logicalBlockBytes)
        guard offset % block == 0, count % block == 0, offset <= geometry.byteCount,
            count <= geometry.byteCount - offset, max.map({ count <= UInt64($0) }) ?? true
        else { throw .outOfRange }
    }

    private func refuseReadOnly() throws(BlockError) { if state.value.geometry.isReadOnly { throw .readOnly } }

    private func fail(_ operation: Operation) throws(BlockError) {
        if var queue = state.value.failures[operation] {
            let error = queue.removeFirst()
            state.value.failures[operation] = queue.isEmpty ? nil : queue
            throw error
        }
        if let error = state.value.standing[operation] { throw error }
    }

    private func firstUnreadable(_ offset: UInt64, _ count: UInt64) -> UInt64? {
        guard !state.value.unreadable.isEmpty else { return nil }
        return state.value.unreadable.filter { $0 >= offset && $0 < offset + count }.min()
    }

    /// The pieces of a range, each within one granule.
    private func pieces(_ offset: UInt64, _ count: UInt64, _ body: (UInt64, Range<Int>, Int) -> Void) {
        let size = UInt64(state.value.geometry.granularityBytes)
        var done: UInt64 = 0
        while done < count {
            let at = offset + done
            let start = at % size
            let length = min(size - start, count - done)
            body(at / size, Int(start)..<Int(start + length), Int(done))
            done += length
        }
    }

    private func copyOut(_ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) {
        pieces(offset, UInt64(buffer.count)) { granule, part, at in
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<at + part.count])
            if let bytes = state.value.granules[granule] {
                bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[part])) }
            } else {
                target.initializeMemory(as: UInt8.self, repeating: 0)
            }
        }
    }

    private func copyIn(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer) {
        let size = Int(state.value.geometry.granularityBytes)
        forget(offset, UInt64(bytes.count))
        pieces(offset, UInt64(bytes.count)) { granule, part, at in
            state.value.granules[granule, default: [UInt8](repeating: 0, count: size)]
                .withUnsafeMutableBytes { target in
                    UnsafeMutableRawBufferPointer(rebasing: target[part])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[at..<at + part.count]))
                }
        }
    }

    private func zero(_ range: BlockRange, deallocates: Bool) {
        let size = Int(state.value.geometry.granularityBytes)
        let end = state.value.geometry.byteCount
        forget(range.offset, range.count)
        // A device of many granules of which few have memory must not be walked granule by granule.
        if deallocates, range.count / UInt64(size) > UInt64(state.value.granules.count) {
            for granule in state.value.granules.keys {
                let start = granule * UInt64(size)
                let from = max(start, range.offset)
                let to = min(start + UInt64(size), range.end)
                if from < to { zeroPart(granule, Int(from - start)..<Int(to - start), end, deallocates: true) }
            }
            return
        }
        pieces(range.offset, range.count) { granule, part, _ in
            zeroPart(granule, part, end, deallocates: deallocates)
        }
    }

    private func zeroPart(_ granule: UInt64, _ part: Range<Int>, _ end: UInt64, deallocates: Bool) {
        let size = Int(state.value.geometry.granularityBytes)
        // The device may end within its last granule.
        let used = Int(min(UInt64(size), end - min(end, granule * UInt64(size))))
        if deallocates, part.lowerBound == 0, part.upperBound >= used {
            state.value.granules[granule] = nil
        } else if state.value.granules[granule] != nil || !deallocates {
            state.value.granules[granule, default: [UInt8](repeating: 0, count: size)]
                .withUnsafeMutableBytes { target in
                    for index in part { target[index] = 0 }
                }
        }
    }

    private func forget(_ offset: UInt64, _ count: UInt64) {
        guard !state.value.unreadable.isEmpty else { return }
        state.value.unreadable = state.value.unreadable.filter { $0 < offset || $0 >= offset + count }
    }

    private func makeRoom(_ offset: UInt64, _ count: UInt64) throws(BlockError) {
        guard wouldNeed(offset, count) else { throw .noSpace }
    }

    /// Whether there is room for what a write of this range would allocate.
    private func wouldNeed(_ offset: UInt64, _ count: UInt64) -> Bool {
        guard let capacity = state.value.capacityBytes else { return true }
        let size = UInt64(state.value.geometry.granularityBytes)
        var more: UInt64 = 0
        pieces(offset, count) { granule, _, _ in if state.value.granules[granule] == nil { more += 1 } }
        return more == 0 || (UInt64(state.value.granules.count) + more) * size <= capacity
    }

    private func runs(_ range: BlockRange, _ max: Int) -> [BlockRun] {
        var runs: [BlockRun] = []
        guard range.count > 0, max > 0 else { return runs }
        guard state.value.geometry.isThin else { return [BlockRun(range: range, isMapped: true)] }
        let size = UInt64(state.value.geometry.granularityBytes)
        let mapped = state.value.granules.keys.filter { ($0 + 1) * size > range.offset && $0 * size < range.end }
            .sorted()
        var at = range.offset
        for granule in mapped {
            let start = Swift.max(granule * size, range.offset)
            let end = min((granule + 1) * size, range.end)
            if start > at {
                if runs.count == max { return runs }
                runs.append(BlockRun(range: BlockRange(offset: at, count: start - at), isMapped: false))
            }
            if let last = runs.last, last.isMapped {
                runs[runs.count - 1].range.count = end - last.range.offset
            } else {
                if runs.count == max { return runs }
                runs.append(BlockRun(range: BlockRange(offset: start, count: end - start), isMapped: true))
            }
            at = end
        }
        if at < range.end, runs.count < max {
            runs.append(BlockRun(range: BlockRange(offset: at, count: range.end - at), isMapped: false))
        }
        return runs
    }
}
