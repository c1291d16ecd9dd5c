private import Glibc

/// A mutex with one condition variable, for threads that wait for each other.
///
/// `Synchronization.Mutex` has no condition variable, and is slower uncontended (measured.md section 5).
package final class PosixMutex: @unchecked Sendable {
    // SAFETY: both are pthread objects at stable addresses for the life of the instance.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    package init() {
        unsafe pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        unsafe pthread_condattr_init(&attributes)
        unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        unsafe pthread_cond_init(condition, &attributes)
    }

    deinit {
        unsafe pthread_cond_destroy(condition)
        unsafe pthread_mutex_destroy(mutex)
        unsafe condition.deallocate()
        unsafe mutex.deallocate()
    }

    package func lock() { unsafe pthread_mutex_lock(mutex) }
    package func unlock() { unsafe pthread_mutex_unlock(mutex) }
    package func wait() { unsafe pthread_cond_wait(condition, mutex) }
    package func signal() { unsafe pthread_cond_signal(condition) }
    package func broadcast() { unsafe pthread_cond_broadcast(condition) }

    /// Waits at most this long; false on time-out.
    package func wait(milliseconds: Int) -> Bool {
        var deadline = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &deadline)
        deadline.tv_sec += milliseconds / 1000
        deadline.tv_nsec += (milliseconds % 1000) * 1_000_000
        if deadline.tv_nsec >= 1_000_000_000 {
            deadline.tv_sec += 1
            deadline.tv_nsec -= 1_000_000_000
        }
        return unsafe pthread_cond_timedwait(condition, mutex, &deadline) == 0
    }

    @inline(__always)
    package func withLock<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        lock()
        defer { unlock() }
        return try body()
    }
}

/// A value that its owner touches only under a `PosixMutex` of its own.
package final class PosixGuarded<Value>: @unchecked Sendable {
    // SAFETY: by contract read and written only while the owner's mutex is held.
    package var value: Value
    package init(_ value: Value) { self.value = value }
}

/// A value behind a mutex of its own. As `Synchronization.Mutex`, but made of what ThreadSanitizer knows.
package final class PosixLocked<Value>: @unchecked Sendable {
    // SAFETY: the value is reached only under the mutex.
    private let mutex = PosixMutex()
    private var value: Value
    package init(_ value: sending Value) { self.value = value }

    package func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        try mutex.withLock { () throws(E) -> R in try body(&value) }
    }
}
