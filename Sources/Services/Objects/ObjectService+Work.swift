import Chunks
import Primitives

extension ObjectService {
    /// Runs the blocking part of a write on a work thread. The job throws to refuse; otherwise it has arranged for the
    /// completion itself.
    func perform(
        _ sink: any CompletionSink, _ completion: @escaping WriteCompletion,
        _ job: @escaping @Sendable () throws(Stop) -> Void
    ) {
        let admitted = threads.run { [self] in attempt(sink, completion, job) }
        if !admitted { completion(.failure(.unavailable("Too many requests wait"))) }
    }

    /// The same for a step of a request that is under way, on a thread that may block.
    func attempt(_ sink: any CompletionSink, _ completion: @escaping WriteCompletion, _ job: () throws(Stop) -> Void) {
        do { try job() } catch { announce(.failure(ObjectError(error)), sink, completion) }
    }

    func announce(
        _ result: Result<WriteOutcome, ObjectError>, _ sink: any CompletionSink, _ completion: @escaping WriteCompletion
    ) {
        sink.wake([{ completion(result) }])
    }

    /// A step under latches: releases them if it throws, else it has handed them to `submit`.
    func latched(
        _ hold: LatchHold, _ sink: any CompletionSink, _ completion: @escaping WriteCompletion,
        _ step: () throws(Stop) -> Void
    ) {
        do {
            try step()
        } catch {
            hold.release()
            announce(.failure(ObjectError(error)), sink, completion)
        }
    }

    /// Enqueues the operation; the completion gets the outcome once it is durable.
    func submit(
        _ operation: Operation, _ store: ChunkStore, _ hold: LatchHold, _ sink: any CompletionSink,
        _ outcome: WriteOutcome, _ completion: @escaping WriteCompletion
    ) {
        store.submit(operation, holding: hold, sink: sink) { result in
            switch result {
            case .success: completion(.success(outcome))
            case .failure(let error): completion(.failure(ObjectError(error)))
            }
        }
    }

    /// A timestamp above every other of this process, and above what the row has.
    func timestamp(after seen: Timestamp?) -> Timestamp {
        if let seen { clock.advance(past: seen) }
        return clock.next()
    }
}
