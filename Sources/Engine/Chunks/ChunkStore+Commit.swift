import Codecs
import Disks
package import Primitives
import Synchronization

/// One operation on its way to the log. One reference, since it goes through several hands.
final class Submission: Sendable, GroupMember {
    let record: Record
    let encoded: EncodedRecord
    /// Told of once it is in the file, flushed or not: a write to a volume whose owner turned its write cache on.
    let isCached: Bool
    let hold: (any SubmissionHold)?
    /// Runs under the store's memory mutex, in one step with the record's becoming visible.
    let applied: (@Sendable () -> Void)?
    let sink: any CompletionSink
    let completion: @Sendable (Result<Void, ChunkError>) -> Void

    init(
        record: Record, encoded: EncodedRecord, isCached: Bool = false, hold: (any SubmissionHold)?,
        applied: (@Sendable () -> Void)? = nil,
        sink: any CompletionSink, completion: @escaping @Sendable (Result<Void, ChunkError>) -> Void
    ) {
        self.record = record
        self.encoded = encoded
        self.isCached = isCached
        self.hold = hold
        self.applied = applied
        self.sink = sink
        self.completion = completion
    }
}

/// Somebody who wants everything flushed that was acknowledged so far.
struct FlushRequest: Sendable {
    var sink: any CompletionSink
    var completion: @Sendable (Result<Void, ChunkError>) -> Void
}

/// What waits for the committer.
struct CommitQueue {
    var submissions: [Submission] = []
    var flushes: [FlushRequest] = []
    var bytes = 0
    var isStopping = false
    var committerIsGone = false
    var duty = CommitDuty.awake
    /// How often another thread has committed in the committer's place.
    var lendings: UInt64 = 0
    /// Since when (nanoseconds, monotonic) it does, and whom to tell if it takes long.
    var lentSince: UInt64 = 0
    var stalled: (@Sendable () -> Void)?

    var isEmpty: Bool { submissions.isEmpty && flushes.isEmpty }

    /// Whether somebody has to be called to what was queued: true once, until the committer sleeps again.
    mutating func calls() -> Bool {
        guard duty == .asleep else { return false }
        duty = .called
        return true
    }
}

/// Who sees to the queue. Changes under the queue's mutex; whoever commits owns `CommitterState` meanwhile.
enum CommitDuty {
    /// The committer is awake, and looks at the queue before it sleeps.
    case awake
    /// It sleeps, and nothing waits.
    case asleep
    /// Something waits, and somebody is on the way to it: the committer, which was signalled, or a sink's thread, which took the
    /// work. Should that never come, the committer's own time-out finds what waits.
    case called
    /// A sink's thread commits, in the committer's place.
    case lent
}

struct CommitterState {
    let log: StateLog
    var sinceSpaceCheck = 0
}

/// A group that is on the medium (or, of nothing but cached writes, in the file), and not yet in memory.
struct DurableGroup: Sendable {
    var submissions: ArraySlice<Submission>
    var appended: StateLog.Appended
}

/// What waits for the acknowledger, in log order.
struct AcknowledgerQueue {
    var groups: [DurableGroup] = []
    /// Nothing came for a while: the overlay may be old.
    var isIdle = false
    var isStopping = false
    var isGone = false
    /// Somebody applies a group, or freezes: the acknowledger, or whoever committed in its place.
    var isBusy = false
}

extension ChunkStore {
    /// Puts an encoded operation in the queue, or fails it at once.
    func enqueue(_ submission: Submission) {
        var calls = false
        let refusal: ChunkError? = queueMutex.withLock {
            if queue.value.isStopping { return .readOnly(.closed) }
            if queue.value.submissions.count >= Limits.committerQueueMax
                || queue.value.bytes + submission.encoded.footprint > Limits.committerQueueBytesMax
            {
                return .overloaded
            }
            queue.value.submissions.append(submission)
            queue.value.bytes += submission.encoded.footprint
            calls = queue.value.calls()
            return nil
        }
        if calls { call(submission.sink) }
        if let refusal { finish([submission], .failure(refusal)) }
    }

