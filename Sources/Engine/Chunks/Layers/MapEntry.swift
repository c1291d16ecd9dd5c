/// Where one 4 KiB block of a layer lies: 16 bytes of a map leaf (see Format.md, "Map leaf").
///
/// `locator` names the whole extent and, in bits 57 to 61, which block of it this is. `word` carries what proves the
/// bytes: of a raw extent the tag of this one block, so that one exact read verifies; of an lz4 extent the tag of all
/// that is stored. All zero: the layer says nothing of the block.
struct MapEntry: Sendable, Hashable {
    var locator: UInt64
    var word: UInt64

    static let byteCount = 16
    static let absent = MapEntry(locator: 0, word: 0)
    /// The block reads as zeros, whatever older layers hold.
    static let zero = MapEntry(locator: 0, word: Extent.presentFlag | Extent.zeroFlag)

    init(locator: UInt64, word: UInt64) {
        self.locator = locator
        self.word = word
    }

    init(_ extent: Extent, block: Int) {
        precondition(block >= 0 && block < Limits.extentBlocksMax)
        locator = extent.locator | UInt64(block) << Self.blockShift
        word = extent.taggedWord
    }

    var isPresent: Bool { word & Extent.presentFlag != 0 }
    var isZero: Bool { word & Extent.zeroFlag != 0 }

    /// nil for a block without bytes of its own, and for what no version of ours wrote.
    var extent: Extent? { Extent(locator: locator & Self.extentMask, taggedWord: word) }
    var block: Int { Int(locator >> Self.blockShift & 31) }

    /// Whether `self` is one of the states that a sound leaf may hold.
    var isSound: Bool {
        if self == .absent || self == .zero { return true }
        guard locator >> 62 == 0, let extent else { return false }
        return extent.isLZ4
            ? block < Limits.compressionUnitBlocks : (block + 1) * Limits.volumeBlockBytes <= Int(extent.storedBytes)
    }

    /// The same entry, its extent further on: for what was encoded before its place in the log was known.
    ///
    /// - Precondition: the entry's own segment is 0, and both offsets together are within a segment.
    func placed(segment: UInt32, base: UInt32) -> MapEntry {
        guard isPresent, !isZero else { return self }
        return MapEntry(locator: locator + (UInt64(segment) | UInt64(base / 512) << 32), word: word)
    }

    private static let blockShift: UInt64 = 57
    private static let extentMask: UInt64 = 1 << 57 - 1
}
