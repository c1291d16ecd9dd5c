import Codecs
package import Disks
private import Glibc
import Primitives
import Synchronization

/// What recovery found, for the log and for `apus status`.
package struct RecoveryReport: Sendable {
    package var isNew = false
    package var wasClean = false
    package var groupsReplayed = 0
    package var operationsReplayed = 0
    package var bytesReplayed = 0
    package var orphanUploadsDropped = 0
    package var rebuiltIndexCopies: [Int] = []
    package var milliseconds = 0
    package init() {}
}

/// Opens the index files of a store: SQLite in the daemon, simulated in the rigs.
package protocol IndexOpener: Sendable {
    /// - Parameter copy: 0 or 1.
    func open(copy: Int) throws(IndexError) -> any IndexStore
    /// Puts a damaged copy aside, so that `open` makes a new, empty one.
    func setAside(copy: Int) throws(IndexError)
    /// Notes that a copy gave wrong rows: the next `open` of it fails, so that the other one leads.
    func distrust(copy: Int)
    /// 1 or 2.
    var copies: Int { get }
}

extension IndexOpener {
    package func distrust(copy: Int) {}
}

/// What `open` hands to the store.
struct OpenParts {
    var disk: any Disk
    var superblock: Superblock
    var segments: SegmentTable
    var spares: SpareSegments
    var bulk: BulkSegments
    var index: any IndexStore
    var secondIndex: (any IndexStore)?
    var lock: any DiskLock
    var overlay: Overlay
    var tail: LogTail
    var nextID: UInt64
    var newestTimestamp: Timestamp
    var bytesLogical: Int64
    var bytesStored: Int64
    var readOnly: ReadOnlyReason?
    var report: RecoveryReport
    /// Where each index copy that leads or follows stands.
    var appliedLSN: [UInt64]
    var indexes: any IndexOpener
    var leadingCopy: Int
    /// Uploads that never got their PUT.
    var orphanUploads: [UInt64]
}

extension ChunkStore {
    static let lockPath = "LOCK"

    /// Opens a store, or makes one in an empty folder: takes the lock, recovers, starts the threads.
    ///
    /// - Parameter random: bytes from the system's CSPRNG, for a new store's identity and hash secret.
    package static func open(
        disk: any Disk, indexes: any IndexOpener, configuration: Configuration, random: (Int) -> [UInt8]
    ) throws(ChunkError) -> ChunkStore {
        let started = MonotonicClock.now()
        let lock: any DiskLock
        do throws(DiskError) {
            lock = try disk.lock(lockPath)
        } catch {
            throw error.code == 11 ? .locked : .disk(error)
        }
        var superblock: Superblock
        var isNew = false
        do throws(Superblock.ReadFailure) {
            superblock = try Superblock.read(disk)
        } catch {
            switch error {
            case .absent:
                superblock = try make(disk, indexes, configuration, random)
                isNew = true
            case .damaged:
                throw .unusable(
                    "both copies of SUPER are damaged: restore that file from a backup of the folder. Nothing was changed"
                )
            case .otherVersion(let version):
                throw .unusable(
                    "the store has format version \(version), this program knows \(Superblock.version): use the program that wrote it"
                )
            case .unknownFeatures(let bits):
                throw .unusable(
                    "the store uses features this program does not know (bits \(bits)): use a newer program")
            case .disk(let cause): throw .disk(cause)
            }
        }
        var parts = try recover(disk, indexes, configuration, superblock, lock)
        parts.report.isNew = isNew
        parts.report.wasClean = superblock.isClean
        if !superblock.isClean, parts.readOnly == nil {
            // A process that was killed left the rest of the segment that it filled with bodies.
            do throws(DiskError) {
                if let id = try parts.segments.newestBulk() { parts.spares.giveBack(id, from: nil) }
            } catch {
                throw .disk(error)
            }
        }
        superblock.isClean = false
        if parts.readOnly == nil {
            do throws(DiskError) { try superblock.write(disk) } catch { throw .disk(error) }
        }
        parts.superblock = superblock
        parts.report.milliseconds = Int((MonotonicClock.now() - started) / 1_000_000)
        let store = ChunkStore(parts: parts, configuration: configuration)
        store.updateSpace()
        store.applierState.value.applied = parts.appliedLSN
        store.applierState.value.secondHasFailed = indexes.copies == 2 && parts.secondIndex == nil
        if configuration.isThreaded {
            startThread(name: "committer") { store.commitLoop() }
            startThread(name: "acknowledger") { store.acknowledgeLoop() }
            // Nobody waits for these two, and the committer must not wait for a core because of them.
            startThread(name: "applier", nice: 5) { store.applyLoop() }
            startThread(name: "spares", nice: 5) { store.maintenanceLoop() }
        }
        if parts.readOnly == nil {
            for owner in parts.orphanUploads { store.abandonUpload(owner) }
            if !configuration.isThreaded { store.runPending() }
        }
        return store
    }

