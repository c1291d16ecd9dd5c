import Codecs
package import Disks
import Primitives
private import Synchronization

/// What `apus fsck` found.
package struct CheckReport: Sendable {
    /// One line each; empty means sound. At most `problemsMax`, then a line that says there are more.
    package var problems: [String] = []
    package var accounts = 0
    package var containers = 0
    package var objects = 0
    package var bytes: Int64 = 0
    package var volumes = 0
    package var snapshots = 0
    package var layers = 0
    package var framesVerified = 0
    package var recovery = RecoveryReport()
    package init() {}

    static let problemsMax = 1_000

    mutating func note(_ problem: @autoclosure () -> String) {
        if problems.count < Self.problemsMax {
            problems.append(problem())
        } else if problems.count == Self.problemsMax {
            problems.append("... and more")
        }
    }
}

extension ChunkStore {
    /// Checks a closed store under its lock: that it recovers, that every row and leaf matches its hash and
    /// decodes, that counters are the sums of what they count, that every map is whole and nobody's leaf is
    /// left over, that both index copies agree; and, if `readsBytes`, that every byte of every object verifies.
    ///
    /// Changes nothing but what any start does: an index copy that lags is brought up.
    package static func check(
        disk: any Disk, indexes: any IndexOpener, readsBytes: Bool, configuration: Configuration = Configuration()
    ) throws(ChunkError) -> CheckReport {
        let lock: any DiskLock
        do throws(DiskError) { lock = try disk.lock(lockPath) } catch {
            throw error.code == 11 ? .locked : .disk(error)
        }
        let superblock: Superblock
        do throws(Superblock.ReadFailure) {
            superblock = try Superblock.read(disk)
        } catch {
            throw .unusable("SUPER: \(error)")
        }
        var offline = configuration
        offline.isThreaded = false
        let parts = try recover(disk, indexes, offline, superblock, lock)
        let store = ChunkStore(parts: parts, configuration: offline)
        defer {
            store.index.close()
            store.secondIndex?.close()
        }
        var report = CheckReport()
        report.recovery = parts.report
        if let reason = parts.readOnly { report.note("the log: \(reason)") }
        try store.check(&report, readsBytes: readsBytes)
        if store.counters.leadingIndexDamaged.load(ordering: .relaxed) {
            report.note("index.\(store.leadingCopy == 0 ? "a" : "b") holds wrong rows: the next start makes it again")
        }
        return report
    }

    /// The same invariants on a store of the rigs that is at rest.
    package func check(_ report: inout CheckReport, readsBytes: Bool) throws(ChunkError) {
        var containerIDs: Set<UInt64> = []
        var mappedOwners: Set<UInt64> = []
        for name in try accountNames(&report) {
            guard
                let account = try noting(
                    &report, "account \(name)", { () throws(ChunkError) in try self.account(name) }) ?? nil
            else { continue }
            report.accounts += 1
            var containers = 0
            var objects = 0
            var bytes = 0
            var cursor: Bytes?
            while true {
                let page = try self.containers(of: name, in: NameRange(after: cursor), reverse: false, limit: 1_000)
                for container in page.rows {
                    containers += 1
                    objects += container.objectCount
                    bytes += container.byteCount
                    if !containerIDs.insert(container.id).inserted {
                        report.note("container id \(container.id) is used twice")
                    }
                    try check(container, &report, &mappedOwners, readsBytes: readsBytes)
                }
                guard page.mayHaveMore, let last = page.rows.last else { break }
                cursor = last.name
            }
            report.containers += containers
            if (containers, objects, bytes) != (account.containerCount, account.objectCount, account.byteCount) {
                report.note(
                    "account \(name) counts \(account.containerCount) containers, \(account.objectCount) objects, \(account.byteCount) bytes; it has \(containers), \(objects), \(bytes)"
                )
            }
        }
        try checkStrays(&report, containerIDs, mappedOwners)
        try checkLayers(&report, readsBytes: readsBytes)
        try compareCopies(&report)
    }

    private func check(
        _ container: ContainerRow, _ report: inout CheckReport, _ mappedOwners: inout Set<UInt64>, readsBytes: Bool
    ) throws(ChunkError) {
        let path = "\(container.account)/\(container.name)"
        var objects = 0
        var bytes = 0
        var cursor: Bytes?
        let buffer = AlignedBuffer(frameBytes)
        while true {
            let page = try self.objects(in: container.id, NameRange(after: cursor), reverse: false, limit: 1_000)
            for row in page.rows {
                objects += 1
                bytes += row.size
                if row.owner >= ids.load(ordering: .relaxed) {
                    report.note("\(path)/\(row.name): id \(row.owner) was never handed out")
                }
                if row.body == .mapped, !mappedOwners.insert(row.owner).inserted {
                    report.note("\(path)/\(row.name): its bytes belong to another object too")
                }
                let opened = try noting(&report, "\(path)/\(row.name)") { () throws(ChunkError) in try reader(row) }
                guard let opened else { continue }
                guard let reader = opened else {
                    report.note("\(path)/\(row.name): a leaf of its map is missing")
                    continue
                }
                guard readsBytes else { continue }
                var digest = MD5()
                var isWhole = true
                for frame in 0..<reader.frameCount {
                    let count = try noting(&report, "\(path)/\(row.name) frame \(frame)") { () throws(ChunkError) in
                        try reader.read(frame: frame, into: buffer.bytes)
                    }
                    guard let count else {
                        isWhole = false
                        break
                    }
                    digest.update(buffer.range(0, count))
                    report.framesVerified += 1
                }
                if isWhole, digest.finalize() != row.etag {
                    report.note("\(path)/\(row.name): its bytes are not its ETag's")
                }
            }
            guard page.mayHaveMore, let last = page.rows.last else { break }
            cursor = last.name
        }
        report.objects += objects
        report.bytes += Int64(bytes)
        if (objects, bytes) != (container.objectCount, container.byteCount) {
            report.note(
                "container \(path) counts \(container.objectCount) objects, \(container.byteCount) bytes; it has \(objects), \(bytes)"
            )
        }
    }