    /// Makes durable what was acknowledged before: writes to volumes with a write cache. Never waits. All else is durable when it
    /// is acknowledged.
    ///
    /// `completion` runs through `sink`. `.readOnly` means that acknowledged writes may be lost; `.overloaded`, that too many
    /// wait, and nothing else.
    package func flush(
        sink: any CompletionSink, completion: @escaping @Sendable (Result<Void, ChunkError>) -> Void
    ) {
        var calls = false
        let refusal: ChunkError? = queueMutex.withLock {
            // A store that closes flushes everything itself.
            if queue.value.isStopping { return .readOnly(.closed) }
            if queue.value.flushes.count >= Limits.committerQueueMax { return .overloaded }
            queue.value.flushes.append(FlushRequest(sink: sink, completion: completion))
            calls = queue.value.calls()
            return nil
        }
        if calls { call(sink) }
        if let refusal { sink.wake([{ completion(.failure(refusal)) }]) }
    }

    /// Calls somebody to what was queued. Outside of the mutex, or the committer would wake only to wait for it.
    private func call(_ sink: any CompletionSink) {
        if !sink.takes(self) { queueMutex.signal() }
    }

    /// The committer's thread: takes what is there, commits it, again; seals when idle.
    func commitLoop() {
        while true {
            var batch: [Submission] = []
            var flushes: [FlushRequest] = []
            var stopping = false
            queueMutex.lock()
            let timedOut = waitForWork()
            swap(&batch, &queue.value.submissions)
            swap(&flushes, &queue.value.flushes)
            queue.value.bytes = 0
            stopping = queue.value.isStopping
            queueMutex.unlock()
            if batch.isEmpty, flushes.isEmpty {
                if stopping { break }
                if timedOut { idle() }
                continue
            }
            commit(batch)
            flush(for: flushes)
        }
        queueMutex.withLock {
            queue.value.committerIsGone = true
            queueMutex.broadcast()
        }
    }

    /// Sleeps until there is something to do that nobody else does. True if nothing came for a while. Under the queue's mutex.
    private func waitForWork() -> Bool {
        defer { queue.value.duty = .awake }
        while queue.value.duty == .lent || queue.value.isEmpty && !queue.value.isStopping {
            let wait: Int
            if queue.value.duty == .lent {
                wait = queue.value.stalled == nil ? Limits.lentMilliseconds : max(1, lentMillisecondsLeft)
            } else {
                queue.value.duty = .asleep
                wait = committer.value.log.needsSeal ? Limits.sealAfterMilliseconds : 1_000
            }
            let lendings = queue.value.lendings
            let timedOut = !queueMutex.wait(milliseconds: wait)
            if queue.value.duty == .lent {
                noticeStall()
            } else if timedOut, queue.value.isEmpty, lendings == queue.value.lendings {
                return true
            }
        }
        return false
    }

    /// Commits what waits, on this thread. Only for stores without threads of their own.
    package func runPending() {
        precondition(!configuration.isThreaded)
        var batch: [Submission] = []
        var flushes: [FlushRequest] = []
        queueMutex.withLock {
            swap(&batch, &queue.value.submissions)
            swap(&flushes, &queue.value.flushes)
            queue.value.bytes = 0
        }
        if !batch.isEmpty { commit(batch) }
        flush(for: flushes)
    }

    /// Flushes the log, once for all of them. What they wait for was acknowledged, so it is in the file.
    func flush(for requests: [FlushRequest]) {
        guard !requests.isEmpty else { return }
        var result: Result<Void, ChunkError> = .success(())
        if let reason = readOnlyReason {
            result = .failure(.readOnly(reason))
        } else {
            do throws(StateLog.AppendError) {
                var flushes = true
                #if DEBUG
                    if configuration.mutant == .flushNothing { flushes = false }
                #endif
                if flushes { try committer.value.log.flush() }
            } catch {
                if case .failed(let cause) = error {
                    becomeReadOnly(.ioError(cause))
                    result = .failure(.readOnly(.ioError(cause)))
                }
            }
        }
        for request in requests {
            let completion = request.completion
            let answer = result
            request.sink.wake([{ completion(answer) }])
        }
    }