    /// Lays a new store out. SUPER comes last: it is what makes the folder a store.
    private static func make(
        _ disk: any Disk, _ indexes: any IndexOpener, _ configuration: Configuration, _ random: (Int) -> [UInt8]
    ) throws(ChunkError) -> Superblock {
        guard configuration.segmentBytes % 65_536 == 0, (524_288...67_108_864).contains(configuration.segmentBytes)
        else {
            throw .unusable("a segment has 512 KiB to 64 MiB, in steps of 64 KiB")
        }
        let hasSegments: Bool
        do throws(DiskError) {
            try disk.makeDirectory(SegmentTable.folder)
            hasSegments = try !SegmentTable.existing(disk).isEmpty
            // Before SUPER gets its name: whoever sees SUPER must see the folder.
            try disk.syncDirectory("")
        } catch {
            throw .disk(error)
        }
        guard !hasSegments else {
            throw .unusable(
                "there are segments but no SUPER: restore that file from a backup of the folder. Nothing was changed")
        }
        do throws(IndexError) {
            for copy in 0..<indexes.copies {
                let index = try indexes.open(copy: copy)
                try index.checkpoint()
                index.close()
            }
        } catch {
            throw .index(error.description)
        }
        var superblock = Superblock(
            uuid: random(16), sequence: 0, isClean: true, segmentBytes: UInt32(configuration.segmentBytes),
            secret: HashSecret(random(HashSecret.byteCount)))
        do throws(DiskError) {
            try superblock.create(disk)
            try disk.syncDirectory(SegmentTable.folder)
            try disk.syncDirectory("")
        } catch {
            throw .disk(error)
        }
        return superblock
    }

