import Primitives

/// How often one address may fail to log in: `ISCSILimits.failureBurst` times at once, then once in
/// `ISCSILimits.failureMilliseconds`. Beyond that it is told to come back later before any secret is looked at.
final class LoginThrottle: Sendable {
    private struct Failures {
        /// Those that still count at `since`.
        var count: UInt64
        var since: UInt64
    }

    private let failures = PosixLocked<[String: Failures]>([:])

    /// Whether somebody at this address may try now; `now` is in milliseconds.
    func allows(_ address: String, now: UInt64) -> Bool {
        failures.withLock { failures in
            guard let known = failures[address] else { return true }
            return Self.decayed(known, now).count < ISCSILimits.failureBurst
        }
    }

    func failed(_ address: String, now: UInt64) {
        failures.withLock { failures in
            var known = Self.decayed(failures[address] ?? Failures(count: 0, since: now), now)
            known.count = min(known.count + 1, ISCSILimits.failureBurst + ISCSILimits.failureWaitMax)
            if failures[address] == nil, failures.count >= ISCSILimits.failureAddressesMax {
                failures = failures.filter { Self.decayed($0.value, now).count > 0 }
                if failures.count >= ISCSILimits.failureAddressesMax,
                    let least = failures.min(by: { $0.value.count < $1.value.count })
                {
                    failures[least.key] = nil
                }
            }
            failures[address] = known
        }
    }

    private static func decayed(_ failures: Failures, _ now: UInt64) -> Failures {
        let gone = (max(now, failures.since) - failures.since) / ISCSILimits.failureMilliseconds
        if gone >= failures.count { return Failures(count: 0, since: now) }
        return Failures(
            count: failures.count - gone, since: failures.since + gone * ISCSILimits.failureMilliseconds)
    }
}
