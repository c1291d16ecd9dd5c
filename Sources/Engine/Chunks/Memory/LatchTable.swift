import Primitives
import Synchronization

/// Shared and exclusive latches by 64-bit key, granted in order of arrival. Waiting costs no thread.
///
/// Two keys may collide; then they exclude each other needlessly, and that is all.
final class LatchTable: Sendable {
    enum Mode: Sendable { case shared, exclusive }

    private struct Entry {
        var shared = 0
        var isExclusive = false
        var waiting: [(mode: Mode, grant: @Sendable () -> Void)] = []

        func admits(_ mode: Mode) -> Bool {
            switch mode {
            case .shared: !isExclusive
            case .exclusive: !isExclusive && shared == 0
            }
        }

        mutating func take(_ mode: Mode) {
            switch mode {
            case .shared: shared += 1
            case .exclusive: isExclusive = true
            }
        }
    }

    private let mutex = PosixMutex()
    private let entries = PosixGuarded<[UInt64: Entry]>([:])

    /// Takes it if nobody is in the way.
    func tryTake(_ key: UInt64, _ mode: Mode) -> Bool {
        mutex.withLock {
            guard var entry = entries.value[key] else {
                var entry = Entry()
                entry.take(mode)
                entries.value[key] = entry
                return true
            }
            guard entry.waiting.isEmpty && entry.admits(mode) else { return false }
            entry.take(mode)
            entries.value[key] = entry
            return true
        }
    }

    /// True: taken now. False: `grant` runs later, on the thread that releases, when it has been taken.
    func take(_ key: UInt64, _ mode: Mode, grant: @escaping @Sendable () -> Void) -> Bool {
        mutex.withLock {
            var entry = entries.value[key] ?? Entry()
            defer { entries.value[key] = entry }
            if entry.waiting.isEmpty && entry.admits(mode) {
                entry.take(mode)
                return true
            }
            entry.waiting.append((mode, grant))
            return false
        }
    }

    func release(_ key: UInt64, _ mode: Mode) {
        var granted: [@Sendable () -> Void] = []
        mutex.withLock {
            guard var entry = entries.value[key] else { preconditionFailure("a latch released twice") }
            switch mode {
            case .shared: entry.shared -= 1
            case .exclusive: entry.isExclusive = false
            }
            while let next = entry.waiting.first, entry.admits(next.mode) {
                entry.take(next.mode)
                granted.append(next.grant)
                entry.waiting.removeFirst()
            }
            if entry.shared == 0 && !entry.isExclusive { entries.value[key] = nil } else { entries.value[key] = entry }
        }
        for grant in granted { grant() }
    }

    /// Keys held or waited for: zero when the store is at rest.
    var count: Int { mutex.withLock { entries.value.count } }
}

/// What a submission holds until it is applied, or given up.
package protocol SubmissionHold: Sendable {
    func release()
}

/// Latches held on behalf of one request, until it is applied or given up.
package final class LatchHold: SubmissionHold {
    struct Part: Sendable {
        var table: LatchTable
        var key: UInt64
        var mode: LatchTable.Mode
    }

    private let first: Part?
    private let second: Part?
    private let isHeld = Atomic(true)

    /// - Parameters:
    ///   - first: taken first, released last.
    init(_ first: Part?, _ second: Part?) {
        self.first = first
        self.second = second
    }

    deinit { release() }

    /// Gives all of them back. Calling it again does nothing.
    package func release() {
        guard isHeld.exchange(false, ordering: .acquiringAndReleasing) else { return }
        if let second { second.table.release(second.key, second.mode) }
        if let first { first.table.release(first.key, first.mode) }
    }
}
