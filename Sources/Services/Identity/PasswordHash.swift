private import CryptoExtras
import Primitives

private import struct Crypto.SymmetricKey

/// What one password hash costs: scrypt's N = 2^log2N, r and p. 128·r·N bytes of memory while it runs.
package struct PasswordCost: Sendable, Equatable {
    package let log2N: Int
    package let r: Int
    package let p: Int

    package init(log2N: Int, r: Int, p: Int) {
        self.log2N = log2N
        self.r = r
        self.p = p
    }

    /// 32 MiB and about a tenth of a second.
    package static let standard = PasswordCost(log2N: 15, r: 8, p: 1)

    /// A hash that names more than this was not made here, and must not make the daemon swap.
    var isBounded: Bool { (1...20).contains(log2N) && (1...32).contains(r) && (1...16).contains(p) && r * p < 1 << 10 }
}

/// A scrypt hash as text, parameters included: `$scrypt$ln=15,r=8,p=1${salt}${hash}`, plain base64 without padding
/// (the form that passlib, and with it other identity services, reads and writes).
struct PasswordHash: Equatable {
    let cost: PasswordCost
    let salt: [UInt8]
    let digest: [UInt8]

    /// Slow by design.
    init(
        password: Secret, cost: PasswordCost, randomBytes: (Int) -> [UInt8]
    ) throws(IdentityError) {
        self.cost = cost
        salt = randomBytes(16)
        digest = try Self.derive(password, cost: cost, salt: salt, byteCount: 32)
    }

    /// nil unless the text has exactly this form and its parameters are within bounds.
    init?(text: String) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 5, parts[0].isEmpty, parts[1] == "scrypt" else { return nil }
        let parameters = parts[2].split(separator: ",", omittingEmptySubsequences: false)
        guard parameters.count == 3,
            let log2N = Self.number(parameters[0], after: "ln="),
            let r = Self.number(parameters[1], after: "r="),
            let p = Self.number(parameters[2], after: "p="),
            let salt = Base64.decodePlain(parts[3].utf8), let digest = Base64.decodePlain(parts[4].utf8)
        else { return nil }
        cost = PasswordCost(log2N: log2N, r: r, p: p)
        guard cost.isBounded, (8...64).contains(salt.count), (16...64).contains(digest.count) else { return nil }
        self.salt = salt
        self.digest = digest
    }

    var text: String {
        let parameters = "ln=\(cost.log2N),r=\(cost.r),p=\(cost.p)"
        return "$scrypt$\(parameters)$\(Base64.encodePlain(salt, padded: false))"
            + "$\(Base64.encodePlain(digest, padded: false))"
    }

    /// Slow by design; the comparison's time says nothing of where the two differ.
    func matches(_ password: Secret) throws(IdentityError) -> Bool {
        let candidate = try Self.derive(password, cost: cost, salt: salt, byteCount: digest.count)
        return constantTimeEquals(candidate, digest)
    }

    private static func derive(
        _ password: Secret, cost: PasswordCost, salt: [UInt8], byteCount: Int
    ) throws(IdentityError) -> [UInt8] {
        // The library wants a pointer to at least one byte, so no password may be empty here.
        guard cost.isBounded, !password.bytes.isEmpty else { throw .cryptography("scrypt: parameters out of bounds") }
        let n = 1 << cost.log2N
        let key: SymmetricKey
        do {
            key = try KDF.Scrypt.deriveKey(
                from: password.bytes, salt: salt, outputByteCount: byteCount, rounds: n, blockSize: cost.r,
                parallelism: cost.p, maxMemory: 128 * cost.r * (n + cost.p + 2) + 65_536)
        } catch {
            throw .cryptography("scrypt failed")
        }
        return unsafe key.withUnsafeBytes { unsafe Array($0) }
    }

    private static func number(_ text: Substring, after prefix: String) -> Int? {
        guard text.hasPrefix(prefix) else { return nil }
        let digits = text.dropFirst(prefix.count)
        guard !digits.isEmpty, digits.count <= 4, digits.allSatisfy(\.isNumber) else { return nil }
        return Int(digits)
    }
}
