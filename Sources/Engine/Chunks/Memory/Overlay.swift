import Codecs
import Primitives

/// What the log has done since some LSN, in memory: one memtable. Absolute rows for objects, changes for
/// counters, so that applying a record never looks anything up.
///
/// Written by whoever acknowledges, read by anyone under the store's state mutex; once frozen it never changes.
final class Overlay: @unchecked Sendable {
    // SAFETY: every access to a live overlay is under the store's state mutex; a frozen one is immutable.
    enum ObjectChange: Sendable {
        case row(ObjectRow)
        case deleted
    }

    struct ContainerChange: Sendable {
        enum Base: Sendable {
            /// Attributes as in older overlays or the index.
            case unchanged
            /// Attributes replaced; counters go on from the older ones.
            case updated(ContainerRow)
            /// Made anew: older counters do not count.
            case created(ContainerRow)
            case deleted
        }
        var base: Base = .unchanged
        var objects = 0
        var bytes = 0
    }

    struct AccountChange: Sendable {
        /// Created or updated: `created` counts only if no older row exists.
        var row: (created: Timestamp, modified: Timestamp, attributes: [UInt8]?)?
        var containers = 0
        var objects = 0
        var bytes = 0
    }

    private(set) var objects = OrderedMap<ObjectKey, ObjectChange>()
    private(set) var containers = OrderedMap<ContainerKey, ContainerChange>()
    private(set) var accounts: [Bytes: AccountChange] = [:]
    private(set) var leaves: [LeafKey: [UInt8]] = [:]
    /// Owners whose leaves die with this overlay.
    private(set) var droppedOwners: Set<UInt64> = []
    /// Owners with leaves but no PUT yet (true), or no more (false).
    private(set) var uploads: [UInt64: Bool] = [:]

    private(set) var layers: [UInt64: LayerRow] = [:]
    /// Layers that are no more, and how many leaves each may have.
    private(set) var droppedLayers: [UInt64: UInt32] = [:]
    /// nil: removed.
    private(set) var handles: [Bytes: HandleRow?] = [:]
    /// Whole leaves that were trimmed, by layer; what `blocks` says of them came later.
    private(set) var trims: [UInt64: LeafSpans] = [:]
    private(set) var blocks: [LeafKey: LeafPatch] = [:]

    private(set) var operationCount = 0
    /// Whole leaves that were trimmed above an older layer: each takes a row in the index.
    private(set) var zeroedLeaves = 0
    private(set) var logBytes = 0
    /// Where the last group in it ended; nil while empty.
    private(set) var position: IndexPosition?

    /// A group has been applied up to here.
    func advance(to position: IndexPosition, logBytes added: Int) {
        self.position = position
        logBytes += added
    }