    /// Runs a step; damage becomes a line of the report, everything else is thrown.
    func noting<R>(
        _ report: inout CheckReport, _ what: String, _ body: () throws(ChunkError) -> R
    ) throws(ChunkError) -> R? {
        do throws(ChunkError) {
            return try body()
        } catch {
            switch error {
            case .corrupt, .corruptIndex, .disk:
                report.note("\(what): \(error)")
                return nil
            case .readOnly, .noSpace, .overloaded, .index, .cancelled, .locked, .unusable: throw error
            }
        }
    }

    private func accountNames(_ report: inout CheckReport) throws(ChunkError) -> [Bytes] {
        var names = Set<Bytes>()
        try forEachRow(IndexKey.account) { key, _ in names.insert(Bytes(Array(key[1...]))) }
        memoryMutex.withLock {
            for overlay in [memory.value.active, memory.value.frozen] {
                names.formUnion(overlay?.accounts.keys.map { $0 } ?? [])
            }
        }
        return names.sorted()
    }

    /// Rows that nobody reaches: objects of containers that are not there, leaves of nobody.
    private func checkStrays(
        _ report: inout CheckReport, _ containerIDs: Set<UInt64>, _ mappedOwners: Set<UInt64>
    ) throws(ChunkError) {
        let (active, frozen) = memoryMutex.withLock { (memory.value.active, memory.value.frozen) }
        let overlays = [active, frozen].compactMap { $0 }
        try forEachRow(IndexKey.object) { key, _ in
            guard key.count >= 9 else { return report.note("an object's key of \(key.count) bytes") }
            let container = IndexKey.bigEndian(key[1..<9])
            let name = Bytes(Array(key[9...]))
            let isDeleted = overlays.contains {
                if case .deleted = $0.objects[ObjectKey(container: container, name: name)] { true } else { false }
            }
            if !containerIDs.contains(container), !isDeleted {
                report.note("object \(name) of container id \(container), which does not exist")
            }
        }
        var unfinished = Set<UInt64>()
        try forEachRow(IndexKey.upload) { key, _ in unfinished.insert(IndexKey.bigEndian(key[1...])) }
        for overlay in overlays { unfinished.formUnion(overlay.uploads.filter(\.value).keys) }
        var owners = Set<UInt64>()
        try forEachRow(IndexKey.leaf) { key, _ in
            guard key.count == 13 else { return report.note("a leaf's key of \(key.count) bytes") }
            owners.insert(IndexKey.bigEndian(key[1..<9]))
        }
        for overlay in overlays {
            owners.subtract(overlay.droppedOwners)
            owners.formUnion(overlay.leaves.keys.map(\.owner))
        }
        for owner in owners.subtracting(mappedOwners).subtracting(unfinished).sorted() {
            report.note("leaves of owner \(owner), which no object names")
        }
    }

    private func compareCopies(_ report: inout CheckReport) throws(ChunkError) {
        guard let secondIndex else { return }
        do throws(IndexError) {
            guard try index.position()?.lsn == secondIndex.position()?.lsn else { return }
            var cursor: [UInt8] = []
            while true {
                let a = try index.range(from: cursor, to: nil, reverse: false, limit: 10_000).rows
                let b = try secondIndex.range(from: cursor, to: nil, reverse: false, limit: 10_000).rows
                if let at = (0..<max(a.count, b.count)).first(where: {
                    $0 >= a.count || $0 >= b.count || a[$0].key != b[$0].key || a[$0].value != b[$0].value
                }) {
                    let key = at < a.count ? a[at].key : b[at].key
                    report.note("the two index copies differ at key \(Hex.encode(key))")
                    return
                }
                guard a.count == 10_000 else { return }
                cursor = a[a.count - 1].key + [0]
            }
        } catch {
            throw .index(error.description)
        }
    }

    func forEachRow(_ kind: UInt8, _ body: ([UInt8], [UInt8]) -> Void) throws(ChunkError) {
        var cursor: [UInt8] = [kind]
        let end = IndexKey.successor(ofPrefix: [kind])
        while true {
            let page = try indexRange(from: cursor, to: end, reverse: false, limit: 10_000)
            for row in page.rows { body(row.key, row.value) }
            guard page.rows.count == 10_000 else { return }
            cursor = page.rows[page.rows.count - 1].key + [0]
        }
    }
}
