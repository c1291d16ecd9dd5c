import VolumeDrivers

/// Whether the backend takes a volume: its capacity, and what the type's specs ask of it.
struct Placement: Sendable {
    let traits: DriverTraits
    let statistics: DriverStatistics
    /// GiB of all volumes, this one not included.
    let provisioned: Int
    let configuration: VolumeConfiguration
    let backend: String

    /// Why the backend does not take it; nil if it does.
    func refusal(size: Int, specs: [String: String]) -> String? {
        let total = Double(statistics.totalBytes) / 1_073_741_824
        let reserved = total * Double(configuration.reservedPercentage) / 100
        let free = Double(statistics.freeBytes) / 1_073_741_824 - reserved
        if traits.isThin {
            // What the volume may come to hold is promised, not taken: only the promise is bounded.
            let usable = total - reserved
            if usable <= 0 || Double(provisioned + size) / usable > configuration.overSubscriptionMax {
                return "\(provisioned + size) GiB would be promised of \(Int(usable)) GiB"
            }
        } else if free < Double(size) {
            return "\(Int(free)) GiB are free"
        }
        for (key, wanted) in specs.sorted(by: { $0.key < $1.key }) {
            guard let name = Self.capability(key) else { continue }
            guard let offered = capabilities[name], Self.satisfies(offered, wanted) else {
                return "the backend does not offer \(name) \(wanted)"
            }
        }
        return nil
    }

    /// What the backend offers, by the names that specs use.
    var capabilities: [String: String] {
        [
            "volume_backend_name": backend, "storage_protocol": traits.storageProtocol,
            "vendor_name": configuration.vendor, "driver_version": traits.version, "pool_name": configuration.pool,
            "thin_provisioning_support": traits.isThin ? "True" : "False",
            "multiattach": traits.supportsMultiattach ? "True" : "False", "qos_support": "True", "QoS_support": "True",
            "consistent_group_snapshot_enabled": traits.snapshotsTogether ? "True" : "False",
        ]
    }

    /// The capability that a spec is about; nil for specs that are for others (a prefix of their own).
    private static func capability(_ key: String) -> String? {
        guard let colon = key.firstIndex(of: ":") else { return key }
        return key[..<colon] == "capabilities" ? String(key[key.index(after: colon)...]) : nil
    }

    /// `wanted` as types' specs write it: `<is> True`, `<in> text`, `<or> a <or> b`, `>= 5`, `s== text`, or the text.
    static func satisfies(_ offered: String, _ wanted: String) -> Bool {
        let words = wanted.split(separator: " ")
        guard let first = words.first else { return offered.isEmpty }
        let rest = words.dropFirst().joined(separator: " ")
        switch first {
        case "<is>": return isTrue(offered) == isTrue(rest)
        case "<in>": return !rest.isEmpty && offered.contains(rest)
        case "<or>":
            return words.split(separator: "<or>").contains { $0.joined(separator: " ") == offered }
        case "s==": return offered == rest
        case "s!=": return offered != rest
        case "s<": return offered < rest
        case "s<=": return offered <= rest
        case "s>": return offered > rest
        case "s>=": return offered >= rest
        case "=", ">=": return compare(offered, rest) { $0 >= $1 }
        case "<=": return compare(offered, rest) { $0 <= $1 }
        case "==": return compare(offered, rest) { $0 == $1 }
        case "!=": return compare(offered, rest) { $0 != $1 }
        default:
            return offered == wanted || isBoolean(offered) && isBoolean(wanted) && isTrue(offered) == isTrue(wanted)
        }
    }

    private static func compare(_ a: String, _ b: String, _ holds: (Double, Double) -> Bool) -> Bool {
        guard let a = Double(a), let b = Double(b) else { return false }
        return holds(a, b)
    }

    private static func isBoolean(_ text: String) -> Bool { ["true", "false"].contains(text.lowercased()) }
    static func isTrue(_ text: String) -> Bool { ["true", "1", "yes", "on", "t", "y"].contains(text.lowercased()) }
}

extension VolumeType {
    /// The specs' promise that several hosts may use one volume.
    package var isMultiattach: Bool {
        guard let wanted = extraSpecs["multiattach"], wanted.hasPrefix("<is>") else { return false }
        return Placement.satisfies("True", wanted)
    }

    /// 512 unless `apus:block_bytes` says otherwise.
    var blockBytes: Int { extraSpecs["apus:block_bytes"].flatMap { Int($0) } ?? 512 }

    /// Off unless `apus:write_cache` is true.
    var writeCache: Bool {
        extraSpecs["apus:write_cache"].map { Placement.isTrue($0.replacing("<is> ", with: "")) } ?? false
    }
}
