import Foundation
import HTTPFace
import Logging
import NIOPosix
import Primitives
import Testing

@testable import Daemon

@Suite("An outside Identity service", .timeLimit(.minutes(2)))
struct OutsideAuthorityTests {
    /// A clock that stands still until a test moves it.
    final class Hands: Sendable {
        private let moved = PosixLocked<Int64>(0)
        let start: Int64 = 1_800_000_000
        func move(seconds: Int64) { moved.withLock { $0 += seconds } }
        var clock: AuthorityClock {
            AuthorityClock(
                seconds: { self.start + self.moved.withLock { $0 } },
                nanoseconds: { UInt64(1_000_000 + self.moved.withLock { $0 }) * 1_000_000_000 })
        }
    }

    final class Lines: Sendable {
        private let lines = PosixLocked<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        var logger: Logger {
            Logger(label: "test") { _ in Handler(lines: self.lines) }
        }

        private struct Handler: LogHandler {
            let lines: PosixLocked<[String]>
            var metadata: Logger.Metadata = [:]
            var logLevel = Logger.Level.trace
            subscript(metadataKey key: String) -> Logger.Metadata.Value? {
                get { metadata[key] }
                set { metadata[key] = newValue }
            }
            func log(event: LogEvent) {
                lines.withLock { $0.append("\(event.level) \(event.message) \(event.metadata ?? [:])") }
            }
        }
    }

    struct Rig {
        let authority: OutsideAuthority
        let cache: AuthorityCache
        let hands = Hands()
        let lines = Lines()
        private let threads = WorkThreads(name: "none", count: 1, queueMax: 1)

        init(_ fake: FakeAuthority, cacheSeconds: Int = 300, timeoutSeconds: Int = 10, knownMax: Int = 100) throws {
            try self.init(
                fake.settings(cacheSeconds: cacheSeconds, timeoutSeconds: timeoutSeconds), knownMax: knownMax)
        }

        init(_ settings: AuthoritySettings, knownMax: Int = 100) throws {
            let address = try #require(settings.address)
            let client = try AuthorityClient(settings, address: address, group: MultiThreadedEventLoopGroup.singleton)
            cache = AuthorityCache(
                seconds: settings.cacheSeconds, clock: hands.clock, knownMax: knownMax, refusedMax: 8)
            authority = OutsideAuthority(
                session: AuthoritySession(
                    client: client, settings: settings, password: Secret("open sesame"), clock: hands.clock),
                cache: cache, clock: hands.clock, logger: lines.logger)
        }

        /// Throws what the faces answer 503 for.
        func caller(_ token: String) async throws -> Caller? {
            if let caller = authority.cachedCaller(token: token) { return caller }
            return try await withCheckedThrowingContinuation { continuation in
                authority.verify(token: token, on: threads) { continuation.resume(with: $0) }
            }
        }
    }

