private import Crypto
private import CryptoExtras
import Primitives

/// Sealed messages of the Fernet form: `0x80`, the time (8 bytes, big-endian seconds), an IV of 16, AES-128-CBC with
/// PKCS#7 padding, and HMAC-SHA256 over all of that; as URL-safe base64 without padding.
enum Fernet {
    /// 16 bytes that sign and 16 that encrypt.
    struct Key: Sendable {
        let signing: [UInt8]
        let encryption: [UInt8]

        /// From 32 bytes; nil for any other length.
        init?(bytes: [UInt8]) {
            guard bytes.count == 32 else { return nil }
            signing = Array(bytes[..<16])
            encryption = Array(bytes[16...])
        }

        /// From a key file's line: base64 of 32 bytes.
        init?(text: String) {
            guard let bytes = Base64.decodeURL(text.utf8) else { return nil }
            self.init(bytes: bytes)
        }
    }

    struct Opened: Equatable {
        let payload: [UInt8]
        let time: UInt64
    }

    private static let headBytes = 1 + 8 + 16
    private static let macBytes = 32

    /// - Parameter iv: 16 bytes that no other token under this key has.
    static func seal(_ payload: [UInt8], key: Key, time: UInt64, iv: [UInt8]) throws(IdentityError) -> String {
        var message: [UInt8] = [0x80]
        for shift in stride(from: UInt64(56), through: 0, by: -8) {
            message.append(UInt8(truncatingIfNeeded: time >> shift))
        }
        message += iv
        do {
            message += try AES._CBC.encrypt(
                payload, using: SymmetricKey(data: key.encryption), iv: AES._CBC.IV(ivBytes: iv))
        } catch {
            throw .cryptography("AES-CBC refused to encrypt")
        }
        let mac = HMAC<SHA256>.authenticationCode(for: message, using: SymmetricKey(data: key.signing))
        return Base64.encodeURL(message + Array(mac), padded: false)
    }

    /// What the token holds, if one of the keys signed it; nothing of it is looked at before that is known.
    static func open(_ token: String, keys: [Key]) -> Opened? {
        guard token.utf8.count <= Limits.tokenBytesMax, let message = Base64.decodeURL(token.utf8),
            message.count >= headBytes + 16 + macBytes, (message.count - headBytes - macBytes) % 16 == 0,
            message[0] == 0x80
        else { return nil }
        let signed = Array(message[..<(message.count - macBytes)])
        let mac = Array(message[(message.count - macBytes)...])
        for key in keys {
            let expected = HMAC<SHA256>.authenticationCode(for: signed, using: SymmetricKey(data: key.signing))
            guard constantTimeEquals(Array(expected), mac) else { continue }
            return decrypt(signed, key: key)
        }
        return nil
    }

    private static func decrypt(_ signed: [UInt8], key: Key) -> Opened? {
        var time: UInt64 = 0
        for byte in signed[1..<9] { time = time << 8 | UInt64(byte) }
        do {
            let payload = try AES._CBC.decrypt(
                Array(signed[headBytes...]), using: SymmetricKey(data: key.encryption),
                iv: AES._CBC.IV(ivBytes: signed[9..<headBytes]))
            return Opened(payload: Array(payload), time: time)
        } catch {
            return nil
        }
    }
}
