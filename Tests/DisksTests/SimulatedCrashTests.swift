import Disks
import Testing

@Suite struct SimulatedCrashTests {
    /// All the different outcomes of a question over every crash image of a disk.
    func outcomes<T: Hashable>(_ disk: SimulatedDisk, from cut: Int = 0, _ question: (SimulatedDisk) -> T) -> Set<T> {
        var plan = CrashPlan()
        plan.firstCut = cut
        plan.randomSubsets = 40
        plan.tearsPerWrite = 8
        var all: Set<T> = []
        disk.forEachCrashImage(plan) { all.insert(question($0.disk)) }
        return all
    }

    func file(_ disk: SimulatedDisk, _ path: String, synced: Bool = true) throws -> any DiskFile {
        let file = try disk.open(path, .readWrite)
        if synced { try disk.syncDirectory("") }
        return file
    }

    @Test func syncedBytesAreInEveryImage() throws {
        let disk = SimulatedDisk()
        let a = try file(disk, "a")
        try a.write([UInt8](repeating: 1, count: 5000), at: 0)
        try a.sync()
        let cut = disk.cutCount
        try a.write([UInt8](repeating: 2, count: 100), at: 8192)
        #expect(
            outcomes(disk, from: cut) { $0.contents("a")?.prefix(5000) == [UInt8](repeating: 1, count: 5000)[...] } == [
                true
            ])
    }

    @Test func unsyncedWritesAreInOrOutEachByItself() throws {
        let disk = SimulatedDisk()
        let a = try file(disk, "a")
        try a.write([0, 0], at: 0)
        try a.sync()
        let cut = disk.cutCount
        try a.write([1], at: 0)
        try a.write([1], at: 1)
        #expect(outcomes(disk, from: cut) { $0.contents("a")! } == [[0, 0], [1, 0], [0, 1], [1, 1]])
    }

    @Test func aWriteTearsAtSectors() throws {
        let disk = SimulatedDisk()
        let a = try file(disk, "a")
        try a.write([UInt8](repeating: 1, count: 2048), at: 0)
        try a.sync()
        let cut = disk.cutCount
        try a.write([UInt8](repeating: 2, count: 2048), at: 0)
        let all = outcomes(disk, from: cut) { image in
            let bytes = image.contents("a")!
            for sector in 0..<4 {
                #expect(Set(bytes[sector * 512..<(sector + 1) * 512]).count == 1)
            }
            return (0..<4).map { bytes[$0 * 512] }
        }
        #expect(all.count >= 8)
        #expect(all.isSuperset(of: [[1, 1, 1, 1], [2, 2, 2, 2], [2, 1, 1, 1], [1, 2, 2, 2]]))
    }

    @Test func aFileWhoseNameWasNotSyncedMayBeMissing() throws {
        let disk = SimulatedDisk()
        let a = try file(disk, "a", synced: false)
        try a.write([1], at: 0)
        try a.sync()
        #expect(outcomes(disk, from: disk.cutCount) { $0.contents("a") } == [nil, [1]])
        try disk.syncDirectory("")
        #expect(outcomes(disk, from: disk.cutCount) { $0.contents("a") } == [[1]])
    }

    @Test func aFileBelowAFolderThatIsMissingIsMissing() throws {
        let disk = SimulatedDisk()
        try disk.makeDirectory("d")
        _ = try disk.open("d/a", .readWrite)
        try disk.syncDirectory("d")
        let all = outcomes(disk, from: disk.cutCount) { [$0.files, (try? $0.list("")) ?? ["?"]] }
        #expect(all == [[[], []], [["d/a"], ["d"]]])
    }

    @Test func sizeAndBytesAreSeparatelyInOrOut() throws {
        let disk = SimulatedDisk()
        let a = try file(disk, "a")
        try a.write([UInt8](repeating: 1, count: 512), at: 0)
        let all = outcomes(disk, from: disk.cutCount) { $0.contents("a")! }
        #expect(all == [[], [UInt8](repeating: 0, count: 512), [UInt8](repeating: 1, count: 512)])
    }

    @Test func renameIsAtomicAndUncertainUntilTheFolderIsSynced() throws {
        let disk = SimulatedDisk()
        let a = try file(disk, "a")
        try a.write([1], at: 0)
        try a.sync()
        let b = try file(disk, "b")
        try b.write([2], at: 0)
        try b.sync()
        try disk.rename("b", to: "a")
        let two = Set([["a": [UInt8(1)], "b": [2]], ["a": [2]]])
        let look = { (image: SimulatedDisk) in
            Dictionary(uniqueKeysWithValues: image.files.map { ($0, image.contents($0)!) })
        }
        #expect(outcomes(disk, from: disk.cutCount, look) == two)
        try disk.syncDirectory("")
        #expect(outcomes(disk, from: disk.cutCount, look) == [["a": [2]]])
    }

    @Test func aRemovalIsUncertainUntilTheFolderIsSynced() throws {
        let disk = SimulatedDisk()
        _ = try file(disk, "a")
        try disk.remove("a")
        #expect(outcomes(disk, from: disk.cutCount) { $0.files } == [["a"], []])
        try disk.syncDirectory("")
        #expect(outcomes(disk, from: disk.cutCount) { $0.files } == [[]])
    }

    @Test func recycledSpaceShowsOldBytes() throws {
        var options = SimulatedDisk.Options()
        options.recyclesOldBytes = true
        let disk = SimulatedDisk(options: options)
        try disk.open("a", .readWrite).write([UInt8](repeating: 7, count: 4096), at: 0)
        try disk.remove("a")
        let b = try disk.open("b", .readWrite)
        try b.allocate(8192)
        #expect(try b.read(4096, at: 0) == [UInt8](repeating: 7, count: 4096))
    }

    @Test func everyImageIsItsOwnDisk() throws {
        let disk = SimulatedDisk()
        let a = try file(disk, "a")
        try a.write([1], at: 0)
        let copy = disk.copy()
        try copy.open("a", .readWrite).write([2], at: 0)
        #expect(disk.contents("a") == [1])
        #expect(copy.contents("a") == [2])
    }

    @Test func theSameSeedGivesTheSameImages() throws {
        func run() throws -> [[UInt8]] {
            let disk = SimulatedDisk()
            let a = try file(disk, "a")
            for i in 0..<6 { try a.write([UInt8](repeating: UInt8(i), count: 3000), at: Int64(i * 1000)) }
            var all: [[UInt8]] = []
            disk.forEachCrashImage(CrashPlan()) { all.append($0.disk.contents("a") ?? []) }
            return all
        }
        #expect(try run() == run())
    }

    @Test func aKilledProcessLosesLocksAndHandlesButNoBytes() throws {
        let disk = SimulatedDisk()
        let lock = try disk.lock("LOCK")
        let a = try file(disk, "a")
        try a.write([1], at: 0)
        disk.killProcess()
        #expect(throws: DiskError.self) { try a.write([2], at: 0) }
        #expect(throws: DiskError.self) { try a.sync() }
        #expect(throws: DiskError.self) { _ = try a.read(1, at: 0) }
        let again = try disk.lock("LOCK")
        withExtendedLifetime((lock, again)) {}
        #expect(try disk.open("a", .read).read(1, at: 0) == [1])
    }
}
