import Chunks
import Disks
import Foundation
import Synchronization
import Testing

/// Volumes as the daemon has them: many hosts at once, checkpoints under way, and the operator's commands in between.
@Suite struct VolumeStressTests {
    /// SEED=n begins with the same numbers, though threads never meet twice in the same way; APUS_TORTURE=n runs n times as
    /// many.
    @Test func manyThreadsAgreeWithTheirShadows() throws {
        let start = Rigs.replaySeed ?? UInt64.random(in: 1...1_000_000_000)
        for seed in start..<start + UInt64(Rigs.scale) {
            let began = Date()
            let stress = try VolumeStress(seed: seed)
            do {
                try stress.run()
                try survives(stress)
            } catch {
                Issue.record("SEED=\(seed): \(error)")
            }
            let status = stress.store.status()
            try stress.store.close()
            print(
                "volumes: \(status.operationsCommitted) operations in \(status.groupsCommitted) groups, \(status.checkpoints) checkpoints, \(stress.reads.load(ordering: .relaxed)) reads, \(Int(Date().timeIntervalSince(began) * 1000)) ms, SEED=\(seed)"
            )
        }
    }

    /// The power goes: what was acknowledged is there, whichever checkpoints the indexes are left with.
    private func survives(_ stress: VolumeStress) throws {
        let cut = stress.disk.cutCount
        for choice in RigIndexes.Choice.allCases {
            let image = stress.disk.crashImage(at: cut, .none)
            let copies = stress.indexes.afterCrash(at: cut, choice) { image.cutCount }
            let found = try StoreRig.open(image, copies, StoreRig.configuration())
            for subject in stress.subjects { try stress.compare(found, subject) }
            var report = CheckReport()
            try found.check(&report, readsBytes: false)
            if let problem = report.problems.first { throw RigFailure("\(problem) (indexes: \(choice))") }
        }
    }
}
