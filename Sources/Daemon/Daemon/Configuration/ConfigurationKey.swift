/// One key that the daemon's configuration knows: the table below is what the reader, the sample file, the
/// manual (`Config/README.md`) and the check for misspelt keys agree on, and a test holds them together.
package struct ConfigurationKey: Sendable, Hashable {
    /// Dotted; one JSON object per dot. `APUS_` + the name in capitals with `_` for dots is its environment variable.
    package let name: String
    package let defaultValue: Value
    /// One sentence for the manual.
    package let summary: String

    package enum Value: Sendable, Hashable {
        case text(String)
        /// With the range that is accepted.
        case number(Int, ClosedRange<Int>)
        case flag(Bool)
    }

    package var environmentName: String {
        "APUS_" + name.uppercased().replacing(".", with: "_")
    }

    private init(_ name: String, _ defaultValue: Value, _ summary: String) {
        self.name = name
        self.defaultValue = defaultValue
        self.summary = summary
    }

    private static let ports = 0...65_535

    /// Every key there is.
    package static let all: [ConfigurationKey] =
        [
            ConfigurationKey(
                "data", .text("/var/lib/apus"), "The data folder: everything that the daemon keeps lies under it."),
            ConfigurationKey("region", .text("RegionOne"), "The region that the catalog publishes."),
            ConfigurationKey(
                "public_host", .text(""),
                "The host name or address that the catalog publishes. Empty: each listener's own address, which must then be a certain one."
            ),
            ConfigurationKey(
                "tls.certificate", .text(""),
                "PEM file with the certificate chain for listeners that name none of their own. Empty: no TLS."),
            ConfigurationKey("tls.key", .text(""), "PEM file with the private key that belongs to it."),
        ]
        + listener("identity", port: 5000, "the Identity API")
        + listener("object", port: 8080, "the Object API")
        + listener("volume", port: 8776, "the Block Storage API")
        + [
            ConfigurationKey(
                "iscsi.host", .text("127.0.0.1"), "The address that the iSCSI target listens on: a numeric one."),
            ConfigurationKey("iscsi.port", .number(3260, ports), "The port of the iSCSI target. 0: any free one."),
            ConfigurationKey(
                "iscsi.allow_plaintext", .flag(false),
                "Let the iSCSI target listen on a routable address. iSCSI knows no TLS: keep it on a network of its own."
            ),
            ConfigurationKey(
                "iscsi.allow_md5", .flag(true),
                "Let initiators that don't offer SHA-256 prove their secret with MD5, which is all that many speak."),
            ConfigurationKey(
                "metrics.enabled", .flag(true),
                "Serve /metrics (Prometheus text) and /healthcheck on a listener of their own."),
            ConfigurationKey("metrics.host", .text("127.0.0.1"), "The address of the metrics listener (never TLS)."),
            ConfigurationKey(
                "metrics.port", .number(9109, ports), "The port of the metrics listener. 0: any free one."),
            ConfigurationKey(
                "metrics.allow_plaintext", .flag(false), "Let the metrics listener answer on a routable address."),
            ConfigurationKey(
                "storage.reserve_bytes", .number(1 << 30, 0...(1 << 50)),
                "Free bytes of the file system that uploads may not touch; below it they get 507, deletes still work."),
            ConfigurationKey(
                "storage.capacity_bytes", .number(0, 0...(1 << 60)),
                "Ceiling of the store's own size: uploads get 507 at 92 % of it. 0: the file system's size."),
            ConfigurationKey(
                "storage.index_copies", .number(2, 1...2), "How often the index is kept: 2, or 1 to save space."),
            ConfigurationKey(
                "object.event_loops", .number(0, 0...256),
                "Threads that serve the Object API's connections. 0: one per core."),
            ConfigurationKey(
                "object.work_threads", .number(0, 0...256),
                "Threads for reads that wait for the disk. 0: four per core."),
            ConfigurationKey(
                "identity.token_lifetime_seconds", .number(3600, 60...604_800), "How long a token is good for."),
            ConfigurationKey(
                "shutdown_seconds", .number(30, 1...3600),
                "How long requests in flight may take to finish when the daemon is told to stop."),
            ConfigurationKey(
                "log.level", .text("info"), "trace, debug, info, notice, warning, error or critical."),
        ]

    private static func listener(_ name: String, port: Int, _ what: String) -> [ConfigurationKey] {
        [
            ConfigurationKey("\(name).host", .text("127.0.0.1"), "The address that \(what) listens on."),
            ConfigurationKey("\(name).port", .number(port, ports), "The port of \(what). 0: any free one."),
            ConfigurationKey(
                "\(name).allow_plaintext", .flag(false), "Let \(what) listen on a routable address without TLS."),
            ConfigurationKey(
                "\(name).tls_certificate", .text(""), "A certificate of its own. Empty: `tls.certificate`."),
            ConfigurationKey("\(name).tls_key", .text(""), "The private key that belongs to it. Empty: `tls.key`."),
        ]
    }
}
