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

    private struct Open {
        weak var volume: LayeredVolume?
        let number: UInt64
    }

    private let mutex = PosixMutex()
    /// By name, and the numbers of those that may be written to by their heads.
    private let open = PosixGuarded<(byName: [Bytes: Open], byHead: [UInt64: UInt64])>(([:], [:]))
    private let leafMutex = PosixMutex()
    private let leaves = ResolvedLeaves(limit: Limits.resolvedLeavesMax)

    func find(_ name: Bytes) -> LayeredVolume? { mutex.withLock { open.value.byName[name]?.volume } }

    /// The number of the open volume that writes to a layer.
    private func number(head: UInt64) -> UInt64? { mutex.withLock { open.value.byHead[head] } }

    func insert(_ volume: LayeredVolume, head: UInt64, isWritable: Bool) {
        let entry = Open(volume: volume, number: volume.number)
        mutex.withLock {
            open.value.byName[volume.name] = entry
            if isWritable { open.value.byHead[head] = volume.number }
        }
    }

    /// Nobody holds it any more. (Its name or its head may be another object's by now.)
    func closed(_ name: Bytes, head: UInt64, number: UInt64) {
        mutex.withLock {
            if open.value.byName[name]?.number == number { open.value.byName[name] = nil }
            if open.value.byHead[head] == number { open.value.byHead[head] = nil }
        }
    }

    /// Under the store's memory mutex.
    func apply(_ move: VolumeMove) {
        let volume = move.volume
        let old = volume.lockedChain[0].id
        mutex.withLock {
            if volume.isWritable { open.value.byHead[old] = nil }
            if let head = move.chain.first {
                if volume.isWritable { open.value.byHead[head.id] = volume.number }
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
            guard let entries = leaves.find(id) else { return false }
            // The entries are no array: nothing else would check.
            precondition(range.lowerBound >= 0 && range.upperBound <= entries.count)
            out.append(contentsOf: entries[range])
            return true
        }
    }

    /// Under the store's memory mutex.
    func put(_ id: LeafID, _ leaf: Leaf) { leafMutex.withLock { leaves.put(id, leaf) } }

    private func forget(_ volume: LayeredVolume) {
        leafMutex.withLock { leaves.removeAll { $0.volume == volume.number } }
    }

    /// Under the store's memory mutex: what was just applied, to the leaves that are in memory.
    func applied(_ record: Record) {
        switch record {
        case .volumeWrite(let layer, let firstBlock, let entries, _):
            guard let volume = number(head: layer) else { return }
            change(volume, firstBlock, UInt64(entries.count)) { leaf, block, at in leaf[block] = entries[at] }
        case .volumeTrim(let layer, let firstBlock, let count, _):
            guard let volume = number(head: layer) else { return }
            // Nothing shows through: where no zeros are left there is no older layer.
            change(volume, firstBlock, count) { leaf, block, _ in leaf[block] = .zero }
        default: break
        }
    }

    private func change(
        _ volume: UInt64, _ firstBlock: UInt64, _ count: UInt64,
        _ set: (UnsafeMutableBufferPointer<MapEntry>, Int, Int) -> Void
    ) {
        leafMutex.withLock {
            let end = firstBlock + count
            if count / UInt64(Leaf.blocks) > UInt64(leaves.count) {
                // Less to look through; what is wanted again is resolved anew.
                let touched = UInt32(firstBlock / UInt64(Leaf.blocks))...UInt32((end - 1) / UInt64(Leaf.blocks))
                return leaves.removeAll { $0.volume == volume && touched.contains($0.index) }
            }
            var block = firstBlock
            while block < end {
                let place = Int(block % UInt64(Leaf.blocks))
                let run = Int(min(end - block, UInt64(Leaf.blocks - place)))
                let id = LeafID(volume: volume, index: UInt32(block / UInt64(Leaf.blocks)))
                if let entries = leaves.find(id) {
                    for i in 0..<run { set(entries, place + i, Int(block - firstBlock) + i) }
                }
                block += UInt64(run)
            }
        }
    }
}

/// The resolved leaves in memory: about the most recently used half of `limit`, in two generations.
///
/// Their entries lie in memory of their own. A write changes one entry of some leaf, and a read looks at one: an array in an object
/// in a dictionary would be three more places that are in no cache of the processor.
final class ResolvedLeaves: @unchecked Sendable {
    // SAFETY: reached only under `VolumeTable.leafMutex`; what `find` hands out is used, and gone, before that is let go.

    private let limit: Int
    private var young: [VolumeTable.LeafID: UnsafeMutablePointer<MapEntry>] = [:]
    private var old: [VolumeTable.LeafID: UnsafeMutablePointer<MapEntry>] = [:]

    init(limit: Int) { self.limit = limit }

    deinit {
        for entries in young.values { entries.deallocate() }
        for entries in old.values { entries.deallocate() }
    }

    var count: Int { young.count + old.count }

    /// Valid until the next call that may change what is kept.
    func find(_ id: VolumeTable.LeafID) -> UnsafeMutableBufferPointer<MapEntry>? {
        if let entries = young[id] { return UnsafeMutableBufferPointer(start: entries, count: Leaf.blocks) }
        guard let entries = old.removeValue(forKey: id) else { return nil }
        insert(id, entries)
        return UnsafeMutableBufferPointer(start: entries, count: Leaf.blocks)
    }

    func put(_ id: VolumeTable.LeafID, _ leaf: Leaf) {
        if let entries = find(id) {
            for block in 0..<Leaf.blocks { entries[block] = leaf[block] }
        } else {
            let entries = UnsafeMutablePointer<MapEntry>.allocate(capacity: Leaf.blocks)
            for block in 0..<Leaf.blocks { (entries + block).initialize(to: leaf[block]) }
            insert(id, entries)
        }
    }

    func removeAll(where isMeant: (VolumeTable.LeafID) -> Bool) {
        young = keep(young, isMeant)
        old = keep(old, isMeant)
    }

    private func keep(
        _ leaves: [VolumeTable.LeafID: UnsafeMutablePointer<MapEntry>], _ isMeant: (VolumeTable.LeafID) -> Bool
    ) -> [VolumeTable.LeafID: UnsafeMutablePointer<MapEntry>] {
        leaves.filter { id, entries in
            guard isMeant(id) else { return true }
            entries.deallocate()
            return false
        }
    }

    private func insert(_ id: VolumeTable.LeafID, _ entries: UnsafeMutablePointer<MapEntry>) {
        if young.count >= limit / 2 {
            for entries in old.values { entries.deallocate() }
            old = young
            young = [:]
        }
        young[id] = entries
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
