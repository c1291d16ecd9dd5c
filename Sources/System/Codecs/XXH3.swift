import CXXHash

/// XXH3-64 keyed with a secret, the checksum of everything the log holds.
package enum XXH3 {
    /// 64-bit XXH3 of the bytes under the secret (xxHash's `XXH3_64bits_withSecret`); AVX2 where the CPU has it.
    ///
    /// Neither allocates nor copies.
    package static func hash(_ bytes: UnsafeRawBufferPointer, _ secret: HashSecret) -> UInt64 {
        secret.bytes.withUnsafeBytes { key in
            // Without bytes any address will do: none is read.
            apus_xxh3_64(bytes.baseAddress ?? key.baseAddress!, bytes.count, key.baseAddress!)
        }
    }
}

/// The 192 bytes that key a store's hashes: random per store, so that nobody who stores data can forge a
/// group header inside it.
package struct HashSecret: Sendable, Hashable {
    package static let byteCount = 192
    package let bytes: [UInt8]

    /// - Precondition: exactly `byteCount` bytes.
    package init(_ bytes: [UInt8]) {
        precondition(bytes.count == Self.byteCount, "a hash secret has \(Self.byteCount) bytes")
        self.bytes = bytes
    }
}

extension HashSecret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "<secret>" }
    package var debugDescription: String { "<secret>" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
