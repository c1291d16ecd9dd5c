import Codecs
package import Primitives
private import Synchronization

// Reading rows: overlay first, then the rows kept in memory, then the index.

extension ChunkStore {
    /// A row from memory, or the word that memory does not know.
    package enum Cached<Row: Sendable>: Sendable {
        case found(Row)
        case absent
        /// Not in memory: ask again, blocking, on a work thread.
        case unknown
    }

    // MARK: From memory only: these never block, and may be called on an event loop.

    package func cachedObject(_ container: UInt64, _ name: Bytes) -> Cached<ObjectRow> {
        memoryMutex.withLock { rememberedObject(ObjectKey(container: container, name: name)) }
    }

    package func cachedContainer(_ account: Bytes, _ name: Bytes) -> Cached<ContainerRow> {
        memoryMutex.withLock { rememberedContainer(ContainerKey(account: account, name: name)) }
    }

    private func rememberedObject(_ key: ObjectKey) -> Cached<ObjectRow> {
        let change: Overlay.ObjectChange?
        #if DEBUG
            if configuration.mutant == .overlayBeforeFrozen {
                change = memory.value.frozen?.objects[key] ?? memory.value.active.objects[key]
            } else {
                change = memory.value.active.objects[key] ?? memory.value.frozen?.objects[key]
            }
        #else
            change = memory.value.active.objects[key] ?? memory.value.frozen?.objects[key]
        #endif
        switch change {
        case .row(let row): return .found(row)
        case .deleted: return .absent
        case nil:
            if let row = memory.value.objectRows.get(key) { return .found(row) }
            return .unknown
        }
    }

    private func rememberedContainer(_ key: ContainerKey) -> Cached<ContainerRow> {
        if let row = memory.value.containerRows.get(key) { return .found(row) }
        guard let change = memory.value.active.containers[key] ?? memory.value.frozen?.containers[key] else {
            return .unknown
        }
        if case .deleted = change.base { return .absent }
        return .unknown
    }

    // MARK: These may wait for the disk: never on an event loop.

    package func object(_ container: UInt64, _ name: Bytes) throws(ChunkError) -> ObjectRow? {
        let key = ObjectKey(container: container, name: name)
        let (remembered, generation) = memoryMutex.withLock { (rememberedObject(key), memory.value.generation) }
        switch remembered {
        case .found(let row): return row
        case .absent: return nil
        case .unknown: break
        }
        let indexKey = IndexKey.object(key)
        guard let opened = try indexRow(indexKey).value else { return nil }
        let row = try decodeObject(opened, name)
        memoryMutex.withLock {
            // Only if nothing happened to the name since: a row that was overwritten meanwhile must not come back.
            if memory.value.generation == generation, memory.value.active.objects[key] == nil,
                memory.value.frozen?.objects[key] == nil
            {
                memory.value.objectRows.set(key, row)
            }
        }
        return row
    }

    package func container(_ account: Bytes, _ name: Bytes) throws(ChunkError) -> ContainerRow? {
        let key = ContainerKey(account: account, name: name)
        let indexKey = IndexKey.container(key)
        for _ in 0..<Limits.readAttemptsMax {
            let (remembered, generation) = memoryMutex.withLock { (rememberedContainer(key), memory.value.generation) }
            switch remembered {
            case .found(let row): return row
            case .absent: return nil
            case .unknown: break
            }
            let (opened, lsn) = try indexRow(indexKey)
            let older = try opened.map { opened throws(ChunkError) in try decodeContainer(opened, key) }
            memoryMutex.lock()
            defer { memoryMutex.unlock() }
            guard memory.value.generation == generation else { continue }
            let row = currentContainer(key, older, lsn)
            if let row { memory.value.containerRows.set(key, row) }
            return row
        }
        throw .overloaded
    }

    package func account(_ name: Bytes) throws(ChunkError) -> AccountRow? {
        let indexKey = IndexKey.account(name)
        for _ in 0..<Limits.readAttemptsMax {
            let generation = memoryMutex.withLock { memory.value.generation }
            let (opened, lsn) = try indexRow(indexKey)
            var row: AccountRow?
            if let opened {
                var reader = ByteReader(opened)
                row = reader.getAccountRow(name)
                guard reader.isComplete else { throw .corruptIndex("an account row cannot be decoded") }
            }
            memoryMutex.lock()
            defer { memoryMutex.unlock() }
            guard memory.value.generation == generation else { continue }
            if let frozen = frozen(behind: lsn)?.accounts[name] { row = frozen.applied(to: row, name: name) }
            if let active = memory.value.active.accounts[name] { row = active.applied(to: row, name: name) }
            return row
        }
        throw .overloaded
    }

