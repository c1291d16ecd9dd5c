import Primitives

/// What goes on behind requests: imports and conversions. At most `Limits.tasksMax` at a time.
final class BackgroundWork: Sendable {
    private typealias Work = @Sendable () async -> Void

    private struct State {
        var count = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = PosixLocked(State())
    private let queue: AsyncStream<Work>
    private let intake: AsyncStream<Work>.Continuation

    init() {
        // Unbounded here because `begin` bounds it.
        (queue, intake) = AsyncStream.makeStream(of: Work.self, bufferingPolicy: .unbounded)
    }

    func run() async {
        await withDiscardingTaskGroup { group in
            for await work in queue { group.addTask { await work() } }
        }
    }

    func finish() { intake.finish() }

    /// False, and nothing is done, if too much goes on already.
    func begin(_ work: @escaping @Sendable () async -> Void) -> Bool {
        let isAdmitted = state.withLock { state in
            guard state.count < Limits.tasksMax else { return false }
            state.count += 1
            return true
        }
        guard isAdmitted else { return false }
        let outcome = intake.yield { [self] in
            await work()
            ended()
        }
        if case .enqueued = outcome { return true }
        ended()
        return false
    }

    func settle() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                if state.count > 0 { state.waiting.append(continuation) }
                return state.count == 0
            }
            if isIdle { continuation.resume() }
        }
    }

    private func ended() {
        let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.count -= 1
            guard state.count == 0 else { return [] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
