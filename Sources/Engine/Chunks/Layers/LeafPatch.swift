import Primitives

/// What the log has done to one leaf of a layer's map since the index was written, or the leaf was trimmed: entries for some
/// of its 256 blocks. Applying it twice is applying it once.
struct LeafPatch: Sendable {
    /// Sorted by block.
    private(set) var entries: [(block: UInt8, entry: MapEntry)] = []

    mutating func set(_ block: Int, _ entry: MapEntry) {
        let block = UInt8(block)
        if entries.isEmpty || entries[entries.count - 1].block < block {
            entries.append((block, entry))
            return
        }
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].block < block { low = middle + 1 } else { high = middle }
        }
        if low < entries.count, entries[low].block == block {
            entries[low].entry = entry
        } else {
            entries.insert((block, entry), at: low)
        }
    }

    func apply(to leaf: inout Leaf) {
        for (block, entry) in entries { leaf[Int(block)] = entry }
    }
}

/// One leaf of a layer's map, all of its 256 entries: 1 MiB of the layer.
struct Leaf: Sendable, Hashable {
    private var entries: [MapEntry]

    static let blocks = Limits.leafEntries

    static func whole(_ entry: MapEntry) -> Leaf {
        Leaf(entries: Array(repeating: entry, count: blocks))
    }

    private init(entries: [MapEntry]) { self.entries = entries }

    subscript(block: Int) -> MapEntry {
        get { entries[block] }
        set { entries[block] = newValue }
    }

    var isAbsent: Bool { entries.allSatisfy { !$0.isPresent } }
    var isComplete: Bool { entries.allSatisfy(\.isPresent) }

    /// Fills what is absent from an older layer's leaf.
    mutating func fill(from older: Leaf) {
        for block in 0..<Self.blocks where !entries[block].isPresent { entries[block] = older.entries[block] }
    }

    func copy(_ range: Range<Int>, into out: inout [MapEntry]) { out.append(contentsOf: entries[range]) }

    // MARK: As the index keeps it

    private static let wholeZero: UInt8 = 1
    private static let sparse: UInt8 = 0

    private static let headBytes = 1 + blocks / 8

    // Straight from and to memory: each checkpoint decodes and encodes every leaf that was written to.

    /// A kind, a bitmap of the blocks that are present, their entries in order: a leaf with one block is 49 bytes.
    func encoded() -> [UInt8] {
        if entries.allSatisfy({ $0 == .zero }) { return [Self.wholeZero] }
        let count = entries.reduce(0) { $0 + ($1.isPresent ? 1 : 0) }
        let total = Self.headBytes + count * MapEntry.byteCount
        return [UInt8](unsafeUninitializedCapacity: total) { buffer, used in
            let out = UnsafeMutableRawBufferPointer(buffer)
            out[0] = Self.sparse
            var at = Self.headBytes
            for word in 0..<4 {
                var bits: UInt64 = 0
                for bit in 0..<64 {
                    let entry = entries[word * 64 + bit]
                    guard entry.isPresent else { continue }
                    bits |= 1 << UInt64(bit)
                    out.storeBytes(of: entry.locator.littleEndian, toByteOffset: at, as: UInt64.self)
                    out.storeBytes(of: entry.word.littleEndian, toByteOffset: at + 8, as: UInt64.self)
                    at += MapEntry.byteCount
                }
                out.storeBytes(of: bits.littleEndian, toByteOffset: 1 + 8 * word, as: UInt64.self)
            }
            used = total
        }
    }

    init(_ bytes: [UInt8]) throws(ChunkError) {
        if bytes == [Self.wholeZero] {
            self = .whole(.zero)
            return
        }
        guard bytes.first == Self.sparse else { throw .corruptIndex("a leaf of a kind not known") }
        guard bytes.count >= Self.headBytes else { throw .corruptIndex("a leaf that cannot be decoded") }
        var entries = Array(repeating: MapEntry.absent, count: Self.blocks)
        var end = Self.headBytes
        let isUnderstood = bytes.withUnsafeBytes { bytes in
            func integer(_ at: Int) -> UInt64 {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            }
            for word in 0..<4 {
                var bits = integer(1 + 8 * word)
                while bits != 0 {
                    let block = word * 64 + bits.trailingZeroBitCount
                    bits &= bits - 1
                    end += MapEntry.byteCount
                    guard end <= bytes.count else { return true }
                    let entry = MapEntry(locator: integer(end - 16), word: integer(end - 8))
                    guard entry.isPresent, entry.isSound else { return false }
                    entries[block] = entry
                }
            }
            return true
        }
        guard isUnderstood else { throw .corruptIndex("a map entry that is not understood") }
        guard end == bytes.count else { throw .corruptIndex("a leaf that cannot be decoded") }
        self.entries = entries
    }
}
