private import Foundation
package import Primitives

/// The files that clients start from: `openrc` (shell), `openrc-v1` (shell, for the object API's own sign-in: apart,
/// since python-swiftclient takes the one for the other where it finds both), `clouds.yaml` (OpenStack SDK and CLI) and `endpoints.json`
/// (programs). All are 0600, and written anew at each start, since ports and hosts may have changed.
package struct ClientFiles: Sendable {
    package static let openrcName = "openrc"
    package static let openrcV1Name = "openrc-v1"
    package static let cloudsName = "clouds.yaml"
    package static let endpointsName = "endpoints.json"
    package static let passwordName = "admin-password"

    package struct Endpoints: Codable, Sendable, Equatable {
        /// Base URLs, without a path.
        package var identity: String
        package var object: String
        /// nil only in files of versions that had no images.
        package var image: String?
        /// nil only in files of versions that had no volumes.
        package var volume: String?
        /// `host:port`.
        package var iscsi: String?
        /// nil: metrics are switched off.
        package var metrics: String?
        package var region: String
        package var pid: Int32
        package init(
            identity: String, object: String, image: String? = nil, volume: String? = nil, iscsi: String? = nil,
            metrics: String?,
            region: String, pid: Int32
        ) {
            self.identity = identity
            self.object = object
            self.image = image
            self.volume = volume
            self.iscsi = iscsi
            self.metrics = metrics
            self.region = region
            self.pid = pid
        }
    }

    private let files: PrivateFiles
    let tellsSignIn: Bool

    /// - Parameter tellsSignIn: false: users sign in elsewhere, so the files that say how are removed, not written.
    package init(files: PrivateFiles, tellsSignIn: Bool = true) {
        self.files = files
        self.tellsSignIn = tellsSignIn
    }

    /// The admin's password as far as the daemon knows it.
    package func password() throws(DaemonError) -> Secret? {
        guard let text = try files.read(Self.passwordName) else { return nil }
        return Secret(text.hasSuffix("\n") ? String(text.dropLast()) : text)
    }

    /// Keeps the password for the files below. Written before the database is told, so that a crash in between
    /// leaves no cloud whose password nobody has.
    package func keep(password: Secret) throws(DaemonError) {
        try files.write(Self.passwordName, String(decoding: password.bytes, as: UTF8.self) + "\n")
    }

    package func write(_ endpoints: Endpoints) throws(DaemonError) {
        if tellsSignIn {
            let password = try password().map { String(decoding: $0.bytes, as: UTF8.self) }
            try files.write(Self.openrcName, Self.openrc(endpoints, password: password))
            try files.write(Self.openrcV1Name, Self.openrcV1(endpoints, password: password))
            try files.write(Self.cloudsName, Self.clouds(endpoints, password: password))
        } else {
            for name in [Self.openrcName, Self.openrcV1Name, Self.cloudsName] { try files.remove(name) }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let json: Data
        do {
            json = try encoder.encode(endpoints)
        } catch {
            throw DaemonError("The endpoints can't be written as JSON.")
        }
        try files.write(Self.endpointsName, String(decoding: json, as: UTF8.self) + "\n")
    }

    /// What the last start wrote; nil if there was none, or it can't be read.
    package func lastEndpoints() throws(DaemonError) -> Endpoints? {
        guard let text = try files.read(Self.endpointsName) else { return nil }
        do {
            return try JSONDecoder().decode(Endpoints.self, from: Data(text.utf8))
        } catch {
            // Only a wish for the same ports is lost.
            return nil
        }
    }

    static func openrc(_ endpoints: Endpoints, password: String?) -> String {
        let secret =
            password.map { "export OS_PASSWORD=\(shellQuoted($0))" }
            ?? "# export OS_PASSWORD=... (the daemon does not know it)"
        return """
            # Source this file: . openrc. It holds the admin's password.
            unset ST_AUTH ST_USER ST_KEY OS_TOKEN OS_CLOUD OS_SYSTEM_SCOPE OS_DOMAIN_ID OS_DOMAIN_NAME OS_PROJECT_ID
            export OS_AUTH_URL=\(shellQuoted(endpoints.identity + "/v3"))
            export OS_IDENTITY_API_VERSION=3
            export OS_USERNAME=admin
            \(secret)
            export OS_PROJECT_NAME=admin
            export OS_USER_DOMAIN_NAME=Default
            export OS_PROJECT_DOMAIN_NAME=Default
            export OS_REGION_NAME=\(shellQuoted(endpoints.region))
            export OS_INTERFACE=public

            """
    }

    static func openrcV1(_ endpoints: Endpoints, password: String?) -> String {
        let secret =
            password.map { "export ST_KEY=\(shellQuoted($0))" } ?? "# export ST_KEY=... (the daemon does not know it)"
        return """
            # Source this file for tools that speak v1 sign-in: . openrc-v1. It holds the admin's password.
            unset OS_AUTH_URL OS_IDENTITY_API_VERSION OS_USERNAME OS_PASSWORD OS_PROJECT_NAME OS_USER_DOMAIN_NAME
            unset OS_PROJECT_DOMAIN_NAME OS_REGION_NAME OS_INTERFACE OS_TOKEN OS_CLOUD
            export ST_AUTH=\(shellQuoted(endpoints.object + "/auth/v1.0"))
            export ST_USER=admin:admin
            \(secret)

            """
    }

    static func clouds(_ endpoints: Endpoints, password: String?) -> String {
        let secret = password.map { "      password: \(yamlQuoted($0))\n" } ?? ""
        return """
            clouds:
              apus:
                auth:
                  auth_url: \(yamlQuoted(endpoints.identity + "/v3"))
                  username: admin
            \(secret)      project_name: admin
                  user_domain_name: Default
                  project_domain_name: Default
                region_name: \(yamlQuoted(endpoints.region))
                interface: public
                identity_api_version: 3

            """
    }

    private static func shellQuoted(_ text: String) -> String { "'" + text.replacing("'", with: "'\\''") + "'" }
    private static func yamlQuoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }

    /// 160 bits from the system, without the letters that people mix up.
    package static func randomPassword() -> Secret {
        let letters = Array("abcdefghijkmnpqrstuvwxyz23456789".utf8)
        var random = SystemRandomNumberGenerator()
        return Secret((0..<32).map { _ in letters[Int(random.next() & 31)] })
    }
}
