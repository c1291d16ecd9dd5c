/// Where finished work is announced: an event loop, usually.
///
/// The committer gathers a group's completions per sink and calls `wake` once for all of them, since a
/// cross-thread wake-up costs more than the work that follows it (measured.md section 5).
package protocol CompletionSink: AnyObject, Sendable {
    /// Runs the completions, in order, soon, on the sink's own thread; never on the caller's if that may block it.
    func wake(_ completions: [@Sendable () -> Void])

    /// Offers the calling thread, if it is the sink's own, to do work itself that a thread of the engine would have to be woken
    /// for. True: it was taken, and is performed or given back soon. Called with no lock held.
    func takes(_ work: any LentWork) -> Bool
}

extension CompletionSink {
    /// Most threads have better to do than to wait for a disk.
    package func takes(_ work: any LentWork) -> Bool { false }
}

/// Work of the engine that the thread which waits for it may do itself: where one thread hands to another and waits, the two
/// wakings cost more than a flush of the disk does (measured.md section 5).
package protocol LentWork: AnyObject, Sendable {
    /// Does the work, blocking. Does nothing if somebody else has done it meanwhile.
    ///
    /// `stalled` is called on another thread, at most once, if it takes unusually long: whoever has other things to attend to can
    /// let somebody else attend to them. It may come just after this has returned.
    func perform(stalled: @escaping @Sendable () -> Void)

    /// Whether so much waits that more of it would gain nothing by waiting for it too: then it is time to perform it.
    var isAmple: Bool { get }

    /// Leaves it to the engine's own thread after all.
    func giveBack()
}

/// Runs completions at once on the thread that announces them: for tests and for work that only signals.
package final class InlineSink: CompletionSink {
    package static let shared = InlineSink()
    package func wake(_ completions: [@Sendable () -> Void]) {
        for completion in completions { completion() }
    }
}