    static func recover(
        _ disk: any Disk, _ indexes: any IndexOpener, _ configuration: Configuration, _ superblock: Superblock,
        _ lock: any DiskLock
    ) throws(ChunkError) -> OpenParts {
        var report = RecoveryReport()
        let segments: SegmentTable
        let ballast: Ballast
        do throws(DiskError) {
            segments = try SegmentTable(disk: disk, superblock: superblock, mutant: configuration.mutant)
            try segments.removeLeftoverSpares()
            ballast = try Ballast(
                disk: disk, byteCount: configuration.holdsBallast ? 2 * Int64(segments.segmentBytes) : 0)
            // The indexes have to be opened, and the first delete needs a segment.
            if configuration.holdsBallast, try disk.space().free < ballast.byteCount { ballast.release() }
        } catch {
            throw .disk(error)
        }
        let scanner = LogScanner(segments: segments, mutant: configuration.mutant)
        let copies = try openIndexes(indexes, &report)
        let index = copies.first
        let start = copies.firstPosition.map(LogTail.init) ?? .empty

        var readOnly: ReadOnlyReason?
        if let position = copies.firstPosition, try !hasLastGroup(position, segments) {
            // Unless what follows proves it was there; see below.
            readOnly = .logBehindIndex(indexLSN: position.lsn, logLSN: 0)
            #if DEBUG
                if configuration.mutant == .ignoreIndexAhead { readOnly = nil }
            #endif
        }

        // The fold: into one overlay, flushed to the index whenever it is full.
        let seal = RowSeal(secret: superblock.secret)
        var overlay = Overlay()
        var nextID = copies.firstPosition?.nextID ?? 1
        var newest = Timestamp(ticks: copies.firstPosition?.newestTimestampTicks ?? 0)
        var logical = copies.firstPosition?.bytesLogical ?? 0
        var stored = copies.firstPosition?.bytesStored ?? 0
        var tail = start
        var proofIsDamaged = readOnly != nil
        if proofIsDamaged, let position = copies.firstPosition, try scanner.continues(LogTail(position)) {
            // The next group, or segment, names the hash of the group that can't be read: the log goes on behind it.
            readOnly = nil
        } else {
            proofIsDamaged = false
        }
        if readOnly == nil {
            let highest = max(copies.firstPosition?.lsn ?? 0, copies.secondPosition?.lsn ?? 0)
            var isIndexFull = false
            let outcome = try scanner.scan(from: start, indexLSN: highest) { header, records throws(ChunkError) in
                report.groupsReplayed += 1
                report.operationsReplayed += records.count
                report.bytesReplayed += header.totalBytes
                for record in records {
                    overlay.apply(record, mutant: configuration.mutant)
                    nextID = max(nextID, record.highestID + 1)
                    newest = max(newest, record.newestTimestamp)
                    logical += record.logicalDelta
                }
                stored += Int64(header.totalBytes)
                overlay.advance(
                    to: IndexPosition(
                        lsn: header.nextLSN - 1, segment: header.segment,
                        endOffset: header.offset + UInt32(header.totalBytes),
                        lastGroupOffset: header.offset, lastGroupHash: header.hash, nextID: nextID,
                        newestTimestampTicks: newest.ticks, bytesLogical: logical, bytesStored: stored),
                    logBytes: header.totalBytes)
                if overlay.operationCount >= 2 * configuration.overlayOperationsMax
                    || overlay.logBytes >= 4 * configuration.overlayLogBytesMax
                {
                    guard !isIndexFull else { return }
                    // Only what is durable goes into the index (I5).
                    try syncSegments([header.segment], segments)
                    var isWritten = try hasWritten(overlay, to: index, seal)
                    if !isWritten, ballast.release() { isWritten = try hasWritten(overlay, to: index, seal) }
                    // On a full disk memory holds it, as it did before the store ended.
                    if isWritten { overlay = Overlay() } else { isIndexFull = true }
                }
            }
            tail = outcome.tail
            if case .damaged(let segment, let offset) = outcome.ending {
                readOnly = .damaged(segment: segment, offset: Int64(offset))
            }
            if proofIsDamaged, readOnly == nil, let position = copies.firstPosition {
                readOnly = .damaged(segment: position.segment, offset: Int64(position.lastGroupOffset))
            }
            var syncsTail = readOnly == nil
            #if DEBUG
                if configuration.mutant == .skipTailSync { syncsTail = false }
            #endif
            if syncsTail { try syncSegments(outcome.scanned, segments) }
        }
        #if DEBUG
            if configuration.mutant == .reuseID { nextID = copies.firstPosition?.nextID ?? 1 }
        #endif
        let orphans = try orphanUploads(overlay, index, configuration.mutant)
        report.orphanUploadsDropped = orphans.count
        // Ids that uploads took and never logged may stand in bulk segments: they are not handed out again.
        nextID += idGap
        #if DEBUG
            if configuration.mutant == .reuseID { nextID -= idGap }
        #endif
        // Where the first copy stands now: the fold may have been written to it on the way.
        let stands: IndexPosition?
        do throws(IndexError) { stands = try index.position() } catch { throw .index(error.description) }
        var second = copies.second
        // A store that must not be written to keeps both as they are: they are witnesses.
        if let copy = second, readOnly == nil {
            second = try bringUp(
                copy, number: copies.firstCopy == 0 ? 1 : 0, from: copies.secondPosition, upTo: stands, scanner, seal,
                index,
                indexes, configuration, &report)
        }
        return OpenParts(
            disk: disk, superblock: superblock, segments: segments,
            spares: SpareSegments(
                segments: segments, zeroFilled: configuration.zeroFillsSpares && configuration.isThreaded,
                ballast: ballast),
            bulk: BulkSegments(segments: segments) { hasRoom($0, disk, segments, configuration) }, index: index,
            secondIndex: second, lock: lock,
            overlay: overlay,
            tail: tail, nextID: nextID, newestTimestamp: newest, bytesLogical: logical, bytesStored: stored,
            readOnly: readOnly, report: report,
            appliedLSN: Array(repeating: stands?.lsn ?? 0, count: second == nil ? 1 : 2), indexes: indexes,
            leadingCopy: copies.firstCopy, orphanUploads: orphans)
    }

