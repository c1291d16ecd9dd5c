import Chunks
import Disks
import Foundation
import Testing

@Suite struct MediaTests {
    @Test func rotIsNoticedAndNeverServed() throws {
        let began = Date()
        let seed = Rigs.replaySeed ?? UInt64.random(in: 1...1_000_000_000)
        let (tried, noticed) = try Rigs.media(seed: seed, count: 400 * Rigs.scale)
        print("rot: \(tried) harms from SEED=\(seed), \(noticed) noticed, \(Int(Date().timeIntervalSince(began))) s")
        #expect(noticed > tried / 4)
    }

    @Test func oneDamagedSlotOfTheSuperblockIsSurvivedAndTwoAreRefused() throws {
        let rig = try Rigs.storeAtRest(nil)
        for slots in [[0], [1], [0, 1]] {
            let disk = rig.disk.copy()
            for slot in slots { disk.flipBit("SUPER", at: slot * 4096 + 40, bit: 2) }
            let indexes = rig.indexes.fork { disk.cutCount }
            if slots.count == 1 {
                let store = try StoreRig.open(disk, indexes, StoreRig.configuration())
                #expect(try StoreRig.dump(store) == rig.model.dump)
            } else {
                #expect(throws: ChunkError.self) { _ = try StoreRig.open(disk, indexes, StoreRig.configuration()) }
            }
        }
    }
}
