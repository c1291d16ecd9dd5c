private import Codecs
package import Primitives

/// The 16-byte hash of an account's, container's or object's path, which decides where it lives.
package struct PathHash: Sendable, Hashable, CustomStringConvertible {
    private let high: UInt64
    private let low: UInt64

    /// - Precondition: exactly 16 bytes.
    package init(_ bytes: [UInt8]) {
        precondition(bytes.count == 16, "a path hash has 16 bytes")
        high = bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes[8...].reduce(0) { $0 << 8 | UInt64($1) }
    }

    package var bytes: [UInt8] {
        (0..<16).map { index in
            UInt8(truncatingIfNeeded: (index < 8 ? high : low) >> UInt64(56 - 8 * (index & 7)))
        }
    }

    /// 32 lower-case hex digits.
    package var hex: String { Hex.encode(bytes) }
    package var description: String { hex }

    /// The last three hex digits: the folder that replication compares as a whole.
    package var suffix: String { String(hex.suffix(3)) }

    /// The partition among `2^partPower`: the topmost bits.
    package func partition(partPower: Int) -> Int {
        precondition(0...32 ~= partPower, "part power out of range")
        return Int(high >> 32) >> (32 - partPower)
    }
}

/// Hashes paths under the cluster's secret prefix and suffix.
///
/// The two must never change once data has been placed by them: nothing would be found again.
package struct RingHasher: Sendable {
    private let prefix: Secret
    private let suffix: Secret

    /// At least one of the two must not be empty.
    package init(prefix: Secret, suffix: Secret) throws(RingError) {
        guard !prefix.bytes.isEmpty || !suffix.bytes.isEmpty else { throw .hashSecretMissing }
        self.prefix = prefix
        self.suffix = suffix
    }

    package func hash(account: Bytes) -> PathHash {
        hash(account, nil, nil)
    }

    package func hash(account: Bytes, container: Bytes) -> PathHash {
        hash(account, container, nil)
    }

    package func hash(account: Bytes, container: Bytes, object: Bytes) -> PathHash {
        hash(account, container, object)
    }

    private func hash(_ account: Bytes, _ container: Bytes?, _ object: Bytes?) -> PathHash {
        var text = [UInt8]()
        text.reserveCapacity(
            prefix.bytes.count + account.count + (container?.count ?? 0) + (object?.count ?? 0) + suffix.bytes.count + 3
        )
        text += prefix.bytes
        for part in [account, container, object] {
            guard let part else { break }
            text.append(UInt8(ascii: "/"))
            text += part.storage
        }
        text += suffix.bytes
        return PathHash(unsafe text.withUnsafeBytes { unsafe MD5.hash($0) }.bytes)
    }
}
