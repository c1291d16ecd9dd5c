/// Where one extent of stored bytes lies, and what proves it. 16 bytes in a map leaf.
package struct Extent: Sendable, Hashable {
    package var segment: UInt32
    /// A multiple of 512.
    package var offset: UInt32
    /// A multiple of 512, 512...131072: what is read and hashed, zero padding included.
    package var storedBytes: UInt32
    package var isLZ4: Bool
    /// The upper 61 bits of XXH3 over the stored bytes.
    package var tag: UInt64
}
