import HTTPFace
import Objects
import Primitives

extension ObjectResponder {
    /// v1 auth (object-api.md 2.2): name and key in, a token and the storage URL out.
    func signIn(_ exchange: Exchange, realm: Bytes?) {
        // As any path whose first part is no version.
        guard authenticator.hasSignIn else { return refuse(exchange, 400, "Unknown version of the API.") }
        let head = exchange.head
        guard var user = head.value("x-auth-user") ?? head.value("x-storage-user"), !user.isEmpty,
            let key = head.bytes("x-auth-key") ?? head.bytes("x-storage-pass"), let sink = exchange.sink
        else { return unknown(exchange, realm?.string ?? "unknown") }
        if let realm {
            // `/auth/v1/{account}/auth`: the user may leave the account out, but not name another.
            if let colon = user.firstIndex(of: ":") {
                guard user[..<colon] == realm.string else { return unknown(exchange, realm.string) }
            } else {
                user = realm.string + ":" + user
            }
        }
        let account = user.split(separator: ":", maxSplits: 1).first.map(String.init) ?? "unknown"
        authenticator.signIn(
            v1User: user, key: Secret(key), client: exchange.clientAddress, isWanted: { exchange.isWanted }
        ) { result in
            sink.wake([{ self.signedIn(exchange, account, result) }])
        }
    }

    private func signedIn(_ exchange: Exchange, _ account: String, _ result: Result<V1Grant?, any Error>) {
        switch result {
        case .failure(let error as TooManyFailures):
            refuse(exchange, 429, "Too many wrong passwords came from this address.") {
                $0.add("Retry-After", Int(error.retryAfterSeconds))
            }
        case .failure: refuse(exchange, 503, "Nobody can sign in at the moment.")
        case .success(nil): unknown(exchange, account)
        case .success(let grant?):
            let base = configuration.publicURL ?? "\(scheme)://\(exchange.head.value("host") ?? "localhost")"
            var builder = exchange.response(200)
            builder.add("X-Storage-Url", "\(base)/v1/\(PercentCoding.encode(Array(grant.account.utf8)))")
            builder.add("X-Auth-Token", grant.token)
            builder.add("X-Storage-Token", grant.token)
            builder.add("X-Auth-Token-Expires", Int(grant.expiresIn))
            builder.endHead(contentLength: 0)
            exchange.send(builder)
        }
    }

    private var scheme: String { configuration.listener.tls == nil ? "http" : "https" }

    private func unknown(_ exchange: Exchange, _ realm: String) {
        let realm = PercentCoding.encode(Array(realm.utf8))
        refuse(exchange, 401) { $0.add("WWW-Authenticate", "Swift realm=\"\(realm)\"") }
    }
}
