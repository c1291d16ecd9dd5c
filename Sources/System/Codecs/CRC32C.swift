import CCRC32

/// CRC-32C (Castagnoli), as iSCSI's digests and Btrfs use it.
package enum CRC32C {
    /// The checksum of the bytes; `seed` is the checksum of what came before them, 0 at the start, so that a
    /// stream is summed piece by piece. The processor's instruction where it has one, tables elsewhere.
    package static func checksum(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
        guard let start = bytes.baseAddress else { return seed }
        return apus_crc32c(start, bytes.count, seed)
    }
}
