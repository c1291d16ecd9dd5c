import Disks
import Primitives
import Synchronization

/// What the applier's thread shares with the committer.
struct ApplierState {
    /// Frozen, not yet in every index copy that is kept in step.
    var pending: Overlay?
    var hasFailed = false
    var isStopping = false
    var applierIsGone = false
    var maintenanceIsGone = false
    /// LSN that each copy has durably applied.
    var applied: [UInt64] = []
    var secondHasFailed = false
}

extension ChunkStore {
    /// The applier's thread: writes each frozen overlay to the index, makes it durable, drops it; then the
    /// second copy, at leisure.
    func applyLoop() {
        while true {
            applierMutex.lock()
            while applierState.value.pending == nil && !applierState.value.isStopping { applierMutex.wait() }
            let overlay = applierState.value.pending
            applierMutex.unlock()
            guard let overlay else { break }
            if !applyFrozen(overlay) { break }
        }
        applierMutex.withLock {
            applierState.value.applierIsGone = true
            applierMutex.broadcast()
        }
    }

    /// False when the index can't be written any more; the store is read-only then.
    @discardableResult
    func applyFrozen(_ overlay: Overlay) -> Bool {
        guard var position = overlay.position else { return true }
        #if DEBUG
            if configuration.mutant == .forgetAppliedLSN { position.lsn -= 1 }
        #endif
        // The index may not name what the log can still lose.
        do throws(DiskError) {
            var flushes = true
            #if DEBUG
                if configuration.mutant == .skipFlushBeforeIndex { flushes = false }
            #endif
            if flushes { try logFlusher.flush(upTo: position.lsn) }
        } catch {
            becomeReadOnly(.ioError(error))
            return stopApplying()
        }
        var failure = writeToIndex(overlay, position)
        while let error = failure, error.isNoSpace, configuration.isThreaded {
            // A full disk loses nothing: the transaction was rolled back, or is committed and lacks its checkpoint.
            counters.checkpointWaits.store(true, ordering: .relaxed)
            counters.spaceRefused.store(true, ordering: .relaxed)
            if !spares.ballast.release() {
                let isStopping = applierMutex.withLock { () -> Bool in
                    applierMutex.broadcast()
                    if !applierState.value.isStopping { _ = applierMutex.wait(milliseconds: 500) }
                    return applierState.value.isStopping
                }
                // A store that closes with a full disk: the log holds everything, and the next start folds it again.
                if isStopping { return stopApplying() }
            }
            failure = writeToIndex(overlay, position)
        }
        counters.checkpointWaits.store(false, ordering: .relaxed)
        if let error = failure {
            if error.isCorruption { indexes.distrust(copy: leadingCopy) }
            // A failed flush is never retried: what it covered may be lost although a second one succeeds.
            becomeReadOnly(.checkpointFailed(error.description))
            return stopApplying()
        }
        // Before memory forgets it: who reads the other copy asks how far it must have come.
        applierMutex.withLock { setApplied(0, position.lsn) }
        memoryMutex.withLock {
            memory.value.frozen = nil
            memory.value.generation += 1
        }
        counters.checkpoints.add(1, ordering: .relaxed)
        applySecond(overlay, position)
        applierMutex.withLock {
            applierState.value.pending = nil
            applierMutex.broadcast()
        }
        return true
    }

    private func writeToIndex(_ overlay: Overlay, _ position: IndexPosition) -> IndexError? {
        do throws(IndexError) {
            #if DEBUG
                if configuration.mutant == .skipCheckpoint {
                    try index.apply(position) { transaction throws(IndexError) in
                        try overlay.write(to: transaction, seal)
                    }
                    return nil
                }
            #endif
            try index.bring(to: position, with: overlay, seal)
            return nil
        } catch {
            return error
        }
    }

    private func stopApplying() -> Bool {
        applierMutex.withLock {
            applierState.value.hasFailed = true
            applierMutex.broadcast()
        }
        return false
    }

    /// The second copy's failure costs the copy, not the service: it is made again at the next start.
    private func applySecond(_ overlay: Overlay, _ position: IndexPosition) {
        guard let secondIndex, !applierMutex.withLock({ applierState.value.secondHasFailed }) else { return }
        do throws(IndexError) {
            try secondIndex.bring(to: position, with: overlay, seal)
            applierMutex.withLock { setApplied(1, position.lsn) }
        } catch {
            if error.isCorruption { indexes.distrust(copy: 1 - leadingCopy) }
            applierMutex.withLock { applierState.value.secondHasFailed = true }
        }
    }

    private func setApplied(_ copy: Int, _ lsn: UInt64) {
        while applierState.value.applied.count <= copy { applierState.value.applied.append(0) }
        applierState.value.applied[copy] = lsn
    }

    /// Keeps a spare segment ready and an eye on the free space.
    func maintenanceLoop() {
        while true {
            let stopping = applierMutex.withLock { () -> Bool in
                if applierState.value.isStopping { return true }
                _ = applierMutex.wait(milliseconds: 50)
                return applierState.value.isStopping
            }
            if stopping { break }
            updateSpace()
            guard readOnlyReason == nil else { continue }
            do throws(DiskError) {
                // When there is no room, giving back is what is wanted most.
                try spares.trim()
                guard !counters.spaceRefused.load(ordering: .relaxed),
                    !counters.checkpointWaits.load(ordering: .relaxed)
                else { continue }
                try spares.refill()
                let needed = spares.ballast.byteCount + Int64(segments.segmentBytes)
                if counters.freeBytes.load(ordering: .relaxed) > needed { try spares.ballast.hold() }
            } catch {
                // ENOSPC shows in the space check; anything else will meet the committer, which reports it.
            }
        }
        applierMutex.withLock {
            applierState.value.maintenanceIsGone = true
            applierMutex.broadcast()
        }
    }

    // MARK: Closing

    /// Finishes what is queued, writes a checkpoint, stops the threads. Later writes fail with
    /// `.readOnly(.closed)`; later reads are a programmer's error.
    package func close() throws(ChunkError) {
        queueMutex.withLock {
            queue.value.isStopping = true
            queueMutex.broadcast()
        }
        if configuration.isThreaded {
            queueMutex.withLock { while !queue.value.committerIsGone { queueMutex.wait() } }
            acknowledgerMutex.withLock {
                acknowledgerQueue.value.isStopping = true
                acknowledgerMutex.broadcast()
                while !acknowledgerQueue.value.isGone { acknowledgerMutex.wait() }
            }
        } else {
            runPending()
        }
        if readOnlyReason == nil {
            // Also where the checkpoint that follows finds no room.
            do throws(DiskError) { try logFlusher.flush() } catch { becomeReadOnly(.ioError(error)) }
        }
        freeze()
        if configuration.isThreaded {
            applierMutex.withLock {
                applierState.value.isStopping = true
                applierMutex.broadcast()
                while !applierState.value.applierIsGone || !applierState.value.maintenanceIsGone { applierMutex.wait() }
            }
        }
        let reason = readOnlyReason
        becomeReadOnly(.closed)
        defer {
            index.close()
            secondIndex?.close()
            lock.value = nil
        }
        do throws(DiskError) {
            try spares.discard()
            try spares.trim()
            if reason == nil { try bulk.close() }
            // With the log ahead of the index, for want of room, it is no clean end.
            let isWritten = memoryMutex.withLock {
                memory.value.frozen == nil && memory.value.active.position == nil
            }
            if reason == nil, isWritten {
                superblock.value.isClean = true
                try superblock.value.write(disk)
            }
        } catch {
            throw .disk(error)
        }
    }
}
