import Primitives

/// Jobs that run one after the other, in order, on whichever work thread is free.
final class SerialLane: Sendable {
    private let threads: WorkThreads
    private let mutex = PosixMutex()
    private let state = PosixGuarded<(jobs: [@Sendable () -> Void], isRunning: Bool)>(([], false))

    init(threads: WorkThreads) { self.threads = threads }

    func add(_ job: @escaping @Sendable () -> Void) {
        let starts = mutex.withLock {
            state.value.jobs.append(job)
            if state.value.isRunning { return false }
            state.value.isRunning = true
            return true
        }
        if starts { threads.resume { self.run() } }
    }

    private func run() {
        while true {
            let job = mutex.withLock { () -> (@Sendable () -> Void)? in
                guard !state.value.jobs.isEmpty else {
                    state.value.isRunning = false
                    return nil
                }
                return state.value.jobs.removeFirst()
            }
            guard let job else { return }
            job()
        }
    }
}