    func apply(_ record: Record, mutant: Mutant?) {
        operationCount += 1
        switch record {
        case .putAccount(let name, let timestamp, let attributes):
            touchAccount(name, timestamp, attributes) { _ in }
        case .putContainer(let key, let id, let isNew, let created, let timestamp, let attributes):
            let row = ContainerRow(
                account: key.account, name: key.name, id: id, created: created, modified: timestamp,
                attributes: attributes, objectCount: 0, byteCount: 0)
            containers.update(key, default: ContainerChange()) { change in
                if isNew {
                    change = ContainerChange(base: .created(row))
                } else if case .created = change.base {
                    change.base = .created(row)
                } else {
                    change.base = .updated(row)
                }
            }
            if isNew { touchAccount(key.account, timestamp, nil) { $0.containers += 1 } }
        case .deleteContainer(let key, _, let timestamp):
            containers.set(key, ContainerChange(base: .deleted))
            touchAccount(key.account, timestamp, nil) { $0.containers -= 1 }
        case .putObject(let key, let id, let row, let replaced):
            objects.set(ObjectKey(container: id, name: row.name), .row(row))
            if row.body == .mapped { uploads[row.owner] = false }
            drop(replaced, mutant: mutant)
            var objectDelta = replaced == nil ? 1 : 0
            var byteDelta = row.size - (replaced?.size ?? 0)
            #if DEBUG
                if mutant == .wrongContainerDelta { objectDelta = 1 }
                if mutant == .forgetReplaced { byteDelta = row.size }
            #endif
            count(key, objects: objectDelta, bytes: byteDelta, timestamp: row.modified, mutant: mutant)
            objectDelta = 0
            byteDelta = 0
        case .setObjectMetadata(_, let id, let row):
            objects.set(ObjectKey(container: id, name: row.name), .row(row))
        case .deleteObject(let key, let id, let name, let timestamp, let replaced):
            objects.set(ObjectKey(container: id, name: name), .deleted)
            drop(replaced, mutant: mutant)
            count(key, objects: -1, bytes: -replaced.size, timestamp: timestamp, mutant: mutant)
        case .uploadLeaf(let owner, let index, let entries):
            #if DEBUG
                if mutant == .forgetLeaf, index > 0 { return }
            #endif
            leaves[LeafKey(owner: owner, index: index)] = entries
            logBytes += entries.count
            if uploads[owner] == nil { uploads[owner] = true }
        case .dropUpload(let owner): dropUpload(owner)
        case .volumeWrite(let layer, let firstBlock, let entries, _):
            var block = firstBlock
            var at = 0
            while at < entries.count {
                let place = Int(block % UInt64(Leaf.blocks))
                let count = min(entries.count - at, Leaf.blocks - place)
                #if DEBUG
                    if mutant == .forgetCrossing, at > 0 { return }
                #endif
                change(layer, block) { patch in
                    for i in 0..<count { patch.set(place + i, entries[at + i]) }
                }
                at += count
                block += UInt64(count)
            }
        case .volumeTrim(let layer, let firstBlock, let count, let leavesZeros):
            #if DEBUG
                let entry: MapEntry = leavesZeros && mutant != .trimShowsParent ? .zero : .absent
            #else
                let entry: MapEntry = leavesZeros ? .zero : .absent
            #endif
            let unit = UInt64(Leaf.blocks)
            let end = firstBlock + count
            let whole = (firstBlock + unit - 1) / unit..<max((firstBlock + unit - 1) / unit, end / unit)
            if !whole.isEmpty { trim(layer, UInt32(whole.lowerBound)..<UInt32(whole.upperBound), entry) }
            var block = firstBlock
            while block < end {
                if whole.contains(block / unit) {
                    block = whole.upperBound * unit
                    continue
                }
                let place = Int(block % unit)
                let count = Int(min(end - block, unit - UInt64(place)))
                change(layer, block) { patch in
                    for i in 0..<count { patch.set(place + i, entry) }
                }
                block += UInt64(count)
            }
        case .tree(let change):
            for row in change.layers { layers[row.id] = row }
            for name in change.removedHandles { handles[name] = .some(nil) }
            for row in change.handles { handles[row.name] = row }
            for layer in change.dropped {
                layers[layer.id] = nil
                droppedLayers[layer.id] = layer.leaves
            }
            #if DEBUG
                if mutant == .keepDroppedBlocks { droppedLayers = [:] }
            #endif
            if !change.dropped.isEmpty {
                let gone = Set(change.dropped.map(\.id))
                for id in gone { trims[id] = nil }
                if !blocks.isEmpty { blocks = blocks.filter { !gone.contains($0.key.owner) } }
            }
        }
    }

    private func trim(_ layer: UInt64, _ leaves: Range<UInt32>, _ entry: MapEntry) {
        trims[layer, default: LeafSpans()].insert(leaves, isZero: entry.isZero)
        if leaves.count < blocks.count {
            for index in leaves { blocks[LeafKey(owner: layer, index: index)] = nil }
        } else if !blocks.isEmpty {
            blocks = blocks.filter { $0.key.owner != layer || !leaves.contains($0.key.index) }
        }
        if entry.isZero { zeroedLeaves += leaves.count }
    }

    /// What this overlay has done to a leaf of a layer's map. Applying it twice is applying it once.
    func apply(_ key: LeafKey, to leaf: inout Leaf) {
        if let entry = trims[key.owner]?[key.index] { leaf = .whole(entry) }
        blocks[key]?.apply(to: &leaf)
    }

    private func change(_ layer: UInt64, _ block: UInt64, _ body: (inout LeafPatch) -> Void) {
        body(&blocks[LeafKey(owner: layer, index: UInt32(block / UInt64(Leaf.blocks))), default: LeafPatch()])
    }

    /// Recovery: leaves whose PUT never came.
    func dropUpload(_ owner: UInt64) {
        uploads[owner] = false
        dropLeaves(of: owner)
    }

    private func drop(_ replaced: Record.Replaced?, mutant: Mutant?) {
        guard let replaced, replaced.isMapped else { return }
        #if DEBUG
            if mutant == .keepDroppedLeaves { return }
        #endif
        dropLeaves(of: replaced.owner)
    }