    /// The frozen overlay, unless the index that was read at `lsn` holds it already.
    private func frozen(behind lsn: UInt64) -> Overlay? {
        guard let frozen = memory.value.frozen, let position = frozen.position, position.lsn > lsn else { return nil }
        return frozen
    }

    private func currentContainer(_ key: ContainerKey, _ older: ContainerRow?, _ lsn: UInt64) -> ContainerRow? {
        var row = older
        if let change = frozen(behind: lsn)?.containers[key] { row = change.applied(to: row) }
        if let change = memory.value.active.containers[key] { row = change.applied(to: row) }
        return row
    }

    // MARK: Listings

    /// At most `limit` (and `Limits.pageRowsMax`) rows of the range in bytewise order, or against it.
    package func objects(
        in container: UInt64, _ range: NameRange, reverse: Bool, limit: Int
    ) throws(ChunkError) -> Page<ObjectRow> {
        let prefix = IndexKey.object(ObjectKey(container: container, name: Bytes([UInt8]())))
        return try page(range, prefix: prefix, reverse: reverse, limit: limit) {
            bounds, piece, most throws(ChunkError) in
            var rows: [Bytes: [UInt8]] = [:]
            for row in piece.rows { rows[try name(row.key, prefix)] = row.value }
            return try merge(
                bounds, piece: piece, keyPrefix: prefix.count, reverse: reverse, most: most,
                overlayKeys: { overlay, visit in
                    let lower = ObjectKey(container: container, name: bounds.lower)
                    if reverse {
                        let upper =
                            bounds.upper.map { ObjectKey(container: container, name: $0) }
                            ?? ObjectKey(container: container &+ 1, name: Bytes([UInt8]()))
                        overlay.objects.descend(below: upper) { $0 >= lower && visit($0.name) }
                    } else {
                        overlay.objects.ascend(from: lower) { $0.container == container && visit($0.name) }
                    }
                },
                row: { name throws(ChunkError) in
                    let key = ObjectKey(container: container, name: name)
                    switch memory.value.active.objects[key] ?? frozen(behind: piece.lsn)?.objects[key] {
                    case .row(let row): return row
                    case .deleted: return nil
                    case nil:
                        return try rows[name].map { opened throws(ChunkError) in try decodeObject(opened, name) }
                    }
                })
        }
    }

    package func containers(
        of account: Bytes, in range: NameRange, reverse: Bool, limit: Int
    ) throws(ChunkError) -> Page<ContainerRow> {
        let prefix = IndexKey.containers(of: account)
        return try page(range, prefix: prefix, reverse: reverse, limit: limit) {
            bounds, piece, most throws(ChunkError) in
            var rows: [Bytes: [UInt8]] = [:]
            for row in piece.rows { rows[try name(row.key, prefix)] = row.value }
            return try merge(
                bounds, piece: piece, keyPrefix: prefix.count, reverse: reverse, most: most,
                overlayKeys: { overlay, visit in
                    let lower = ContainerKey(account: account, name: bounds.lower)
                    if reverse {
                        let upper =
                            bounds.upper.map { ContainerKey(account: account, name: $0) }
                            ?? ContainerKey(account: Bytes(account.storage + [0]), name: Bytes([UInt8]()))
                        overlay.containers.descend(below: upper) { $0 >= lower && visit($0.name) }
                    } else {
                        overlay.containers.ascend(from: lower) { $0.account == account && visit($0.name) }
                    }
                },
                row: { name throws(ChunkError) in
                    let key = ContainerKey(account: account, name: name)
                    let older = try rows[name].map { opened throws(ChunkError) in try decodeContainer(opened, key) }
                    return currentContainer(key, older, piece.lsn)
                })
        }
    }

    /// A half-open range of names.
    struct NameBounds {
        var lower: Bytes
        var upper: Bytes?
    }

    typealias IndexPiece = (rows: [(key: [UInt8], value: [UInt8])], lsn: UInt64)

    /// Names per piece: how long the memory mutex is held at a time.
    private static var pieceRows: Int { 1_000 }

