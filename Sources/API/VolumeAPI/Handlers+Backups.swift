import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static let backupRoutes: [Route] = [
        Route(.get, "backups", .reader, "backup:get_all") { h, c async throws(VolumeError) in
            try await h.listBackups(c, isDetailed: false)
        },
        Route(.post, "backups", .member, "backup:create") { h, c async throws(VolumeError) in
            try await h.createBackup(c)
        },
        Route(.get, "backups/detail", .reader, "backup:get_all") { h, c async throws(VolumeError) in
            try await h.listBackups(c, isDetailed: true)
        },
        Route(.post, "backups/import_record", .admin, "backup:backup-import") { h, c async throws(VolumeError) in
            try await h.importBackup(c)
        },
        Route(.get, "backups/*", .reader, "backup:get") { h, c async throws(VolumeError) in
            let detail = try await h.volumes.backup(c.arguments[0], for: c.asker)
            return .ok(.of(["backup": Views(c).backup(detail)]))
        },
        Route(.put, "backups/*", since: 9, .member, "backup:update") { h, c async throws(VolumeError) in
            try await h.updateBackup(c)
        },
        Route(.delete, "backups/*", .member, "backup:delete") { h, c async throws(VolumeError) in
            try await h.volumes.deleteBackup(c.arguments[0], force: false, for: c.asker)
            return .accepted
        },
        Route(.post, "backups/*/restore", .member, "backup:restore") { h, c async throws(VolumeError) in
            try await h.restoreBackup(c)
        },
        Route(.get, "backups/*/export_record", .admin, "backup:export-import") { h, c async throws(VolumeError) in
            let record = try await h.volumes.exportBackup(c.arguments[0], for: c.asker)
            return .ok(.of(["backup-record": Views.record(record)]))
        },
        Route(.post, "backups/*/action", .member, "backup:action") { h, c async throws(VolumeError) in
            try await h.act(c, BackupActions.all)
        },
    ]
}

/// `POST /backups/{id}/action`.
private enum BackupActions {
    static let all: [Action] = [
        Action("os-reset_status", .admin, "volume_extension:backup_admin_actions:reset_status") {
            h, c, id, body async throws(VolumeError) in
            try body.only(["status"])
            guard let status = try h.one("status", body, BackupStatus.init(rawValue:)) else {
                throw .invalid("'status' is a required property")
            }
            try await h.volumes.resetBackup(id, to: status, for: c.asker)
            return .accepted
        },
        Action("os-force_delete", .admin, "volume_extension:backup_admin_actions:force_delete", hasFields: false) {
            h, c, id, _ async throws(VolumeError) in
            try await h.volumes.deleteBackup(id, force: true, for: c.asker)
            return .accepted
        },
    ]
}

extension Handlers {
    func listBackups(_ call: Call, isDetailed: Bool) async throws(VolumeError) -> Reply {
        let views = Views(call)
        return try await list(
            call, ListRequest.backups, "backups", id: { $0.backup.id },
            view: { isDetailed ? views.backup($0) : views.summary($0, showsMetadata: false) },
            fetch: { query async throws(VolumeError) in
                try await volumes.backups(query, allProjects: call.wantsAllProjects, for: call.asker)
            })
    }

    func createBackup(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("backup")
        var known: Set<String> = [
            "volume_id", "container", "description", "incremental", "force", "name", "snapshot_id",
        ]
        if call.version.minor >= 43 { known.insert("metadata") }
        if call.version.minor >= 51 { known.insert("availability_zone") }
        try fields.only(known)
        let volumeID = try fields.requiredText("volume_id")
        guard Shape.isUUID(volumeID) else {
            throw .invalid("Invalid input for field/attribute volume_id. '\(volumeID)' is not a 'uuid'")
        }
        var request = BackupRequest(volumeID: volumeID)
        if let snapshotID = try fields.text("snapshot_id") {
            guard Shape.isUUID(snapshotID) else {
                throw .invalid("Invalid input for field/attribute snapshot_id. '\(snapshotID)' is not a 'uuid'")
            }
            request.snapshotID = snapshotID
        }
        request.name = try fields.text("name")
        request.description = try fields.text("description")
        request.container = try fields.text("container")
        request.isIncremental = try fields.bool("incremental") ?? false
        request.allowsInUse = try fields.bool("force") ?? false
        request.metadata = try fields.metadata("metadata") ?? [:]
        request.zone = try fields.text("availability_zone")
        let detail = try await volumes.createBackup(request, for: call.asker)
        return Reply(.accepted, .of(["backup": Views(call).summary(detail, showsMetadata: true)]))
    }

