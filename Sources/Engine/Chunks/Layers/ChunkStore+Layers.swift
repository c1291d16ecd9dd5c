import Disks
package import Primitives
private import Synchronization

// The tree of layers: what may be done to it, and what each change logs. All of these wait for the log: for threads of the
// control plane, never for an event loop or a connection's thread.

extension ChunkStore {
    /// Opens a volume to read and write, or a snapshot to read; the same object for the same name while anybody holds it.
    ///
    /// - Parameter threads: where requests go on that have to wait; nil only where one thread does everything.
    package func volume(_ name: Bytes, threads: WorkThreads?) throws(LayerError) -> LayeredVolume {
        try treeMutex.withLock { () throws(LayerError) in
            if let open = volumes.find(name) { return open }
            let handle = try needHandle(name)
            let chain = try chain(from: handle.layer)
            let volume = LayeredVolume(
                store: self, name: name, number: nextID(), chain: chain, isWritable: handle.kind == .volume,
                threads: threads)
            volumes.insert(volume, head: handle.layer, isWritable: handle.kind == .volume)
            return volume
        }
    }

    package func handle(_ name: Bytes) throws(LayerError) -> HandleRow? {
        try treeMutex.withLock { () throws(LayerError) in try lookUpHandle(name) }
    }

    /// The layer behind a handle: its size, depth, and what stands on it.
    package func layer(of name: Bytes) throws(LayerError) -> LayerRow {
        try treeMutex.withLock { () throws(LayerError) in try needLayer(needHandle(name).layer) }
    }

    /// The same, and the layers below it: all of them as they are at one moment.
    func layers(of name: Bytes) throws(LayerError) -> [LayerRow] {
        try treeMutex.withLock { () throws(LayerError) in try chain(from: needHandle(name).layer) }
    }

    func layerRow(_ id: UInt64) throws(LayerError) -> LayerRow {
        try treeMutex.withLock { () throws(LayerError) in try needLayer(id) }
    }

    /// All handles whose names begin so, sorted.
    package func handles(prefix: Bytes) throws(LayerError) -> [HandleRow] {
        try treeMutex.withLock { () throws(LayerError) in
            // Memory first: a row only moves from there to the index, and is seen in one of the two.
            var names = memoryMutex.withLock {
                var names = Set<Bytes>()
                for overlay in [memory.value.active, memory.value.frozen] {
                    for name in overlay?.handles.keys ?? [:].keys where name.hasPrefix(prefix) { names.insert(name) }
                }
                return names
            }
            do throws(ChunkError) {
                let from = IndexKey.handle(prefix)
                let end = IndexKey.successor(ofPrefix: from)
                var cursor = from
                while true {
                    let page = try indexRange(from: cursor, to: end, reverse: false, limit: 1_000)
                    for row in page.rows { names.insert(Bytes(row.key[1...])) }
                    guard page.rows.count == 1_000, let last = page.rows.last else { break }
                    cursor = last.key + [0]
                }
            } catch {
                throw .store(error)
            }
            var rows: [HandleRow] = []
            for name in names.sorted() { if let row = try lookUpHandle(name) { rows.append(row) } }
            return rows
        }
    }

    // MARK: Changes

    /// A volume that reads as zeros.
    package func createVolume(_ name: Bytes, byteCount: UInt64, attributes: [UInt8]) throws(LayerError) {
        try changing { () throws(LayerError) in
            try checkNew(name, byteCount, attributes)
            try announceLayers()
            let id = nextID()
            try commit(
                TreeChange(
                    kind: .newLayer,
                    layers: [
                        LayerRow(
                            id: id, parent: 0, byteCount: byteCount, isFrozen: false, children: 0, handles: 1, depth: 1)
                    ], handles: [HandleRow(name: name, kind: .volume, layer: id, attributes: attributes)]),
                needsSpace: true)
        }
    }

    /// Freezes what the volume holds now under a name of its own; the volume goes on over it.
    package func snapshot(_ volume: Bytes, as name: Bytes, attributes: [UInt8]) throws(LayerError) {
        try snapshot([SnapshotRequest(volume: volume, name: name, attributes: attributes)])
    }

