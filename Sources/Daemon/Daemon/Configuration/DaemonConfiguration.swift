package import Configuration
package import Identity

/// Everything the daemon is told, read once at start. `ConfigurationKey.all` documents the keys.
package struct DaemonConfiguration: Sendable, Equatable {
    package var dataFolder: String
    package var region: String
    /// Empty: each listener's own address.
    package var publicHost: String
    package var identity: ListenerSettings
    package var authority: AuthoritySettings
    package var object: ListenerSettings
    package var image: ListenerSettings
    package var images: ImageSettings
    package var volume: ListenerSettings
    package var volumes: VolumeSettings
    package var iscsi: ListenerSettings
    package var iscsiAllowsMD5: Bool
    /// nil: not served.
    package var metrics: ListenerSettings?
    package var reserveBytes: Int64
    package var capacityBytes: Int64?
    package var indexCopies: Int
    /// 0: as many as cores.
    package var objectEventLoops: Int
    /// 0: four per core.
    package var objectWorkThreads: Int
    package var tokenLifetimeSeconds: Int
    package var passwordRules: PasswordRules
    package var shutdownSeconds: Int
    package var logLevel: String

    package static let logLevels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]

    /// Reads every key of `ConfigurationKey.all` and checks its range; does not touch the system.
    package init(reader: ConfigReader) throws(DaemonError) {
        let values = Values(reader: reader)
        dataFolder = try values.text("data")
        region = try values.text("region")
        publicHost = try values.text("public_host")
        let shared = TLSFiles(certificate: try values.text("tls.certificate"), key: try values.text("tls.key"))
        identity = try ListenerSettings(name: "identity", values: values, sharedTLS: shared)
        authority = try AuthoritySettings(values: values)
        object = try ListenerSettings(name: "object", values: values, sharedTLS: shared)
        image = try ListenerSettings(name: "image", values: values, sharedTLS: shared)
        images = try ImageSettings(values: values)
        volume = try ListenerSettings(name: "volume", values: values, sharedTLS: shared)
        volumes = try VolumeSettings(values: values)
        iscsi = ListenerSettings(
            name: "iscsi", host: try values.text("iscsi.host"), port: try values.number("iscsi.port"), tls: nil,
            allowsPlaintext: try values.flag("iscsi.allow_plaintext"))
        iscsiAllowsMD5 = try values.flag("iscsi.allow_md5")
        if try values.flag("metrics.enabled") {
            metrics = ListenerSettings(
                name: "metrics", host: try values.text("metrics.host"), port: try values.number("metrics.port"),
                tls: nil, allowsPlaintext: try values.flag("metrics.allow_plaintext"))
        } else {
            metrics = nil
        }
        reserveBytes = Int64(try values.number("storage.reserve_bytes"))
        let capacity = try values.number("storage.capacity_bytes")
        capacityBytes = capacity == 0 ? nil : Int64(capacity)
        indexCopies = try values.number("storage.index_copies")
        objectEventLoops = try values.number("object.event_loops")
        objectWorkThreads = try values.number("object.work_threads")
        tokenLifetimeSeconds = try values.number("identity.token_lifetime_seconds")
        passwordRules = PasswordRules()
        passwordRules.lengthMin = try values.number("identity.password_length_min")
        passwordRules.history = try values.number("identity.password_history")
        passwordRules.daysMax = try values.number("identity.password_days_max")
        passwordRules.lockoutFailures = try values.number("identity.lockout_failures")
        passwordRules.lockoutSeconds = try values.number("identity.lockout_seconds")
        shutdownSeconds = try values.number("shutdown_seconds")
        logLevel = try values.text("log.level")
        guard Self.logLevels.contains(logLevel) else {
            throw DaemonError(
                "log.level is \"\(logLevel)\".", remedy: "Use one of " + Self.logLevels.joined(separator: ", ") + ".")
        }
        guard !region.isEmpty, region.utf8.count <= 255,
            region.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0 != "\"" && $0 != "'" && $0.value != 0x7f })
        else {
            throw DaemonError("region is empty, too long, or has blanks, quotes or control characters.")
        }
        guard publicHost.utf8.allSatisfy({ Self.isHostByte($0) }), publicHost.utf8.count <= 255 else {
            throw DaemonError(
                "public_host is \"\(publicHost)\".",
                remedy: "Give a host name or an address, without scheme, port or path.")
        }
    }

    /// The listeners that are switched on.
    package var listeners: [ListenerSettings] {
        (authority.isOutside ? [] : [identity]) + [object, image, volume, iscsi] + (metrics.map { [$0] } ?? [])
    }

    /// Refuses what would put a password or a token on a wire that others can read, and addresses that the
    /// catalog can't publish.
    package func checkListeners() throws(DaemonError) {
        for listener in listeners {
            try listener.check(publicHost: publicHost)
        }
        try authority.check()
        try images.check()
        let fixed = listeners.filter { $0.port != 0 }
        for (index, one) in fixed.enumerated() {
            for other in fixed[(index + 1)...] where one.port == other.port && one.host == other.host {
                throw DaemonError(
                    "\(one.name).port and \(other.name).port are both \(one.port).",
                    remedy: "Give each listener its own port.")
            }
        }
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: ":"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

/// Typed, range-checked access to the values behind `ConfigurationKey.all`. The reader's last source holds every
/// default (`ConfigurationSources`), so a `required` getter throws only for a value of the wrong type.
struct Values {
    let reader: ConfigReader
    private static let known = Dictionary(uniqueKeysWithValues: ConfigurationKey.all.map { ($0.name, $0.defaultValue) })

    func text(_ name: String) throws(DaemonError) -> String {
        precondition(Self.known[name] != nil, "\(name) is not in the table of keys")
        do {
            return try reader.requiredString(forKey: ConfigKey(name))
        } catch {
            throw wrongType(name, "a text")
        }
    }

    func number(_ name: String) throws(DaemonError) -> Int {
        guard case .number(_, let range)? = Self.known[name] else { preconditionFailure("\(name) is not a number key") }
        let given: Int
        do {
            given = try reader.requiredInt(forKey: ConfigKey(name))
        } catch {
            throw wrongType(name, "a whole number")
        }
        guard range.contains(given) else {
            throw DaemonError(
                "\(name) is \(given).", remedy: "It must lie between \(range.lowerBound) and \(range.upperBound).")
        }
        return given
    }

    func flag(_ name: String) throws(DaemonError) -> Bool {
        precondition(Self.known[name] != nil, "\(name) is not in the table of keys")
        do {
            return try reader.requiredBool(forKey: ConfigKey(name))
        } catch {
            throw wrongType(name, "true or false")
        }
    }

    private func wrongType(_ name: String, _ kind: String) -> DaemonError {
        DaemonError("\(name) has a value of the wrong type.", remedy: "It must be \(kind).")
    }
}