    func updateBackup(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("backup")
        var known: Set<String> = ["name", "description"]
        if call.version.minor >= 43 { known.insert("metadata") }
        try fields.only(known)
        guard !fields.names.isEmpty else {
            throw .invalid("Invalid input for field/attribute backup. Value: {} does not have enough properties")
        }
        let detail = try await volumes.updateBackup(
            call.arguments[0], name: try fields.change("name"), description: try fields.change("description"),
            metadata: try fields.metadata("metadata"), for: call.asker)
        return .ok(.of(["backup": Views(call).summary(detail, showsMetadata: true)]))
    }

    func restoreBackup(_ call: Call) async throws(VolumeError) -> Reply {
        let fields = try call.fields("restore").only(["volume_id", "name"])
        let volumeID = try fields.text("volume_id")
        if let volumeID, !Shape.isUUID(volumeID) {
            throw .invalid("Invalid input for field/attribute volume_id. '\(volumeID)' is not a 'uuid'")
        }
        let answer = try await volumes.restoreBackup(
            call.arguments[0], to: volumeID, name: try fields.text("name"), for: call.asker)
        return Reply(
            .accepted,
            .of([
                "restore": .of([
                    "backup_id": .string(answer.backupID), "volume_id": .string(answer.volumeID),
                    "volume_name": .string(answer.volumeName ?? ""),
                ])
            ]))
    }

    func importBackup(_ call: Call) async throws(VolumeError) -> Reply {
        let detail = try await volumes.importBackup(try backupRecord(call), for: call.asker)
        return Reply(.created, .of(["backup": Views(call).summary(detail, showsMetadata: false)]))
    }

    /// A record as `export_record` gave it, perhaps under another id.
    private func backupRecord(_ call: Call) throws(VolumeError) -> BackupRecord {
        let fields = try call.fields("backup-record").only(["backup_service", "backup_url"])
        let driver = try fields.requiredText("backup_service")
        let url = try fields.requiredText("backup_url", max: FaceLimits.bodyBytesMax)
        guard let bytes = Base64Text.decode(url), let json = JSONParser.parse(bytes),
            let backup = Backup(record: json)
        else { throw .invalid("Invalid input received: Can't parse backup record.") }
        var metadata: [String: String] = [:]
        if let given = json["metadata"], given != .null { metadata = try Shape.facts(given, "metadata") }
        return BackupRecord(driver: driver, backup: backup, metadata: metadata)
    }
}

extension Views {
    /// - Parameter showsMetadata: answers to a creation or a change have it where lists have not.
    func summary(_ detail: BackupDetail, showsMetadata: Bool) -> JSON {
        var view = JSON.of([
            "id": .string(detail.backup.id), "name": .text(detail.backup.name),
            "links": links("backups", detail.backup.id),
        ])
        if showsMetadata, version.minor >= 43 { view.add("metadata", Self.facts(detail.metadata)) }
        return view
    }

    func backup(_ detail: BackupDetail) -> JSON {
        let backup = detail.backup
        var view = JSON.of([
            "id": .string(backup.id), "status": .string(backup.status.rawValue), "size": Self.number(backup.size),
            "object_count": Self.number(backup.objectCount), "availability_zone": .string(backup.zone),
            "container": .string(backup.container), "created_at": Self.time(backup.createdAt),
            "updated_at": Self.time(backup.updatedAt), "name": .text(backup.name),
            "description": .text(backup.description), "fail_reason": .text(backup.failReason),
            "volume_id": .string(backup.volumeID), "links": links("backups", backup.id),
            "is_incremental": .bool(backup.parentID != nil), "has_dependent_backups": .bool(detail.hasDependents),
            "snapshot_id": .text(backup.snapshotID), "data_timestamp": Self.time(backup.dataTimestamp),
        ])
        if version.minor >= 18 { view.add("os-backup-project-attr:project_id", .string(backup.projectID)) }
        if version.minor >= 43 { view.add("metadata", Self.facts(detail.metadata)) }
        if version.minor >= 56 { view.add("user_id", .string(backup.userID)) }
        if version.minor >= 64, let key = backup.encryptionKeyID { view.add("encryption_key_id", .string(key)) }
        return view
    }