    @Test func aTokenThatItKnowsBecomesACaller() async throws {
        let fake = try await FakeAuthority(FakeAuthority.kind)
        let rig = try Rig(fake)
        let caller = try #require(try await rig.caller("good"))
        #expect(
            caller.user == .init(id: "u1", name: "ann") && caller.userDomain == .init(id: "default", name: "Default"))
        #expect(caller.project == .init(id: "p1", name: "lab") && caller.projectDomain == .init(id: "d1", name: "Lab"))
        #expect(caller.domain == nil && !caller.isSystemScoped && caller.roles == ["member", "reader"])
        #expect(caller.expiresAt == 4_070_908_800)
        let seen = fake.seen
        #expect(seen.map(\.method) == ["POST", "GET"] && seen.allSatisfy { $0.uri == "/v3/auth/tokens?nocatalog" })
        #expect(seen[0].body.contains(#""password":"open sesame""#) && seen[0].body.contains(#""name":"service""#))
        #expect(seen[1].token == "own-0" && seen[1].subject == "good")
    }

    @Test(
        "the other scopes become what they are",
        arguments: [
            (#""domain": {"id": "d1", "name": "Lab"}"#, "domain"), (#""system": {"all": true}"#, "system"),
            (#""audit_ids": ["x"]"#, "none"),
        ])
    func scopes(scope: String, expected: String) async throws {
        let fake = try await FakeAuthority { question, number in
            question.method == "POST" ? FakeAuthority.welcome("own") : .init(body: FakeAuthority.token(scope: scope))
        }
        let caller = try #require(try await Rig(fake).caller("good"))
        #expect((caller.domain?.id == "d1") == (expected == "domain"))
        #expect(caller.isSystemScoped == (expected == "system") && caller.project == nil)
    }

    @Test func whatItDoesNotKnowIsRefusedAndRememberedBriefly() async throws {
        let fake = try await FakeAuthority(FakeAuthority.kind)
        let rig = try Rig(fake)
        for _ in 0..<3 { #expect(try await rig.caller("bad") == nil) }
        #expect(fake.described == 1)
        rig.hands.move(seconds: Int64(AuthorityLimits.refusedSeconds) + 1)
        #expect(try await rig.caller("bad") == nil)
        #expect(fake.described == 2 && fake.signIns == 1)
    }

    @Test(
        "what can't stand in a header, or is too long, is not asked about",
        arguments: ["", "a b", "a\r\nX-Auth-Token: b", "\u{e9}", String(repeating: "x", count: 4_097)])
    func noTokens(text: String) async throws {
        let fake = try await FakeAuthority(FakeAuthority.kind)
        #expect(try await Rig(fake).caller(text) == nil)
        #expect(fake.seen.isEmpty)
    }

    @Test func aTokenIsAskedAboutAgainAfterTheCachesTimeAndARevokedOneEnds() async throws {
        let isRevoked = PosixLocked(false)
        let fake = try await FakeAuthority { question, number in
            question.method == "GET" && isRevoked.withLock { $0 }
                ? .init(status: 404) : FakeAuthority.kind(question, number)
        }
        let rig = try Rig(fake, cacheSeconds: 60)
        #expect(try await rig.caller("good") != nil)
        isRevoked.withLock { $0 = true }
        rig.hands.move(seconds: 59)
        #expect(try await rig.caller("good") != nil)
        #expect(fake.described == 1)
        rig.hands.move(seconds: 2)
        #expect(try await rig.caller("good") == nil)
        #expect(fake.described == 2)
    }

    @Test func aTokenIsNeverGoodBeyondItsEnd() async throws {
        // 1_800_000_000 is 2027-01-15T08:00:00Z.
        let fake = try await FakeAuthority { question, number in
            question.method == "POST"
                ? FakeAuthority.welcome("own")
                : .init(body: FakeAuthority.token(expires: "2027-01-15T08:00:30.000000Z"))
        }
        let rig = try Rig(fake)
        #expect(try await rig.caller("good") != nil)
        rig.hands.move(seconds: 29)
        #expect(try await rig.caller("good") != nil)
        rig.hands.move(seconds: 1)
        #expect(try await rig.caller("good") == nil)
        #expect(rig.authority.cachedCaller(token: "good") == nil)
    }

    @Test func itsOwnTokenIsRenewedBeforeItsEnd() async throws {
        let fake = try await FakeAuthority { question, number in
            question.method == "POST"
                ? FakeAuthority.welcome("own-\(number)", expires: "2027-01-15T09:00:00Z")
                : FakeAuthority.kind(question, number)
        }
        let rig = try Rig(fake)
        #expect(try await rig.caller("good-1") != nil)
        rig.hands.move(seconds: 3_539)
        #expect(try await rig.caller("good-2") != nil)
        #expect(fake.signIns == 1)
        rig.hands.move(seconds: 2)
        #expect(try await rig.caller("good-3") != nil)
        #expect(fake.signIns == 2 && fake.seen.last?.token == "own-3")
    }

    @Test func anOwnTokenThatIsRefusedIsRenewedOnce() async throws {
        let fake = try await FakeAuthority { question, number in
            question.method == "GET" && question.token == "own-0"
                ? .init(status: 401) : FakeAuthority.kind(question, number)
        }
        #expect(try await Rig(fake).caller("good") != nil)
        #expect(fake.seen.map(\.method) == ["POST", "GET", "POST", "GET"])

        let stubborn = try await FakeAuthority { question, number in
            question.method == "GET" ? .init(status: 401) : FakeAuthority.kind(question, number)
        }
        let rig = try Rig(stubborn)
        await #expect(throws: TokensUnverifiable.self) { try await rig.caller("good") }
        // It isn't asked again and again: that could lock our user out.
        await #expect(throws: TokensUnverifiable.self) { try await rig.caller("good") }
        #expect(stubborn.seen.map(\.method) == ["POST", "GET", "POST", "GET"])
    }

    @Test("a password or a role that doesn't do is said once, and not tried for a while", arguments: ["POST", "GET"])
    func refusesUs(method: String) async throws {
        let isMended = PosixLocked(false)
        let fake = try await FakeAuthority { question, number in
            question.method == method && !isMended.withLock { $0 }
                ? .init(status: method == "POST" ? 401 : 403) : FakeAuthority.kind(question, number)
        }
        let rig = try Rig(fake)
        for number in 0..<4 {
            await #expect(throws: TokensUnverifiable.self) { try await rig.caller("good-\(number)") }
        }
        #expect(fake.seen.count { $0.method == method } == 1)
        isMended.withLock { $0 = true }
        rig.hands.move(seconds: 31)
        #expect(try await rig.caller("good") != nil)
        #expect(rig.lines.all.count == 2)
        #expect(!rig.lines.all.contains { $0.contains("sesame") || $0.contains("own-") || $0.contains("good") })
    }

    @Test func withoutItTokensThatAreRememberedGoOnAndOthersWait() async throws {
        let fake = try await FakeAuthority(FakeAuthority.kind)
        let rig = try Rig(fake)
        #expect(try await rig.caller("good") != nil)
        try await fake.stop()
        for number in 0..<5 {
            let error = await #expect(throws: TokensUnverifiable.self) { try await rig.caller("good-\(number)") }
            #expect(error?.retryAfterSeconds == AuthorityLimits.retryAfterSeconds)
        }
        #expect(try await rig.caller("good") != nil)
        #expect(rig.lines.all.count == 1 && rig.lines.all[0].hasPrefix("error "))
        let again = try await FakeAuthority(port: fake.port, FakeAuthority.kind)
        rig.hands.move(seconds: 2)
        #expect(try await rig.caller("good-1") != nil)
        #expect(rig.lines.all.count == 2 && rig.lines.all[1].contains("5"))
        try await again.stop()
    }

    @Test(
        "an answer that is none costs its token only",
        arguments: [
            FakeAuthority.Answer(status: 500), .init(status: 300), .init(breaksOff: true), .init(body: "{"),
            .init(body: "{}"), .init(body: #"{"token": {}}"#), .init(body: FakeAuthority.token(expires: "soon")),
            .init(body: FakeAuthority.token(roles: #"[{"id": "x"}]"#)), .init(body: FakeAuthority.token(roles: "5")),
            .init(body: FakeAuthority.token(scope: #""project": {"name": "x"}"#)),
            .init(body: FakeAuthority.token(scope: #""project": {"id": "a/b", "domain": {"id": "d"}}"#)),
            .init(body: FakeAuthority.token(scope: #""domain": {"id": "d"}, "system": {"all": true}"#)),
            .init(body: FakeAuthority.token() + String(repeating: " ", count: AuthorityLimits.answerBytesMax)),
        ])
    func senseless(answer: FakeAuthority.Answer) async throws {
        let fake = try await FakeAuthority { question, number in
            question.subject == "good-odd" ? answer : FakeAuthority.kind(question, number)
        }
        let rig = try Rig(fake)
        await #expect(throws: TokensUnverifiable.self) { try await rig.caller("good-odd") }
        #expect(try await rig.caller("good") != nil)
        #expect(rig.cache.count == 1)
    }

    @Test(
        "a token that is good under conditions only is good for nothing",
        arguments: [
            #""application_credential": {"id": "x", "access_rules": [{"method": "GET"}]}"#,
            #""application_credential": {"id": "x", "access_rules": []}"#, #""bind": {"kerberos": "x"}"#,
            #""oauth2_credential": {"x5t#S256": "x"}"#,
        ])
    func conditions(scope: String) async throws {
        let fake = try await FakeAuthority { question, number in
            question.method == "POST" ? FakeAuthority.welcome("own") : .init(body: FakeAuthority.token(scope: scope))
        }
        #expect(try await Rig(fake).caller("good") == nil)
    }

    @Test func anApplicationCredentialWithoutRulesIsGood() async throws {
        let fake = try await FakeAuthority { question, number in
            question.method == "POST"
                ? FakeAuthority.welcome("own")
                : .init(
                    body: FakeAuthority.token(
                        scope: #""application_credential": {"id": "x", "restricted": true, "access_rules": null}"#))
        }
        #expect(try await Rig(fake).caller("good") != nil)
    }

    @Test func manyRequestsWithOneNewTokenAreOneQuestion() async throws {
        let fake = try await FakeAuthority { question, number in
            var answer = FakeAuthority.kind(question, number)
            answer.isHeld = question.method == "GET"
            return answer
        }
        let rig = try Rig(fake)
        let threads = WorkThreads(name: "none", count: 1, queueMax: 1)
        let (answers, answer) = AsyncStream<Bool>.makeStream()
        // All of them are there before the first can be answered.
        for _ in 0..<100 {
            rig.authority.verify(token: "good", on: threads) { result in
                answer.yield((try? result.get())?.user.id == "u1")
            }
        }
        while fake.described == 0 { await Task.yield() }
        fake.release()
        var good = 0
        for await isGood in answers {
            good += isGood ? 1 : 0
            if good == 100 { break }
        }
        #expect(fake.described == 1 && fake.signIns == 1)
        threads.stop()
    }

    @Test func moreTokensThanQuestionsTakeTheirTurns() async throws {
        let fake = try await FakeAuthority(FakeAuthority.kind)
        let rig = try Rig(fake, knownMax: 1_000)
        let count = 3 * AuthorityLimits.questionsMax
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<count { group.addTask { try await rig.caller("good-\(number)") != nil } }
            for try await isGood in group { #expect(isGood) }
        }
        #expect(fake.described == count && fake.signIns == 1)
    }

    @Test func anAnswerThatDoesNotComeIsGivenUp() async throws {
        let fake = try await FakeAuthority { question, number in
            var answer = FakeAuthority.kind(question, number)
            answer.isHeld = question.method == "GET"
            return answer
        }
        let rig = try Rig(fake, timeoutSeconds: 1)
        await #expect(throws: TokensUnverifiable.self) { try await rig.caller("good") }
        #expect(fake.described == 1)
        fake.release()
    }

    @Test func itsCertificateHasToBeTrustedAndToNameIt() async throws {
        let scratch = try ScratchFolder()
        let certificate = scratch.path + "/cert.pem", key = scratch.path + "/key.pem"
        let made = try Program.run(
            "/usr/bin/env",
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
                + ["-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key])
        try #require(made.code == 0, "\(made.errors)")
        let fake = try await FakeAuthority(tls: (certificate, key), FakeAuthority.kind)
        let good = try Rig(fake.settings(base: "https://localhost", caFile: certificate))
        #expect(try await good.caller("good") != nil)
        let stranger = try Rig(fake.settings(base: "https://localhost"))
        await #expect(throws: TokensUnverifiable.self) { try await stranger.caller("good") }
        let misnamed = try Rig(fake.settings(base: "https://127.0.0.1", caFile: certificate))
        await #expect(throws: TokensUnverifiable.self) { try await misnamed.caller("good") }
        #expect(fake.seen.count == 2)
    }

    @Test func theCacheHasABoundAndKeepsWhatCameLast() async throws {
        let fake = try await FakeAuthority(FakeAuthority.kind)
        let rig = try Rig(fake, knownMax: 10)
        for number in 0..<40 { _ = try await rig.caller("good-\(number)") }
        for number in 0..<40 { _ = try await rig.caller("bad-\(number)") }
        #expect(rig.cache.count <= 10 + 8)
        // Tokens that are made up push out no caller.
        #expect(
            rig.authority.cachedCaller(token: "good-39") != nil && rig.authority.cachedCaller(token: "good-0") == nil)
    }

    @Test func withACacheOfNoSecondsEachRequestAsks() async throws {
        let fake = try await FakeAuthority(FakeAuthority.kind)
        let rig = try Rig(fake, cacheSeconds: 0)
        for _ in 0..<3 { #expect(try await rig.caller("good") != nil) }
        #expect(fake.described == 3)
    }
}

@Suite("The configuration of an outside Identity service")
struct AuthoritySettingsTests {
    private func check(_ pairs: (String, String)...) throws {
        var all = [
            "authority": "keystone", "keystone_url": "https://cloud.example.org:5000/v3", "keystone_user": "apus",
            "keystone_password_file": "/etc/apus/password",
        ]
        for (name, value) in pairs { all[name] = value }
        try ConfigurationSources.load(
            overrides: all.map { (key: "identity." + $0.key, value: $0.value) }, environment: [:], file: nil
        ).checkListeners()
    }

    @Test func whatIsNeededIsEnough() throws {
        try check()
        try check(("keystone_url", "http://127.0.0.1:5000"))
        try check(("keystone_url", "http://10.0.0.1/identity"), ("keystone_allow_plaintext", "true"))
    }

    @Test(
        "what is missing, misspelt or on an open wire is refused",
        arguments: [
            ("authority", "Keystone"), ("keystone_url", ""), ("keystone_url", "cloud:5000"),
            ("keystone_url", "http://10.0.0.1:5000/v3"), ("keystone_url", "https://cloud/v3?x"),
            ("keystone_url", "https://apus:secret@cloud/v3"), ("keystone_user", ""), ("keystone_user", "a\u{7}"),
            ("keystone_password_file", ""), ("keystone_password_file", "password"), ("keystone_ca_file", "ca.pem"),
            ("keystone_project", ""), ("keystone_cache_seconds", "3601"), ("keystone_timeout_seconds", "0"),
        ])
    func wrong(pair: (String, String)) { #expect(throws: DaemonError.self) { try check(pair) } }

    @Test func theIdentityListenerIsNotThere() throws {
        let local = try ConfigurationSources.load(overrides: [], environment: [:], file: nil)
        let outside = try ConfigurationSources.load(
            overrides: [(key: "identity.authority", value: "keystone")], environment: [:], file: nil)
        #expect(local.listeners.contains { $0.name == "identity" })
        #expect(!outside.listeners.contains { $0.name == "identity" })
    }

    @Test(
        "the address is taken apart",
        arguments: [
            ("http://c:5000", "http://c:5000", "", "c:5000"), ("http://c:5000/v3/", "http://c:5000", "", "c:5000"),
            ("https://c/identity/v3", "https://c:443/identity", "/identity", "c"),
            ("https://[::1]/", "https://[::1]:443", "", "[::1]"),
        ])
    func addresses(text: String, base: String, prefix: String, host: String) throws {
        let address = try #require(AuthorityAddress(text))
        #expect(address.base == base && address.prefix == prefix && address.hostField == host)
    }

    @Test func aPasswordIsOneLineThatNobodyElseMayRead() throws {
        let folder = try ScratchFolder()
        let path = try folder.write("password", "s3cret with blanks \n")
        func read() throws -> Secret { try SecretFile.read(path, key: "k") }
        func setMode(_ mode: Int) throws {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        }
        try setMode(0o600)
        #expect(try read().matches(Secret("s3cret with blanks ")))
        for mode in [0o604, 0o640, 0o620, 0o602] {
            try setMode(mode)
            #expect(throws: DaemonError.self) { try read() }
        }
        try setMode(0o400)
        #expect(try read().matches(Secret("s3cret with blanks ")))
        #expect(throws: DaemonError.self) { try SecretFile.read(folder.path, key: "k") }
        #expect(throws: DaemonError.self) { try SecretFile.read(path + "x", key: "k") }
        for (name, text) in [("empty", "\n"), ("large", String(repeating: "x", count: 5_000)), ("zero", "a\0b")] {
            let other = try folder.write(name, text)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: other)
            #expect(throws: DaemonError.self) { try SecretFile.read(other, key: "k") }
        }
    }
}
