import Primitives

/// How often one address may fail to log in to one target: `ISCSILimits.failureBurst` times at once, then once in
/// `ISCSILimits.failureMilliseconds`. Beyond that it is told to come back later before any secret is looked at.
///
/// For each target apart: a hypervisor has one address and many volumes, and one of these with an old secret, tried
/// again every second, must not keep the others away.
final class LoginThrottle: Sendable {
    struct Origin: Hashable {
        var address: String
        /// Empty for discovery.
        var target: String
    }

    private struct Failures {
        /// Those that still count at `since`.
        var count: UInt64
        var since: UInt64
    }

    private let failures = PosixLocked<[Origin: Failures]>([:])

    /// Whether somebody from there may try now; `now` is in milliseconds.
    func allows(_ origin: Origin, now: UInt64) -> Bool {
        failures.withLock { failures in
            guard let known = failures[origin] else { return true }
            return Self.decayed(known, now).count < ISCSILimits.failureBurst
        }
    }

    func failed(_ origin: Origin, now: UInt64) {
        failures.withLock { failures in
            var known = Self.decayed(failures[origin] ?? Failures(count: 0, since: now), now)
            known.count = min(known.count + 1, ISCSILimits.failureBurst + ISCSILimits.failureWaitMax)
            if failures[origin] == nil, failures.count >= ISCSILimits.failureAddressesMax {
                failures = failures.filter { Self.decayed($0.value, now).count > 0 }
                if failures.count >= ISCSILimits.failureAddressesMax,
                    let least = failures.min(by: { $0.value.count < $1.value.count })
                {
                    failures[least.key] = nil
                }
            }
            failures[origin] = known
        }
    }

    private static func decayed(_ failures: Failures, _ now: UInt64) -> Failures {
        let gone = (max(now, failures.since) - failures.since) / ISCSILimits.failureMilliseconds
        if gone >= failures.count { return Failures(count: 0, since: now) }
        return Failures(
            count: failures.count - gone, since: failures.since + gone * ISCSILimits.failureMilliseconds)
    }
}