    private func dropLeaves(of owner: UInt64) {
        droppedOwners.insert(owner)
        for index in 0..<UInt32(Limits.leavesMax) {
            leaves[LeafKey(owner: owner, index: index)] = nil
        }
    }

    private func count(_ key: ContainerKey, objects: Int, bytes: Int, timestamp: Timestamp, mutant: Mutant?) {
        containers.update(key, default: ContainerChange()) {
            $0.objects += objects
            $0.bytes += bytes
        }
        #if DEBUG
            if mutant == .wrongAccountDelta, objects < 0 { return }
        #endif
        func add(_ change: inout AccountChange) {
            change.objects += objects
            change.bytes += bytes
        }
        add(&accounts[key.account, default: AccountChange()])
    }

    private func touchAccount(
        _ name: Bytes, _ timestamp: Timestamp, _ attributes: [UInt8]?, _ change: (inout AccountChange) -> Void
    ) {
        var entry = accounts[name] ?? AccountChange()
        if attributes != nil || entry.row == nil {
            // An account appears with its first container; only its own PUT or POST replaces attributes or `modified`.
            let older = entry.row
            entry.row = (
                created: older?.created ?? timestamp,
                modified: attributes != nil ? timestamp : older?.modified ?? timestamp,
                attributes: attributes ?? older?.attributes
            )
        }
        change(&entry)
        accounts[name] = entry
    }
}

extension Overlay.ContainerChange {
    /// The row after this change, given the row before it.
    func applied(to older: ContainerRow?) -> ContainerRow? {
        switch base {
        case .deleted: return nil
        case .unchanged:
            guard var row = older else { return nil }
            row.objectCount += objects
            row.byteCount += bytes
            return row
        case .updated(var row):
            row.objectCount = (older?.objectCount ?? 0) + objects
            row.byteCount = (older?.byteCount ?? 0) + bytes
            return row
        case .created(var row):
            row.objectCount = objects
            row.byteCount = bytes
            return row
        }
    }
}

extension Overlay.AccountChange {
    func applied(to older: AccountRow?, name: Bytes) -> AccountRow? {
        guard older != nil || row != nil else { return nil }
        var result =
            older
            ?? AccountRow(
                name: name, created: row!.created, modified: row!.modified, attributes: [], containerCount: 0,
                objectCount: 0,
                byteCount: 0)
        if let attributes = row?.attributes {
            result.attributes = attributes
            result.modified = row!.modified
        }
        result.containerCount += containers
        result.objectCount += objects
        result.byteCount += bytes
        return result
    }
}

extension Overlay {
    /// Writes everything into an index transaction, in key order within each kind.
    func write(to transaction: any IndexTransaction, _ seal: RowSeal) throws(IndexError) {
        for name in accounts.keys.sorted() {
            let key = IndexKey.account(name)
            let older = try read(key, transaction, seal) { $0.getAccountRow(name) }
            if let row = accounts[name]!.applied(to: older, name: name) {
                var writer = ByteWriter(reserving: 128)
                writer.put(row)
                try transaction.put(key, seal.seal(writer.bytes, key: key))
            }
        }
        try containers.forEachKey { container throws(IndexError) in
            let key = IndexKey.container(container)
            let older = try read(key, transaction, seal) { $0.getContainerRow(container) }
            if let row = containers[container]!.applied(to: older) {
                var writer = ByteWriter(reserving: 128)
                writer.put(row)
                try transaction.put(key, seal.seal(writer.bytes, key: key))
            } else {
                try transaction.delete(key)
            }
        }
        for owner in droppedOwners.sorted() {
            let from = IndexKey.leaves(of: owner)
            try transaction.deleteRange(from: from, to: IndexKey.successor(ofPrefix: from))
        }
        for leaf in leaves.keys.sorted() {
            let key = IndexKey.leaf(leaf)
            try transaction.put(key, seal.seal(leaves[leaf]!, key: key))
        }
        try objects.forEachKey { object throws(IndexError) in
            let key = IndexKey.object(object)
            switch objects[object]! {
            case .deleted: try transaction.delete(key)
            case .row(let row):
                var writer = ByteWriter(reserving: 192)
                writer.put(row)
                try transaction.put(key, seal.seal(writer.bytes, key: key))
            }
        }
        for owner in uploads.keys.sorted() {
            let key = IndexKey.upload(owner)
            if uploads[owner]! {
                try transaction.put(key, seal.seal([], key: key))
            } else {
                try transaction.delete(key)
            }
        }
        try writeLayers(to: transaction, seal)
    }

