package import Primitives

/// What one layer of a volume or snapshot takes.
package struct LayerSpace: Sendable, Hashable {
    package var layer: UInt64
    /// The volume or snapshot whose own layer it is; nil for one whose name is gone and which others stand on.
    package var name: Bytes?
    /// Bytes of blocks that hold something, as the initiator counts them, and as they are stored.
    package var writtenBytes: UInt64
    package var storedBytes: UInt64
    /// Something else stands on it, too: it stays when this volume goes.
    package var isShared: Bool
}

extension ChunkStore {
    /// Where a volume's space is, its own layer first: what the map names now, without garbage that waits for collection.
    ///
    /// Reads the whole map from the index (49 bytes to 4 KiB for each MiB that was written to): for operators. Of writes under
    /// way meanwhile it may count some and not others.
    ///
    /// - Parameter findsNames: say whose layers they are; that takes a look at every volume and snapshot of the store.
    package func space(of name: Bytes, findsNames: Bool = true) throws(LayerError) -> [LayerSpace] {
        var names: [UInt64: Bytes] = [:]
        if findsNames { for handle in try handles(prefix: Bytes([UInt8]())) { names[handle.layer] = handle.name } }
        let layers = try layers(of: name)
        // Memory first: what leaves it meanwhile is in the index by then, and applying it twice changes nothing.
        let changes = changes(of: Set(layers.map(\.id)))
        var isShared = false
        var out: [LayerSpace] = []
        for layer in layers {
            isShared = isShared || layer.children + layer.handles > 1
            let sum = try space(of: layer.id, changes[layer.id] ?? [])
            out.append(
                LayerSpace(
                    layer: layer.id, name: names[layer.id], writtenBytes: sum.written, storedBytes: sum.stored,
                    isShared: isShared))
        }
        return out
    }

    /// What memory has done to the maps of these layers, in order.
    func changes(of layers: Set<UInt64>) -> [UInt64: [LayerChanges]] {
        var out: [UInt64: [LayerChanges]] = [:]
        memoryMutex.withLock {
            for overlay in [memory.value.frozen, memory.value.active].compactMap({ $0 }) {
                var changes: [UInt64: LayerChanges] = [:]
                for layer in layers {
                    if let spans = overlay.trims[layer] { changes[layer] = LayerChanges(trims: spans) }
                }
                for (key, patch) in overlay.blocks where layers.contains(key.owner) {
                    changes[key.owner, default: LayerChanges()].patches[key.index] = patch
                }
                for (layer, change) in changes { out[layer, default: []].append(change) }
            }
        }
        return out
    }

    private func space(of layer: UInt64, _ changes: [LayerChanges]) throws(LayerError) -> LeafSpace {
        var inMemory = Set(changes.flatMap(\.patches.keys))
        var sum = LeafSpace()
        do throws(ChunkError) {
            let prefix = Array(IndexKey.block(LeafKey(owner: layer, index: 0)).dropLast(4))
            let end = IndexKey.successor(ofPrefix: prefix)
            var cursor = prefix
            while true {
                let page = try indexRange(from: cursor, to: end, reverse: false, limit: 1_000)
                for row in page.rows {
                    var leaf = try Leaf(row.value)
                    let index = UInt32(truncatingIfNeeded: IndexKey.bigEndian(row.key.suffix(4)))
                    inMemory.remove(index)
                    for change in changes { change.apply(index, to: &leaf) }
                    sum.count(leaf)
                }
                guard page.rows.count == 1_000, let last = page.rows.last else { break }
                cursor = last.key + [0]
            }
        } catch {
            throw .store(error)
        }
        for index in inMemory {
            var leaf = Leaf.whole(.absent)
            for change in changes { change.apply(index, to: &leaf) }
            sum.count(leaf)
        }
        return sum
    }
}

/// What one overlay has done to a layer's map: see `Overlay.apply(_:to:)`.
struct LayerChanges: Sendable {
    var trims = LeafSpans()
    var patches: [UInt32: LeafPatch] = [:]

    func apply(_ index: UInt32, to leaf: inout Leaf) {
        if let entry = trims[index] { leaf = .whole(entry) }
        patches[index]?.apply(to: &leaf)
    }
}

/// Adds leaves up.
private struct LeafSpace {
    var written: UInt64 = 0
    var stored: UInt64 = 0

    mutating func count(_ leaf: Leaf) {
        var seen: Set<UInt64> = []
        for block in 0..<Leaf.blocks {
            guard let extent = leaf[block].extent else { continue }
            written += UInt64(Limits.volumeBlockBytes)
            if !extent.isLZ4 {
                stored += UInt64(Limits.volumeBlockBytes)
            } else if seen.insert(extent.locator).inserted {
                // No extent reaches into another leaf.
                stored += UInt64(extent.storedBytes)
            }
        }
    }
}