    /// What the committer does when nothing comes: vouch for the last group, and age the overlay.
    package func idle() {
        if readOnlyReason == nil, committer.value.log.needsSeal {
            var seals = true
            #if DEBUG
                if configuration.mutant == .skipSeal { seals = false }
            #endif
            if seals {
                do throws(StateLog.AppendError) {
                    _ = try committer.value.log.append([] as ArraySlice<Submission>, isDurable: true)
                } catch {
                    switch error {
                    case .noSegment: break  // It says nothing that the next group won't say.
                    case .failed(let cause): becomeReadOnly(.ioError(cause))
                    }
                }
            }
        }
        guard configuration.isThreaded else { return freezeIfDue() }
        acknowledgerMutex.withLock {
            acknowledgerQueue.value.isIdle = true
            acknowledgerMutex.broadcast()
        }
    }

    /// Cuts a batch into groups and commits each.
    ///
    /// - Parameter isLent: the calling thread is not the committer, and waits for nothing but this.
    func commit(_ batch: [Submission], isLent: Bool = false) {
        refreshSpace()
        if counters.checkpointWaits.load(ordering: .relaxed), overlayIsOverfull {
            return finish(batch, .failure(.noSpace))
        }
        var start = 0
        while start < batch.count {
            var end = start
            var bytes = GroupLayout.headerBytes + GroupLayout.alignment
            let most = committer.value.log.groupBytesMax
            while end < batch.count, end - start < Limits.groupOperationsMax {
                bytes += batch[end].encoded.footprint
                if bytes > most, end > start { break }
                end += 1
            }
            commitGroup(batch[start..<end], isLent: isLent)
            start = end
        }
    }

    private func commitGroup(_ group: ArraySlice<Submission>, isLent: Bool) {
        if let reason = readOnlyReason {
            finish(group, .failure(.readOnly(reason)))
            return
        }
        let log = committer.value.log
        #if DEBUG
            if configuration.mutant == .acknowledgeBeforeSync {
                for submission in group { submission.completion(.success(())) }
            }
        #endif
        let appended: StateLog.Appended
        do throws(StateLog.AppendError) {
            appended = try log.append(group, isDurable: group.contains { !$0.isCached })
        } catch {
            switch error {
            case .noSegment(let cause):
                finish(group, .failure(cause.isNoSpace ? .noSpace : .disk(cause)))
            case .failed(let cause):
                becomeReadOnly(.ioError(cause))
                finish(group, .failure(.readOnly(.ioError(cause))))
            }
            return
        }
        counters.groups.add(1, ordering: .relaxed)
        counters.operations.add(UInt64(group.count), ordering: .relaxed)
        counters.flushNanoseconds.add(appended.flushNanoseconds, ordering: .relaxed)
        if appended.flushNanoseconds > counters.flushNanosecondsMax.load(ordering: .relaxed) {
            counters.flushNanosecondsMax.store(appended.flushNanoseconds, ordering: .relaxed)
        }
        counters.groupSizes.record(UInt64(group.count))
        counters.flushTimes.record(appended.flushNanoseconds)

        let durable = DurableGroup(submissions: group, appended: appended)
        if !configuration.isThreaded { return acknowledge(durable) }
        if !acknowledgeHere(durable, isLent: isLent) { hand(durable) }
    }

    // MARK: Acknowledging