    /// The same of several volumes, each once, at one moment, in one change of the log: all of them or none.
    package func snapshot(_ requests: [SnapshotRequest]) throws(LayerError) {
        try changing { () throws(LayerError) in
            var change = TreeChange(kind: .snapshot)
            var moves: [VolumeMove] = []
            for request in requests.sorted(by: { $0.volume < $1.volume }) {
                let handle = try needHandle(request.volume, .volume)
                var head = try needLayer(handle.layer)
                try checkNew(request.name, head.byteCount, request.attributes)
                precondition(!change.handles.contains { $0.name == request.volume })
                guard !change.handles.contains(where: { $0.name == request.name }) else {
                    throw .handleExists(request.name)
                }
                let next = try child(of: head)
                head.isFrozen = true
                // The volume's own handle moves on to the child, and the snapshot's takes its place.
                head.children += 1
                var moved = handle
                moved.layer = next.id
                change.layers += [head, next]
                change.handles += [
                    moved,
                    HandleRow(name: request.name, kind: .snapshot, layer: head.id, attributes: request.attributes),
                ]
                if let open = volumes.find(request.volume) {
                    moves.append(VolumeMove(open, to: [next, head] + olderLayers(of: open)))
                }
            }
            guard !change.handles.isEmpty else { return }
            try commit(change, needsSpace: true, moving: moves)
        }
    }

    /// Gives a volume or a snapshot another name, and other attributes with it.
    package func rename(_ name: Bytes, to newName: Bytes, attributes: [UInt8]) throws(LayerError) {
        try changing { () throws(LayerError) in
            var handle = try needHandle(name)
            try checkNew(newName, UInt64(Limits.volumeBlockBytes), attributes)
            handle.name = newName
            handle.attributes = attributes
            guard volumes.find(name) == nil else { throw .inUse(name) }
            try commit(
                TreeChange(kind: .rename, handles: [handle], removedHandles: [name]), needsSpace: true)
        }
    }

    /// A volume that begins as a snapshot; `byteCount` at least the snapshot's, what is beyond it reads as zeros.
    package func clone(
        _ snapshot: Bytes, as name: Bytes, byteCount: UInt64, attributes: [UInt8]
    ) throws(LayerError) {
        try changing { () throws(LayerError) in
            var parent = try needLayer(needHandle(snapshot, .snapshot).layer)
            try checkNew(name, byteCount, attributes)
            var layer = try child(of: parent)
            guard byteCount >= parent.byteCount else { throw .shrinks }
            layer.byteCount = byteCount
            parent.children += 1
            try commit(
                TreeChange(
                    kind: .clone, layers: [parent, layer],
                    handles: [HandleRow(name: name, kind: .volume, layer: layer.id, attributes: attributes)]),
                needsSpace: true)
        }
    }

    /// A volume that begins as another one is now: that one is frozen, and both go on over it. One change of the log.
    package func cloneVolume(
        _ volume: Bytes, as name: Bytes, byteCount: UInt64, attributes: [UInt8]
    ) throws(LayerError) {
        try changing { () throws(LayerError) in
            let handle = try needHandle(volume, .volume)
            var head = try needLayer(handle.layer)
            try checkNew(name, byteCount, attributes)
            guard byteCount >= head.byteCount else { throw .shrinks }
            let next = try child(of: head)
            var copy = try child(of: head)
            copy.byteCount = byteCount
            head.isFrozen = true
            head.children += 2
            head.handles -= 1
            var moved = handle
            moved.layer = next.id
            let change = TreeChange(
                kind: .clone, layers: [head, next, copy],
                handles: [moved, HandleRow(name: name, kind: .volume, layer: copy.id, attributes: attributes)])
            let open = volumes.find(volume)
            try commit(
                change, needsSpace: true,
                moving: open.map { [VolumeMove($0, to: [next, head] + olderLayers(of: $0))] } ?? [])
        }
    }

    /// Puts a volume back to one of its own snapshots; what was written since is gone.
    package func revert(_ volume: Bytes, to snapshot: Bytes) throws(LayerError) {
        try changing { () throws(LayerError) in
            let handle = try needHandle(volume, .volume)
            let target = try needHandle(snapshot, .snapshot).layer
            let chain = try chain(from: handle.layer)
            guard chain.dropFirst().contains(where: { $0.id == target }) else { throw .notAnAncestor }
            var layers: [UInt64: LayerRow] = [:]
            for layer in chain { layers[layer.id] = layer }
            let old = chain[0]
            let next = try child(of: layers[target]!)
            layers[target]!.children += 1
            layers[old.id]!.handles -= 1
            let dropped = drop(old.id, from: &layers)
            layers[next.id] = next
            var moved = handle
            moved.layer = next.id
            let change = TreeChange(
                kind: .revert, layers: changed(layers, from: chain), dropped: dropped, handles: [moved])
            let older = chain.drop { $0.id != target }
            try commit(
                change, needsSpace: true,
                moving: volumes.find(volume).map { [VolumeMove($0, to: [next] + older, forgetsLeaves: true)] } ?? [])
        }
    }

