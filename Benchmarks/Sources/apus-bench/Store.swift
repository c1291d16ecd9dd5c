import Chunks
import Codecs
import Disks
import Foundation
import Primitives

/// One thread that runs what the committer announces, as an event loop of the daemon does.
final class LoopSink: CompletionSink {
    private let mutex = PosixMutex()
    private let pending = PosixGuarded<[@Sendable () -> Void]>([])
    private let isStopping = PosixGuarded(false)
    private let isGone = PosixGuarded(false)

    init() {
        startThread(name: "loop") { [self] in loop() }
    }

    func wake(_ completions: [@Sendable () -> Void]) {
        mutex.withLock {
            pending.value += completions
            mutex.broadcast()
        }
    }

    /// Ends the thread and waits for it.
    func stop() {
        mutex.withLock {
            isStopping.value = true
            mutex.broadcast()
            while !isGone.value { mutex.wait() }
        }
    }

    private func loop() {
        mutex.lock()
        while true {
            var batch: [@Sendable () -> Void] = []
            swap(&batch, &pending.value)
            if batch.isEmpty {
                if isStopping.value { break }
                mutex.wait()
            } else {
                mutex.unlock()
                for completion in batch { completion() }
                mutex.lock()
            }
        }
        isGone.value = true
        mutex.broadcast()
        mutex.unlock()
    }
}

/// A store in a folder with one container, and a closed loop of writers on it.
final class BenchStore: Sendable {
    let store: ChunkStore
    let container: ContainerRow
    private let threads: WorkThreads
    private let clock = TimestampClock()

    init(folder: String, configure: (inout ChunkStore.Configuration) -> Void) throws {
        var isThreaded = true
        store = try Self.open(folder) { configuration in
            configure(&configuration)
            isThreaded = configuration.isThreaded
        }
        threads = WorkThreads(name: "work", count: 2, queueMax: 10_000)
        clock.advance(past: store.newestTimestamp)
        let outcome = Outcome()
        let (store, clock) = (store, clock)
        store.latchContainer("AUTH_bench", "c", on: threads) { hold in
            store.submit(
                .putContainer(
                    account: "AUTH_bench", name: "c", id: store.nextID(), existing: nil, timestamp: clock.next(),
                    attributes: []),
                holding: hold, sink: InlineSink.shared
            ) { outcome.finish($0) }
        }
        if !isThreaded { store.runPending() }
        try outcome.wait()
        guard let row = try store.container("AUTH_bench", "c") else { throw BenchmarkError("the container is gone") }
        container = row
    }

    static func open(_ folder: String, _ configure: (inout ChunkStore.Configuration) -> Void) throws -> ChunkStore {
        var configuration = ChunkStore.Configuration(segmentBytes: 64 << 20, reserveBytes: 0)
        configure(&configuration)
        return try ChunkStore.open(
            disk: SystemDisk(root: folder), indexes: SQLiteIndexes(folder: folder, copies: 2),
            configuration: configuration,
            random: { count in (0..<count).map { _ in UInt8.random(in: 0...255) } })
    }

    /// Submits one new object of these bytes.
    func put(
        _ name: Bytes, _ bytes: [UInt8], etag: MD5Digest, sink: any CompletionSink,
        then: @escaping @Sendable (Result<Void, ChunkError>) -> Void
    ) {
        store.latchObject(container.account, container.name, name, on: threads) { [self] hold in
            let draft = ObjectDraft(
                timestamp: clock.next(), size: bytes.count, etag: etag, contentType: "application/octet-stream",
                attributes: [])
            store.submit(
                .putObject(container: container, name: name, draft: draft, body: .inline(bytes), replacing: nil),
                holding: hold, sink: sink, completion: then)
        }
    }

    func close() throws {
        try store.close()
        threads.stop()
    }
}

/// A result that another thread brings.
final class Outcome: Sendable {
    private let mutex = PosixMutex()
    private let result = PosixGuarded<Result<Void, ChunkError>?>(nil)

    func finish(_ outcome: Result<Void, ChunkError>) {
        mutex.withLock {
            result.value = outcome
            mutex.broadcast()
        }
    }

    func wait() throws {
        mutex.lock()
        while result.value == nil { mutex.wait() }
        let outcome = result.value!
        mutex.unlock()
        try outcome.get()
    }
}

/// Writers that each have one operation under way, all on one event loop, until told to stop.
final class ClosedLoop: Sendable {
    private let bench: BenchStore
    private let sink: LoopSink
    private let body: @Sendable (Int) -> Body
    private let mutex = PosixMutex()
    private let state: PosixGuarded<State>

    /// An object's bytes and their MD5, which is the caller's work and not the engine's.
    struct Body: Sendable {
        let bytes: [UInt8]
        let etag: MD5Digest

        init(_ bytes: [UInt8]) {
            self.bytes = bytes
            etag = bytes.withUnsafeBytes { MD5.hash($0) }
        }
    }

    private struct State {
        var next: Int
        var limit: Int
        var deadline: UInt64
        var active = 0
        var done = 0
        var failure: ChunkError?
    }

    /// - Parameter body: the body of the object of that number.
    init(_ bench: BenchStore, sink: LoopSink, firstNumber: Int, body: @escaping @Sendable (Int) -> Body) {
        self.bench = bench
        self.sink = sink
        self.body = body
        state = PosixGuarded(State(next: firstNumber, limit: 0, deadline: 0))
    }

    /// Runs until the deadline, or until this many more operations; returns the operations done and nanoseconds.
    func run(writers: Int, operations: Int, nanoseconds: UInt64) throws -> (operations: Int, nanoseconds: UInt64) {
        let start = MonotonicClock.now()
        mutex.withLock {
            state.value.limit = operations == .max ? .max : state.value.next + operations
            state.value.deadline = nanoseconds == .max ? .max : start + nanoseconds
            state.value.active = writers
            state.value.done = 0
        }
        for _ in 0..<writers { step() }
        mutex.lock()
        while state.value.active > 0 { mutex.wait() }
        let (done, failure) = (state.value.done, state.value.failure)
        mutex.unlock()
        if let failure { throw failure }
        return (done, MonotonicClock.now() - start)
    }

    private func step() {
        let number: Int? = mutex.withLock {
            guard state.value.failure == nil, state.value.next < state.value.limit,
                MonotonicClock.now() < state.value.deadline
            else {
                state.value.active -= 1
                if state.value.active == 0 { mutex.broadcast() }
                return nil
            }
            state.value.next += 1
            return state.value.next - 1
        }
        guard let number else { return }
        let body = body(number)
        bench.put(Bytes("object/\(number)"), body.bytes, etag: body.etag, sink: sink) { [self] result in
            mutex.withLock {
                switch result {
                case .success: state.value.done += 1
                case .failure(let error): if state.value.failure == nil { state.value.failure = error }
                }
            }
            step()
        }
    }
}
