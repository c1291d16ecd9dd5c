import Chunks
import Disks
import Foundation
import HTTPFace
import Logging
import NIOCore
import NIOPosix
import ObjectAPI
import Objects
import Primitives
import Synchronization

/// The object face over a real store in a temporary folder, on a free port of the loopback.
final class Rig: Sendable {
    let folder: String
    let store: ChunkStore
    let threads: WorkThreads
    let metrics = MetricsRegistry()
    let group: MultiThreadedEventLoopGroup
    let server: ObjectServer
    let authenticator = TestAuthenticator()
    let port: Int

    private init(
        folder: String, store: ChunkStore, threads: WorkThreads, group: MultiThreadedEventLoopGroup,
        limits: HTTPLimits, uploadsMax: Int
    ) async throws {
        self.folder = folder
        self.store = store
        self.threads = threads
        self.group = group
        let clock = TimestampClock()
        clock.advance(past: store.newestTimestamp)
        let service = ObjectService(
            configuration: ObjectServiceConfiguration(), store: { _ in store }, clock: clock, workThreads: threads)
        var configuration = ObjectServerConfiguration()
        configuration.listener.limits = limits
        configuration.uploadsPerAccountMax = uploadsMax
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        server = ObjectServer(
            configuration: configuration, service: service, authenticator: authenticator, workThreads: threads,
            group: group, metrics: metrics, logger: logger, seed: 1)
        port = try await server.start()
    }

    /// Runs `body` against a server of its own, and takes everything down after it.
    static func run(
        limits: HTTPLimits = HTTPLimits(), uploadsMax: Int = 256, _ body: @escaping @Sendable (Rig) throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.path + "/apus-api-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var configuration = ChunkStore.Configuration(segmentBytes: 1 << 20, reserveBytes: 0)
        configuration.zeroFillsSpares = false
        let store = try ChunkStore.open(
            disk: try SystemDisk(root: folder), indexes: SQLiteIndexes(folder: folder, copies: 1),
            configuration: configuration, random: { (0..<$0).map { _ in UInt8.random(in: 0...255) } })
        let threads = WorkThreads(name: "api-test", count: 3, queueMax: 256)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let rig = try await Rig(
            folder: folder, store: store, threads: threads, group: group, limits: limits, uploadsMax: uploadsMax)
        let result = await onThread { Result { try body(rig) } }
        await rig.server.shutdown()
        try await group.shutdownGracefully()
        await onThread { threads.stop() }
        try store.close()
        try result.get()
    }

    /// Flips a bit within the one place on the disk that holds `bytes`.
    func damage(_ bytes: [UInt8]) throws {
        let pattern = Data(bytes)
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder) {
            let path = folder + "/" + name
            guard let contents = FileManager.default.contents(atPath: path), let place = contents.range(of: pattern),
                let file = FileHandle(forUpdatingAtPath: path)
            else { continue }
            try file.seek(toOffset: UInt64(place.lowerBound))
            try file.write(contentsOf: [bytes[0] ^ 1])
            try file.close()
            return
        }
        throw ClientError(what: "these bytes are nowhere")
    }

    /// One request on a connection of its own.
    func call(
        _ verb: String, _ target: String, _ headers: [String: String] = [:], _ body: [UInt8]? = nil,
        token: String? = "owner"
    ) throws -> Reply {
        let client = try Client(port: port)
        return try client.call(verb, target, headers, body, token: token)
    }
}

/// Runs blocking test code on a thread of its own, not on the cooperative pool.
func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
        startThread(name: "test") { continuation.resume(returning: body()) }
    }
}

/// Knows three users: `owner` and `stranger` of two projects, and `reader` of the owner's with no operator role.
final class TestAuthenticator: BlockingAuthenticator {
    /// Tokens that are known, but only after asking.
    static let slowPrefix = "slow-"

    func cachedCaller(token: String) -> Caller? {
        switch token {
        case "owner": Self.caller("u1", "p1", ["member"])
        case "stranger": Self.caller("u2", "p2", ["member"])
        case "reader": Self.caller("u3", "p1", [])
        default: nil
        }
    }

    func caller(token: String) throws -> Caller? {
        if token == "broken" { throw CancellationError() }
        guard token.hasPrefix(Self.slowPrefix) else { return nil }
        return cachedCaller(token: String(token.dropFirst(Self.slowPrefix.count)))
    }

    func signIn(
        v1User user: String, key: Secret, client: ClientAddress, isWanted: @escaping @Sendable () -> Bool,
        completion: @escaping @Sendable (Result<V1Grant?, any Error>) -> Void
    ) {
        if user == "p1:failed" { return completion(.failure(TooManyFailures(retryAfterSeconds: 7))) }
        startThread(name: "sign-in") {
            guard user == "p1:u1", key.matches(Secret("secret")) else { return completion(.success(nil)) }
            completion(.success(V1Grant(token: "owner", account: "AUTH_p1", expiresIn: 3600)))
        }
    }

    private static func caller(_ user: String, _ project: String, _ roles: Set<String>) -> Caller {
        let domain = Caller.Named(id: "default", name: "Default")
        return Caller(
            user: .init(id: user, name: user), userDomain: domain, project: .init(id: project, name: project),
            projectDomain: domain, domain: nil, isSystemScoped: false, roles: roles, expiresAt: Int64.max)
    }
}
