private import Glibc

/// Whether memory holds nothing but zeros.
package enum Zeros {
    package static func fill(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress else { return true }
        // Each byte equals the one before it, and the first is zero: the C library compares by vectors.
        guard bytes.count > 0, bytes[0] == 0 else { return bytes.isEmpty }
        return memcmp(start, start + 1, bytes.count - 1) == 0
    }
}
