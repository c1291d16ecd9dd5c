import Codecs
import Disks
import Primitives
import Synchronization

/// One operation on its way to the log.
struct Submission: Sendable {
    var record: Record
    var encoded: EncodedRecord
    var hold: LatchHold?
    var sink: any CompletionSink
    var completion: @Sendable (Result<Void, ChunkError>) -> Void
}

/// What waits for the committer.
struct CommitQueue {
    var submissions: [Submission] = []
    var bytes = 0
    var isStopping = false
    var committerIsGone = false
    /// The committer sleeps and wants a signal.
    var committerWaits = false
}

struct CommitterState {
    let log: StateLog
    var overlayStarted: UInt64
    var sinceSpaceCheck = 0
}

extension ChunkStore {
    /// Puts an encoded operation in the queue, or fails it at once.
    func enqueue(_ submission: Submission) {
        let refusal: ChunkError? = queueMutex.withLock {
            if queue.value.isStopping { return .readOnly(.closed) }
            if queue.value.submissions.count >= Limits.committerQueueMax
                || queue.value.bytes + submission.encoded.footprint > Limits.committerQueueBytesMax
            {
                return .overloaded
            }
            queue.value.submissions.append(submission)
            queue.value.bytes += submission.encoded.footprint
            if queue.value.committerWaits {
                queue.value.committerWaits = false
                queueMutex.signal()
            }
            return nil
        }
        if let refusal { finish([submission], .failure(refusal)) }
    }

    /// The committer's thread: takes what is there, commits it, again; seals when idle.
    func commitLoop() {
        while true {
            var batch: [Submission] = []
            var stopping = false
            var timedOut = false
            queueMutex.lock()
            if queue.value.submissions.isEmpty && !queue.value.isStopping {
                queue.value.committerWaits = true
                let wait = committer.value.log.needsSeal ? Limits.sealAfterMilliseconds : 1_000
                timedOut = !queueMutex.wait(milliseconds: wait)
                queue.value.committerWaits = false
            }
            swap(&batch, &queue.value.submissions)
            queue.value.bytes = 0
            stopping = queue.value.isStopping
            queueMutex.unlock()
            if batch.isEmpty {
                if stopping { break }
                if timedOut { idle() }
                continue
            }
            commit(batch)
        }
        queueMutex.withLock {
            queue.value.committerIsGone = true
            queueMutex.broadcast()
        }
    }

    /// Commits what waits, on this thread. Only for stores without threads of their own.
    package func runPending() {
        precondition(!configuration.isThreaded)
        var batch: [Submission] = []
        queueMutex.withLock {
            swap(&batch, &queue.value.submissions)
            queue.value.bytes = 0
        }
        if !batch.isEmpty { commit(batch) }
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
                    _ = try committer.value.log.append([])
                } catch {
                    switch error {
                    case .noSegment: break  // It says nothing that the next group won't say.
                    case .failed(let cause): becomeReadOnly(.ioError(cause))
                    }
                }
            }
        }
        freezeIfDue()
    }

    /// Cuts a batch into groups and commits each.
    func commit(_ batch: [Submission]) {
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
            commitGroup(batch[start..<end])
            start = end
        }
    }

    private func commitGroup(_ group: ArraySlice<Submission>) {
        if let reason = readOnlyReason {
            finish(group, .failure(.readOnly(reason)))
            return
        }
        let log = committer.value.log
        let records = group.map(\.encoded)
        #if DEBUG
            if configuration.mutant == .acknowledgeBeforeSync {
                for submission in group { submission.completion(.success(())) }
            }
        #endif
        let appended: StateLog.Appended
        do throws(StateLog.AppendError) {
            appended = try log.append(records[...])
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

        memoryMutex.withLock {
            for (submission, payloadOffset) in zip(group, appended.payloadOffsets) {
                var record = submission.record
                if case .putObject(let key, let id, var row, let replaced) = record,
                    submission.encoded.payload.count > 0
                {
                    row.body = .inline(
                        Extent(
                            segment: appended.segment, offset: UInt32(appended.groupOffset + payloadOffset),
                            storedBytes: UInt32(submission.encoded.payload.count),
                            isLZ4: submission.encoded.flags & GroupEntry.lz4Flag != 0,
                            tag: submission.encoded.payloadHash))
                    record = .putObject(key, id: id, row, replaced: replaced)
                }
                applyToMemory(record)
            }
            memory.value.bytesStored += Int64(appended.totalBytes)
            memory.value.active.advance(to: currentPosition(), logBytes: appended.totalBytes)
        }
        #if DEBUG
            if configuration.mutant == .acknowledgeBeforeSync {
                for submission in group { submission.hold?.release() }
                freezeIfDue()
                return
            }
        #endif
        finish(group, .success(()))
        freezeIfDue()
    }

    /// Under the memory mutex: the overlay, and the caches that must agree with it.
    func applyToMemory(_ record: Record) {
        memory.value.active.apply(record, mutant: configuration.mutant)
        memory.value.newestTimestamp = max(memory.value.newestTimestamp, record.newestTimestamp)
        switch record {
        case .putAccount, .uploadLeaf, .dropUpload: break
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

    /// Where the log stands now. Under the memory mutex, on the committer's thread.
    private func currentPosition() -> IndexPosition {
        let log = committer.value.log
        return IndexPosition(
            lsn: log.nextLSN - 1, segment: log.segmentID, endOffset: UInt32(log.offset),
            lastGroupOffset: UInt32(log.lastGroupOffset), lastGroupHash: log.lastGroupHash,
            nextID: ids.load(ordering: .relaxed), newestTimestampTicks: memory.value.newestTimestamp.ticks,
            bytesLogical: memory.value.bytesLogical, bytesStored: memory.value.bytesStored)
    }

    /// Releases the latches, then tells everybody, once per sink.
    func finish(_ group: some Collection<Submission>, _ result: Result<Void, ChunkError>) {
        for submission in group { submission.hold?.release() }
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

    /// Freezes the active overlay when it is full or old, between two groups. Waits while the older one is
    /// still being written (back-pressure: the queue fills meanwhile, and refuses at its bound).
    private func freezeIfDue() {
        let overlay = memoryMutex.withLock { memory.value.active }
        guard overlay.position != nil else {
            committer.value.overlayStarted = MonotonicClock.now()
            return
        }
        let age = MonotonicClock.now() - committer.value.overlayStarted
        let isFull =
            overlay.operationCount >= configuration.overlayOperationsMax
            || overlay.logBytes >= configuration.overlayLogBytesMax
        guard isFull || (configuration.isThreaded && age >= UInt64(Limits.overlayAgeSecondsMax) * 1_000_000_000) else {
            return
        }
        freeze()
    }

    /// What memory may hold while a checkpoint waits for space.
    private var overlayIsOverfull: Bool {
        memoryMutex.withLock {
            memory.value.active.operationCount >= 4 * configuration.overlayOperationsMax
                || memory.value.active.logBytes >= 4 * configuration.overlayLogBytesMax
        }
    }

    /// Freezes now, whatever the size. On the committer's thread (or the only one).
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
        committer.value.overlayStarted = MonotonicClock.now()
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
