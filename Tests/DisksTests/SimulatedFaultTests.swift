import Disks
import Testing

@Suite struct SimulatedFaultTests {
    @Test func theIthCallFailsOnceOrFromThenOn() throws {
        for isSticky in [false, true] {
            let disk = SimulatedDisk()
            let a = try disk.open("a", .readWrite)
            disk.inject(DiskFault(calls: [.write], index: 1, effect: .error(DiskFault.ioError), isSticky: isSticky))
            try a.write([1], at: 0)
            let error = #expect(throws: DiskError.self) { try a.write([2], at: 0) }
            #expect(error?.code == 5)
            if isSticky {
                #expect(throws: DiskError.self) { try a.write([3], at: 0) }
            } else {
                try a.write([3], at: 0)
            }
            #expect(disk.contents("a") == [isSticky ? 1 : 3])
            #expect(disk.faultsHit == (isSticky ? 2 : 1))
            disk.clearFaults()
            try a.write([4], at: 0)
        }
    }

    @Test func everyKindOfCallCanFail() throws {
        for kind in DiskCall.allCases {
            let disk = SimulatedDisk()
            let a = try disk.open("a", .readWrite)
            disk.inject(DiskFault(calls: [kind], index: 0, effect: .error(28), isSticky: false))
            let error = #expect(throws: DiskError.self, "\(kind)") {
                _ = try a.readCached(1, at: 0)
                _ = try a.read(1, at: 0)
                try a.write([1], at: 0)
                try a.sync()
                try a.allocate(10)
                try a.truncate(5)
                _ = try a.size()
                try disk.rename("a", to: "b")
                try disk.remove("b")
                try disk.makeDirectory("d")
                _ = try disk.list("")
                try disk.syncDirectory("")
                _ = try disk.space()
                _ = try disk.lock("l")
                _ = try disk.open("c", .readWrite)
            }
            #expect(error?.isNoSpace == true)
        }
    }

    @Test func aShortWriteLeavesWholeSectorsOfItsStart() throws {
        for seed in 1..<20 {
            var options = SimulatedDisk.Options()
            options.seed = UInt64(seed)
            let disk = SimulatedDisk(options: options)
            let a = try disk.open("a", .readWrite)
            disk.inject(DiskFault(calls: [.write], index: 0, effect: .short(5), isSticky: false))
            #expect(throws: DiskError.self) { try a.write([UInt8](repeating: 1, count: 4096), at: 0) }
            let bytes = disk.contents("a")!
            #expect(bytes.count % 512 == 0 && bytes.count < 4096 && bytes.allSatisfy { $0 == 1 })
        }
    }

    @Test(arguments: DiskFault.AfterFailedSync.allCases)
    func afterAFailedSyncALaterOneProvesNothing(_ after: DiskFault.AfterFailedSync) throws {
        var sawLoss = false
        for seed in 1..<20 {
            var options = SimulatedDisk.Options()
            options.seed = UInt64(seed)
            let disk = SimulatedDisk(options: options)
            let a = try disk.open("a", .readWrite)
            try disk.syncDirectory("")
            try a.write([UInt8](repeating: 1, count: 512), at: 0)
            try a.sync()
            disk.inject(
                DiskFault(calls: [.sync], index: 0, effect: .error(5), isSticky: false, afterFailedSync: after))
            if after == .reportedLate {
                try a.write([UInt8](repeating: 1, count: 512), at: 0)
                try a.sync()
            }
            try a.write([UInt8](repeating: 2, count: 512), at: 0)
            #expect(throws: DiskError.self) { try a.sync() }
            if after != .cleanAndReverted { #expect(try a.read(1, at: 0) == [2]) }
            try a.sync()  // succeeds, and lies
            #expect(throws: Never.self) { try a.write([3], at: 1000) }
            try a.sync()
            let medium = disk.crashImage(at: disk.cutCount, .none).contents("a")!
            #expect(medium[1000] == 3)
            if medium[0] == 1 { sawLoss = true }
            let direct = try disk.open("a", .readDirect).read(4096, at: 0)
            #expect(direct[0] == medium[0])
        }
        #expect(sawLoss)
    }

    @Test func aFullDiskRefusesGrowthOnly() throws {
        var options = SimulatedDisk.Options()
        options.capacityBytes = 8192
        let disk = SimulatedDisk(options: options)
        let a = try disk.open("a", .readWrite)
        try a.write([1], at: 4096)
        let error = #expect(throws: DiskError.self) { try a.write([1], at: 8192) }
        #expect(error?.isNoSpace == true)
        let refused = #expect(throws: DiskError.self) { try a.allocate(8193) }
        #expect(refused?.isNoSpace == true)
        #expect(try a.size() == 4097)
        try a.write([2], at: 0)
        #expect(try disk.space().free == 0)
        try a.truncate(10)
        #expect(try disk.space().free == 4096)
        try disk.remove("a")
        #expect(try disk.space().free == 8192)
    }

    @Test func powerOffEndsTheLog() throws {
        let disk = SimulatedDisk()
        let a = try disk.open("a", .readWrite)
        try a.write([1], at: 0)
        let cut = disk.cutCount
        disk.powerOff()
        #expect(throws: DiskError.self) { try a.write([1], at: 0) }
        #expect(throws: DiskError.self) { try a.sync() }
        #expect(throws: DiskError.self) { try disk.remove("a") }
        #expect(disk.cutCount == cut)
    }

    @Test func rotChangesWhatIsReadAndWhatImagesHold() throws {
        let disk = SimulatedDisk()
        let a = try disk.open("a", .readWrite)
        try disk.syncDirectory("")
        try a.write([1, 1], at: 0)
        try a.sync()
        disk.flipBit("a", at: 1, bit: 3)
        #expect(try a.read(2, at: 0) == [1, 9])
        #expect(disk.crashImage(at: disk.cutCount, .none).contents("a") == [1, 9])
    }
}
