/// What a backup's `_metadata` object says: which objects hold which bytes of the volume, in the chunked format that
/// operators know from Cinder, so that names, places and this text can be recognised without this program.
///
/// Two things are our own, and others may pass over them: an object may hold several extents of the volume one behind
/// another (`extents`; with one extent it is Cinder's object exactly), and what an incremental backup found to be zeros
/// is said (`zeros`), not stored. The zeros of a backup come before its objects.
struct BackupManifest: Sendable, Equatable {
    struct Object: Sendable, Equatable {
        var name: String
        /// Ranges of the volume, in the order in which their bytes lie in the object.
        var extents: [Range<UInt64>]
        /// Of all the bytes, in hex.
        var sha256: String

        var length: UInt64 { extents.reduce(0) { $0 + UInt64($1.count) } }
    }

    /// The volume as it was, for whoever restores it.
    struct VolumeFacts: Sendable, Equatable {
        var name: String?
        var description: String?
        var bootable = false
        var typeID: String?
        var metadata: [String: String] = [:]
        var imageMetadata: [String: String] = [:]
    }

    var backupID: String
    var volumeID: String
    var parentID: String?
    var name: String?
    var description: String?
    var createdAt: String
    /// Of the volume.
    var bytes: UInt64
    var objects: [Object]
    var zeros: [Range<UInt64>]
    var volume: VolumeFacts

    static func name(prefix: String) -> String { prefix + "_metadata" }

    static func objectName(prefix: String, number: Int) -> String {
        let digits = String(number)
        return prefix + "-" + String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    /// Whether an object of that name is one of the backup's: names that merely begin alike are others'.
    static func owns(_ name: String, prefix: String) -> Bool {
        guard name.hasPrefix(prefix) else { return false }
        let rest = name.dropFirst(prefix.count)
        return rest == "_metadata" || rest.count > 1 && rest.first == "-" && rest.dropFirst().allSatisfy(\.isNumber)
    }

    // MARK: As text.

    var utf8: [UInt8] {
        func pair(_ range: Range<UInt64>) -> BackupText {
            .array([.number(Int64(range.lowerBound)), .number(Int64(range.count))])
        }
        let objects = objects.map { object in
            var facts: [(key: String, value: BackupText)] = [
                ("offset", .number(Int64(object.extents.first?.lowerBound ?? 0))),
                ("length", .number(Int64(object.length))), ("compression", .string("none")),
                ("sha256", .string(object.sha256)),
            ]
            if object.extents.count > 1 { facts.append(("extents", .array(object.extents.map(pair)))) }
            return BackupText.object([(object.name, .object(facts))])
        }
        return BackupText.object([
            ("version", .string("1.0.0")), ("backup_id", .string(backupID)), ("volume_id", .string(volumeID)),
            ("backup_name", .text(name)), ("backup_description", .text(description)),
            ("created_at", .string(createdAt)), ("volume_bytes", .number(Int64(bytes))), ("objects", .array(objects)),
            ("zeros", .array(zeros.map(pair))), ("parent_id", .text(parentID)),
            ("volume_meta", .string(String(decoding: volume.text.utf8, as: UTF8.self))),
        ]).utf8
    }

    /// nil if it is no manifest, or names bytes that the volume doesn't have: nothing of it is used then.
    init?(_ bytes: [UInt8], prefix: String) {
        guard let text = BackupText(bytes), let backup = text["backup_id"]?.string,
            let volume = text["volume_id"]?.string, let size = text["volume_bytes"]?.number,
            size > 0, size <= Int64(Limits.sizeMax) << 30, let objects = text["objects"]?.array
        else { return nil }
        backupID = backup
        volumeID = volume
        parentID = text["parent_id"]?.string
        name = text["backup_name"]?.string
        description = text["backup_description"]?.string
        createdAt = text["created_at"]?.string ?? ""
        self.bytes = UInt64(size)
        self.objects = []
        zeros = []
        self.volume = VolumeFacts(text["volume_meta"]?.string)
        for item in objects {
            guard let member = item.members?.first, item.members?.count == 1, Self.owns(member.key, prefix: prefix),
                let hash = member.value["sha256"]?.string, hash.utf8.count == 64,
                member.value["compression"]?.string == "none", let offset = member.value["offset"]?.number,
                let length = member.value["length"]?.number
            else { return nil }
            let listed = member.value["extents"]?.array ?? [.array([.number(offset), .number(length)])]
            let extents = listed.compactMap { Self.range($0, within: size) }
            let object = Object(name: member.key, extents: extents, sha256: hash)
            guard extents.count == listed.count, !extents.isEmpty, object.length == UInt64(length) else { return nil }
            self.objects.append(object)
        }
        for item in text["zeros"]?.array ?? [] {
            guard let range = Self.range(item, within: size) else { return nil }
            zeros.append(range)
        }
    }

    private static func range(_ text: BackupText, within size: Int64) -> Range<UInt64>? {
        guard let pair = text.array, pair.count == 2, let offset = pair[0].number, let length = pair[1].number,
            offset >= 0, length > 0, offset % 512 == 0, length % 512 == 0, offset < size, length <= size - offset
        else { return nil }
        return UInt64(offset)..<UInt64(offset + length)
    }

    init(
        backupID: String, volumeID: String, parentID: String?, name: String?, description: String?,
        createdAt: String, bytes: UInt64, objects: [Object], zeros: [Range<UInt64>], volume: VolumeFacts
    ) {
        self.backupID = backupID
        self.volumeID = volumeID
        self.parentID = parentID
        self.name = name
        self.description = description
        self.createdAt = createdAt
        self.bytes = bytes
        self.objects = objects
        self.zeros = zeros
        self.volume = volume
    }
}

extension BackupManifest.VolumeFacts {
    fileprivate var text: BackupText {
        func facts(_ facts: [String: String]) -> BackupText {
            .object(facts.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })
        }
        return .object([
            ("version", .number(2)),
            (
                "volume-base-metadata",
                .object([
                    ("display_name", .text(name)), ("display_description", .text(description)),
                    ("bootable", .bool(bootable)), ("volume_type_id", .text(typeID)),
                ])
            ),
            ("volume-metadata", facts(metadata)), ("volume-glance-metadata", facts(imageMetadata)),
        ])
    }

    /// What isn't understood is left out: the bytes are worth restoring without it.
    fileprivate init(_ text: String?) {
        self.init()
        guard let text, let value = BackupText(Array(text.utf8)) else { return }
        let base = value["volume-base-metadata"]
        name = base?["display_name"]?.string
        description = base?["display_description"]?.string
        bootable = base?["bootable"] == .bool(true)
        typeID = base?["volume_type_id"]?.string
        metadata = Self.facts(value["volume-metadata"])
        imageMetadata = Self.facts(value["volume-glance-metadata"])
    }

    private static func facts(_ text: BackupText?) -> [String: String] {
        var facts: [String: String] = [:]
        for member in (text?.members ?? []).prefix(Limits.metadataCountMax) {
            guard let value = member.value.string, member.key.unicodeScalars.count <= Limits.metadataKeyMax,
                value.unicodeScalars.count <= Limits.metadataValueMax
            else { continue }
            facts[member.key] = value
        }
        return facts
    }
}
