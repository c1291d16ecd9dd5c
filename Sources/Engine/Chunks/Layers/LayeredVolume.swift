package import Primitives
import Synchronization

/// An open volume, or a snapshot that is read from: blocks of 4 KiB resolved through its layers, bytes at any multiple of 512.
///
/// It is open for as long as anybody holds this object, as each of its requests does. All calls are safe from any thread. Writes never wait for a disk; what has to wait (for the gate, for a block, for bytes
/// around a partial block) goes on on `threads`.
package final class LayeredVolume: Sendable {
    package let name: Bytes
    let store: ChunkStore
    /// Of this object, not of the volume: leaves in memory are found by it.
    let number: UInt64
    let gate = VolumeGate()
    let locks = BlockLocks()
    /// For what has to wait; nil in the rigs that have one thread only.
    let threads: WorkThreads?
    /// Under the store's memory mutex.
    private let chain: PosixGuarded<[LayerRow]>
    private let bytes: Atomic<UInt64>
    private let gone = Atomic(false)
    package let isWritable: Bool

    /// - Parameter chain: the head first, then its parent, and so on.
    init(store: ChunkStore, name: Bytes, number: UInt64, chain: [LayerRow], isWritable: Bool, threads: WorkThreads?) {
        self.store = store
        self.name = name
        self.number = number
        self.chain = PosixGuarded(chain)
        self.isWritable = isWritable
        self.threads = threads
        bytes = Atomic(chain[0].byteCount)
    }

    deinit { store.volumes.closed(name, head: chain.value[0].id, number: number) }

    /// The volume's size, in bytes.
    package var byteCount: UInt64 { bytes.load(ordering: .acquiring) }

    /// It was deleted: nothing works any more.
    package var isGone: Bool { gone.load(ordering: .acquiring) }

    /// Layers from the head to the oldest one.
    package var depth: Int { store.memoryMutex.withLock { chain.value.count } }

    var head: LayerRow { store.memoryMutex.withLock { chain.value[0] } }

    /// Under the store's memory mutex.
    var lockedChain: [LayerRow] { chain.value }

    /// Under the store's memory mutex, with the gate closed.
    func stand(on chain: [LayerRow]) {
        self.chain.value = chain
        bytes.store(chain[0].byteCount, ordering: .releasing)
    }

    func vanish() { gone.store(true, ordering: .releasing) }

    /// Runs `job` where it may block.
    func resume(_ job: @escaping @Sendable () -> Void) {
        if let threads { threads.resume(job) } else { job() }
    }
}

extension LayeredVolume {
    /// One leaf of the map, through all layers; in memory afterwards. May wait for the disk.
    func resolve(_ index: UInt32) throws(ChunkError) -> Leaf {
        for _ in 0..<Limits.readAttemptsMax {
            let (layers, generation) = store.memoryMutex.withLock { (chain.value, store.memory.value.generation) }
            var older: [Leaf?] = []
            for layer in layers {
                let row = try store.indexRow(IndexKey.block(LeafKey(owner: layer.id, index: index))).value
                older.append(try row.map { row throws(ChunkError) in try Leaf(row) })
            }
            #if DEBUG
                store.configuration.atPlace?("leaf read")
            #endif
            store.memoryMutex.lock()
            defer { store.memoryMutex.unlock() }
            // Its layers may be dropped, and their leaves on their way out of the index.
            guard !isGone else { throw .cancelled }
            var isStale = store.memory.value.generation != generation || chain.value != layers
            #if DEBUG
                if store.configuration.mutant == .staleLeaf { isStale = false }
            #endif
            guard !isStale else { continue }
            var resolved = Leaf.whole(.absent)
            for (layer, row) in zip(layers, older) {
                let key = LeafKey(owner: layer.id, index: index)
                var leaf = row ?? .whole(.absent)
                // Whether the index holds the frozen overlay already or not: applying it again changes nothing.
                store.memory.value.frozen?.apply(key, to: &leaf)
                store.memory.value.active.apply(key, to: &leaf)
                resolved.fill(from: leaf)
                if resolved.isComplete { break }
            }
            store.volumes.put(VolumeTable.LeafID(volume: number, index: index), resolved)
            return resolved
        }
        throw .overloaded
    }
}
