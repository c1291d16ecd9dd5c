/// Every bound of asking an outside Identity service, in one place.
enum AuthorityLimits {
    /// A token that is longer is none.
    static let tokenBytesMax = 4_096
    /// An answer that is longer is not read to its end. Without the catalog it is a few kilobytes.
    static let answerBytesMax = 256 << 10
    /// Callers that are remembered, and tokens that were refused.
    static let knownTokensMax = 16_384
    static let refusedTokensMax = 4_096
    /// How long a refusal is remembered: a token's life can't begin anew, but the outside service may be mistaken.
    static let refusedSeconds = 10
    /// Questions under way at once; further tokens wait for their turn.
    static let questionsMax = 32
    /// Tokens that wait for their turn, and requests that wait for an answer; more are answered 503.
    static let queuedTokensMax = 2_048
    static let waitingRequestsMax = 4_096
    /// The daemon's own token is renewed so long before its end.
    static let renewalSeconds: Int64 = 60
    /// Where nothing listens, or nothing answers in time, nobody is asked for so long: each request would wait in vain.
    static let pauseMilliseconds: UInt64 = 1_000
    /// After the daemon's own password was refused: trying it again and again would lock its user out.
    static let refusedSignInPauseMilliseconds: UInt64 = 30_000
    /// A line about an outage at most so often.
    static let outageLineSeconds: UInt64 = 60
    /// What clients are told to wait.
    static let retryAfterSeconds: Int64 = 5
    /// Of one token.
    static let rolesMax = 1_024
    /// Of an id or a name.
    static let nameBytesMax = 1_024
}
