import Chunks
import Disks
import Foundation
import Primitives
import Testing

@Suite struct ModelTests {
    /// SEED=n replays one trace; APUS_TORTURE=n runs n times as many.
    @Test func randomTracesAgreeWithTheModel() throws {
        if let seed = Rigs.replaySeed { return try Rigs.model(seed: seed, steps: 120) }
        let start = UInt64.random(in: 1...1_000_000_000)
        let began = Date()
        let count = 60 * Rigs.scale
        for seed in start..<start + UInt64(count) { try Rigs.model(seed: seed, steps: 120) }
        print("model: \(count) traces of 120 steps from SEED=\(start), \(Int(Date().timeIntervalSince(began))) s")
    }

    @Test func tracesWithoutBadDaysAgreeWithTheModel() throws {
        let start = UInt64.random(in: 1...1_000_000_000)
        let began = Date()
        let count = 15 * Rigs.scale
        for seed in start..<start + UInt64(count) { try Rigs.model(seed: seed, steps: 250, hasBadDays: false) }
        print(
            "model, fair weather: \(count) traces of 250 steps from SEED=\(start), \(Int(Date().timeIntervalSince(began))) s"
        )
    }

    @Test func aBodyOfTwoLeavesIsReadBack() throws {
        try Rigs.runTrace(
            [
                .putContainer(0, 0, attributes: 1), .upload(0, 0, 0, BodySpec(seed: 1, size: 33 << 20, kind: .zeros)),
                .kill,
                .read(0, 0, 0, seed: 3), .freeze, .delete(0, 0, 0),
            ], nil)
    }

    @Test func shrinkingKeepsTheFailureAndLittleElse() {
        let steps = (0..<60).map { Step.putAccount($0 % 2, attributes: $0) }
        let shrunk = shrink(steps) { candidate in
            candidate.contains { $0.description == steps[17].description }
                && candidate.contains { $0.description == steps[44].description }
        }
        #expect(shrunk.map(\.description) == [steps[17].description, steps[44].description])
    }
}
