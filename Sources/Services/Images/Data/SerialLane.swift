import Primitives

/// Steps that run one after the other, in the order they were added, on a pool of threads that others use too.
final class SerialLane: Sendable {
    private struct State {
        var queue: [WorkThreads.Job] = []
        var isRunning = false
    }

    private let threads: WorkThreads
    private let state = PosixLocked(State())

    init(_ threads: WorkThreads) { self.threads = threads }

    /// Whoever adds bounds how much it adds.
    func add(_ job: @escaping WorkThreads.Job) {
        let starts = state.withLock { state in
            state.queue.append(job)
            defer { state.isRunning = true }
            return !state.isRunning
        }
        if starts { threads.resume { self.run() } }
    }

    private func run() {
        while true {
            let jobs = state.withLock { state -> [WorkThreads.Job] in
                let jobs = state.queue
                state.queue = []
                if jobs.isEmpty { state.isRunning = false }
                return jobs
            }
            if jobs.isEmpty { return }
            for job in jobs { job() }
        }
    }
}
