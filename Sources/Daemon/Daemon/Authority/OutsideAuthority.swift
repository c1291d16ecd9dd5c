import HTTPFace
import Logging
import NIOCore
import Primitives

/// An outside Identity service as the HTTP faces ask for it: what it said is remembered for a while, and one question is
/// under way for a token, however many requests bring it.
final class OutsideAuthority: Authenticator {
    typealias Completion = @Sendable (Result<Caller?, any Error>) -> Void
    private typealias Digest = AuthorityCache.Digest

    private struct State {
        /// Requests by their token, whose question is under way or in the queue.
        var waiting: [Digest: [Completion]] = [:]
        var waitingCount = 0
        var questions = 0
        var queue: [(key: Digest, token: String)] = []
        var outage: Outage?
        var lastOutageLine: UInt64?
    }

    /// From the first question without an answer to the next one with.
    private struct Outage {
        let since: UInt64
        let isLogged: Bool
        /// Until then nobody is asked.
        var pauseEnd: UInt64 = 0
        var refused = 0
    }

    private let session: AuthoritySession
    private let cache: AuthorityCache
    private let clock: AuthorityClock
    private let logger: Logger
    private let state = PosixLocked(State())

    init(session: AuthoritySession, cache: AuthorityCache, clock: AuthorityClock, logger: Logger) {
        self.session = session
        self.cache = cache
        self.clock = clock
        self.logger = logger
    }

    /// Reads password and certificates, and asks nobody yet: the daemon starts without the outside service, too.
    static func open(
        _ settings: AuthoritySettings, address: AuthorityAddress, group: any EventLoopGroup, logger: Logger
    ) async throws -> OutsideAuthority {
        let (client, password) = try await Blocking.run("authority") {
            (
                try AuthorityClient(settings, address: address, group: group),
                try SecretFile.read(settings.passwordFile, key: "identity.keystone_password_file")
            )
        }
        let clock = AuthorityClock.system
        return OutsideAuthority(
            session: AuthoritySession(client: client, settings: settings, password: password, clock: clock),
            cache: AuthorityCache(
                seconds: settings.cacheSeconds, clock: clock, knownMax: AuthorityLimits.knownTokensMax,
                refusedMax: AuthorityLimits.refusedTokensMax),
            clock: clock, logger: logger)
    }

