import GRDB

package struct EncryptionRequest: Sendable {
    package var provider: String
    package var cipher: String?
    package var keySize: Int?
    package var controlLocation: String

    package init(provider: String, cipher: String?, keySize: Int?, controlLocation: String) {
        self.provider = provider
        self.cipher = cipher
        self.keySize = keySize
        self.controlLocation = controlLocation
    }
}

extension VolumeService {
    package func encryption(ofType id: String) async throws(VolumeError) -> EncryptionRecord? {
        try await read { db in
            _ = try Self.existingType(db, id)
            return try Lookups.encryption(db, typeID: id)
        }
    }

    package func createEncryption(
        ofType id: String, _ request: EncryptionRequest
    ) async throws(VolumeError) -> EncryptionRecord {
        let (encryptionID, now) = (newID(), now)
        return try await write { db in
            _ = try Self.existingType(db, id)
            guard try Lookups.encryption(db, typeID: id) == nil else {
                throw VolumeError.invalid("Volume type encryption for type \(id) already exists.")
            }
            try Self.checkEncryptable(db, id)
            let record = EncryptionRecord(
                id: encryptionID, typeID: id, provider: request.provider, cipher: request.cipher,
                keySize: request.keySize, controlLocation: request.controlLocation, createdAt: now)
            try Table.insert(
                db, "volume_encryptions",
                [
                    "id": record.id, "type_id": id, "provider": record.provider, "cipher": record.cipher,
                    "key_size": record.keySize, "control_location": record.controlLocation, "created_at": now,
                    "updated_at": nil,
                ])
            return record
        }
    }

    /// Fields that are nil stay.
    package func updateEncryption(
        ofType id: String, _ encryptionID: String, provider: String?, cipher: String??, keySize: Int??,
        controlLocation: String?
    ) async throws(VolumeError) {
        let now = now
        try await write { db in
            let old = try Self.existingEncryption(db, id, encryptionID)
            try Self.checkEncryptable(db, id)
            try Table.update(
                db, "volume_encryptions",
                [
                    "provider": provider ?? old.provider, "cipher": cipher ?? old.cipher,
                    "key_size": keySize ?? old.keySize, "control_location": controlLocation ?? old.controlLocation,
                    "updated_at": now,
                ], where: "type_id = ?", [id])
        }
    }

    package func deleteEncryption(ofType id: String, _ encryptionID: String) async throws(VolumeError) {
        try await write { db in
            _ = try Self.existingEncryption(db, id, encryptionID)
            try Self.checkEncryptable(db, id)
            try Table.delete(db, "volume_encryptions", where: "type_id = ?", [id])
        }
    }

    private static func existingEncryption(_ db: Database, _ id: String, _ encryptionID: String) throws
        -> EncryptionRecord
    {
        _ = try existingType(db, id)
        guard let record = try Lookups.encryption(db, typeID: id), record.id == encryptionID else {
            throw VolumeError.notFound(kind: "Volume type encryption for type", id: id)
        }
        return record
    }

    /// What volumes of a type are is said before there are any.
    private static func checkEncryptable(_ db: Database, _ id: String) throws {
        guard try Table.count(db, "SELECT COUNT(*) FROM volumes WHERE type_id = ?", [id]) == 0 else {
            throw VolumeError.invalid("Cannot create, update or delete encryption specs. Volume type is in use.")
        }
    }
}