    /// What another cloud needs to know of a backup, as base64 of JSON.
    static func record(_ record: BackupRecord) -> JSON {
        let backup = record.backup
        let fields = JSON.of([
            "id": .string(backup.id), "user_id": .string(backup.userID), "project_id": .string(backup.storeProjectID),
            "volume_id": .string(backup.volumeID), "snapshot_id": .text(backup.snapshotID),
            "parent_id": .text(backup.parentID), "host": .string(backup.host),
            "availability_zone": .string(backup.zone), "container": .string(backup.container),
            "status": .string(backup.status.rawValue), "fail_reason": .text(backup.failReason),
            "size": number(backup.size), "display_name": .text(backup.name),
            "display_description": .text(backup.description), "service_metadata": .string(backup.prefix),
            "service": .string(record.driver), "object_count": number(backup.objectCount),
            "encryption_key_id": .text(backup.encryptionKeyID), "created_at": time(backup.createdAt),
            "updated_at": time(backup.updatedAt), "data_timestamp": time(backup.dataTimestamp),
            "metadata": facts(record.metadata), "driver_info": .object([]),
        ])
        return .of([
            "backup_service": .string(record.driver), "backup_url": .string(Base64Text.encode(fields.utf8)),
        ])
    }
}

extension Backup {
    /// nil unless it has all that a restore needs, within the bounds that a backup of ours has. Owner, place and state
    /// are the importing service's to say.
    fileprivate init?(record: JSON) {
        func text(_ key: String, max: Int = FaceLimits.textMax) -> String? {
            record[key]?.string.flatMap { $0.unicodeScalars.count <= max ? $0 : nil }
        }
        func number(_ key: String) -> Int? {
            guard case .number(let digits)? = record[key] else { return nil }
            return Int(digits)
        }
        guard let id = text("id"), Shape.isUUID(id), let volumeID = text("volume_id"), Shape.isUUID(volumeID),
            let projectID = text("project_id"), !projectID.isEmpty, let container = text("container"),
            !container.isEmpty, !container.utf8.contains(UInt8(ascii: "/")),
            container.utf8.count <= Limits.backupContainerMax, let size = number("size"),
            (1...Limits.sizeMax).contains(size), let prefix = text("service_metadata", max: 1_000), !prefix.isEmpty
        else { return nil }
        let parentID = text("parent_id")
        if let parentID, !Shape.isUUID(parentID) { return nil }
        let made = text("data_timestamp").flatMap { ShownTime.microseconds($0) }
        self.init(
            id: id, volumeID: volumeID, snapshotID: text("snapshot_id"), parentID: parentID,
            name: text("display_name"), description: text("display_description"), size: size, container: container,
            prefix: prefix, storeProjectID: projectID, objectCount: max(0, number("object_count") ?? 0),
            encryptionKeyID: text("encryption_key_id"), dataTimestamp: made ?? 0)
    }
}

/// Base64 with padding (RFC 4648 section 4), as records of backups travel.
enum Base64Text {
    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        out.reserveCapacity((bytes.count + 2) / 3 * 4)
        for at in stride(from: 0, to: bytes.count, by: 3) {
            let count = min(3, bytes.count - at)
            let word = (0..<3).reduce(UInt32(0)) { $0 << 8 | ($1 < count ? UInt32(bytes[at + $1]) : 0) }
            for place in 0..<4 {
                out.append(place <= count ? digits[Int(word >> UInt32(18 - 6 * place) & 63)] : UInt8(ascii: "="))
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// nil for anything but whole groups of four; ends of lines are passed over, as Python's encoder writes them.
    static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var word: UInt32 = 0
        var count = 0
        var padding = 0
        for byte in text.utf8 where byte != 0x0A && byte != 0x0D {
            let value: UInt32
            switch byte {
            case 0x41...0x5A: value = UInt32(byte - 0x41)
            case 0x61...0x7A: value = UInt32(byte - 0x61 + 26)
            case 0x30...0x39: value = UInt32(byte - 0x30 + 52)
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "="):
                padding += 1
                value = 0
            default: return nil
            }
            guard padding == 0 || byte == UInt8(ascii: "="), padding <= 2 else { return nil }
            word = word << 6 | value
            count += 1
            if count == 4 {
                let three = [UInt8(word >> 16 & 0xFF), UInt8(word >> 8 & 0xFF), UInt8(word & 0xFF)]
                out += three.prefix(3 - padding)
                word = 0
                count = 0
            }
        }
        return count == 0 ? out : nil
    }
}
