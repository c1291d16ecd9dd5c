import Primitives

/// The volumes that are open, for as long as anybody holds them, and the leaves of their maps that are in memory, resolved
/// through all their layers.
///
/// Leaves are changed as records are applied, under the store's memory mutex, and put in under it, too: so a leaf in memory is
/// never older than what was acknowledged.
final class VolumeTable: Sendable {
    struct LeafID: Hashable, Sendable {
        var volume: UInt64
        var index: UInt32
    }

    /// Shared by who reads it and changed in place, both under `leafMutex`.
    final class ResolvedLeaf: @unchecked Sendable {
        // SAFETY: reached only under `leafMutex`.
        var leaf: Leaf
        init(_ leaf: Leaf) { self.leaf = leaf }
    }

    private struct Open {
        weak var volume: LayeredVolume?
        let number: UInt64
    }

    private let mutex = PosixMutex()
    private let open = PosixGuarded<(byName: [Bytes: Open], byHead: [UInt64: Open])>(([:], [:]))
    private let leafMutex = PosixMutex()
    private let leaves = PosixGuarded(RecentCache<LeafID, ResolvedLeaf>(limit: Limits.resolvedLeavesMax))

    func find(_ name: Bytes) -> LayeredVolume? { mutex.withLock { open.value.byName[name]?.volume } }

    private func find(head: UInt64) -> LayeredVolume? { mutex.withLock { open.value.byHead[head]?.volume } }

    func insert(_ volume: LayeredVolume, head: UInt64, isWritable: Bool) {
        let entry = Open(volume: volume, number: volume.number)
        mutex.withLock {
            open.value.byName[volume.name] = entry
            if isWritable { open.value.byHead[head] = entry }
        }
    }

    /// Nobody holds it any more. (Its name or its head may be another object's by now.)
    func closed(_ name: Bytes, head: UInt64, number: UInt64) {
        mutex.withLock {
            if open.value.byName[name]?.number == number { open.value.byName[name] = nil }
            if open.value.byHead[head]?.number == number { open.value.byHead[head] = nil }
        }
    }

    /// Under the store's memory mutex.
    func apply(_ move: VolumeMove) {
        let volume = move.volume
        let old = volume.lockedChain[0].id
        mutex.withLock {
            if volume.isWritable { open.value.byHead[old] = nil }
            if let head = move.chain.first {
                if volume.isWritable { open.value.byHead[head.id] = Open(volume: volume, number: volume.number) }
            } else {
                open.value.byName[volume.name] = nil
            }
        }
        if move.forgetsLeaves || move.chain.isEmpty { forget(volume) }
        if move.chain.isEmpty { volume.vanish() } else { volume.stand(on: move.chain) }
    }

    // MARK: Leaves

    /// Appends the entries of a range of one leaf's blocks; false if the leaf is not in memory.
    func copy(_ id: LeafID, _ range: Range<Int>, into out: inout [MapEntry]) -> Bool {
        leafMutex.withLock {
            guard let leaf = leaves.value.get(id) else { return false }
            leaf.leaf.copy(range, into: &out)
            return true
        }
    }

    /// Under the store's memory mutex.
    func put(_ id: LeafID, _ leaf: Leaf) { leafMutex.withLock { leaves.value.set(id, ResolvedLeaf(leaf)) } }

    private func forget(_ volume: LayeredVolume) {
        leafMutex.withLock { leaves.value.removeAll(where: { $0.volume == volume.number }) }
    }

    /// Under the store's memory mutex: what was just applied, to the leaves that are in memory.
    func applied(_ record: Record) {
        switch record {
        case .volumeWrite(let layer, let firstBlock, let entries, _):
            guard let volume = find(head: layer) else { return }
            change(volume, firstBlock, UInt64(entries.count)) { leaf, block, at in leaf[block] = entries[at] }
        case .volumeTrim(let layer, let firstBlock, let count, _):
            guard let volume = find(head: layer) else { return }
            // Nothing shows through: where no zeros are left there is no older layer.
            change(volume, firstBlock, count) { leaf, block, _ in leaf[block] = .zero }
        default: break
        }
    }

    private func change(
        _ volume: LayeredVolume, _ firstBlock: UInt64, _ count: UInt64, _ set: (inout Leaf, Int, Int) -> Void
    ) {
        leafMutex.withLock {
            let end = firstBlock + count
            if count / UInt64(Leaf.blocks) > UInt64(leaves.value.count) {
                // Less to look through; what is wanted again is resolved anew.
                let touched = UInt32(firstBlock / UInt64(Leaf.blocks))...UInt32((end - 1) / UInt64(Leaf.blocks))
                return leaves.value.removeAll { $0.volume == volume.number && touched.contains($0.index) }
            }
            var block = firstBlock
            while block < end {
                let place = Int(block % UInt64(Leaf.blocks))
                let run = Int(min(end - block, UInt64(Leaf.blocks - place)))
                let id = LeafID(volume: volume.number, index: UInt32(block / UInt64(Leaf.blocks)))
                if let resolved = leaves.value.get(id) {
                    for i in 0..<run { set(&resolved.leaf, place + i, Int(block - firstBlock) + i) }
                }
                block += UInt64(run)
            }
        }
    }
}

/// Where an open volume stands once a change of the tree is applied.
struct VolumeMove: Sendable {
    let volume: LayeredVolume
    /// The head first; empty: the volume is no more.
    let chain: [LayerRow]
    /// What was seen through the old head is not what is seen through the new one.
    let forgetsLeaves: Bool

    init(_ volume: LayeredVolume, to chain: [LayerRow], forgetsLeaves: Bool = false) {
        self.volume = volume
        self.chain = chain
        self.forgetsLeaves = forgetsLeaves
    }
}
