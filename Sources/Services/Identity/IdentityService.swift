import GRDB
import Primitives
package import Records

/// Who may do what: domains, projects, users, roles, tokens and the catalog.
///
/// The plain functions block (SQLite, scrypt) and belong on threads; `perform` runs one on Identity's own.
/// `cachedCaller` alone is for event loops.
package final class IdentityService: Sendable {
    package let configuration: IdentityConfiguration
    let records: RecordStore
    let keys: KeyRepository
    /// Seal credentials; never rotated, since what they sealed stays.
    let credentialKeys: KeyRepository
    let usedSignatures = UsedSignatures()
    let cache = TokenCache()
    /// What an unknown user's password is compared with, so that they take as long as a known one.
    let decoyHash: PasswordHash
    /// Asked by the faces before a password is looked at.
    package let signInThrottle = SignInThrottle()
    private let passwordThreads: WorkThreads
    private let workThreads: WorkThreads

    /// Which of Identity's threads a piece of work belongs on.
    package enum Work: Sendable {
        /// It hashes a password: a tenth of a second and 32 MiB.
        case password
        /// It reads or writes tables only.
        case tables
    }

    /// - Parameter records: opened with `IdentityService.migrations` among its migrations.
    package init(records: RecordStore, configuration: IdentityConfiguration) throws(IdentityError) {
        self.records = records
        self.configuration = configuration
        keys = try KeyRepository(folder: configuration.keyFolder, randomBytes: configuration.randomBytes)
        credentialKeys = try KeyRepository(
            folder: configuration.credentialKeyFolder, randomBytes: configuration.randomBytes)
        decoyHash = try PasswordHash(
            password: Secret(configuration.randomBytes(24)), cost: configuration.passwordCost,
            randomBytes: configuration.randomBytes)
        passwordThreads = WorkThreads(
            name: "password", count: Limits.passwordThreads, queueMax: Limits.passwordQueueMax)
        workThreads = WorkThreads(name: "identity", count: Limits.workThreads, queueMax: Limits.workQueueMax)
    }

    /// Runs the body on one of Identity's threads; throws `.busy` when too much waits there already.
    package func perform<T: Sendable>(
        _ work: Work, _ body: @escaping @Sendable () throws(IdentityError) -> T
    ) async throws(IdentityError) -> T {
        let result: Result<T, IdentityError> = await withCheckedContinuation { continuation in
            let admitted = threads(work).run {
                do throws(IdentityError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
            if !admitted { continuation.resume(returning: .failure(.busy)) }
        }
        return try result.get()
    }

    /// The same for callers without async; false when too much waits there already.
    package func run(_ work: Work, _ body: @escaping @Sendable () -> Void) -> Bool { threads(work).run(body) }

    /// Lets what was admitted finish, then ends the threads. The record store stays open: it is the daemon's.
    package func stop() {
        passwordThreads.stop()
        workThreads.stop()
    }

    private func threads(_ work: Work) -> WorkThreads {
        switch work {
        case .password: passwordThreads
        case .tables: workThreads
        }
    }

    // MARK: What the rest of Identity reads and writes with.

    package var now: Int64 { configuration.now() }

    var validation: Validation { Validation(now: now, rules: configuration.passwordRules) }

    /// 32 hex digits from the CSPRNG, good as a key.
    package func randomHex() -> String { newID() }

    /// Base64 with either alphabet; nil for anything else.
    package func decodedBase64(_ text: String) -> [UInt8]? {
        Base64.decodeURL(text.utf8) ?? Base64.decodePlain(text.utf8)
    }

    /// 32 hex digits.
    func newID() -> String { hexText(configuration.randomBytes(16)) }

    func read<T>(_ body: (Database) throws -> T) throws(IdentityError) -> T {
        try records.read(failing: IdentityError.self, body)
    }

    /// One transaction; every remembered token is looked up afresh after it.
    func write<T>(_ body: (Database) throws -> T) throws(IdentityError) -> T {
        // Dropped on failure too: an error after the commit must not leave what the commit made stale.
        defer { cache.drop() }
        return try records.write(failing: IdentityError.self, body)
    }
}
