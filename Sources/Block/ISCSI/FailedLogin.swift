import Primitives

/// A login that was refused, for the operator's log: who, from where, to what, and why. There is no secret in it, nor
/// anything computed from one.
package struct ISCSIFailedLogin: Sendable, Hashable {
    /// As it called itself, in lower case; empty if it did not come to that.
    package var initiator: String
    package var address: String
    /// Empty for a discovery session, and where none was named that could be one.
    package var target: String
    package var reason: String
    /// How many failed before this one and were not told of, for there were too many.
    package var omitted: UInt64
}

/// Which failed logins are told of: `ISCSILimits.failureReportBurst` at once, then one in
/// `ISCSILimits.failureReportMilliseconds`, so that nobody fills a disk with lines about himself.
final class FailureReports: Sendable {
    private struct State {
        var tokens = ISCSILimits.failureReportBurst
        var since: UInt64 = 0
        var omitted: UInt64 = 0
    }

    private let state = PosixLocked(State())

    /// Whether to tell of one that fails now (in milliseconds), and how many were not told of since the last; nil: not of
    /// this one either.
    func admit(now: UInt64) -> UInt64? {
        state.withLock { state in
            let gained = (max(now, state.since) - state.since) / ISCSILimits.failureReportMilliseconds
            if state.tokens + gained >= ISCSILimits.failureReportBurst {
                state.tokens = ISCSILimits.failureReportBurst
                state.since = now
            } else {
                state.tokens += gained
                state.since += gained * ISCSILimits.failureReportMilliseconds
            }
            guard state.tokens > 0 else {
                state.omitted += 1
                return nil
            }
            state.tokens -= 1
            defer { state.omitted = 0 }
            return state.omitted
        }
    }
}

extension Login.Status {
    /// In an operator's words.
    var reason: String {
        switch self {
        case .initiatorError: "the initiator broke the rules of a login"
        case .authenticationFailure: "it did not authenticate"
        case .authorizationFailure: "this initiator may not use the target"
        case .notFound: "there is no such target"
        case .unsupportedVersion: "it speaks another version of iSCSI"
        case .tooManyConnections: "a session has one connection"
        case .missingParameter: "it did not say who it is or what it wants"
        case .sessionTypeNotSupported: "there is no such type of session"
        case .sessionDoesNotExist: "there is no such session"
        case .invalidDuringLogin: "the request does not belong here in a login"
        case .serviceUnavailable: "too many failed logins before it, or targets are still being opened"
        case .outOfResources: "there is no room for it"
        }
    }
}

extension CHAP.Refusal {
    var reason: String {
        switch self {
        case .malformed: "its CHAP keys are not what they should be"
        case .noCommonAlgorithm: "it offers no CHAP algorithm that is allowed here"
        case .wrong: "wrong CHAP name or secret"
        case .reflected: "it sent the target's own CHAP challenge back"
        case .noMutualSecret: "it wants the target to prove itself, and its account has no secret for that"
        }
    }
}
