import Chunks
import Disks
import Foundation
import Primitives
import Testing

/// One behaviour, three indexes: the daemon's, and the two that the rigs use in its place.
@Suite struct IndexStoreTests {
    enum Kind: CaseIterable { case sqlite, simulated, rig }

    private func withIndex(_ kind: Kind, _ body: (any IndexStore) throws -> Void) throws {
        switch kind {
        case .simulated: try body(SimulatedIndex())
        case .rig: try body(RigIndex(IndexHistory(clock: { 0 })))
        case .sqlite: try withFolder { try body(SQLiteIndex(path: $0 + "/index.a")) }
        }
    }

    private func withFolder(_ body: (String) throws -> Void) throws {
        let folder = NSTemporaryDirectory() + "/apus-index-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    private func position(_ lsn: UInt64) -> IndexPosition {
        IndexPosition(
            lsn: lsn, segment: .max, endOffset: 4096, lastGroupOffset: 8192, lastGroupHash: .max - lsn, nextID: lsn * 2,
            newestTimestampTicks: -5, bytesLogical: 77, bytesStored: 88)
    }

    @Test(arguments: Kind.allCases) func rowsAndPositionGoTogether(_ kind: Kind) throws {
        try withIndex(kind) { index in
            #expect(try index.position() == nil)
            #expect(try index.getWithLSN([1]) == (nil, 0))
            try index.apply(position(3)) { transaction throws(IndexError) in
                try transaction.put([1], [])
                try transaction.put([1, 0], [9, 9])
                try transaction.put([255, 255], [UInt8](repeating: 7, count: 30_000))
                if try transaction.get([1, 0]) != [9, 9] {
                    throw IndexError("a transaction does not read its own writes")
                }
            }
            #expect(try index.position() == position(3))
            let found = try index.getWithLSN([1, 0])
            #expect(found.value == [9, 9] && found.lsn == 3)
            #expect(try index.get([1]) == [])
            #expect(try index.get([2]) == nil)
            #expect(try index.get([255, 255])?.count == 30_000)
            try index.checkpoint()
            index.close()
        }
    }

    @Test(arguments: Kind.allCases) func aTransactionThatThrowsChangesNothing(_ kind: Kind) throws {
        try withIndex(kind) { index in
            try index.apply(position(1)) { transaction throws(IndexError) in try transaction.put([1], [1]) }
            #expect(throws: IndexError.self) {
                try index.apply(position(2)) { transaction throws(IndexError) in
                    try transaction.put([1], [2])
                    try transaction.delete([1])
                    throw IndexError("on purpose")
                }
            }
            #expect(try index.get([1]) == [1])
            #expect(try index.position()?.lsn == 1)
            try index.apply(position(2)) { transaction throws(IndexError) in try transaction.put([1], [3]) }
            #expect(try index.get([1]) == [3])
        }
    }

    @Test(arguments: Kind.allCases) func rangesAreBytewiseHalfOpenBothWaysAndLimited(_ kind: Kind) throws {
        var random = SplitMix64(seed: 42)
        try withIndex(kind) { index in
            var model: [[UInt8]: [UInt8]] = [:]
            for lsn in 1...8 {
                try index.apply(position(UInt64(lsn))) { transaction throws(IndexError) in
                    for _ in 0..<30 {
                        let key = (0..<1 + random.below(3)).map { _ in [0, 1, 127, 128, 255][random.below(5)] as UInt8 }
                        if random.oneIn(5) {
                            try transaction.delete(key)
                            model[key] = nil
                        } else {
                            try transaction.put(key, [UInt8(random.below(256))] + key)
                            model[key] = try transaction.get(key)
                        }
                    }
                    let from: [UInt8] = [UInt8(random.below(256))]
                    let to: [UInt8]? = lsn == 4 ? nil : [from[0], 9]
                    try transaction.deleteRange(from: from, to: to)
                    for key in model.keys
                    where Bytes.compare(key, from) >= 0 && (to.map { Bytes.compare(key, $0) < 0 } ?? true) {
                        model[key] = nil
                    }
                }
                for _ in 0..<20 {
                    let from = (0..<random.below(3)).map { _ in UInt8(random.below(256)) }
                    let to = random.oneIn(3) ? nil : (0..<random.below(3)).map { _ in UInt8(random.below(256)) }
                    let reverse = random.oneIn(2)
                    let limit = random.below(40)
                    var keys = model.keys.filter {
                        Bytes.compare($0, from) >= 0 && (to == nil || Bytes.compare($0, to!) < 0)
                    }
                    .sorted { Bytes.compare($0, $1) < 0 }
                    if reverse { keys.reverse() }
                    let page = try index.range(from: from, to: to, reverse: reverse, limit: limit)
                    #expect(page.lsn == UInt64(lsn))
                    #expect(page.rows.map(\.key) == Array(keys.prefix(limit)))
                    #expect(page.rows.map(\.value) == keys.prefix(limit).map { model[$0]! })
                }
            }
        }
    }

    /// What a kill leaves of SQLite's files: copied while they are open.
    @Test func aCopyOfOpenFilesHoldsAWholeTransaction() throws {
        try withFolder { folder in
            let index = try SQLiteIndex(path: folder + "/index.a")
            for lsn in 1...20 as ClosedRange<UInt64> {
                try index.apply(position(lsn)) { transaction throws(IndexError) in
                    for key in 0..<20 as Range<UInt8> { try transaction.put([key], [UInt8(lsn), key]) }
                }
                if lsn % 7 == 0 { try index.checkpoint() }
                let copy = folder + "/copy\(lsn)"
                for suffix in ["", "-wal"] {
                    try FileManager.default.copyItem(atPath: folder + "/index.a" + suffix, toPath: copy + suffix)
                }
                let found = try SQLiteIndex(path: copy)
                #expect(try found.position() == position(lsn))
                for key in 0..<20 as Range<UInt8> { #expect(try found.get([key]) == [UInt8(lsn), key]) }
                found.close()
                // Without the log of SQLite's own: what the last checkpoint held.
                let bare = folder + "/bare\(lsn)"
                try FileManager.default.copyItem(atPath: folder + "/index.a", toPath: bare)
                let old = try SQLiteIndex(path: bare)
                let lsnOfOld = try old.position()?.lsn ?? 0
                #expect(lsnOfOld >= lsn / 7 * 7 && lsnOfOld <= lsn)
                old.close()
            }
            index.close()
        }
    }

    @Test func aFileThatIsNoDatabaseIsRefusedAndPutAside() throws {
        try withFolder { folder in
            try Data([UInt8](repeating: 0x5A, count: 20_000)).write(to: URL(fileURLWithPath: folder + "/index.a"))
            let indexes = SQLiteIndexes(folder: folder, copies: 2)
            #expect(throws: IndexError.self) {
                let index = try indexes.open(copy: 0)
                _ = try index.position()
            }
            try indexes.setAside(copy: 0)
            let index = try indexes.open(copy: 0)
            #expect(try index.position() == nil)
            index.close()
        }
    }
}