    // MARK: The index copies

    private struct Copies {
        var first: any IndexStore
        var firstCopy: Int
        var firstPosition: IndexPosition?
        var second: (any IndexStore)?
        var secondPosition: IndexPosition?
    }

    /// Opens what can be opened; the copy that is further on leads. A copy that does not open is put aside and
    /// made again; if none does, the operator decides.
    private static func openIndexes(_ indexes: any IndexOpener, _ report: inout RecoveryReport) throws(ChunkError)
        -> Copies
    {
        var opened: [(copy: Int, index: any IndexStore, position: IndexPosition?)] = []
        /// Copies that are damaged; one that only finds no room now is left alone.
        var failures: [Int] = []
        var reasons: [String] = []
        var isOutOfSpace = false
        for copy in 0..<indexes.copies {
            do throws(IndexError) {
                let index = try indexes.open(copy: copy)
                opened.append((copy, index, try index.position()))
            } catch {
                if !error.isNoSpace { failures.append(copy) }
                reasons.append(error.description)
                isOutOfSpace = isOutOfSpace || error.isNoSpace
            }
        }
        guard !opened.isEmpty else {
            if isOutOfSpace { throw .noSpace }
            throw .unusable(
                "no copy of the index can be opened (\(reasons.joined(separator: "; "))): if the disk is sound, restore index.a or index.b from a backup of the folder, and remove its .distrusted note. Nothing was changed"
            )
        }
        opened.sort { ($0.position?.lsn ?? 0, 1 - $0.copy) > ($1.position?.lsn ?? 0, 1 - $1.copy) }
        var copies = Copies(first: opened[0].index, firstCopy: opened[0].copy, firstPosition: opened[0].position)
        if opened.count == 2 {
            copies.second = opened[1].index
            copies.secondPosition = opened[1].position
        }
        for copy in failures {
            report.rebuiltIndexCopies.append(copy)
            do throws(IndexError) {
                try indexes.setAside(copy: copy)
                copies.second = try indexes.open(copy: copy)
                copies.secondPosition = nil
            } catch {
                throw .index(error.description)
            }
        }
        return copies
    }

    /// More than the ids that one run hands out after its last checkpoint.
    private static var idGap: UInt64 { 1 << 20 }

    /// Brings the other copy to where the first one stands. One that can't be brought there is put aside and filled
    /// anew, row by row; if even that fails the store goes on with one copy, and the next start tries again.
    private static func bringUp(
        _ second: any IndexStore, number: Int, from: IndexPosition?, upTo target: IndexPosition?, _ scanner: LogScanner,
        _ seal: RowSeal, _ first: any IndexStore, _ indexes: any IndexOpener, _ configuration: Configuration,
        _ report: inout RecoveryReport
    ) throws(ChunkError) -> (any IndexStore)? {
        guard let target, (from?.lsn ?? 0) < target.lsn else { return second }
        if let from {
            do throws(ChunkError) {
                if try catchUp(second, from: from, upTo: target, scanner, seal, configuration) { return second }
            } catch {
                // No room is no fault of the copy's: it stays as it is, and the next start tries again.
                if error == .noSpace {
                    second.close()
                    return nil
                }
                // Whatever else it was, the rows themselves are the other way.
            }
        }
        if !report.rebuiltIndexCopies.contains(number) { report.rebuiltIndexCopies.append(number) }
        do throws(ChunkError) {
            try copyRows(from: first, to: second, target)
            return second
        } catch {
            second.close()
            if error == .noSpace { return nil }
        }
        do throws(IndexError) {
            try indexes.setAside(copy: number)
            let fresh = try indexes.open(copy: number)
            do throws(ChunkError) {
                try copyRows(from: first, to: fresh, target)
                return fresh
            } catch {
                fresh.close()
                return nil
            }
        } catch {
            return nil
        }
    }

