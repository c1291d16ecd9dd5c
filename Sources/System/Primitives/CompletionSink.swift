/// Where finished work is announced: an event loop, usually.
///
/// The committer gathers a group's completions per sink and calls `wake` once for all of them, since a
/// cross-thread wake-up costs more than the work that follows it (measured.md section 5).
package protocol CompletionSink: AnyObject, Sendable {
    /// Runs the completions, in order, soon, on the sink's own thread; never on the caller's if that may block it.
    func wake(_ completions: [@Sendable () -> Void])
}

/// Runs completions at once on the thread that announces them: for tests and for work that only signals.
package final class InlineSink: CompletionSink {
    package static let shared = InlineSink()
    package func wake(_ completions: [@Sendable () -> Void]) {
        for completion in completions { completion() }
    }
}
