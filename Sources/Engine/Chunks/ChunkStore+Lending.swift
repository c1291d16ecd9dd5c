import Primitives

/// A connection that waits for its own write and for nothing else commits it on its own thread: the two wakings, to the
/// committer and back, would take longer than the rest.
///
/// Whoever commits holds the duty (`CommitDuty`), so groups stay in one order, and other threads' operations wait in the queue
/// as they do for the committer.
extension ChunkStore: LentWork {
    package func perform(stalled: @escaping @Sendable () -> Void) {
        var batch: [Submission] = []
        var flushes: [FlushRequest] = []
        let isOurs = queueMutex.withLock { () -> Bool in
            guard queue.value.duty == .called else { return false }
            // What others have queued meanwhile is committed along, but nobody is kept by a lot of it.
            guard queue.value.bytes <= Limits.lentBytesMax else {
                queueMutex.signal()
                return false
            }
            queue.value.duty = .lent
            queue.value.lentSince = MonotonicClock.now()
            queue.value.stalled = stalled
            swap(&batch, &queue.value.submissions)
            swap(&flushes, &queue.value.flushes)
            queue.value.bytes = 0
            return true
        }
        guard isOurs else { return }
        let neededSeal = committer.value.log.needsSeal
        if !batch.isEmpty { commit(batch, isLent: true) }
        flush(for: flushes)
        let calls = queueMutex.withLock { () -> Bool in
            queue.value.lendings &+= 1
            queue.value.stalled = nil
            queue.value.duty = .asleep
            // The committer may have lain down for long, since nothing was to be sealed.
            if !neededSeal, committer.value.log.needsSeal { return true }
            return queue.value.isStopping || !queue.value.isEmpty && queue.value.calls()
        }
        // All who wait: besides the committer, whoever closes the store.
        if calls { queueMutex.broadcast() }
    }

    package var isAmple: Bool { queueMutex.withLock { queue.value.bytes >= Limits.lentBytesEnough } }

    package func giveBack() {
        if queueMutex.withLock({ queue.value.duty == .called }) { queueMutex.signal() }
    }

    /// How long the work may still take before somebody is told. Under the queue's mutex.
    var lentMillisecondsLeft: Int {
        Limits.lentMilliseconds - Int((MonotonicClock.now() - queue.value.lentSince) / 1_000_000)
    }

    /// By the committer, awake while another thread commits: says so, once, if that takes long. Under the queue's mutex, which
    /// is let go meanwhile.
    func noticeStall() {
        guard lentMillisecondsLeft <= 0, let stalled = queue.value.stalled else { return }
        queue.value.stalled = nil
        queueMutex.unlock()
        stalled()
        queueMutex.lock()
    }
}
