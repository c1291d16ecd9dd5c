import ControlFace
import Foundation
import HTTPFace
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import Primitives
import Records
import Synchronization
import VolumeDrivers
import Volumes

@testable import VolumeAPI

/// A volume service in memory behind its responder, driven without a socket. A token is the name of its caller.
final class Harness: Sendable {
    let service: VolumeService
    let driver = MemoryVolumes()
    let exporter = MemoryExports()
    let backups = MemoryBackups()
    private let folder: String
    private let records: RecordStore
    private let threads = WorkThreads(name: "auth", count: 1, queueMax: 64)
    private let runner: Task<Void, Never>

    static let work = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1"
    static let home = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2"

    /// Who may be asked for by name.
    private struct Names: BlockingAuthenticator {
        func cachedCaller(token: String) -> Caller? { nil }

        func caller(token: String) throws -> Caller? {
            switch token {
            case "ann": Self.caller(token, Harness.work, ["member", "reader"])
            case "bob": Self.caller(token, Harness.home, ["member", "reader"])
            case "rita": Self.caller(token, Harness.work, ["reader"])
            case "nobody": Self.caller(token, Harness.work, ["other"])
            case "admin": Self.caller(token, Harness.work, ["admin", "member", "reader"])
            case "nova": Self.caller(token, Harness.work, ["service"])
            case "unscoped":
                Caller(
                    user: .init(id: token, name: token), userDomain: .init(id: "default", name: "Default"),
                    project: nil, projectDomain: nil, domain: nil, isSystemScoped: false, roles: [], expiresAt: .max)
            default: nil
            }
        }

        private static func caller(_ name: String, _ project: String, _ roles: Set<String>) -> Caller {
            Caller(
                user: .init(id: name, name: name), userDomain: .init(id: "default", name: "Default"),
                project: .init(id: project, name: "p"), projectDomain: .init(id: "default", name: "Default"),
                domain: nil, isSystemScoped: false, roles: roles, expiresAt: .max)
        }

        func signIn(
            v1User user: String, key: Secret, client: ClientAddress, isWanted: @escaping @Sendable () -> Bool,
            completion: @escaping @Sendable (Result<V1Grant?, any Error>) -> Void
        ) { completion(.success(nil)) }
    }

    init() async throws {
        folder = NSTemporaryDirectory() + "apus-volume-api-" + UUID().uuidString
        try PrivateFile.makeFolder(folder)
        records = try RecordStore(path: folder + "/control.db", migrations: VolumeService.migrations)
        let clock = Atomic64(1_785_578_400_000_000)
        service = VolumeService(
            records: records, driver: driver, exporter: exporter, images: NoImages(), backups: backups,
            configuration: VolumeConfiguration(host: "host1", now: { clock.next() }) { count in
                var generator = SystemRandomNumberGenerator()
                return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            })
        _ = try await service.start()
        let service = service
        runner = Task { await service.run { _ in } }
    }

    private final class Atomic64: Sendable {
        private let value: Atomic<Int64>
        init(_ start: Int64) { value = Atomic(start) }
        func next() -> Int64 { value.add(1, ordering: .relaxed).newValue }
    }

    deinit {
        runner.cancel()
        service.stop()
        threads.stop()
        try? records.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    struct Answer {
        let status: Int
        let headers: HTTPFields
        let body: JSON?
        func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { headers[$0] } }
        subscript(_ key: String) -> JSON? { body?[key] }
        /// The one key of a fault, and its message.
        var fault: String? { body?.members?.first?.key }
        var message: String? { body?.members?.first?.value["message"]?.string }
    }

    /// Sends requests through `body`'s closure.
    func run(_ body: @Sendable (_ send: Sender) async throws -> Void) async throws {
        let application = Application(
            responder: VolumeResponder(
                volumes: service, authenticator: Names(), threads: threads, logger: Logger(label: "test"),
                publicBase: { "http://public.example:8776" }),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)))
        try await application.test(.router) { client in try await body(Sender(client: client, service: service)) }
    }

    struct Sender: Sendable {
        let client: any TestClientProtocol
        let service: VolumeService

        /// - Parameters:
        ///   - path: behind `/v3/{project}`; as it is if it starts with two slashes.
        ///   - version: the minor one; nil sends no header.
        @discardableResult
        func callAsFunction(
            _ method: String, _ path: String, _ body: String? = nil, version: Int? = 71, as name: String? = "ann",
            headers: [String: String] = [:]
        ) async throws -> Answer {
            var fields = HTTPFields()
            if let version { fields[HTTPField.Name("OpenStack-API-Version")!] = "volume 3.\(version)" }
            if let name { fields[HTTPField.Name("X-Auth-Token")!] = name }
            if body != nil { fields[.contentType] = "application/json" }
            for (name, value) in headers { if let name = HTTPField.Name(name) { fields[name] = value } }
            let project = name == "bob" ? Harness.home : Harness.work
            let uri = path.hasPrefix("//") ? String(path.dropFirst()) : "/v3/\(project)\(path)"
            return try await client.execute(
                uri: uri, method: HTTPRequest.Method(method) ?? .get, headers: fields,
                body: body.map { ByteBuffer(string: $0) }
            ) { response in
                Answer(
                    status: response.status.code, headers: response.headers,
                    body: JSONParser.parse(Array(response.body.readableBytesView)))
            }
        }

        /// A new volume, available.
        func volume(_ fields: String = "\"size\":1", as name: String = "ann") async throws -> String {
            let answer = try await self("POST", "/volumes", "{\"volume\":{\(fields)}}", as: name)
            await service.settle()
            return answer["volume"]?["id"]?.string ?? "?"
        }

        func snapshot(of volume: String) async throws -> String {
            let answer = try await self("POST", "/snapshots", "{\"snapshot\":{\"volume_id\":\"\(volume)\"}}")
            await service.settle()
            return answer["snapshot"]?["id"]?.string ?? "?"
        }

        func act(
            _ id: String, _ body: String, version: Int? = 71, as name: String = "ann"
        ) async throws -> Answer {
            let answer = try await self("POST", "/volumes/\(id)/action", body, version: version, as: name)
            await service.settle()
            return answer
        }

        func status(_ id: String) async throws -> String? {
            try await self("GET", "/volumes/\(id)", as: "admin")["volume"]?["status"]?.string
        }
    }
}

extension JSON {
    var keys: Set<String> { Set(members?.map(\.key) ?? []) }
}
