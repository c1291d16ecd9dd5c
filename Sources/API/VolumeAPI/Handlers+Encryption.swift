import ControlFace
import HTTPTypes
import Volumes

extension Routes {
    static let encryptionRoutes: [Route] = [
        Route(.get, "types/*/encryption", .admin, "volume_extension:volume_type_encryption:get") {
            h, c async throws(VolumeError) in
            let record = try await h.volumes.encryption(ofType: c.arguments[0])
            return .ok(record.map { Views(c).encryptionInFull($0) } ?? .object([]))
        },
        Route(.post, "types/*/encryption", .admin, "volume_extension:volume_type_encryption:create") {
            h, c async throws(VolumeError) in
            let fields = try c.fields("encryption").only(["provider", "control_location", "cipher", "key_size"])
            let record = try await h.volumes.createEncryption(
                ofType: c.arguments[0],
                EncryptionRequest(
                    provider: try fields.requiredText("provider"), cipher: try fields.text("cipher"),
                    keySize: try h.keySize(fields), controlLocation: try h.controlLocation(fields) ?? "front-end"))
            return .ok(.of(["encryption": Views(c).encryption(record)]))
        },
        Route(.get, "types/*/encryption/*", .admin, "volume_extension:volume_type_encryption:get") {
            h, c async throws(VolumeError) in
            let record = try await h.volumes.encryption(ofType: c.arguments[0])
            let key = c.arguments[1]
            guard let value = record.map({ Views(c).encryptionInFull($0) })?[key] else {
                throw .notFound(kind: "Volume type encryption", id: key)
            }
            return .ok(.object([.init(key: key, value: value)]))
        },
        Route(.put, "types/*/encryption/*", .admin, "volume_extension:volume_type_encryption:update") {
            h, c async throws(VolumeError) in
            let fields = try c.fields("encryption").only(["provider", "control_location", "cipher", "key_size"])
            guard !fields.names.isEmpty else { throw .invalid("Invalid input for field/attribute encryption.") }
            let keySize: Int?? = fields.has("key_size") ? .some(try h.keySize(fields)) : nil
            try await h.volumes.updateEncryption(
                ofType: c.arguments[0], c.arguments[1],
                provider: try fields.has("provider") ? fields.requiredText("provider") : nil,
                cipher: try fields.change("cipher"), keySize: keySize, controlLocation: try h.controlLocation(fields))
            return .ok(.of(["encryption": fields.value]))
        },
        Route(.delete, "types/*/encryption/*", .admin, "volume_extension:volume_type_encryption:delete") {
            h, c async throws(VolumeError) in
            try await h.volumes.deleteEncryption(ofType: c.arguments[0], c.arguments[1])
            return .accepted
        },
    ]
}

extension Handlers {
    func keySize(_ fields: Shape) throws(VolumeError) -> Int? {
        guard let size = try fields.integer("key_size") else { return nil }
        guard (0...Limits.sizeMax).contains(size) else { throw .invalid("key_size must be non-negative") }
        return size
    }

    func controlLocation(_ fields: Shape) throws(VolumeError) -> String? {
        guard let place = try fields.text("control_location") else { return nil }
        guard ["front-end", "back-end"].contains(place) else {
            throw .invalid("Valid control location are: ['front-end', 'back-end']")
        }
        return place
    }
}