    /// A short group with nothing behind it is applied and told of on the committer's own thread: whoever waits for it is spared
    /// another thread's waking. False if something waits to be committed, or if the acknowledger has work. Who commits in the
    /// committer's place commits one batch only, so its groups keep nothing waiting.
    private func acknowledgeHere(_ group: DurableGroup, isLent: Bool) -> Bool {
        guard
            isLent
                || group.submissions.count <= Limits.acknowledgedAtOnceMax
                    && queueMutex.withLock({ queue.value.submissions.isEmpty })
        else { return false }
        let isFree = acknowledgerMutex.withLock {
            guard acknowledgerQueue.value.groups.isEmpty, !acknowledgerQueue.value.isBusy else { return false }
            acknowledgerQueue.value.isBusy = true
            return true
        }
        guard isFree else { return false }
        acknowledge(group, freezes: !isLent)
        // Who waits for its own write does not wait for a checkpoint too.
        let isDue = isLent && freezeIsDue
        acknowledgerMutex.withLock {
            acknowledgerQueue.value.isBusy = false
            if isDue { acknowledgerQueue.value.isIdle = true }
            // It may have been told meanwhile that the overlay may be old, or to stop.
            if acknowledgerQueue.value.isIdle || acknowledgerQueue.value.isStopping { acknowledgerMutex.broadcast() }
        }
        return true
    }

    /// To the acknowledger, so that the next group is on its way to the disk while this one is applied and told of. Waits
    /// while too many are on that way already.
    private func hand(_ group: DurableGroup) {
        acknowledgerMutex.withLock {
            while acknowledgerQueue.value.groups.count >= Limits.durableGroupsMax { acknowledgerMutex.wait() }
            acknowledgerQueue.value.groups.append(group)
            acknowledgerMutex.broadcast()
        }
    }

    /// The acknowledger's thread: one group after the other, in log order.
    func acknowledgeLoop() {
        while true {
            acknowledgerMutex.lock()
            while acknowledgerQueue.value.isBusy
                || acknowledgerQueue.value.groups.isEmpty && !acknowledgerQueue.value.isIdle
                    && !acknowledgerQueue.value.isStopping
            { acknowledgerMutex.wait() }
            let group = acknowledgerQueue.value.groups.first
            if group != nil { acknowledgerQueue.value.groups.removeFirst() }
            let isOver = group == nil && acknowledgerQueue.value.isStopping
            acknowledgerQueue.value.isIdle = false
            acknowledgerQueue.value.isBusy = !isOver
            acknowledgerMutex.broadcast()
            acknowledgerMutex.unlock()
            if isOver { break }
            if let group { acknowledge(group) } else { freezeIfDue() }
            acknowledgerMutex.withLock { acknowledgerQueue.value.isBusy = false }
        }
        acknowledgerMutex.withLock {
            acknowledgerQueue.value.isGone = true
            acknowledgerMutex.broadcast()
        }
    }

    /// Applies a group to memory, releases its latches, tells everybody.
    private func acknowledge(_ durable: DurableGroup, freezes: Bool = true) {
        let (group, appended) = (durable.submissions, durable.appended)
        var start = group.startIndex
        while start < group.endIndex {
            // A few at a time: those who hear of it first are at their next operation while the rest is applied.
            let end = min(start + Limits.acknowledgedAtOnceMax, group.endIndex)
            memoryMutex.withLock {
                for at in start..<end {
                    applyToMemory(placed(group[at], appended, appended.payloadOffsets[at - group.startIndex]))
                    group[at].applied?()
                }
                guard end == group.endIndex else { return }
                memory.value.bytesStored += Int64(appended.totalBytes)
                memory.value.active.advance(to: position(behind: appended), logBytes: appended.totalBytes)
            }
            var isTold = false
            #if DEBUG
                if configuration.mutant == .acknowledgeBeforeSync {
                    for submission in group[start..<end] { submission.hold?.release() }
                    isTold = true
                }
            #endif
            if !isTold { finish(group[start..<end], .success(())) }
            start = end
        }
        if freezes { freezeIfDue() }
    }

    /// The operation's record, with the place that its body got in the log.
    private func placed(_ submission: Submission, _ appended: StateLog.Appended, _ payloadOffset: Int) -> Record {
        if case .volumeWrite(let layer, let firstBlock, let entries, true) = submission.record {
            let base = UInt32(appended.groupOffset + payloadOffset)
            return .volumeWrite(
                layer: layer, firstBlock: firstBlock,
                entries: entries.map { $0.placed(segment: appended.segment, base: base) }, isInline: true)
        }
        guard case .putObject(let key, let id, var row, let replaced) = submission.record,
            submission.encoded.payload.count > 0
        else { return submission.record }
        row.body = .inline(
            Extent(
                segment: appended.segment, offset: UInt32(appended.groupOffset + payloadOffset),
                storedBytes: UInt32(submission.encoded.payload.count),
                isLZ4: submission.encoded.flags & GroupEntry.lz4Flag != 0, tag: submission.encoded.payloadHash))
        return .putObject(key, id: id, row, replaced: replaced)
    }

