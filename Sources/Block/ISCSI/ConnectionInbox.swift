private import CLinux
private import Glibc
import Primitives

/// How other threads reach a connection's thread: completions of its commands, and orders to it.
///
/// Nobody but the connection's own thread touches its state or its socket; what others have to say waits here, and an
/// eventfd ends the thread's poll. While that thread is awake, an announcement costs a mutex and no system call.
final class ConnectionInbox: CompletionSink {
    enum Order: Sendable {
        case end(EndReason)
        /// Tell the initiator to log out within so many seconds.
        case askLogout(seconds: UInt16)
        /// The session that this login replaces is gone.
        case proceed
        /// Drop the commands at these units, and say so when none of them runs any more.
        case abortTasks(units: Set<ObjectIdentifier>, notify: ConnectionInbox, management: UInt64)
        /// PREEMPT AND ABORT by another initiator: the commands at this unit end without an answer; `done` is called when
        /// none of them runs any more.
        case preempted(ObjectIdentifier, done: @Sendable () -> Void)
        /// One of those that were asked to is done.
        case abortedElsewhere(management: UInt64)
    }

    enum EndReason: Sendable {
        /// The same initiator port logged in again (RFC 7143 6.3.5).
        case reinstated
        /// The operator, or whoever owns the target, said so.
        case administrative
        case targetReset
        case shutDown
    }

    private struct State {
        var completions: [@Sendable () -> Void] = []
        var orders: [Order] = []
        var isParked = false
        var isClosed = false
        /// The connection's thread, and whether it does the engine's work itself, where that is shorter.
        var borrower: pthread_t?
        var isWilling = false
        var work: (any LentWork)?
    }

    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())
    /// -1 for a connection without a thread of its own: in tests.
    let event: Int32

    /// - Parameter event: an eventfd, which this takes over; -1 for none.
    init(event: Int32) { self.event = event }

    deinit {
        if event >= 0 { apus_close(event) }
    }

    func wake(_ completions: [@Sendable () -> Void]) {
        mutex.lock()
        state.value.completions.append(contentsOf: completions)
        let isParked = unpark()
        mutex.unlock()
        if isParked { apus_event_signal(event) }
    }

    func takes(_ work: any LentWork) -> Bool {
        let me = pthread_self()
        return mutex.withLock {
            guard state.value.isWilling, state.value.work == nil, let borrower = state.value.borrower,
                pthread_equal(borrower, me) != 0
            else { return false }
            state.value.work = work
            return true
        }
    }

    /// The calling thread takes the engine's work from now on, when it is willing.
    func borrow() {
        let me = pthread_self()
        mutex.withLock { state.value.borrower = me }
    }

    /// No thread does any more.
    func borrowNothing() { mutex.withLock { state.value.borrower = nil } }

    func set(isWilling: Bool) { mutex.withLock { state.value.isWilling = isWilling } }

    /// What was taken and is not done yet.
    var work: (any LentWork)? { mutex.withLock { state.value.work } }

    /// What was taken, for the thread to do it or to give it back; and whether nothing else waits here.
    func takeWork() -> (work: any LentWork, isAlone: Bool)? {
        mutex.withLock {
            guard let work = state.value.work else { return nil }
            state.value.work = nil
            return (work, state.value.completions.isEmpty && state.value.orders.isEmpty)
        }
    }

    /// False if the connection is gone.
    @discardableResult
    func post(_ order: Order) -> Bool {
        mutex.lock()
        let isClosed = state.value.isClosed
        if !isClosed { state.value.orders.append(order) }
        let isParked = unpark()
        mutex.unlock()
        if isParked { apus_event_signal(event) }
        return !isClosed
    }

    private func unpark() -> Bool {
        defer { state.value.isParked = false }
        return state.value.isParked && event >= 0
    }

    /// What has gathered, for the connection's thread.
    func take() -> (completions: [@Sendable () -> Void], orders: [Order]) {
        mutex.lock()
        defer { mutex.unlock() }
        // Nearly always there is nothing.
        guard !state.value.completions.isEmpty || !state.value.orders.isEmpty else { return ([], []) }
        defer {
            state.value.completions = []
            state.value.orders = []
        }
        return (state.value.completions, state.value.orders)
    }

    /// Announces that the thread is about to wait; false if there is something to do first.
    func park() -> Bool {
        mutex.withLock {
            guard state.value.completions.isEmpty, state.value.orders.isEmpty else { return false }
            state.value.isParked = true
            return true
        }
    }

    /// The thread is awake again, for whatever reason.
    func awake() {
        mutex.withLock { state.value.isParked = false }
    }

    /// Takes no orders any more; answers those that came too late. Completions still have their place.
    func close() -> [Order] {
        mutex.withLock {
            defer { state.value.orders = [] }
            state.value.isClosed = true
            return state.value.orders
        }
    }
}
