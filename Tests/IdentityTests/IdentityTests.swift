import Foundation
import Primitives
import Records
import Synchronization

@testable import Identity

/// A service on a folder of its own, with cheap hashes and a clock that tests move.
final class Fixture: Sendable {
    let folder: String
    let clock: Clock
    let service: IdentityService
    let records: RecordStore
    private let delivered = Mutex("")
    /// Run once, at the next use of randomness: an issuance draws its audit id after its checks and before it decides.
    let atRandomness = Hook()

    final class Hook: Sendable {
        private let action = Mutex<(@Sendable () -> Void)?>(nil)
        func set(_ body: @escaping @Sendable () -> Void) { action.withLock { $0 = body } }
        var isSet: Bool { action.withLock { $0 != nil } }
        func run() {
            let body = action.withLock { action in
                defer { action = nil }
                return action
            }
            body?()
        }
    }
    var adminPassword: String { delivered.withLock { $0 } }

    final class Clock: Sendable {
        private let seconds = Atomic<Int64>(1_800_000_000)
        var now: Int64 { seconds.load(ordering: .relaxed) }
        func advance(_ by: Int64) { seconds.add(by, ordering: .relaxed) }
    }

    static func temporaryFolder() -> String {
        let path = NSTemporaryDirectory() + "apus-identity-" + UUID().uuidString
        try? FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        return path
    }

    static let published = [
        PublishedService(type: "identity", name: "identity", url: "http://127.0.0.1:5000/v3"),
        PublishedService(
            type: "object-store", name: "objects", url: "http://127.0.0.1:8080/v1/AUTH_%(project_id)s"),
    ]

    init(rules: PasswordRules = PasswordRules()) throws {
        folder = Self.temporaryFolder()
        clock = Clock()
        records = try RecordStore(path: folder + "/control.db", migrations: IdentityService.migrations)
        service = try Self.makeService(records: records, folder: folder, clock: clock, hook: atRandomness, rules: rules)
        _ = try service.bootstrap(services: Self.published, adminPassword: nil) { secret in
            delivered.withLock { $0 = String(decoding: secret.bytes, as: UTF8.self) }
        }
    }

    static func makeService(
        records: RecordStore, folder: String, clock: Clock, hook: Hook = Hook(), tokenSeconds: Int64 = 3600,
        rules: PasswordRules = PasswordRules()
    ) throws -> IdentityService {
        var configuration = IdentityConfiguration(
            tokenSeconds: tokenSeconds, keyFolder: folder + "/keys", keyRotationSeconds: 86_400,
            passwordCost: PasswordCost(log2N: 4, r: 1, p: 1), now: { clock.now },
            randomBytes: { count in
                hook.run()
                return IdentityConfiguration.systemRandomBytes(count)
            })
        configuration.passwordRules = rules
        return try IdentityService(records: records, configuration: configuration)
    }

    deinit {
        service.stop()
        try? records.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    func signIn(
        _ name: String, _ password: String, _ scope: Authentication.Scope = .unscoped
    ) throws(IdentityError) -> IssuedToken {
        try service.issue(
            Authentication(password: (.name(name, .standard), Secret(password)), token: nil, scope: scope))
    }

    func admin(_ scope: Authentication.Scope = .project(.name("admin", .standard))) throws(IdentityError) -> IssuedToken
    {
        try signIn("admin", adminPassword, scope)
    }

    /// A project `work`, and `ann` with the password `pass` as a member of it.
    func makeAnn() throws -> (user: User, project: Project) {
        let project = try service.createProject(named: "work", description: "")
        let (user, _) = try service.createUser(named: "ann", password: Secret("pass"), project: "work", role: "member")
        return (user, project)
    }
}