    /// A volume grows; what is new reads as zeros.
    package func resize(_ volume: Bytes, to byteCount: UInt64) throws(LayerError) {
        try changing { () throws(LayerError) in
            var head = try needLayer(needHandle(volume, .volume).layer)
            guard byteCount >= head.byteCount else { throw .shrinks }
            try check(byteCount)
            head.byteCount = byteCount
            let open = volumes.find(volume)
            try commit(
                TreeChange(kind: .resize, layers: [head]), needsSpace: true,
                moving: open.map { [VolumeMove($0, to: [head] + olderLayers(of: $0))] } ?? [])
        }
    }

    /// Removes a volume or a snapshot. Its layer goes with it, and those below that nobody else stands on; one that others stand
    /// on stays, hidden.
    package func removeHandle(_ name: Bytes) throws(LayerError) {
        try changing { () throws(LayerError) in
            let handle = try needHandle(name)
            let chain = try chain(from: handle.layer)
            var layers: [UInt64: LayerRow] = [:]
            for layer in chain { layers[layer.id] = layer }
            layers[handle.layer]!.handles -= 1
            let dropped = drop(handle.layer, from: &layers)
            let change = TreeChange(
                kind: .dropLayer, layers: changed(layers, from: chain), dropped: dropped, removedHandles: [name])
            try commit(
                change, needsSpace: false, moving: volumes.find(name).map { [VolumeMove($0, to: [])] } ?? [])
        }
    }

    // MARK: Steps of a change

    /// Before the first record of a kind that programs without volumes would take for the log's end.
    private func announceLayers() throws(LayerError) {
        guard superblock.value.incompatible & Superblock.layers == 0 else { return }
        if let reason = readOnlyReason { throw .store(.readOnly(reason)) }
        var next = superblock.value
        next.incompatible |= Superblock.layers
        do throws(DiskError) {
            try next.write(disk)
        } catch {
            // A disk that failed to flush this is not believed in anything else either.
            becomeReadOnly(.ioError(error))
            throw .store(.readOnly(.ioError(error)))
        }
        superblock.value = next
    }

    private func changing<R>(_ body: () throws(LayerError) -> R) throws(LayerError) -> R {
        try treeMutex.withLock(body)
    }

    /// The layers below an open volume's head. Nothing is read: what can fail comes before a change is in the log, or a
    /// volume would write on into a layer that is frozen.
    private func olderLayers(of open: LayeredVolume) -> ArraySlice<LayerRow> {
        memoryMutex.withLock { open.lockedChain.dropFirst() }
    }

    /// Commits with the gates of these volumes closed. They stand on their new layers in the very step in which the change
    /// is applied: nobody sees one without the other.
    private func commit(_ change: TreeChange, needsSpace: Bool, moving moves: [VolumeMove]) throws(LayerError) {
        var gates = moves.filter { $0.volume.isWritable }.map(\.volume.gate)
        #if DEBUG
            if configuration.mutant == .dropVolumeGate { gates = [] }
        #endif
        for gate in gates { gate.close() }
        defer { for gate in gates { gate.open() } }
        try commit(change, needsSpace: needsSpace) { [volumes] in
            for move in moves { volumes.apply(move) }
        }
    }

    /// A layer that nobody names or stands on goes, and so on downwards. Rows that stay are changed in `layers`.
    private func drop(_ id: UInt64, from layers: inout [UInt64: LayerRow]) -> [TreeChange.Dropped] {
        var dropped: [TreeChange.Dropped] = []
        var id = id
        while let row = layers[id], row.children == 0, row.handles == 0 {
            layers[id] = nil
            dropped.append(TreeChange.Dropped(id: id, leaves: UInt32((row.byteCount + leafBytes - 1) / leafBytes)))
            id = row.parent
            layers[id]?.children -= 1
        }
        return dropped
    }

    private var leafBytes: UInt64 { UInt64(Leaf.blocks * Limits.volumeBlockBytes) }

    private func changed(_ layers: [UInt64: LayerRow], from chain: [LayerRow]) -> [LayerRow] {
        layers.values.filter { !chain.contains($0) }.sorted { $0.id < $1.id }
    }