    /// What can stand in a header: anything else is not asked about.
    static func isToken(_ text: String) -> Bool {
        (1...AuthorityLimits.tokenBytesMax).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    // MARK: As the faces ask

    func cachedCaller(token: String) -> Caller? {
        guard Self.isToken(token), case .known(let caller)? = cache.verdict(Digest(token)) else { return nil }
        return caller
    }

    func verify(token: String, on threads: WorkThreads, completion: @escaping Completion) {
        guard Self.isToken(token) else { return completion(.success(nil)) }
        let key = Digest(token)
        switch state.withLock({ step(&$0, key, token, completion) }) {
        case .wait: break
        case .ask: ask(key, token)
        case .settled(let verdict): completion(.success(verdict.caller))
        case .refuse: completion(.failure(TokensUnverifiable(retryAfterSeconds: AuthorityLimits.retryAfterSeconds)))
        }
    }

    /// Who signs in does so there.
    var hasSignIn: Bool { false }

    func signIn(
        v1User user: String, key: Secret, client: ClientAddress, isWanted: @escaping @Sendable () -> Bool,
        completion: @escaping @Sendable (Result<V1Grant?, any Error>) -> Void
    ) { completion(.success(nil)) }

    // MARK: One question for a token

    private enum Step {
        case wait, ask, refuse
        case settled(AuthorityCache.Verdict)
    }

    private func step(_ state: inout State, _ key: Digest, _ token: String, _ completion: @escaping Completion) -> Step
    {
        // Under the lock: what has just been answered is remembered before its waiting requests are gone.
        if let verdict = cache.verdict(key) { return .settled(verdict) }
        guard state.waitingCount < AuthorityLimits.waitingRequestsMax else { return .refuse }
        if state.waiting[key] != nil {
            state.waiting[key]?.append(completion)
            state.waitingCount += 1
            return .wait
        }
        if let outage = state.outage, clock.nanoseconds() < outage.pauseEnd {
            state.outage?.refused += 1
            return .refuse
        }
        let isFree = state.questions < AuthorityLimits.questionsMax
        guard isFree || state.queue.count < AuthorityLimits.queuedTokensMax else { return .refuse }
        state.waiting[key] = [completion]
        state.waitingCount += 1
        if isFree { state.questions += 1 } else { state.queue.append((key, token)) }
        return isFree ? .ask : .wait
    }

    private func ask(_ key: Digest, _ token: String) {
        session.verdict(on: token).whenComplete { result in
            switch result {
            case .success(let verdict): self.answered(key, verdict)
            case .failure(let error): self.failed(key, error as? AuthorityFailure ?? .away("\(error)"))
            }
        }
    }

    private func answered(_ key: Digest, _ verdict: AuthorityCache.Verdict) {
        // One that ended on its way, or by this machine's clock, is no caller's.
        let caller = verdict.caller.flatMap { clock.seconds() < $0.expiresAt ? $0 : nil }
        cache.store(key, caller == nil ? .refused : verdict)
        let (requests, next, outage) = state.withLock { state in
            let outage = state.outage
            state.outage = nil
            return (Self.withdraw(key, &state), Self.next(&state), outage)
        }
        if let outage, outage.isLogged {
            logger.notice(
                "the outside Identity service answers again",
                metadata: [
                    "after_s": "\((clock.nanoseconds() - outage.since) / 1_000_000_000)",
                    "requests_refused": "\(outage.refused)",
                ])
        }
        if let next { ask(next.key, next.token) }
        for request in requests { request(.success(caller)) }
    }

    private func failed(_ key: Digest, _ failure: AuthorityFailure) {
        let now = clock.nanoseconds()
        let (requests, next, isLogged) = state.withLock { state in
            var outage = state.outage ?? beginOutage(&state, now)
            let isFirst = state.outage == nil
            var requests = Self.withdraw(key, &state)
            if let pause = failure.pauseMilliseconds {
                // The others in the queue would wait in vain, too.
                outage.pauseEnd = max(outage.pauseEnd, now + pause * 1_000_000)
                for queued in state.queue { requests += Self.withdraw(queued.key, &state) }
                state.queue = []
            }
            outage.refused += requests.count
            state.outage = outage
            return (requests, Self.next(&state), isFirst && outage.isLogged)
        }
        if isLogged {
            logger.error(
                "the outside Identity service can't be asked: tokens that aren't remembered get 503",
                metadata: ["error": "\(failure)"])
        }
        if let next { ask(next.key, next.token) }
        let refusal = TokensUnverifiable(retryAfterSeconds: AuthorityLimits.retryAfterSeconds)
        for request in requests { request(.failure(refusal)) }
    }

    /// One that is told of, unless the last one was just now: a single token that upsets the service must not fill the log.
    private func beginOutage(_ state: inout State, _ now: UInt64) -> Outage {
        let isLogged =
            state.lastOutageLine.map { now - $0 >= AuthorityLimits.outageLineSeconds * 1_000_000_000 } ?? true
        if isLogged { state.lastOutageLine = now }
        return Outage(since: now, isLogged: isLogged)
    }

    private static func withdraw(_ key: Digest, _ state: inout State) -> [Completion] {
        let requests = state.waiting.removeValue(forKey: key) ?? []
        state.waitingCount -= requests.count
        return requests
    }

    /// The next token in the queue, in the place of the one that was asked about.
    private static func next(_ state: inout State) -> (key: Digest, token: String)? {
        guard !state.queue.isEmpty else {
            state.questions -= 1
            return nil
        }
        return state.queue.removeFirst()
    }
}

extension AuthorityCache.Verdict {
    fileprivate var caller: Caller? {
        if case .known(let caller) = self { caller } else { nil }
    }
}
