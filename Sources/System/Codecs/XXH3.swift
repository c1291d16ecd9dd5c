import CXXHash

/// XXH3-64 keyed with a secret, the checksum of everything the log holds.
package enum XXH3 {
    /// 64-bit XXH3 of the bytes under the secret (xxHash's `XXH3_64bits_withSecret`); AVX2 where the CPU has it.
    package static func hash(_ bytes: UnsafeRawBufferPointer, _ secret: HashSecret) -> UInt64 {
        fatalError("to come")
    }
}

/// The 192 bytes that key a store's hashes: random per store, so that nobody who stores data can forge a
/// group header inside it.
package struct HashSecret: Sendable, Hashable {
    package static let byteCount = 192
    package let bytes: [UInt8]

    /// - Precondition: exactly `byteCount` bytes.
    package init(_ bytes: [UInt8]) {
        precondition(bytes.count == Self.byteCount)
        self.bytes = bytes
    }
}
