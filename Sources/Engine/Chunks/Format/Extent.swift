/// Where one extent of stored bytes lies, and what proves it. 16 bytes in a map leaf.
///
/// Locator (u64): segment 32 bits | offset/512 17 | stored/512 - 1 8 | block in extent 5 (volumes) | 2 zero.
/// Tag (u64): the upper 61 bits of XXH3 over the stored bytes | lz4 1 | zero 1 | present 1.
package struct Extent: Sendable, Hashable {
    package var segment: UInt32
    /// A multiple of 512, below 64 MiB.
    package var offset: UInt32
    /// A multiple of 512, 512...131072: what is read and hashed, zero padding included.
    package var storedBytes: UInt32
    package var isLZ4: Bool
    /// XXH3 over the stored bytes, its low three bits cleared.
    package var tag: UInt64

    static let byteCount = 16
    static let tagMask: UInt64 = ~7
    static let presentFlag: UInt64 = 1
    static let zeroFlag: UInt64 = 2
    static let lz4Flag: UInt64 = 4

    package init(segment: UInt32, offset: UInt32, storedBytes: UInt32, isLZ4: Bool, tag: UInt64) {
        precondition(offset % 512 == 0 && storedBytes % 512 == 0 && storedBytes >= 512 && storedBytes <= 131_072)
        self.segment = segment
        self.offset = offset
        self.storedBytes = storedBytes
        self.isLZ4 = isLZ4
        self.tag = tag & Self.tagMask
    }

    var locator: UInt64 {
        UInt64(segment) | UInt64(offset / 512) << 32 | UInt64(storedBytes / 512 - 1) << 49
    }

    var taggedWord: UInt64 { tag | Self.presentFlag | (isLZ4 ? Self.lz4Flag : 0) }

    /// nil unless the two words are a present extent that this version may write.
    init?(locator: UInt64, taggedWord: UInt64) {
        guard taggedWord & Self.presentFlag != 0, taggedWord & Self.zeroFlag == 0, locator >> 57 == 0 else {
            return nil
        }
        segment = UInt32(truncatingIfNeeded: locator)
        offset = UInt32(truncatingIfNeeded: (locator >> 32) & 0x1FFFF) * 512
        storedBytes = (UInt32(truncatingIfNeeded: (locator >> 49) & 0xFF) + 1) * 512
        isLZ4 = taggedWord & Self.lz4Flag != 0
        tag = taggedWord & Self.tagMask
    }
}
