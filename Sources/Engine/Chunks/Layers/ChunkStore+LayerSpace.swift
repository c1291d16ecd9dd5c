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
    package func space(of name: Bytes) throws(LayerError) -> [LayerSpace] {
        let (layers, names) = try namedChain(of: name)
        var isShared = false
        var out: [LayerSpace] = []
        for layer in layers {
            isShared = isShared || layer.children + layer.handles > 1
            let (written, stored) = try space(of: layer.id)
            out.append(
                LayerSpace(
                    layer: layer.id, name: names[layer.id], writtenBytes: written, storedBytes: stored,
                    isShared: isShared))
        }
        return out
    }

    private func namedChain(of name: Bytes) throws(LayerError) -> ([LayerRow], [UInt64: Bytes]) {
        var names: [UInt64: Bytes] = [:]
        for handle in try handles(prefix: Bytes([UInt8]())) { names[handle.layer] = handle.name }
        var layers = [try layer(of: name)]
        while let last = layers.last, last.parent != 0 { layers.append(try layerRow(last.parent)) }
        return (layers, names)
    }

    private func space(of layer: UInt64) throws(LayerError) -> (written: UInt64, stored: UInt64) {
        // Memory first: what leaves it meanwhile is in the index by then, and applying it twice changes nothing.
        var patches: [UInt32: [LeafPatch]] = [:]
        memoryMutex.withLock {
            for overlay in [memory.value.frozen, memory.value.active] {
                for (key, patch) in overlay?.blocks ?? [:] where key.owner == layer {
                    patches[key.index, default: []].append(patch)
                }
            }
        }
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
                    for patch in patches.removeValue(forKey: index) ?? [] { patch.apply(to: &leaf) }
                    sum.count(leaf)
                }
                guard page.rows.count == 1_000, let last = page.rows.last else { break }
                cursor = last.key + [0]
            }
        } catch {
            throw .store(error)
        }
        for list in patches.values {
            var leaf = Leaf.whole(.absent)
            for patch in list { patch.apply(to: &leaf) }
            sum.count(leaf)
        }
        return (sum.written, sum.stored)
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
