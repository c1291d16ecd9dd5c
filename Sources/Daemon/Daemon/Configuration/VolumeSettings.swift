package import Volumes

/// What the configuration says of volumes beside their listener.
package struct VolumeSettings: Sendable, Equatable {
    /// Empty: the system's own name.
    package var hostName: String
    package var furtherBackends: [String]
    package var backend: String
    package var pool: String
    package var zone: String
    package var defaultType: String
    package var quotas: [QuotaKind: Int]
    package var snapshotsCountGigabytes: Bool
    package var overSubscriptionMax: Int
    package var reservedPercent: Int
    package var guardsInstanceAttachments: Bool

    init(values: Values) throws(DaemonError) {
        hostName = try values.text("volume.host_name")
        backend = try values.text("volume.backend")
        furtherBackends = try values.text("volume.further_backends").split(separator: ",").map {
            String($0.filter { $0 != " " })
        }
        pool = try values.text("volume.pool")
        zone = try values.text("volume.availability_zone")
        defaultType = try values.text("volume.default_type")
        var quotas: [QuotaKind: Int] = [:]
        for kind in QuotaKind.plain { quotas[kind] = try values.number("volume.quota_\(kind.name)") }
        self.quotas = quotas
        snapshotsCountGigabytes = try values.flag("volume.snapshots_count_gigabytes")
        overSubscriptionMax = try values.number("volume.over_subscription_max")
        reservedPercent = try values.number("volume.reserved_percent")
        guardsInstanceAttachments = try values.flag("volume.guard_instance_attachments")
        guard Set(furtherBackends + [backend]).count == furtherBackends.count + 1, furtherBackends.count < 64 else {
            throw DaemonError(
                "volume.further_backends names a backend twice, or more than 63.", remedy: "Give each another name.")
        }
        let names = furtherBackends.map { ("further_backends", $0) }
        for (name, text) in [("backend", backend), ("pool", pool), ("host_name", hostName)] + names {
            guard Self.isPart(text) || name == "host_name" && text.isEmpty else {
                throw DaemonError(
                    "volume.\(name) is \"\(text)\".",
                    remedy: "It stands in host@backend#pool: up to 64 letters, digits, dots, dashes and underscores.")
            }
        }
        for (name, text) in [("availability_zone", zone), ("default_type", defaultType)] {
            guard (1...255).contains(text.unicodeScalars.count),
                text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f }),
                text.first?.isWhitespace == false, text.last?.isWhitespace == false
            else {
                throw DaemonError(
                    "volume.\(name) is \"\(text)\".",
                    remedy: "Give 1 to 255 characters, no control characters, and no blanks at the ends.")
            }
        }
    }

    private static func isPart(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
                default: false
                }
            }
    }

    /// - Parameter systemName: the name of this machine where none is configured.
    package func service(systemName: String) -> VolumeConfiguration {
        var service = VolumeConfiguration.standard(host: hostName.isEmpty ? systemName : hostName)
        service.backend = backend
        service.furtherBackends = furtherBackends
        service.pool = pool
        service.zone = zone
        service.defaultTypeName = defaultType
        service.quotaDefaults = quotas
        service.snapshotsCountGigabytes = snapshotsCountGigabytes
        service.overSubscriptionMax = Double(overSubscriptionMax)
        service.reservedPercentage = reservedPercent
        service.guardsInstanceAttachments = guardsInstanceAttachments
        return service
    }
}
