import ControlFace
import Foundation
import HTTPFace
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Images
import Logging
import Primitives
import Records

@testable import ImageAPI

/// An image service in memory behind its responder, driven without a socket. A token is the name of its caller.
final class ImageHarness: Sendable {
    let service: ImageService
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
            case "ann": Self.caller(token, ImageHarness.work, ["member", "reader"])
            case "bob": Self.caller(token, ImageHarness.home, ["member", "reader"])
            case "rita": Self.caller(token, ImageHarness.work, ["reader"])
            case "nobody": Self.caller(token, ImageHarness.work, ["other"])
            case "admin": Self.caller(token, ImageHarness.work, ["admin", "member", "reader"])
            case "nova": Self.caller(token, ImageHarness.work, ["service"])
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

    /// Time goes by one second with each look at the clock.
    init(_ change: (inout ImageConfiguration) -> Void = { _ in }) async throws {
        folder = NSTemporaryDirectory() + "apus-image-api-" + UUID().uuidString
        try PrivateFile.makeFolder(folder)
        records = try RecordStore(path: folder + "/control.db", migrations: ImageService.migrations)
        let clock = PosixLocked<Int64>(1_785_578_400)
        var configuration = ImageConfiguration.standard()
        configuration.now = {
            clock.withLock { now in
                now += 1
                return now
            }
        }
        change(&configuration)
        service = ImageService(
            records: records, store: BytesInMemory(), web: NoWeb(), configuration: configuration)
        try await service.start()
        let service = service
        runner = Task { await service.run() }
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
        let bytes: [UInt8]
        var body: JSON? { JSONParser.parse(bytes) }
        var text: String { String(decoding: bytes, as: UTF8.self) }
        func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { headers[$0] } }
        subscript(_ key: String) -> JSON? { body?[key] }
    }

    /// Sends requests through `body`'s closure.
    func run(_ body: @Sendable (_ send: Sender) async throws -> Void) async throws {
        let application = Application(
            responder: ImageResponder(
                images: service, authenticator: Names(), threads: threads, logger: Logger(label: "test"),
                publicBase: { "http://public.example:9292" }, identityURL: { "http://identity.example:5000/v3" }),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)))
        try await application.test(.router) { client in try await body(Sender(client: client, service: service)) }
    }

    struct Sender: Sendable {
        let client: any TestClientProtocol
        let service: ImageService

        /// - Parameters:
        ///   - path: behind `/v2`; as it is if it starts with two slashes.
        ///   - name: nil sends no token.
        @discardableResult
        func callAsFunction(
            _ method: String, _ path: String, _ body: String? = nil, as name: String? = "ann",
            headers: [String: String] = [:]
        ) async throws -> Answer {
            var fields = HTTPFields()
            if let name { fields[HTTPField.Name("X-Auth-Token")!] = name }
            if body != nil { fields[.contentType] = "application/json" }
            for (name, value) in headers { if let name = HTTPField.Name(name) { fields[name] = value } }
            let uri = path.hasPrefix("//") ? String(path.dropFirst()) : "/v2\(path)"
            return try await client.execute(
                uri: uri, method: HTTPRequest.Method(method) ?? .get, headers: fields,
                body: body.map { ByteBuffer(string: $0) }
            ) { response in
                Answer(
                    status: response.status.code, headers: response.headers,
                    bytes: Array(response.body.readableBytesView))
            }
        }
    }
}

/// Images' bytes in memory.
final class BytesInMemory: ImageStore {
    private let finished = PosixLocked<[String: [UInt8]]>([:])

    private final class Writer: ImageWriter {
        let key: String
        let store: BytesInMemory
        let bytes = PosixLocked<[UInt8]>([])

        init(_ key: String, _ store: BytesInMemory) {
            self.key = key
            self.store = store
        }

        func write(_ new: UnsafeRawBufferPointer) throws(ImageError) { bytes.withLock { $0 += Array(new) } }
        func skip(_ count: Int64) throws(ImageError) {
            bytes.withLock { $0 += [UInt8](repeating: 0, count: Int(count)) }
        }
        func finish() throws(ImageError) {
            let all = bytes.withLock { $0 }
            store.finished.withLock { $0[key] = all }
        }
    }

    private struct Reader: ImageReader {
        let bytes: [UInt8]
        func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) {
            buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + buffer.count])
        }
    }

    func begin(_ key: String, byteCount: Int64?) throws(ImageError) -> any ImageWriter { Writer(key, self) }
    func open(_ key: String) throws(ImageError) -> any ImageReader {
        guard let bytes = finished.withLock({ $0[key] }) else { throw .storage("no \(key)") }
        return Reader(bytes: bytes)
    }
    func remove(_ key: String) throws(ImageError) { finished.withLock { $0[key] = nil } }
}

extension JSON {
    var keys: Set<String> { Set(members?.map(\.key) ?? []) }
}
