import Primitives

/// What the log has done to one leaf of a layer's map since the index was written, or the leaf was trimmed: entries for some
/// of its 256 blocks. Applying it twice is applying it once.
struct LeafPatch: Sendable {
    /// Sorted by block.
    private(set) var entries: [(block: UInt8, entry: MapEntry)] = []

    mutating func set(_ block: Int, _ entry: MapEntry) {
        let block = UInt8(block)
        if let last = entries.last, last.block < block {
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

    /// A kind, a bitmap of the blocks that are present, their entries in order: a leaf with one block is 49 bytes.
    func encoded() -> [UInt8] {
        if entries.allSatisfy({ $0 == .zero }) { return [Self.wholeZero] }
        var writer = ByteWriter(reserving: 33 + Self.blocks * MapEntry.byteCount)
        writer.put(Self.sparse)
        for word in 0..<4 {
            var bits: UInt64 = 0
            for bit in 0..<64 where entries[word * 64 + bit].isPresent { bits |= 1 << UInt64(bit) }
            writer.put(bits)
        }
        for entry in entries where entry.isPresent {
            writer.put(entry.locator)
            writer.put(entry.word)
        }
        return writer.bytes
    }

    init(_ bytes: [UInt8]) throws(ChunkError) {
        if bytes == [Self.wholeZero] {
            self = .whole(.zero)
            return
        }
        var reader = ByteReader(bytes)
        guard reader.get(UInt8.self) == Self.sparse else { throw .corruptIndex("a leaf of a kind not known") }
        let words = (0..<4).map { _ in reader.get(UInt64.self) }
        var entries = Array(repeating: MapEntry.absent, count: Self.blocks)
        for block in 0..<Self.blocks where words[block / 64] >> UInt64(block % 64) & 1 != 0 {
            let entry = MapEntry(locator: reader.get(UInt64.self), word: reader.get(UInt64.self))
            guard entry.isPresent, entry.isSound else { throw .corruptIndex("a map entry that is not understood") }
            entries[block] = entry
        }
        guard reader.isComplete else { throw .corruptIndex("a leaf that cannot be decoded") }
        self.entries = entries
    }
}
