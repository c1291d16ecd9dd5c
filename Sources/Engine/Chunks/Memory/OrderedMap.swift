/// A dictionary that also keeps its keys in order: two levels of sorted arrays beside a hash table.
///
/// Insertion moves at most one block (`blockMax` keys); lookup is one hash probe. Made for overlays of up to
/// some 100,000 keys, where a tree's pointers would cost more memory than its balance is worth.
struct OrderedMap<Key: Hashable & Comparable & Sendable, Value: Sendable>: Sendable {
    private static var blockMax: Int { 512 }

    private(set) var values: [Key: Value] = [:]
    private var blocks: [[Key]] = []

    var count: Int { values.count }
    var isEmpty: Bool { values.isEmpty }

    subscript(_ key: Key) -> Value? { values[key] }

    mutating func set(_ key: Key, _ value: Value) {
        if values.updateValue(value, forKey: key) == nil { insertKey(key) }
    }

    /// Changes the value in place, starting from `initial` when it is absent.
    mutating func update(_ key: Key, default initial: @autoclosure () -> Value, _ change: (inout Value) -> Void) {
        if let at = values.index(forKey: key) {
            change(&values.values[at])
        } else {
            var value = initial()
            change(&value)
            set(key, value)
        }
    }

    /// Removes every key in `lower ..< upper`'s place that `matches`; for the rare range deletions.
    mutating func remove(_ key: Key) {
        guard values.removeValue(forKey: key) != nil else { return }
        let block = blockIndex(for: key)
        let at = Self.lowerBound(blocks[block], key)
        blocks[block].remove(at: at)
        if blocks[block].isEmpty { blocks.remove(at: block) }
    }

    /// Keys from `lower` on (inclusive), in order, while `visit` says true.
    func ascend(from lower: Key, _ visit: (Key) -> Bool) {
        guard !blocks.isEmpty else { return }
        var block = blockIndex(for: lower)
        var at = Self.lowerBound(blocks[block], lower)
        while block < blocks.count {
            while at < blocks[block].count {
                if !visit(blocks[block][at]) { return }
                at += 1
            }
            block += 1
            at = 0
        }
    }

    /// Keys below `upper` (exclusive; from the very end if nil), against the order, while `visit` says true.
    func descend(below upper: Key?, _ visit: (Key) -> Bool) {
        guard !blocks.isEmpty else { return }
        var block = upper.map { blockIndex(for: $0) } ?? blocks.count - 1
        var at = upper.map { Self.lowerBound(blocks[block], $0) } ?? blocks[block].count
        while true {
            while at > 0 {
                at -= 1
                if !visit(blocks[block][at]) { return }
            }
            if block == 0 { return }
            block -= 1
            at = blocks[block].count
        }
    }

    /// All keys in order.
    func forEachKey<E: Error>(_ body: (Key) throws(E) -> Void) throws(E) {
        for block in blocks { for key in block { try body(key) } }
    }

    private mutating func insertKey(_ key: Key) {
        guard !blocks.isEmpty else {
            blocks.append([key])
            return
        }
        let block = blockIndex(for: key)
        let at = Self.lowerBound(blocks[block], key)
        blocks[block].insert(key, at: at)
        if blocks[block].count > Self.blockMax {
            // Keys often come in ascending order: a full last block then leaves the left one full.
            let middle = block == blocks.count - 1 && at == Self.blockMax ? Self.blockMax : Self.blockMax / 2
            let tail = Array(blocks[block][middle...])
            blocks[block].removeSubrange(middle...)
            blocks.insert(tail, at: block + 1)
        }
    }

    /// The block that holds the key or would take it: the last whose first key is at or below it.
    private func blockIndex(for key: Key) -> Int {
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle][0] <= key { low = middle + 1 } else { high = middle }
        }
        return max(0, low - 1)
    }

    private static func lowerBound(_ keys: [Key], _ key: Key) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