    private func child(of parent: LayerRow) throws(LayerError) -> LayerRow {
        guard parent.depth < UInt32(Limits.layerDepthMax) else { throw .tooDeep }
        return LayerRow(
            id: nextID(), parent: parent.id, byteCount: parent.byteCount, isFrozen: false, children: 0, handles: 1,
            depth: parent.depth + 1)
    }

    private func checkNew(_ name: Bytes, _ byteCount: UInt64, _ attributes: [UInt8]) throws(LayerError) {
        precondition(
            !name.isEmpty && name.count <= Limits.handleBytesMax && attributes.count <= Limits.handleAttributesMax)
        try check(byteCount)
        if try lookUpHandle(name) != nil { throw .handleExists(name) }
    }

    private func check(_ byteCount: UInt64) throws(LayerError) {
        guard byteCount > 0, byteCount % UInt64(Limits.volumeBlockBytes) == 0, byteCount <= Limits.volumeBytesMax else {
            throw .badSize
        }
    }

    /// Waits until the change is durable and in memory.
    private func commit(
        _ change: TreeChange, needsSpace: Bool, applied: (@Sendable () -> Void)? = nil
    ) throws(LayerError) {
        if needsSpace, counters.spaceRefused.load(ordering: .relaxed) { throw .store(.noSpace) }
        let record = Record.tree(change)
        let encoded = record.encoded()
        guard encoded.attributes.count <= Limits.treeRecordBytesMax else { throw .tooLarge }
        let outcome = Outcome()
        enqueue(
            Submission(
                record: record, encoded: encoded, hold: nil, applied: applied, sink: InlineSink.shared
            ) { outcome.set($0) })
        if !configuration.isThreaded { runPending() }
        if case .failure(let error) = outcome.wait() { throw .store(error) }
    }

    // MARK: Rows

    private func needHandle(_ name: Bytes, _ kind: HandleRow.Kind? = nil) throws(LayerError) -> HandleRow {
        guard let row = try lookUpHandle(name) else { throw .noSuchHandle(name) }
        if let kind, row.kind != kind { throw .wrongKind(name) }
        return row
    }

    /// Under the tree's mutex nothing changes meanwhile; a row only moves from memory to the index.
    private func lookUpHandle(_ name: Bytes) throws(LayerError) -> HandleRow? {
        let remembered = memoryMutex.withLock {
            memory.value.active.handles[name] ?? memory.value.frozen?.handles[name]
        }
        if let remembered { return remembered }
        do throws(ChunkError) {
            guard let bytes = try indexRow(IndexKey.handle(name)).value else { return nil }
            var reader = ByteReader(bytes)
            let row = reader.getHandleRow(name)
            guard reader.isComplete else { throw .corruptIndex("a handle's row cannot be decoded") }
            return row
        } catch {
            throw .store(error)
        }
    }

    private func needLayer(_ id: UInt64) throws(LayerError) -> LayerRow {
        let remembered = memoryMutex.withLock {
            memory.value.active.layers[id] ?? memory.value.frozen?.layers[id]
        }
        if let remembered { return remembered }
        do throws(ChunkError) {
            guard let bytes = try indexRow(IndexKey.layer(id)).value else {
                throw .corruptIndex("layer \(id) is named, and not there")
            }
            var reader = ByteReader(bytes)
            let row = reader.getLayerRow(id)
            guard reader.isComplete else { throw .corruptIndex("a layer's row cannot be decoded") }
            return row
        } catch {
            throw .store(error)
        }
    }

    private func chain(from head: UInt64) throws(LayerError) -> [LayerRow] {
        var out: [LayerRow] = []
        var id = head
        while id != 0 {
            guard out.count < Limits.layerDepthMax else { throw .store(.corruptIndex("layers that stand in a ring")) }
            let row = try needLayer(id)
            out.append(row)
            id = row.parent
        }
        return out
    }
}

/// One result that a thread waits for.
private final class Outcome: Sendable {
    private let mutex = PosixMutex()
    private let result = PosixGuarded<Result<Void, ChunkError>?>(nil)

    func set(_ value: Result<Void, ChunkError>) {
        mutex.withLock {
            result.value = value
            mutex.broadcast()
        }
    }

    func wait() -> Result<Void, ChunkError> {
        mutex.withLock {
            while true {
                if let value = result.value { return value }
                mutex.wait()
            }
        }
    }
}
