package import Primitives

/// What the faces need of Identity; bound on the top floor.
package protocol Authenticator: Sendable {
    /// From memory only; nil means: ask `verify`.
    func cachedCaller(token: String) -> Caller?
    /// Verifies the token without blocking the calling thread: the completion is called once, on any thread, with nil if
    /// the token is unknown, expired or revoked, and with a failure when that can't be told (503), which may be a
    /// `TokensUnverifiable`.
    ///
    /// - Parameter threads: for what blocks.
    func verify(
        token: String, on threads: WorkThreads, completion: @escaping @Sendable (Result<Caller?, any Error>) -> Void)
    /// Whether there is a v1 auth at all.
    var hasSignIn: Bool { get }
    /// v1 auth: `user` is `project:user` (or `user`). nil if name or key are wrong. Slow by design (scrypt): only on
    /// the authenticator's own bounded threads, which `signIn` hops to itself.
    ///
    /// - Parameters:
    ///   - client: whose failures count together; fails with `TooManyFailures` when there were too many.
    ///   - isWanted: asked on any thread right before the work; false for a client that has gone, to whom the answer may
    ///     be anything.
    func signIn(
        v1User user: String, key: Secret, client: ClientAddress, isWanted: @escaping @Sendable () -> Bool,
        completion: @escaping @Sendable (Result<V1Grant?, any Error>) -> Void)
}

extension Authenticator {
    package var hasSignIn: Bool { true }
}

/// An authenticator that reads tables.
package protocol BlockingAuthenticator: Authenticator {
    /// Verifies the token: nil if it is unknown, expired or revoked. May block; throws when it can't tell (503).
    func caller(token: String) throws -> Caller?
}

extension BlockingAuthenticator {
    package func verify(
        token: String, on threads: WorkThreads, completion: @escaping @Sendable (Result<Caller?, any Error>) -> Void
    ) {
        let admitted = threads.run { completion(Result { try caller(token: token) }) }
        if !admitted { completion(.failure(TokensUnverifiable(retryAfterSeconds: 1))) }
    }
}

/// Nobody can say at the moment whether a token is good.
package struct TokensUnverifiable: Error {
    package var retryAfterSeconds: Int64
    package init(retryAfterSeconds: Int64) { self.retryAfterSeconds = retryAfterSeconds }
}

/// An address presented too many wrong passwords and has to wait.
package struct TooManyFailures: Error {
    package var retryAfterSeconds: Int64
    package init(retryAfterSeconds: Int64) { self.retryAfterSeconds = retryAfterSeconds }
}

/// What v1 auth answers with.
package struct V1Grant: Sendable {
    package var token: String
    /// The storage account, e.g. `AUTH_{project id}`.
    package var account: String
    /// Seconds until the token ends.
    package var expiresIn: Int64
    package init(token: String, account: String, expiresIn: Int64) {
        self.token = token
        self.account = account
        self.expiresIn = expiresIn
    }
}