    /// Under the memory mutex: the overlay, and the caches that must agree with it.
    func applyToMemory(_ record: Record) {
        memory.value.active.apply(record, mutant: configuration.mutant)
        memory.value.newestTimestamp = max(memory.value.newestTimestamp, record.newestTimestamp)
        switch record {
        case .putAccount, .uploadLeaf, .dropUpload: break
        case .volumeWrite, .volumeTrim, .tree: volumes.applied(record)
        case .putContainer(let key, let id, let isNew, let created, let timestamp, let attributes):
            let counted = isNew ? nil : memory.value.containerRows.get(key)
            if isNew || counted != nil {
                memory.value.containerRows.set(
                    key,
                    ContainerRow(
                        account: key.account, name: key.name, id: id, created: created, modified: timestamp,
                        attributes: attributes, objectCount: counted?.objectCount ?? 0,
                        byteCount: counted?.byteCount ?? 0))
            }
        case .deleteContainer(let key, _, _):
            memory.value.containerRows.remove(key)
        case .putObject(let key, let id, let row, let replaced):
            memory.value.objectRows.remove(ObjectKey(container: id, name: row.name))
            count(key, objects: replaced == nil ? 1 : 0, bytes: row.size - (replaced?.size ?? 0))
        case .setObjectMetadata(_, let id, let row):
            memory.value.objectRows.remove(ObjectKey(container: id, name: row.name))
        case .deleteObject(let key, let id, let name, _, let replaced):
            memory.value.objectRows.remove(ObjectKey(container: id, name: name))
            count(key, objects: -1, bytes: -replaced.size)
        }
    }

    private func count(_ key: ContainerKey, objects: Int, bytes: Int) {
        memory.value.bytesLogical += Int64(bytes)
        memory.value.containerRows.update(key) {
            $0.objectCount += objects
            $0.byteCount += bytes
        }
    }

    /// Where the log stood behind a group. Under the memory mutex.
    private func position(behind group: StateLog.Appended) -> IndexPosition {
        IndexPosition(
            lsn: group.nextLSN - 1, segment: group.segment, endOffset: UInt32(group.groupOffset + group.totalBytes),
            lastGroupOffset: UInt32(group.groupOffset), lastGroupHash: group.hash,
            nextID: ids.load(ordering: .relaxed), newestTimestampTicks: memory.value.newestTimestamp.ticks,
            bytesLogical: memory.value.bytesLogical, bytesStored: memory.value.bytesStored)
    }

    /// Releases the latches, then tells everybody, once per sink.
    func finish(_ group: some Collection<Submission>, _ result: Result<Void, ChunkError>) {
        for submission in group { submission.hold?.release() }
        // As a rule all of one connection.
        if let sink = group.first?.sink, group.allSatisfy({ $0.sink === sink }) {
            // Nothing of the payload waits for the sink's thread.
            return sink.wake(
                group.map { submission in
                    let completion = submission.completion
                    return { completion(result) }
                })
        }
        var sinks: [(sink: any CompletionSink, completions: [@Sendable () -> Void])] = []
        for submission in group {
            let completion = submission.completion
            let call: @Sendable () -> Void = { completion(result) }
            if let at = sinks.firstIndex(where: { $0.sink === submission.sink }) {
                sinks[at].completions.append(call)
            } else {
                sinks.append((submission.sink, [call]))
            }
        }
        for (sink, completions) in sinks { sink.wake(completions) }
    }

    // MARK: Freezing

    /// By the acknowledger, or who is in its place: freezes the active overlay when it is full or old, between two groups. Waits while the
    /// older one is still being written (back-pressure: the queue fills meanwhile, and refuses at its bound).
    private func freezeIfDue() {
        if freezeIsDue { freeze() }
    }

