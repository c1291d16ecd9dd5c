import ControlFace
import NIOCore
import NIOHTTP1
import Primitives

/// The daemon's own standing with an outside Identity service: a token that it gets with its user's password, renews
/// before it ends, and asks about other tokens with.
final class AuthoritySession: Sendable {
    private struct OwnToken: Sendable {
        var text: String
        /// Unix seconds; a while before it ends.
        var renewal: Int64
        /// Counts up, so that a token that was refused is known from its successor.
        var number: Int
    }

    private struct State {
        var token: OwnToken?
        var signIn: EventLoopFuture<OwnToken>?
        var count = 0
    }

    private let client: AuthorityClient
    private let settings: AuthoritySettings
    private let password: Secret
    private let clock: AuthorityClock
    private let state = PosixLocked(State())

    init(client: AuthorityClient, settings: AuthoritySettings, password: Secret, clock: AuthorityClock) {
        self.client = client
        self.settings = settings
        self.password = password
        self.clock = clock
    }

    /// What a token is good for; fails with an `AuthorityFailure`.
    ///
    /// - Parameter token: printable ASCII.
    func verdict(on token: String) -> EventLoopFuture<AuthorityCache.Verdict> {
        ownToken(newerThan: 0).flatMap { own in
            self.describe(token, as: own).flatMap { answer in
                guard answer.status == 401 else { return Self.settled(answer, self.client.loop) }
                // Ours has ended before its time: revoked, or made with keys that are gone.
                return self.ownToken(newerThan: own.number).flatMap { own in
                    self.describe(token, as: own).flatMap { Self.settled($0, self.client.loop) }
                }
            }
        }
    }

    private func describe(_ token: String, as own: OwnToken) -> EventLoopFuture<AuthorityClient.Answer> {
        // Nothing here says that rules of application credentials are understood: such tokens are refused there, too.
        client.ask(
            .init(
                method: .GET, path: "/v3/auth/tokens?nocatalog",
                fields: [(name: "X-Auth-Token", value: own.text), (name: "X-Subject-Token", value: token)]))
    }

    private static func settled(
        _ answer: AuthorityClient.Answer, _ loop: any EventLoop
    ) -> EventLoopFuture<AuthorityCache.Verdict> {
        loop.makeCompletedFuture {
            switch answer.status {
            case 200: try AuthorityReply.verdict(answer.body)
            case 404: .refused
            case 401: throw AuthorityFailure.refusesUs("it answers 401 to the token that it just gave us")
            case 403:
                throw AuthorityFailure.refusesUs(
                    "our user may not look at tokens: give it the role service, or admin, on its project")
            default: throw AuthorityFailure.senseless("it answers \(answer.status)")
            }
        }
    }

    // MARK: Our own token.

    /// One that is good for a while; asked for once, however many need it.
    private func ownToken(newerThan number: Int) -> EventLoopFuture<OwnToken> {
        let now = clock.seconds()
        let loop = client.loop
        let (future, promise) = state.withLock { state -> (EventLoopFuture<OwnToken>, EventLoopPromise<OwnToken>?) in
            if let token = state.token, token.number > number, now < token.renewal {
                return (loop.makeSucceededFuture(token), nil)
            }
            if let signIn = state.signIn { return (signIn, nil) }
            let promise = loop.makePromise(of: OwnToken.self)
            state.signIn = promise.futureResult
            return (promise.futureResult, promise)
        }
        guard let promise else { return future }
        signIn().whenComplete { result in
            let made = result.map { made in
                self.state.withLock { state in
                    state.count += 1
                    let margin = min(AuthorityLimits.renewalSeconds, max(0, made.end - now) / 4)
                    let token = OwnToken(text: made.text, renewal: made.end - margin, number: state.count)
                    state.token = token
                    return token
                }
            }
            self.state.withLock { $0.signIn = nil }
            promise.completeWith(made)
        }
        return future
    }

    private func signIn() -> EventLoopFuture<(text: String, end: Int64)> {
        let question = AuthorityClient.Question(
            method: .POST, path: "/v3/auth/tokens?nocatalog", fields: [], body: credentials.utf8)
        let loop = client.loop
        return client.ask(question).flatMap { answer in
            loop.makeCompletedFuture {
                guard answer.status != 401 else {
                    throw AuthorityFailure.refusesUs("it refuses our user, project or password")
                }
                guard answer.status == 201 else {
                    throw AuthorityFailure.senseless("it answers \(answer.status) to our password")
                }
                guard let text = answer.token, OutsideAuthority.isToken(text) else {
                    throw AuthorityFailure.senseless("it takes our password, but gives no token")
                }
                return (text: text, end: try AuthorityReply.end(ofTokenIn: answer.body))
            }
        }
    }

    private var credentials: JSON {
        func named(_ name: String, in domain: String) -> KeyValuePairs<String, JSON> {
            ["name": .string(name), "domain": .of(["name": .string(domain)])]
        }
        var user = JSON.of(named(settings.user, in: settings.userDomain))
        user.add("password", .string(String(decoding: password.bytes, as: UTF8.self)))
        return .of([
            "auth": .of([
                "identity": .of([
                    "methods": .array([.string("password")]), "password": .of(["user": user]),
                ]),
                "scope": .of(["project": .of(named(settings.project, in: settings.projectDomain))]),
            ])
        ])
    }
}
