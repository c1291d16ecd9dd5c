import Chunks
import Disks
import Foundation
import Testing

@Suite struct CrashTests {
    static var plan: CrashPlan {
        var plan = CrashPlan()
        plan.tearsPerWrite = Rigs.scale > 1 ? 8 : 2
        plan.randomSubsets = Rigs.scale > 1 ? 6 : 2
        plan.keepsOne = Rigs.scale > 1
        return plan
    }

    @Test func everyCrashOfShortSequencesRecoversToAPrefix() throws {
        var count = Rigs.CrashCount()
        let began = Date()
        let stride = max(1, 40 / Rigs.scale)
        try Rigs.sequences(stride: stride, offset: Int.random(in: 0..<stride), Self.plan, deepEvery: 20, nil, &count)
        print(
            "crashes of sequences: \(count.images) states, \(count.continuations) continued, \(Int(Date().timeIntervalSince(began))) s (stride \(stride))"
        )
        #expect(count.images > 100)
    }

    @Test func everyCrashOfRandomTracesRecoversToAPrefix() throws {
        var count = Rigs.CrashCount()
        let began = Date()
        let start = Rigs.replaySeed ?? UInt64.random(in: 1...1_000_000_000)
        var plan = Self.plan
        plan.cutStride = Rigs.scale > 1 ? 1 : 3
        for seed in start..<start + UInt64(4 * Rigs.scale) {
            try Rigs.traceCrashes(seed: seed, steps: 40, plan, deepEvery: 20, nil, &count)
        }
        print(
            "crashes of traces from SEED=\(start): \(count.images) states, \(count.continuations) continued, \(Int(Date().timeIntervalSince(began))) s"
        )
        #expect(count.images > 50)
    }

    @Test func aCrashWhileTheStoreIsBeingMadeLeavesAFolderThatOpens() throws {
        var count = Rigs.CrashCount()
        let rig = try StoreRig(configuration: StoreRig.configuration())
        try Rigs.crashes(rig, CrashPlan(), deepEvery: 5, nil, &count)
        #expect(count.images > 5)
    }
}