    private var freezeIsDue: Bool {
        let overlay = memoryMutex.withLock { memory.value.active }
        guard overlay.position != nil else {
            overlayStarted.value = MonotonicClock.now()
            return false
        }
        let age = MonotonicClock.now() - overlayStarted.value
        let isFull =
            overlay.operationCount + overlay.zeroedLeaves >= configuration.overlayOperationsMax
            || overlay.logBytes >= configuration.overlayLogBytesMax
        return isFull || (configuration.isThreaded && age >= UInt64(Limits.overlayAgeSecondsMax) * 1_000_000_000)
    }

    /// What memory may hold while a checkpoint waits for space.
    private var overlayIsOverfull: Bool {
        memoryMutex.withLock {
            memory.value.active.operationCount >= 4 * configuration.overlayOperationsMax
                || memory.value.active.logBytes >= 4 * configuration.overlayLogBytesMax
        }
    }

    /// Freezes now, whatever the size. On the acknowledger's thread (or the only one).
    package func freeze() {
        guard waitUntilNothingIsFrozen() else { return }
        let overlay = memoryMutex.withLock { () -> Overlay? in
            guard memory.value.readOnly == nil, memory.value.active.position != nil else { return nil }
            let overlay = memory.value.active
            memory.value.frozen = overlay
            memory.value.active = Overlay()
            memory.value.generation += 1
            return overlay
        }
        overlayStarted.value = MonotonicClock.now()
        guard let overlay else { return }
        if configuration.isThreaded {
            applierMutex.withLock {
                applierState.value.pending = overlay
                applierMutex.broadcast()
            }
        } else {
            applyFrozen(overlay)
        }
    }

    /// False if the applier has failed, or waits for space: then nothing is frozen.
    private func waitUntilNothingIsFrozen() -> Bool {
        guard configuration.isThreaded else { return readOnlyReason == nil }
        applierMutex.lock()
        defer { applierMutex.unlock() }
        while applierState.value.pending != nil && !applierState.value.hasFailed
            && !counters.checkpointWaits.load(ordering: .relaxed)
        { applierMutex.wait() }
        return !applierState.value.hasFailed && applierState.value.pending == nil
    }

    // MARK: Space

    /// Asks the file system how much is left, now and then, and sets what `submit` looks at.
    func refreshSpace() {
        committer.value.sinceSpaceCheck -= 1
        if committer.value.sinceSpaceCheck > 0 { return }
        committer.value.sinceSpaceCheck = 32
        updateSpace()
    }

    func updateSpace() {
        do throws(DiskError) {
            let space = try disk.space()
            counters.freeBytes.store(space.free, ordering: .relaxed)
            let refused =
                space.free < configuration.reserveBytes || isOverCapacity(0, segments, configuration)
                || counters.checkpointWaits.load(ordering: .relaxed)
            counters.spaceRefused.store(refused, ordering: .relaxed)
        } catch {
            // Not knowing is no reason to refuse: allocation itself still answers ENOSPC.
            counters.freeBytes.store(-1, ordering: .relaxed)
        }
    }
}

/// Whether the store would be over its own ceiling with so many bytes more.
func isOverCapacity(_ more: Int64, _ segments: SegmentTable, _ configuration: ChunkStore.Configuration) -> Bool {
    guard let capacity = configuration.capacityBytes else { return false }
    return segments.allocatedBytes + more > capacity / 100 * 92
}

/// Whether so many bytes more may be taken for bodies: segments come whole, so the reserve is looked at before each.
func hasRoom(
    _ more: Int64, _ disk: any Disk, _ segments: SegmentTable, _ configuration: ChunkStore.Configuration
) -> Bool {
    guard !isOverCapacity(more, segments, configuration) else { return false }
    do throws(DiskError) {
        guard configuration.reserveBytes > 0 else { return true }
        return try disk.space().free - more >= configuration.reserveBytes
    } catch {
        // Not knowing is no reason to refuse: allocation itself still answers ENOSPC.
        return true
    }
}
