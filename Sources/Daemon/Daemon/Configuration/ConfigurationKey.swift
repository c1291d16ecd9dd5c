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
        + authority
        + listener("object", port: 8080, "the Object API")
        + listener("image", port: 9292, "the Image API")
        + images
        + listener("volume", port: 8776, "the Block Storage API")
        + volumes
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
                "identity.password_length_min", .number(1, 1...256), "Characters of the shortest password."),
            ConfigurationKey(
                "identity.password_history", .number(0, 0...24),
                "How many of their last passwords users can't choose again. 0: none."),
            ConfigurationKey(
                "identity.password_days_max", .number(0, 0...36_500),
                "Days after which a password has to be changed before its user signs in again. 0: never."),
            ConfigurationKey(
                "identity.lockout_failures", .number(0, 0...1_000),
                "Wrong passwords in a row that lock a user out. 0: none do."),
            ConfigurationKey(
                "identity.lockout_seconds", .number(1_800, 1...604_800), "How long a user stays locked out."),
            ConfigurationKey(
                "shutdown_seconds", .number(30, 1...3600),
                "How long requests in flight may take to finish when the daemon is told to stop."),
            ConfigurationKey(
                "log.level", .text("info"), "trace, debug, info, notice, warning, error or critical."),
        ]

    private static let authority: [ConfigurationKey] = [
        ConfigurationKey(
            "identity.authority", .text("local"),
            "Who vouches for tokens: `local`, this daemon, or `keystone`, an outside Identity service; then the Identity API here is not served."
        ),
        ConfigurationKey(
            "identity.keystone_url", .text(""),
            "Where the outside Identity service is, such as `https://cloud.example.org:5000/v3`."),
        ConfigurationKey(
            "identity.keystone_ca_file", .text(""),
            "PEM file with the certificates that are trusted there. Empty: the system's."),
        ConfigurationKey(
            "identity.keystone_allow_plaintext", .flag(false),
            "Speak to an outside Identity service on another machine without TLS."),
        ConfigurationKey(
            "identity.keystone_user", .text(""),
            "The user there that this daemon asks as; it needs the role `service` or `admin` on its project."),
        ConfigurationKey("identity.keystone_user_domain", .text("Default"), "The name of that user's domain."),
        ConfigurationKey(
            "identity.keystone_password_file", .text(""),
            "The file with that user's password, one line, that nobody but the daemon's user (or root) may read."),
        ConfigurationKey(
            "identity.keystone_project", .text("service"), "The name of the project that it has that role on."),
        ConfigurationKey("identity.keystone_project_domain", .text("Default"), "The name of that project's domain."),
        ConfigurationKey(
            "identity.keystone_cache_seconds", .number(300, 0...3_600),
            "How long its word on a token is believed before it is asked again: so long a revoked token may go on."),
        ConfigurationKey(
            "identity.keystone_timeout_seconds", .number(10, 1...60), "How long its answer is waited for."),
    ]

    private static let images: [ConfigurationKey] = [
        ConfigurationKey(
            "image.stores", .text("chunks"),
            "Names of the places that images are kept in, with commas between, the default one first. All are in the one store of this daemon; several let clients that choose between stores do so."
        ),
        ConfigurationKey(
            "image.size_max", .number(1 << 40, 1...(1 << 50)), "Bytes of the largest image that is taken."),
        ConfigurationKey(
            "image.project_bytes_max", .number(-1, -1...(1 << 60)),
            "Bytes that one project's images may have together. -1: any."),
        ConfigurationKey(
            "image.project_images_max", .number(-1, -1...2_147_483_647), "Images that one project may have. -1: any."),
        ConfigurationKey(
            "image.require_format_match", .flag(true),
            "Refuse an image whose bytes are of another format than its record says. Images that reach outside themselves are refused in any case."
        ),
        ConfigurationKey(
            "image.web_download", .flag(false),
            "Let users have images fetched from addresses that they name: public ones, ports 80 and 443 only."),
        ConfigurationKey(
            "image.web_download_hosts", .text(""),
            "Further places that images are fetched from, `host:port` each with commas between, be they public or not."),
        ConfigurationKey(
            "image.qemu_img", .text("qemu-img"),
            "The program that reads VMDK, VHD, VHDX and VDI images for volumes: an absolute path, or a name that is looked for on PATH at the start. Empty: none."
        ),
    ]

    private static let volumes: [ConfigurationKey] =
        [
            ConfigurationKey(
                "volume.host_name", .text(""),
                "The name of this machine in `host@backend#pool`, as operators see it. Empty: the system's host name."),
            ConfigurationKey(
                "volume.backend", .text("chunks"), "The backend's name, which `volume_backend_name` in types asks for."),
            ConfigurationKey(
                "volume.further_backends", .text(""),
                "Other names of backends that types may ask for, with commas between. All are the one store: a volume that moves moves no bytes."
            ),
            ConfigurationKey("volume.pool", .text("chunks"), "The name of its pool."),
            ConfigurationKey("volume.availability_zone", .text("nova"), "The availability zone that volumes are in."),
            ConfigurationKey(
                "volume.default_type", .text("__DEFAULT__"),
                "The volume type for whoever names none; it is made if it isn't there."),
        ]
        + [
            ("volumes", 10, "volumes"), ("snapshots", 10, "snapshots"),
            ("gigabytes", 1_000, "GiB of volumes and snapshots"), ("backups", 10, "backups"),
            ("backup_gigabytes", 1_000, "GiB of backups"), ("groups", 10, "groups"),
            ("per_volume_gigabytes", -1, "GiB of a single volume"),
        ].map { (name: String, limit: Int, what: String) in
            ConfigurationKey(
                "volume.quota_\(name)", .number(limit, -1...2_147_483_647),
                "How many \(what) a project without a limit of its own may have. -1: any.")
        }
        + [
            ConfigurationKey(
                "volume.snapshots_count_gigabytes", .flag(true),
                "Whether snapshots count towards the quota of gigabytes."
            ),
            ConfigurationKey(
                "volume.over_subscription_max", .number(20, 1...1_000),
                "How many times the store's size volumes may promise together."),
            ConfigurationKey(
                "volume.reserved_percent", .number(0, 0...100),
                "Percent of the store's size that is not promised to volumes."),
            ConfigurationKey(
                "volume.guard_instance_attachments", .flag(false),
                "Let only callers with a service token end an instance's attachment: for clouds with compute."),
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
