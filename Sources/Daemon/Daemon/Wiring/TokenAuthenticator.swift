import HTTPFace
import Identity
import Primitives

/// Identity as the object face sees it.
struct TokenAuthenticator: Authenticator {
    let identity: IdentityService

    func cachedCaller(token: String) -> Caller? { identity.cachedCaller(token: token) }

    func caller(token: String) throws -> Caller? { try identity.caller(token: token) }

    func signIn(v1User user: String, key: Secret, completion: @escaping @Sendable (Result<V1Grant?, any Error>) -> Void)
    {
        let admitted = identity.run(.password) {
            completion(
                Result {
                    try identity.signIn(v1User: user, key: key).map {
                        V1Grant(token: $0.token, account: $0.account, expiresIn: $0.expiresIn)
                    }
                })
        }
        if !admitted { completion(.failure(IdentityError.busy)) }
    }
}
