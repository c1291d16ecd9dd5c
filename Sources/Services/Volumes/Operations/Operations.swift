private import Synchronization

/// The driver operations under way. They outlive the requests that began them: a client that hangs up changes nothing.
///
/// Each is admitted before its row changes, and holds the ids it works on until it has ended, so that the sweeper can
/// tell an operation under way from one that died.
final class Operations: Sendable {
    private typealias Work = @Sendable () async -> Void

    private struct State {
        var held: [String: Int] = [:]
        var count = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    private let queue: AsyncStream<Work>
    private let intake: AsyncStream<Work>.Continuation

    init() {
        // Unbounded here because `admit` bounds it.
        (queue, intake) = AsyncStream.makeStream(of: Work.self, bufferingPolicy: .unbounded)
    }

    /// Carries operations out until `finish`, and returns when the last has ended.
    func run() async {
        await withDiscardingTaskGroup { group in
            for await work in queue { group.addTask { await work() } }
        }
    }

    /// Admits no more.
    func finish() { intake.finish() }

    /// Whether an operation on that id is under way.
    func isHeld(_ id: String) -> Bool { state.withLock { $0.held[id] != nil } }

    /// Returns when nothing is under way.
    func settle() async {
        await withCheckedContinuation { continuation in
            let isIdle = state.withLock { state in
                if state.count > 0 { state.waiting.append(continuation) }
                return state.count == 0
            }
            if isIdle { continuation.resume() }
        }
    }

    /// Prepares (rows, checks) and answers; the work goes on behind. Nothing begins if the preparation throws.
    func begin<T: Sendable>(
        _ ids: [String], prepare: () async throws(VolumeError) -> T, work: @escaping @Sendable (T) async -> Void
    ) async throws(VolumeError) -> T {
        try admit(ids)
        let prepared: T
        do throws(VolumeError) {
            prepared = try await prepare()
        } catch {
            release(ids)
            throw error
        }
        intake.yield {
            await work(prepared)
            self.release(ids)
        }
        return prepared
    }

    /// Carries the work out, away from the request's own task, and answers with its outcome.
    func complete<T: Sendable>(
        _ ids: [String], _ work: @escaping @Sendable () async throws(VolumeError) -> T
    ) async throws(VolumeError) -> T {
        try admit(ids)
        let result: Result<T, VolumeError> = await withCheckedContinuation { continuation in
            let outcome = intake.yield {
                let result: Result<T, VolumeError>
                do throws(VolumeError) {
                    result = .success(try await work())
                } catch {
                    result = .failure(error)
                }
                self.release(ids)
                continuation.resume(returning: result)
            }
            if case .terminated = outcome {
                release(ids)
                continuation.resume(returning: .failure(.busy))
            }
        }
        return try result.get()
    }

    private func admit(_ ids: [String]) throws(VolumeError) {
        let admitted = state.withLock { state in
            guard state.count < Limits.operationsMax else { return false }
            state.count += 1
            for id in ids { state.held[id, default: 0] += 1 }
            return true
        }
        guard admitted else { throw .busy }
    }

    private func release(_ ids: [String]) {
        let waiting = state.withLock { state in
            state.count -= 1
            for id in ids {
                let left = (state.held[id] ?? 1) - 1
                state.held[id] = left > 0 ? left : nil
            }
            guard state.count == 0 else { return [CheckedContinuation<Void, Never>]() }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