    /// Folds the part of the log that the copy missed, in bounded pieces; false if the log does not reach.
    private static func catchUp(
        _ second: any IndexStore, from: IndexPosition, upTo target: IndexPosition, _ scanner: LogScanner,
        _ seal: RowSeal,
        _ configuration: Configuration
    ) throws(ChunkError) -> Bool {
        var overlay = Overlay()
        var position = from
        let outcome = try scanner.scan(from: LogTail(from), indexLSN: target.lsn, stopAfter: target.lsn) {
            header, records throws(ChunkError) in
            for record in records {
                overlay.apply(record, mutant: nil)
                position.nextID = max(position.nextID, record.highestID + 1)
                position.newestTimestampTicks = max(position.newestTimestampTicks, record.newestTimestamp.ticks)
                position.bytesLogical += record.logicalDelta
            }
            position.lsn = header.nextLSN - 1
            position.segment = header.segment
            position.endOffset = header.offset + UInt32(header.totalBytes)
            position.lastGroupOffset = header.offset
            position.lastGroupHash = header.hash
            position.bytesStored += Int64(header.totalBytes)
            overlay.advance(to: position.lsn == target.lsn ? target : position, logBytes: header.totalBytes)
            if overlay.operationCount >= configuration.overlayOperationsMax
                || overlay.logBytes >= configuration.overlayLogBytesMax
            {
                try write(overlay, to: second, seal)
                overlay = Overlay()
            }
        }
        guard outcome.tail.nextLSN == target.lsn + 1 else { return false }
        try write(overlay, to: second, seal)
        return true
    }

    private static func copyRows(from: any IndexStore, to: any IndexStore, _ position: IndexPosition) throws(ChunkError)
    {
        do throws(IndexError) {
            try to.apply(position) { transaction throws(IndexError) in
                try transaction.deleteRange(from: [], to: nil)
                var cursor: [UInt8] = []
                while true {
                    let page = try from.range(from: cursor, to: nil, reverse: false, limit: 10_000).rows
                    for row in page { try transaction.put(row.key, row.value) }
                    guard page.count == 10_000 else { break }
                    cursor = page[page.count - 1].key + [0]
                }
            }
            try to.checkpoint()
        } catch {
            throw error.isNoSpace ? .noSpace : .index(error.description)
        }
    }

    private static func write(_ overlay: Overlay, to index: any IndexStore, _ seal: RowSeal) throws(ChunkError) {
        guard let position = overlay.position else { return }
        do throws(IndexError) {
            try index.bring(to: position, with: overlay, seal)
        } catch {
            throw error.isNoSpace ? .noSpace : .index(error.description)
        }
    }

    /// False: there is no room for it.
    private static func hasWritten(
        _ overlay: Overlay, to index: any IndexStore, _ seal: RowSeal
    ) throws(ChunkError) -> Bool {
        do throws(ChunkError) {
            try write(overlay, to: index, seal)
            return true
        } catch {
            guard error == .noSpace else { throw error }
            return false
        }
    }

