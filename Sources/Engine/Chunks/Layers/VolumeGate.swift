import Primitives

/// A volume's gate (engine.md, write path 1): writers pass it between finding the head layer and having their record in the
/// queue; SNAP, REVERT, RESIZE and DELETE close it until they are applied. Without it a write could land in a layer that was
/// frozen meanwhile.
final class VolumeGate: Sendable {
    private struct State {
        var inside = 0
        var isClosed = false
        var waiting: [@Sendable () -> Void] = []
    }

    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())

    /// True: inside; call `leave`.
    func tryEnter() -> Bool {
        mutex.withLock {
            guard !state.value.isClosed else { return false }
            state.value.inside += 1
            return true
        }
    }

    /// Calls `then`, inside: now, or on the thread that opens the gate. False: too many wait, and it is never called.
    func enter(_ then: @escaping @Sendable () -> Void) -> Bool {
        if tryEnter() {
            then()
            return true
        }
        var isInside = false
        let isAdmitted = mutex.withLock {
            if !state.value.isClosed {
                state.value.inside += 1
                isInside = true
                return true
            }
            guard state.value.waiting.count < Limits.volumeWaitersMax else { return false }
            state.value.waiting.append(then)
            return true
        }
        if isInside { then() }
        return isAdmitted
    }

    func leave() {
        mutex.withLock {
            state.value.inside -= 1
            if state.value.isClosed, state.value.inside == 0 { mutex.broadcast() }
        }
    }

    /// Waits until nobody is inside, and keeps everybody out. May block: for threads of the control plane. One at a time.
    func close() {
        mutex.withLock {
            precondition(!state.value.isClosed)
            state.value.isClosed = true
            while state.value.inside > 0 { mutex.wait() }
        }
    }

    var isClosed: Bool { mutex.withLock { state.value.isClosed } }

    func open() {
        let waiting = mutex.withLock { () -> [@Sendable () -> Void] in
            defer { state.value.waiting = [] }
            state.value.isClosed = false
            state.value.inside += state.value.waiting.count
            return state.value.waiting
        }
        for then in waiting { then() }
    }
}
