import Disks
import Foundation
import Testing

/// One behaviour, two disks.
enum DiskKind: CaseIterable {
    case system, simulated

    /// Runs the body on a disk of its own, in a temporary folder where it is a real one.
    func withDisk(_ body: (any Disk) throws -> Void) throws {
        switch self {
        case .simulated: try body(SimulatedDisk())
        case .system:
            // Beside the build, on a real file system: /tmp may be memory.
            let root = FileManager.default.currentDirectoryPath + "/.build-disk-tests-" + UUID().uuidString
            defer { try? FileManager.default.removeItem(atPath: root) }
            try body(try SystemDisk(root: root))
        }
    }
}

@Suite struct DiskSuite {
    @Test(arguments: DiskKind.allCases) func whatIsWrittenIsReadBack(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            let file = try disk.open("a", .readWrite)
            try file.write([1, 2, 3, 4, 5], at: 3)
            #expect(try file.size() == 8)
            #expect(try file.read(100, at: 0) == [0, 0, 0, 1, 2, 3, 4, 5])
            #expect(try file.read(2, at: 4) == [2, 3])
            #expect(try file.read(2, at: 8) == [])
            #expect(try file.read(2, at: 1000) == [])
            try file.sync()
            #expect(try disk.open("a", .read).read(100, at: 6) == [4, 5])
        }
    }

    @Test(arguments: DiskKind.allCases) func aMissingFileIsNotFoundAndNotMadeByReading(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            for mode in [OpenMode.read, .readDirect] {
                let error = #expect(throws: DiskError.self) { _ = try disk.open("nothing", mode) }
                #expect(error?.isNotFound == true)
            }
            let names = try disk.list("")
            #expect(names.isEmpty)
            #expect(throws: DiskError.self) { try disk.remove("nothing") }
            #expect(throws: DiskError.self) { try disk.rename("nothing", to: "a") }
            #expect(throws: DiskError.self) { _ = try disk.open("no/folder", .readWrite) }
            #expect(throws: DiskError.self) { _ = try disk.list("none") }
        }
    }

    @Test(arguments: DiskKind.allCases) func aFileOpenedForReadingRefusesWrites(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            try disk.open("a", .readWrite).write([9], at: 0)
            let file = try disk.open("a", .read)
            #expect(throws: DiskError.self) { try file.write([1], at: 0) }
            #expect(throws: DiskError.self) { try file.truncate(0) }
            #expect(try file.read(4, at: 0) == [9])
        }
    }

    @Test(arguments: DiskKind.allCases) func pathsThatLeaveTheFolderAreRefused(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            try disk.makeDirectory("d")
            let bad = [
                "", "/a", "/etc/passwd", "..", "../a", "d/../a", "d//a", "d/", ".", "d/.", "a\0b",
                String(repeating: "x", count: 300),
            ]
            for path in bad {
                #expect(throws: DiskError.self, "\(path)") { _ = try disk.open(path, .readWrite) }
                #expect(throws: DiskError.self, "\(path)") { try disk.makeDirectory(path) }
                #expect(throws: DiskError.self, "\(path)") { try disk.remove(path) }
                #expect(throws: DiskError.self, "\(path)") { _ = try disk.lock(path) }
                if !path.isEmpty {
                    #expect(throws: DiskError.self, "\(path)") { _ = try disk.list(path) }
                    #expect(throws: DiskError.self, "\(path)") { try disk.syncDirectory(path) }
                }
            }
            #expect(try disk.list("") == ["d"])
        }
    }

    @Test(arguments: DiskKind.allCases) func directWritesAndReadsMoveWholeBlocks(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            let block = [UInt8](repeating: 7, count: 8192)
            let file = try disk.open("a", .writeDirect)
            try file.write(block, at: 4096)
            try file.sync()
            let reader = try disk.open("a", .readDirect)
            #expect(try reader.read(4096, at: 0) == [UInt8](repeating: 0, count: 4096))
            #expect(try reader.read(16384, at: 4096) == block)
            #expect(try reader.readCached(4096, at: 4096) == nil)
            #expect(throws: DiskError.self) { try file.write([1, 2, 3], at: 0) }
            #expect(throws: DiskError.self) { try file.write(block, at: 512) }
            #expect(throws: DiskError.self) { _ = try reader.read(4096, at: 1) }
            #expect(try disk.open("a", .read).read(3, at: 8190) == [7, 7, 7])
        }
    }

    @Test(arguments: DiskKind.allCases) func aDirectReadOfAnOddSizedFileStopsAtItsEnd(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            let file = try disk.open("a", .readWrite)
            try file.write([UInt8](repeating: 5, count: 5000), at: 0)
            try file.sync()
            #expect(try disk.open("a", .readDirect).read(8192, at: 0).count == 5000)
        }
    }

    @Test(arguments: DiskKind.allCases) func cachedReadsAnswerTheSameBytesOrNothing(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            let file = try disk.open("a", .readWrite)
            let bytes = (0..<20000).map { UInt8(truncatingIfNeeded: $0) }
            try file.write(bytes, at: 0)
            var hits = 0
            for offset in stride(from: 0, to: 20000, by: 777) {
                guard let read = try file.readCached(1000, at: Int64(offset)) else { continue }
                hits += 1
                #expect(read == Array(bytes[offset..<min(20000, offset + 1000)]))
            }
            // What was just written lies in the cache, as a rule.
            #expect(hits > 0)
        }
    }

    @Test(arguments: DiskKind.allCases) func allocationAndTruncationSetTheSizeAndReadZeros(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            let file = try disk.open("a", .readWrite)
            try file.allocate(10000)
            #expect(try file.size() == 10000)
            #expect(try file.read(10000, at: 0) == [UInt8](repeating: 0, count: 10000))
            try file.write([1, 2, 3], at: 5000)
            try file.truncate(5001)
            try file.truncate(5003)
            #expect(try file.read(10, at: 5000) == [1, 0, 0])
            try file.allocate(5000)
            #expect(try file.size() == 5000)
            #expect(throws: DiskError.self) { try file.truncate(-1) }
            #expect(throws: DiskError.self) { try file.allocate(-1) }
        }
    }

    @Test(arguments: DiskKind.allCases) func renameReplacesAndOpenFilesLiveOn(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            let old = try disk.open("a", .readWrite)
            try old.write([1], at: 0)
            try disk.open("b", .readWrite).write([2], at: 0)
            try disk.rename("b", to: "a")
            #expect(try disk.list("") == ["a"])
            #expect(try disk.open("a", .read).read(1, at: 0) == [2])
            #expect(try old.read(1, at: 0) == [1])
            try disk.remove("a")
            #expect(try disk.list("") == [])
            try disk.syncDirectory("")
        }
    }

    @Test(arguments: DiskKind.allCases) func foldersHoldFilesAndMayExistAlready(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            try disk.makeDirectory("seg")
            try disk.makeDirectory("seg")
            _ = try disk.open("seg/1", .readWrite)
            _ = try disk.open("seg/2", .readWrite)
            _ = try disk.open("x", .readWrite)
            #expect(try disk.list("seg").sorted() == ["1", "2"])
            #expect(try disk.list("").sorted() == ["seg", "x"])
            #expect(throws: DiskError.self) { try disk.makeDirectory("x") }
            #expect(throws: DiskError.self) { _ = try disk.open("seg", .readWrite) }
            try disk.syncDirectory("seg")
        }
    }

    @Test(arguments: DiskKind.allCases) func theLockIsExclusiveUntilItsHolderDies(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            var first: (any DiskLock)? = try disk.lock("LOCK")
            let error = #expect(throws: DiskError.self) { _ = try disk.lock("LOCK") }
            #expect(error?.code == 11)  // EWOULDBLOCK
            #expect(first != nil)
            first = nil
            _ = try disk.lock("LOCK")
        }
    }

    @Test(arguments: DiskKind.allCases) func spaceIsPlausible(_ kind: DiskKind) throws {
        try kind.withDisk { disk in
            let (free, total) = try disk.space()
            #expect(free > 0 && free <= total)
        }
    }

    @Test func filesAreTheOwnersOnlyAndLinksAreNotFollowed() throws {
        let root = FileManager.default.currentDirectoryPath + "/.build-disk-tests-" + UUID().uuidString
        defer { try? FileManager.default.removeItem(atPath: root) }
        let disk = try SystemDisk(root: root)
        try disk.makeDirectory("d")
        _ = try disk.open("d/f", .readWrite)
        let files = FileManager.default
        #expect(try files.attributesOfItem(atPath: root + "/d")[.posixPermissions] as? Int == 0o700)
        #expect(try files.attributesOfItem(atPath: root + "/d/f")[.posixPermissions] as? Int == 0o600)
        try files.createSymbolicLink(atPath: root + "/link", withDestinationPath: root + "/d/f")
        try files.createSymbolicLink(atPath: root + "/folder", withDestinationPath: root + "/d")
        #expect(throws: DiskError.self) { _ = try disk.open("link", .readWrite) }
        #expect(throws: DiskError.self) { _ = try disk.lock("link") }
        #expect(throws: DiskError.self) { _ = try disk.list("folder") }
        #expect(throws: DiskError.self) { try disk.makeDirectory("folder") }
    }
}
