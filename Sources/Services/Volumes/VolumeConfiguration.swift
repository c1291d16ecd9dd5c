import Primitives

/// What the volume service is started with.
package struct VolumeConfiguration: Sendable {
    /// The name of this machine in `host@backend#pool`.
    package var host: String
    package var backend: String
    /// Other names for types to ask for. All of them stand for the one store: moving between them moves no bytes.
    package var furtherBackends: [String] = []
    package var pool: String
    package var zone: String
    /// Told as `vendor_name`, which types' specs may ask for: what backends without a vendor say.
    package var vendor: String
    /// The type of a volume for which none is named; made at the first start.
    package var defaultTypeName: String
    /// Limits for projects without their own; -1 is none.
    package var quotaDefaults: [QuotaKind: Int]
    /// Whether snapshots count towards gigabytes.
    package var snapshotsCountGigabytes: Bool
    /// How many times the pool's size may be promised.
    package var overSubscriptionMax: Double
    package var reservedPercentage: Int
    /// Whether an instance's attachment is deleted only for a caller with a service token. On where a compute service
    /// manages the attachments: a user who removed one under a running instance could reach a stranger's disk.
    package var guardsInstanceAttachments: Bool
    /// Seconds between sweeps.
    package var sweepSeconds: Int64
    /// How long a client may leave a volume `attaching` or `detaching`.
    package var handshakeSecondsMax: Int64
    /// Each attachment's target is this and a fresh UUID.
    package var targetPrefix: String
    /// Bytes of one object of a backup; twice that, and so on, where there would be too many of them.
    package var backupObjectBytes: UInt64 = 32 << 20
    /// Takes a line for each failure of the backend, for operators: clients only see that something failed.
    package var onFault: @Sendable (String) -> Void = { _ in }
    /// Microseconds since 1970.
    package var now: @Sendable () -> Int64
    /// That many bytes from the system's CSPRNG.
    package var randomBytes: @Sendable (Int) -> [UInt8]

    /// The defaults of the Block Storage API.
    package init(
        host: String, now: @escaping @Sendable () -> Int64, randomBytes: @escaping @Sendable (Int) -> [UInt8]
    ) {
        self.host = host
        backend = "chunks"
        pool = "chunks"
        zone = "nova"
        vendor = "Open Source"
        defaultTypeName = "__DEFAULT__"
        quotaDefaults = [
            .volumes: 10, .snapshots: 10, .gigabytes: 1_000, .backups: 10, .backupGigabytes: 1_000, .groups: 10,
            .perVolumeGigabytes: -1,
        ]
        snapshotsCountGigabytes = true
        overSubscriptionMax = 20
        reservedPercentage = 0
        guardsInstanceAttachments = false
        sweepSeconds = 60
        handshakeSecondsMax = 3_600
        targetPrefix = "iqn.2010-10.org.openstack:volume-"
        self.now = now
        self.randomBytes = randomBytes
    }

    /// The system's clock and randomness.
    package static func standard(host: String) -> VolumeConfiguration {
        VolumeConfiguration(
            host: host, now: { TimestampClock.systemTicks() * (1_000_000 / Timestamp.ticksPerSecond) },
            randomBytes: { count in
                var generator = SystemRandomNumberGenerator()
                return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            })
    }

    package var backends: [String] { [backend] + furtherBackends }
    package func backendHost(_ backend: String) -> String { "\(host)@\(backend)" }
    package func place(_ backend: String) -> String { "\(backendHost(backend))#\(pool)" }
    /// Of the first backend.
    package var place: String { place(backend) }
    package var places: [String] { backends.map(place) }
}