    private func page<Row: Sendable>(
        _ range: NameRange, prefix: [UInt8], reverse: Bool, limit: Int,
        _ mergePiece: (NameBounds, IndexPiece, Int) throws(ChunkError) -> (rows: [Row], next: NameBounds?)
    ) throws(ChunkError) -> Page<Row> {
        let limit = min(limit, Limits.pageRowsMax)
        var lower = range.from ?? Bytes([UInt8]())
        if let after = range.after { lower = max(lower, Bytes(after.storage + [0])) }
        var bounds = NameBounds(lower: lower, upper: range.before)
        var out: [Row] = []
        var attempts = 0
        while out.count < limit {
            if let upper = bounds.upper, upper <= bounds.lower { return Page(rows: out, mayHaveMore: false) }
            let generation = memoryMutex.withLock { memory.value.generation }
            let most = min(Self.pieceRows, limit - out.count)
            let to = bounds.upper.map { prefix + $0.storage } ?? IndexKey.successor(ofPrefix: prefix)
            let from = prefix + bounds.lower.storage
            let piece = try indexRange(from: from, to: to, reverse: reverse, limit: most)
            memoryMutex.lock()
            guard memory.value.generation == generation else {
                memoryMutex.unlock()
                attempts += 1
                if attempts > Limits.readAttemptsMax { throw .overloaded }
                continue
            }
            let merged: (rows: [Row], next: NameBounds?)
            do throws(ChunkError) {
                merged = try mergePiece(bounds, piece, most)
                memoryMutex.unlock()
            } catch {
                memoryMutex.unlock()
                throw error
            }
            out += merged.rows
            guard let next = merged.next else { return Page(rows: out, mayHaveMore: false) }
            bounds = next
        }
        return Page(rows: out, mayHaveMore: true)
    }

    /// Under the memory mutex: one piece of the index and what the overlays say of the same names. `next` is the
    /// range behind them, nil when the range is exhausted.
    private func merge<Row: Sendable>(
        _ bounds: NameBounds, piece: IndexPiece, keyPrefix: Int, reverse: Bool, most: Int,
        overlayKeys: (Overlay, (Bytes) -> Bool) -> Void, row: (Bytes) throws(ChunkError) -> Row?
    ) throws(ChunkError) -> (rows: [Row], next: NameBounds?) {
        // How far this piece reaches: the index's last row, if the index may have more.
        var reach: Bytes?
        if piece.rows.count == most, let last = piece.rows.last { reach = Bytes(Array(last.key[keyPrefix...])) }
        func within(_ name: Bytes, _ reach: Bytes?) -> Bool {
            if reverse {
                if name < bounds.lower { return false }
                return reach == nil || name >= reach!
            }
            if let upper = bounds.upper, name >= upper { return false }
            return reach == nil || name <= reach!
        }
        var names = Set<Bytes>()
        for overlay in [memory.value.active, frozen(behind: piece.lsn)] {
            guard let overlay else { continue }
            var taken = 0
            var last: Bytes?
            overlayKeys(overlay) { name in
                guard within(name, reach) else { return false }
                names.insert(name)
                taken += 1
                last = name
                return taken < most
            }
            if taken == most { reach = last }
        }
        for row in piece.rows { names.insert(Bytes(Array(row.key[keyPrefix...]))) }
        var rows: [Row] = []
        var lastName: Bytes?
        for name in names.sorted(by: { reverse ? $1 < $0 : $0 < $1 }) where within(name, reach) {
            lastName = name
            if let found = try row(name) {
                rows.append(found)
                if rows.count == most { return (rows, rest(bounds, behind: name, reverse)) }
            }
        }
        guard let reach else { return (rows, nil) }
        _ = lastName
        return (rows, rest(bounds, behind: reach, reverse))
    }

    private func rest(_ bounds: NameBounds, behind name: Bytes, _ reverse: Bool) -> NameBounds {
        reverse
            ? NameBounds(lower: bounds.lower, upper: name)
            : NameBounds(lower: Bytes(name.storage + [0]), upper: bounds.upper)
    }

    // MARK: Decoding

    /// The name in an index key. A damaged page may hold keys that no search would have found there.
    private func name(_ key: [UInt8], _ prefix: [UInt8]) throws(ChunkError) -> Bytes {
        guard key.starts(with: prefix) else { throw .corruptIndex("a key out of its place") }
        return Bytes(Array(key[prefix.count...]))
    }

    private func decodeObject(_ opened: [UInt8], _ name: Bytes) throws(ChunkError) -> ObjectRow {
        var reader = ByteReader(opened)
        let row = reader.getObjectRow(name: name)
        guard reader.isComplete else { throw .corruptIndex("an object row cannot be decoded") }
        return row
    }

    private func decodeContainer(_ opened: [UInt8], _ key: ContainerKey) throws(ChunkError) -> ContainerRow {
        var reader = ByteReader(opened)
        let row = reader.getContainerRow(key)
        guard reader.isComplete else { throw .corruptIndex("a container row cannot be decoded") }
        return row
    }
}
