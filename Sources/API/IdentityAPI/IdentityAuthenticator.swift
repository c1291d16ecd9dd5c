package import HTTPFace
package import Identity
package import Primitives

/// Identity as the HTTP faces ask for it.
package struct IdentityAuthenticator: BlockingAuthenticator {
    private let identity: IdentityService

    package init(_ identity: IdentityService) { self.identity = identity }

    package func cachedCaller(token: String) -> Caller? { identity.cachedCaller(token: token) }

    package func caller(token: String) throws -> Caller? { try identity.caller(token: token) }

    package func signIn(
        v1User user: String, key: Secret, client: ClientAddress, isWanted: @escaping @Sendable () -> Bool,
        completion: @escaping @Sendable (Result<V1Grant?, any Error>) -> Void
    ) {
        let identity = identity
        let address = client.description
        if let seconds = identity.signInThrottle.secondsToWait(address, now: identity.now) {
            return completion(.failure(TooManyFailures(retryAfterSeconds: seconds)))
        }
        let admitted = identity.run(.password) {
            // Hashing costs a tenth of a second: not for a client that has gone.
            guard isWanted() else { return completion(.success(nil)) }
            do throws(IdentityError) {
                let grant = try identity.signIn(v1User: user, key: key)
                if grant == nil { identity.signInThrottle.failed(address, now: identity.now) }
                completion(
                    .success(grant.map { V1Grant(token: $0.token, account: $0.account, expiresIn: $0.expiresIn) }))
            } catch {
                completion(.failure(error))
            }
        }
        if !admitted { completion(.failure(IdentityError.busy)) }
    }
}
