package import NIOCore
import Primitives

/// Runs completions on an event loop: one `execute` for each batch that other threads announce, however many
/// batches come before the loop gets to it.
package final class LoopSink: CompletionSink {
    private let loop: any EventLoop
    private let mutex = PosixMutex()
    private let waiting = PosixGuarded<[@Sendable () -> Void]>([])

    package init(_ loop: any EventLoop) { self.loop = loop }

    package func wake(_ completions: [@Sendable () -> Void]) {
        guard !completions.isEmpty else { return }
        let first = mutex.withLock {
            let wasEmpty = waiting.value.isEmpty
            if wasEmpty { waiting.value = completions } else { waiting.value += completions }
            return wasEmpty
        }
        if first { loop.execute { self.run() } }
    }

    private func run() {
        var batch: [@Sendable () -> Void] = []
        mutex.withLock { swap(&batch, &waiting.value) }
        for completion in batch { completion() }
    }
}
