/// Where a face listens, and its bounds.
package struct ListenerConfiguration: Sendable {
    /// Certificate chain and private key, as PEM files.
    package struct TLSFiles: Sendable, Hashable {
        package var certificate: String
        package var key: String
        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// An address or a name; "127.0.0.1" unless configured. Whether a routable one may do without TLS is the daemon's rule.
    package var host = "127.0.0.1"
    /// 0 takes a free one.
    package var port = 0
    package var tls: TLSFiles?
    package var limits = HTTPLimits()
    package var backlog = 1024

    package init() {}
}
