private import Glibc

/// A certificate chain and the key that belongs to it, as PEM files.
package struct TLSFiles: Sendable, Hashable {
    package var certificate: String
    package var key: String
    package init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

/// Where one face listens.
package struct ListenerSettings: Sendable, Hashable {
    package var name: String
    package var host: String
    /// 0: any free one.
    package var port: Int
    package var tls: TLSFiles?
    package var allowsPlaintext: Bool

    package init(name: String, host: String, port: Int, tls: TLSFiles?, allowsPlaintext: Bool) {
        self.name = name
        self.host = host
        self.port = port
        self.tls = tls
        self.allowsPlaintext = allowsPlaintext
    }

    init(name: String, values: Values, sharedTLS: TLSFiles) throws(DaemonError) {
        var files = TLSFiles(
            certificate: try values.text("\(name).tls_certificate"), key: try values.text("\(name).tls_key"))
        if files.certificate.isEmpty && files.key.isEmpty { files = sharedTLS }
        guard files.certificate.isEmpty == files.key.isEmpty else {
            throw DaemonError(
                "The \(name) listener has a certificate or a key, but not both.",
                remedy: "Set \(name).tls_certificate and \(name).tls_key, or tls.certificate and tls.key.")
        }
        self.init(
            name: name, host: try values.text("\(name).host"), port: try values.number("\(name).port"),
            tls: files.certificate.isEmpty ? nil : files, allowsPlaintext: try values.flag("\(name).allow_plaintext"))
    }

    /// As system calls that look no names up take it.
    var numericHost: String { host == "localhost" ? "127.0.0.1" : host }

    package var scheme: String { tls == nil ? "http" : "https" }

    /// Whether only this machine can reach the address. Anything that can't be read as a loopback address counts as routable.
    package var isLoopback: Bool {
        if host == "localhost" { return true }
        switch Self.address(host) {
        case .v4(let bytes): return bytes[0] == 127
        case .v6(let bytes):
            // ::1 itself, or 127/8 mapped into IPv6.
            if bytes == [UInt8](repeating: 0, count: 15) + [1] { return true }
            return bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff && bytes[12] == 127
        case nil: return false
        }
    }

    /// Whether this is "every address of the machine", which no client can be sent to.
    package var isWildcard: Bool {
        switch Self.address(host) {
        case .v4(let bytes): bytes.allSatisfy { $0 == 0 }
        case .v6(let bytes): bytes.allSatisfy { $0 == 0 }
        case nil: false
        }
    }

    func check(publicHost: String) throws(DaemonError) {
        guard !host.isEmpty else {
            throw DaemonError("\(name).host is empty.", remedy: "Give an address, such as 127.0.0.1.")
        }
        if !isLoopback && tls == nil && !allowsPlaintext {
            let own =
                name == "metrics"
                ? "Keep it on loopback, or accept that anybody on the network reads it with metrics.allow_plaintext=true."
                : name == "iscsi"
                    ? "iSCSI knows no TLS. Keep it on a network of its own, and say so with iscsi.allow_plaintext=true."
                    : "Give it TLS (tls.certificate and tls.key), or accept the risk with \(name).allow_plaintext=true (behind a proxy that speaks TLS, say)."
            throw DaemonError(
                "The \(name) listener is on \(host), which other machines can reach, without TLS: passwords and tokens would cross the network in the clear.",
                remedy: own)
        }
        if isWildcard && publicHost.isEmpty && name != "metrics" {
            throw DaemonError(
                "The \(name) listener is on \(host), every address of this machine, so the catalog can't name it.",
                remedy: "Set public_host to the name or address that clients use.")
        }
    }

    /// `http://host:port`, with an IPv6 address in brackets.
    package func baseURL(publicHost: String, port actual: Int) -> String {
        let shown = publicHost.isEmpty ? host : publicHost
        return "\(scheme)://\(shown.contains(":") ? "[\(shown)]" : shown):\(actual)"
    }

    private enum Address {
        case v4([UInt8])
        case v6([UInt8])
    }

    private static func address(_ text: String) -> Address? {
        var v4 = in_addr()
        if unsafe inet_pton(AF_INET, text, &v4) == 1 {
            return .v4(unsafe withUnsafeBytes(of: &v4) { unsafe Array($0) })
        }
        var v6 = in6_addr()
        if unsafe inet_pton(AF_INET6, text, &v6) == 1 {
            return .v6(unsafe withUnsafeBytes(of: &v6) { unsafe Array($0) })
        }
        return nil
    }
}
