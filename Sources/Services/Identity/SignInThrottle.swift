import Primitives

/// How often one address may present a wrong password: `Limits.failureBurst` times at once, then once in
/// `Limits.failureSeconds`. Beyond that it is told to come back later before anything is looked up or hashed, for right
/// and wrong passwords and known and unknown users alike, so that waiting tells nothing.
package final class SignInThrottle: Sendable {
    private struct Failures {
        /// Those that still count at `since`.
        var count: Int64
        var since: Int64
    }

    private let mutex = PosixMutex()
    private let failures = PosixGuarded<[String: Failures]>([:])

    package init() {}

    /// nil if somebody at this address may try now, else the seconds until they may.
    package func secondsToWait(_ address: String, now: Int64) -> Int64? {
        mutex.withLock {
            guard let known = failures.value[address] else { return nil }
            let left = Self.decayed(known, now)
            guard left.count >= Limits.failureBurst else { return nil }
            let wait = (left.count - Limits.failureBurst + 1) * Limits.failureSeconds - (now - left.since)
            return min(max(1, wait), Limits.failureWaitMax)
        }
    }

    /// Counts a wrong password.
    package func failed(_ address: String, now: Int64) {
        mutex.withLock {
            var known = Self.decayed(failures.value[address] ?? Failures(count: 0, since: now), now)
            known.count = min(known.count + 1, Limits.failureBurst + Limits.failureWaitMax / Limits.failureSeconds)
            if failures.value[address] == nil, failures.value.count >= Limits.failureAddressesMax { makeRoom(now) }
            failures.value[address] = known
        }
    }

    /// Forgets those whose failures have run off; if none has, the one with the fewest.
    private func makeRoom(_ now: Int64) {
        failures.value = failures.value.filter { Self.decayed($0.value, now).count > 0 }
        guard failures.value.count >= Limits.failureAddressesMax else { return }
        if let least = failures.value.min(by: { $0.value.count < $1.value.count }) { failures.value[least.key] = nil }
    }

    private static func decayed(_ failures: Failures, _ now: Int64) -> Failures {
        // A clock that was set back starts the wait afresh, and no longer than that.
        guard now >= failures.since else { return Failures(count: failures.count, since: now) }
        let gone = (now - failures.since) / Limits.failureSeconds
        if gone >= failures.count { return Failures(count: 0, since: now) }
        return Failures(count: failures.count - gone, since: failures.since + gone * Limits.failureSeconds)
    }
}