    /// I5: the group that the index says it ends with is really there.
    private static func hasLastGroup(_ position: IndexPosition, _ segments: SegmentTable) throws(ChunkError) -> Bool {
        guard position.lsn > 0 else { return true }
        do throws(DiskError) {
            var window = SegmentWindow(
                id: position.segment, file: try segments.disk.open(SegmentTable.path(position.segment), .readDirect),
                segmentBytes: segments.segmentBytes)
            do throws(ChunkError) {
                guard let bytes = try window.group(at: Int(position.lastGroupOffset)),
                    let header = GroupHeader(
                        bytes, segment: position.segment, offset: Int(position.lastGroupOffset),
                        segmentBytes: segments.segmentBytes, segments.secret)
                else { return false }
                return header.hash == position.lastGroupHash && header.nextLSN == position.lsn + 1
                    && Int(header.offset) + header.totalBytes == Int(position.endOffset)
            } catch {
                return false
            }
        } catch {
            if error.isNotFound { return false }
            throw .disk(error)
        }
    }

    private static func syncSegments(_ ids: [UInt32], _ segments: SegmentTable) throws(ChunkError) {
        do throws(DiskError) {
            for id in ids { try segments.disk.open(SegmentTable.path(id), .readWrite).sync() }
        } catch {
            throw .disk(error)
        }
    }

    /// Uploads that never got their PUT: the store logs that their leaves name nothing, so that every fold of the log agrees.
    private static func orphanUploads(
        _ overlay: Overlay, _ index: any IndexStore, _ mutant: Mutant?
    ) throws(ChunkError) -> [UInt64] {
        #if DEBUG
            if mutant == .keepOrphanUpload { return [] }
        #endif
        var owners = Set(overlay.uploads.filter(\.value).map(\.key))
        do throws(IndexError) {
            let rows = try index.range(
                from: [IndexKey.upload], to: IndexKey.successor(ofPrefix: [IndexKey.upload]), reverse: false,
                limit: .max / 2)
            for row in rows.rows where row.key.count == 9 {
                let owner = IndexKey.bigEndian(row.key[1...])
                if overlay.uploads[owner] != false { owners.insert(owner) }
            }
        } catch {
            throw .index(error.description)
        }
        return owners.sorted()
    }
}

extension LogTail {
    init(_ position: IndexPosition) {
        self.init(
            segment: position.segment, endOffset: Int(position.endOffset),
            lastGroupOffset: Int(position.lastGroupOffset),
            lastHash: position.lastGroupHash, nextLSN: position.lsn + 1)
    }
}

extension Record {
    /// What it adds to the bytes that users see.
    var logicalDelta: Int64 {
        switch self {
        case .putObject(_, _, let row, let replaced): Int64(row.size - (replaced?.size ?? 0))
        case .deleteObject(_, _, _, _, let replaced): -Int64(replaced.size)
        case .putAccount, .putContainer, .deleteContainer, .setObjectMetadata, .uploadLeaf, .dropUpload, .volumeWrite,
            .volumeTrim, .tree:
            0
        }
    }
}

/// The two SQLite files in a folder.
package struct SQLiteIndexes: IndexOpener {
    package let folder: String
    package let copies: Int

    /// - Parameter copies: 1 turns the second one off.
    package init(folder: String, copies: Int) {
        precondition(copies == 1 || copies == 2)
        self.folder = folder
        self.copies = copies
    }

    private func path(_ copy: Int) -> String { folder + (copy == 0 ? "/index.a" : "/index.b") }

    package func open(copy: Int) throws(IndexError) -> any IndexStore {
        if access(path(copy) + Self.distrustSuffix, F_OK) == 0 {
            throw IndexError("\(path(copy)) gave wrong rows before")
        }
        return try SQLiteIndex(path: path(copy))
    }

    private static let distrustSuffix = ".distrusted"

    package func distrust(copy: Int) {
        // If the note can't be written, the next start meets the same error and notes it then.
        let descriptor = creat(path(copy) + Self.distrustSuffix, 0o600)
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
    }

    package func setAside(copy: Int) throws(IndexError) {
        for suffix in ["", "-wal", "-shm"] {
            let old = path(copy) + suffix
            guard access(old, F_OK) == 0 else { continue }
            guard rename(old, old + ".damaged") == 0 else { throw IndexError("rename \(old): errno \(errno)") }
        }
        let note = path(copy) + Self.distrustSuffix
        guard unlink(note) == 0 || errno == ENOENT else { throw IndexError("unlink \(note): errno \(errno)") }
    }
}