    private func writeLayers(to transaction: any IndexTransaction, _ seal: RowSeal) throws(IndexError) {
        for id in layers.keys.sorted() {
            let key = IndexKey.layer(id)
            var writer = ByteWriter(reserving: 64)
            writer.put(layers[id]!)
            try transaction.put(key, seal.seal(writer.bytes, key: key))
        }
        for name in handles.keys.sorted() {
            let key = IndexKey.handle(name)
            if let row = handles[name]! {
                var writer = ByteWriter(reserving: 64)
                writer.put(row)
                try transaction.put(key, seal.seal(writer.bytes, key: key))
            } else {
                try transaction.delete(key)
            }
        }
        for owner in trims.keys.sorted() {
            for span in trims[owner]!.spans { try write(span, of: owner, transaction, seal) }
        }
        for leaf in blocks.keys.sorted() {
            let key = IndexKey.block(leaf)
            let patch = blocks[leaf]!
            var whole = Leaf.whole(.absent)
            if let older = try read(key, transaction, seal, { $0.getRest() }) {
                do throws(ChunkError) {
                    whole = try Leaf(older)
                } catch {
                    throw IndexError("\(error)", isCorruption: true)
                }
            }
            patch.apply(to: &whole)
            if whole.isAbsent {
                try transaction.delete(key)
            } else {
                try transaction.put(key, seal.seal(whole.encoded(), key: key))
            }
        }
        for id in droppedLayers.keys.sorted() {
            try transaction.delete(IndexKey.layer(id))
            try writeSwept(id, from: 0, to: droppedLayers[id]!, transaction, seal)
        }
        try sweep(transaction, seal)
    }

    private func write(
        _ span: LeafSpans.Span, of owner: UInt64, _ transaction: any IndexTransaction, _ seal: RowSeal
    ) throws(IndexError) {
        try transaction.deleteRange(
            from: IndexKey.block(LeafKey(owner: owner, index: span.leaves.lowerBound)),
            to: IndexKey.block(LeafKey(owner: owner, index: span.leaves.upperBound)))
        guard span.isZero else { return }
        let zeros = Leaf.whole(.zero).encoded()
        for index in span.leaves {
            let key = IndexKey.block(LeafKey(owner: owner, index: index))
            try transaction.put(key, seal.seal(zeros, key: key))
        }
    }

    /// Removes leaves of dropped layers, some at each checkpoint: a volume of any size is deleted at once, and its map goes by
    /// and by. Both copies of the index do the same at the same LSN.
    private func sweep(_ transaction: any IndexTransaction, _ seal: RowSeal) throws(IndexError) {
        var budget = UInt32(Limits.leavesSweptMax)
        let prefix = [IndexKey.swept]
        for row in try transaction.range(from: prefix, to: IndexKey.successor(ofPrefix: prefix), limit: 64) {
            guard budget > 0, row.key.count == 9 else { return }
            let id = IndexKey.bigEndian(row.key[1...])
            guard let span = try read(row.key, transaction, seal, { ($0.get(UInt32.self), $0.get(UInt32.self)) })
            else { continue }
            let (start, end) = span
            let stop = end - start > budget ? start + budget : end
            try transaction.deleteRange(
                from: IndexKey.block(LeafKey(owner: id, index: start)),
                to: IndexKey.block(LeafKey(owner: id, index: stop)))
            budget -= stop - start
            if stop == end {
                try transaction.delete(row.key)
            } else {
                try writeSwept(id, from: stop, to: end, transaction, seal)
            }
        }
    }

    private func writeSwept(
        _ id: UInt64, from start: UInt32, to end: UInt32, _ transaction: any IndexTransaction, _ seal: RowSeal
    ) throws(IndexError) {
        let key = IndexKey.swept(id)
        var writer = ByteWriter(reserving: 8)
        writer.put(start)
        writer.put(end)
        try transaction.put(key, seal.seal(writer.bytes, key: key))
    }

    private func read<Row>(
        _ key: [UInt8], _ transaction: any IndexTransaction, _ seal: RowSeal, _ decode: (inout ByteReader) -> Row
    ) throws(IndexError) -> Row? {
        guard let sealed = try transaction.get(key) else { return nil }
        do throws(ChunkError) {
            var reader = ByteReader(try seal.open(sealed, key: key))
            let row = decode(&reader)
            guard reader.isComplete else { throw .corruptIndex("a counter row cannot be decoded") }
            return row
        } catch {
            throw IndexError("\(error)", isCorruption: true)
        }
    }
}
