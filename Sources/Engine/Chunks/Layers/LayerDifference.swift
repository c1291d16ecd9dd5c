package import Primitives

/// Blocks side by side in which one state of a volume may differ from an older one.
package struct LayerRun: Sendable, Hashable {
    package var blocks: Range<UInt64>
    /// They read as zeros now.
    package var isZero: Bool
}

/// Where a snapshot, or a volume that nobody writes to, may hold something else than one of its older snapshots: the blocks
/// that the layers between the two have a word on. No data is read, and nothing that both have in common is looked at, so
/// that the cost is that of what changed, however large the volume.
///
/// What memory knew of the layers is kept from the moment this was made. Of frozen layers nothing new can come, and what
/// leaves memory for the index meanwhile is applied a second time, which changes nothing.
package final class LayerDifference: Sendable {
    package static let blocksPerLeaf = Leaf.blocks
    package let byteCount: UInt64
    private let store: ChunkStore
    /// The newest first.
    private let layers: [UInt64]
    private let changes: [UInt64: [LayerChanges]]
    /// Compared with a volume that was never written to: blocks of zeros are no difference then.
    private let isWhole: Bool

    fileprivate init(store: ChunkStore, layers: [LayerRow], byteCount: UInt64, isWhole: Bool) {
        self.store = store
        self.layers = layers.map(\.id)
        self.byteCount = byteCount
        self.isWhole = isWhole
        changes = store.changes(of: Set(self.layers))
    }

    /// The next runs, in order and apart from one another, from a leaf of the map (256 blocks) on; and the leaf to go on
    /// from, nil behind the last. At most `Limits.differenceLeavesMax` leaves are held at a time. May wait for the disk.
    package func runs(from leaf: UInt32) throws(LayerError) -> (runs: [LayerRun], next: UInt32?) {
        let leafBytes = UInt64(Leaf.blocks * Limits.volumeBlockBytes)
        let end = UInt32((byteCount + leafBytes - 1) / leafBytes)
        do throws(ChunkError) {
            guard leaf < end, let first = try firstLeaf(leaf..<end) else { return ([], nil) }
            let window = first..<min(end, first + UInt32(Limits.differenceLeavesMax))
            return (runs(try leaves(in: window)), window.upperBound < end ? window.upperBound : nil)
        } catch {
            throw .store(error)
        }
    }

    /// The first leaf that any of the layers may have a word on.
    private func firstLeaf(_ range: Range<UInt32>) throws(ChunkError) -> UInt32? {
        var first: UInt32?
        func found(_ leaf: UInt32) { if range.contains(leaf), leaf < first ?? .max { first = leaf } }
        for layer in layers {
            let page = try store.indexRange(
                from: Self.key(layer, range.lowerBound), to: Self.key(layer, range.upperBound), reverse: false, limit: 1
            )
            if let row = page.rows.first { found(Self.leaf(row.key)) }
            for change in changes[layer] ?? [] {
                for leaf in change.patches.keys { found(leaf) }
                for span in change.trims.spans where span.isZero && !isWhole && span.leaves.overlaps(range) {
                    found(max(span.leaves.lowerBound, range.lowerBound))
                }
            }
        }
        return first
    }

    /// What the layers together say, by leaf.
    private func leaves(in window: Range<UInt32>) throws(ChunkError) -> [UInt32: Leaf] {
        var resolved: [UInt32: Leaf] = [:]
        for layer in layers {
            let changes = changes[layer] ?? []
            var inMemory: Set<UInt32> = []
            for change in changes {
                for leaf in change.patches.keys where window.contains(leaf) { inMemory.insert(leaf) }
                for span in change.trims.spans where span.isZero && !isWhole {
                    for leaf in span.leaves.clamped(to: window) { inMemory.insert(leaf) }
                }
            }
            func take(_ index: UInt32, _ row: Leaf) {
                var leaf = row
                for change in changes { change.apply(index, to: &leaf) }
                resolved[index, default: .whole(.absent)].fill(from: leaf)
            }
            var cursor = Self.key(layer, window.lowerBound)
            let end = Self.key(layer, window.upperBound)
            while true {
                let page = try store.indexRange(from: cursor, to: end, reverse: false, limit: 1_000)
                for row in page.rows {
                    let index = Self.leaf(row.key)
                    inMemory.remove(index)
                    take(index, try Leaf(row.value))
                }
                guard page.rows.count == 1_000, let last = page.rows.last else { break }
                cursor = last.key + [0]
            }
            for index in inMemory { take(index, .whole(.absent)) }
        }
        return resolved
    }

    private func runs(_ leaves: [UInt32: Leaf]) -> [LayerRun] {
        var out: [LayerRun] = []
        let blockCount = byteCount / UInt64(Limits.volumeBlockBytes)
        for (index, leaf) in leaves.sorted(by: { $0.key < $1.key }) {
            let start = UInt64(index) * UInt64(Leaf.blocks)
            for place in 0..<Leaf.blocks {
                let entry = leaf[place]
                let block = start + UInt64(place)
                guard entry.isPresent, !(entry.isZero && isWhole), block < blockCount else { continue }
                if let last = out.last, last.blocks.upperBound == block, last.isZero == entry.isZero {
                    out[out.count - 1].blocks = last.blocks.lowerBound..<block + 1
                } else {
                    out.append(LayerRun(blocks: block..<block + 1, isZero: entry.isZero))
                }
            }
        }
        return out
    }

    private static func key(_ layer: UInt64, _ leaf: UInt32) -> [UInt8] {
        IndexKey.block(LeafKey(owner: layer, index: leaf))
    }

    private static func leaf(_ key: [UInt8]) -> UInt32 { UInt32(truncatingIfNeeded: IndexKey.bigEndian(key.suffix(4))) }
}

extension ChunkStore {
    /// What lies between a volume or snapshot and one of the snapshots that it stands on; without a base, all of it.
    /// `.notAnAncestor` if it does not stand on that. The name must stay for as long as the difference is used.
    package func difference(of name: Bytes, since base: Bytes?) throws(LayerError) -> LayerDifference {
        let chain = try layers(of: name)
        var upper = chain[...]
        if let base {
            guard let handle = try handle(base) else { throw .noSuchHandle(base) }
            guard let at = chain.firstIndex(where: { $0.id == handle.layer }) else { throw .notAnAncestor }
            upper = chain[..<at]
        }
        return LayerDifference(
            store: self, layers: Array(upper), byteCount: chain[0].byteCount, isWhole: base == nil)
    }
}
