private import CLinux
private import Glibc

/// A fixed pool of threads for work that may block (disk reads, SQLite, hashing), so that neither an event
/// loop nor Swift's cooperative pool ever does.
///
/// Jobs start in the order they were added. The queue is bounded: `run` answers false when `queueMax` jobs
/// wait, and the caller refuses its request (503). `resume` is for the continuation of work that was
/// admitted before, and is never refused.
package final class WorkThreads: Sendable {
    package typealias Job = @Sendable () -> Void

    private struct State {
        var queue: [Job] = []
        var head = 0
        var stopping = false
        var idle = 0
        var alive = 0
    }

    private let mutex: PosixMutex
    private let state: PosixGuarded<State>
    package let queueMax: Int

    /// - Parameters:
    ///   - name: at most 12 bytes show in `ps -L`.
    ///   - count: the number of threads, all started here.
    package init(name: String, count: Int, queueMax: Int) {
        precondition(count > 0 && queueMax > 0)
        self.queueMax = queueMax
        mutex = PosixMutex()
        state = PosixGuarded(State())
        for index in 0..<count {
            mutex.withLock { state.value.alive += 1 }
            startThread(name: "\(name)-\(index)") { [self] in loop() }
        }
    }

    /// Adds a job; false when the queue is full or the pool has been stopped.
    package func run(_ job: @escaping Job) -> Bool {
        mutex.lock()
        defer { mutex.unlock() }
        guard !state.value.stopping, state.value.queue.count - state.value.head < queueMax else { return false }
        push(job)
        return true
    }

    /// Adds the next step of work that is already under way.
    package func resume(_ job: @escaping Job) {
        mutex.lock()
        defer { mutex.unlock() }
        push(job)
    }

    /// Lets queued jobs finish, then ends the threads and waits for them.
    package func stop() {
        mutex.lock()
        state.value.stopping = true
        mutex.broadcast()
        while state.value.alive > 0 { mutex.wait() }
        mutex.unlock()
    }

    private func push(_ job: @escaping Job) {
        state.value.queue.append(job)
        if state.value.idle > 0 { mutex.signal() }
    }

    private func loop() {
        mutex.lock()
        while true {
            if state.value.head < state.value.queue.count {
                let job = state.value.queue[state.value.head]
                state.value.head += 1
                if state.value.head == state.value.queue.count {
                    state.value.queue.removeAll(keepingCapacity: state.value.head <= 1024)
                    state.value.head = 0
                } else if state.value.head >= 1024 {
                    state.value.queue.removeFirst(state.value.head)
                    state.value.head = 0
                }
                mutex.unlock()
                job()
                mutex.lock()
            } else if state.value.stopping {
                break
            } else {
                state.value.idle += 1
                mutex.wait()
                state.value.idle -= 1
            }
        }
        state.value.alive -= 1
        mutex.broadcast()
        mutex.unlock()
    }
}

/// Starts a detached thread of our own.
///
/// - Parameter nice: how far behind the process's other threads it stands when all cores are busy (setpriority(2)).
package func startThread(name: String, nice: Int32 = 0, _ body: @escaping @Sendable () -> Void) {
    final class Box {
        let body: @Sendable () -> Void; init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(
        Box {
            _ = apus_name_thread(String(name.prefix(15)))
            // On Linux this is the calling thread's alone; refused, it runs as the others do.
            if nice != 0 { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, nice) }
            body()
        })
    var attributes = pthread_attr_t()
    unsafe pthread_attr_init(&attributes)
    unsafe pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    unsafe pthread_attr_setstacksize(&attributes, 1 << 20)
    var thread = pthread_t()
    let status = unsafe pthread_create(
        &thread, &attributes,
        { context in
            unsafe Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    precondition(status == 0, "the system refuses another thread: errno \(status)")
}

/// Sets the allocator up for what this process does; once, before anything else.
///
/// glibc merges its lists of small free blocks at each allocation of a kilobyte or more, which is every body here. Its
/// per-thread lists serve small blocks just as well.
package func tuneAllocator() { apus_tune_allocator() }
