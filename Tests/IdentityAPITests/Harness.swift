import ControlFace
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Identity
import Logging
import Primitives
import Records
import Synchronization

@testable import IdentityAPI

/// An Identity service behind its responder, driven without a socket.
final class Harness: Sendable {
    let service: IdentityService
    let adminPassword: String
    private let folder: String
    private let records: RecordStore

    init() throws {
        folder = NSTemporaryDirectory() + "apus-identity-api-" + UUID().uuidString
        try PrivateFile.makeFolder(folder)
        records = try RecordStore(path: folder + "/control.db", migrations: IdentityService.migrations)
        let password = Mutex("")
        service = try IdentityService(
            records: records,
            configuration: IdentityConfiguration(
                tokenSeconds: 3600, keyFolder: folder + "/keys", keyRotationSeconds: 86_400,
                passwordCost: PasswordCost(log2N: 4, r: 1, p: 1), now: { 1_785_578_400 },
                randomBytes: IdentityConfiguration.systemRandomBytes))
        _ = try service.bootstrap(
            services: [
                PublishedService(type: "identity", name: "identity", url: "http://localhost/v3"),
                PublishedService(
                    type: "object-store", name: "objects", url: "http://localhost/v1/AUTH_%(project_id)s"),
            ], adminPassword: nil
        ) { secret in password.withLock { $0 = String(decoding: secret.bytes, as: UTF8.self) } }
        adminPassword = password.withLock { $0 }
    }

    deinit {
        service.stop()
        try? records.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    var application: some ApplicationProtocol {
        Application(
            responder: IdentityResponder(
                identity: service, logger: Logger(label: "test"), publicBase: { "https://public.example:5000/identity" }
            ),
            configuration: ApplicationConfiguration(address: .hostname("127.0.0.1", port: 0)))
    }

    struct Answer {
        let status: Int
        let headers: HTTPFields
        let body: JSON?
        let bodyBytes: Int
        func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { headers[$0] } }
        var token: String { header("X-Subject-Token") ?? "" }
        var message: String? { body?["error"]?["message"]?.string }
    }

    /// Sends requests through `body`'s closure: method, path, token, JSON text, further headers.
    func run(
        _ body: @Sendable (_ send: Sender) async throws -> Void
    ) async throws {
        try await application.test(.router) { client in try await body(Sender(client: client)) }
    }

    struct Sender: Sendable {
        let client: any TestClientProtocol

        @discardableResult
        func callAsFunction(
            _ method: String, _ path: String, token: String? = nil, body: String? = nil, headers: [String: String] = [:]
        ) async throws -> Answer {
            var fields = HTTPFields()
            for (name, value) in headers { if let name = HTTPField.Name(name) { fields[name] = value } }
            if let token, let name = HTTPField.Name("X-Auth-Token") { fields[name] = token }
            return try await client.execute(
                uri: path, method: HTTPRequest.Method(method) ?? .get, headers: fields,
                body: body.map { ByteBuffer(string: $0) }
            ) { response in
                Answer(
                    status: response.status.code, headers: response.headers,
                    body: JSONParser.parse(Array(response.body.readableBytesView)),
                    bodyBytes: response.body.readableBytes)
            }
        }
    }

    func login(_ name: String, _ password: String, scope: String? = nil) -> String {
        let scopeText = scope.map { ",\"scope\":\($0)" } ?? ""
        return """
            {"auth":{"identity":{"methods":["password"],"password":{"user":
            {"name":"\(name)","domain":{"id":"default"},"password":"\(password)"}}}\(scopeText)}}
            """
    }

    func adminLogin(scope: String? = "{\"project\":{\"name\":\"admin\",\"domain\":{\"name\":\"Default\"}}}") -> String {
        login("admin", adminPassword, scope: scope)
    }
}
