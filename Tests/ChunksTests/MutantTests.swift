import Chunks
import Disks
import Foundation
import Testing

/// The proof that the rigs can fail: each deliberate bug must be found by one of them.
@Suite struct MutantTests {
    struct Hunter: Sendable {
        var name: String
        var hunt: @Sendable (Mutant) throws -> Void
    }

    static let hunters: [Hunter] = [
        Hunter(name: "interleavings") { mutant in
            try Rigs.twoExclusivePuts(mutant)
            try Rigs.putAgainstContainerDelete(mutant)
            try Rigs.lostGroup(mutant)
            try Rigs.indexAhead(mutant)
            try Rigs.nothingBehindTheCut(mutant)
            try Rigs.foreignGroup(mutant)
            try Rigs.vouchedGroups(mutant)
            try Rigs.misplacedGroup(mutant)
            try Rigs.killBeforeSync(mutant)
            try Rigs.appliedIsDurable(mutant)
            try Rigs.readAcrossFrozen(mutant)
            try Rigs.readAcrossOverwrite(mutant)
            try Rigs.uploadThenCrash(mutant)
            try Rigs.lostIndexes(mutant)
        },
        Hunter(name: "volumes") { mutant in try Rigs.volumeInterleavings(mutant) },
        Hunter(name: "model") { mutant in
            for seed in 1...12 { try Rigs.model(seed: UInt64(seed), steps: 60, mutant, shrinks: false) }
        },
        Hunter(name: "crashes") { mutant in
            var count = Rigs.CrashCount()
            var plan = CrashPlan()
            plan.tearsPerWrite = 2
            plan.randomSubsets = 2
            try Rigs.sequences(stride: 229, plan, deepEvery: 10, mutant, &count)
        },
        Hunter(name: "media") { mutant in _ = try Rigs.media(seed: 7, count: 150, mutant) },
        Hunter(name: "faults") { mutant in
            _ = try Rigs.faults(stride: 2, mutant, only: [.sync, .write, .syncDirectory])
        },
        Hunter(name: "failed syncs") { mutant in
            for index in stride(from: 0, to: 24, by: 2) {
                try Rigs.fault(.sync, index, .error(5), sticky: false, .cleanAndReverted, powerCut: true, mutant)
            }
        },
        Hunter(name: "two leaves") { mutant in
            try Rigs.runTrace(
                [
                    .putContainer(0, 0, attributes: 1),
                    .upload(0, 0, 0, BodySpec(seed: 1, size: 33 << 20, kind: .zeros)),
                    .read(0, 0, 0, seed: 3),
                ], mutant)
        },
    ]

    static let hints: [Mutant: String] = [
        .acknowledgeBeforeSync: "crashes", .skipPayloadCheck: "crashes", .ignoreSuccessor: "model",
        .wrongAccountDelta: "model",
        .reuseID: "model", .serveUnverified: "media", .forgetLeaf: "two leaves", .retryFailedSync: "failed syncs",
        .skipFlushBeforeIndex: "volumes", .forgetFlushAtSegmentEnd: "volumes", .flushNothing: "volumes",
    ]

    #if DEBUG
        @Test func everyMutantIsCaught() {
            var survivors: [String] = []
            var table: [String] = []
            let began = Date()
            for mutant in Mutant.allCases {
                let start = Date()
                var finding: String?
                // The one that is known to find it first, then whoever else may.
                let first = Self.hints[mutant]
                for hunter in Self.hunters.sorted(by: { ($0.name == first ? 0 : 1) < ($1.name == first ? 0 : 1) }) {
                    do { try hunter.hunt(mutant) } catch {
                        finding = "\(hunter.name): \("\(error)".prefix(150))"
                        break
                    }
                }
                if finding == nil { survivors.append(mutant.rawValue) }
                let name = mutant.rawValue + String(repeating: " ", count: max(1, 26 - mutant.rawValue.count))
                print(
                    "mutant \(mutant.rawValue): \(finding ?? "SURVIVES") [\(Int(Date().timeIntervalSince(start) * 10)) ds]"
                )
                table.append("  \(name)\(finding ?? "SURVIVES")  [\(Int(Date().timeIntervalSince(start) * 10)) ds]")
            }
            print(
                "mutants, \(Mutant.allCases.count) in \(Int(Date().timeIntervalSince(began))) s:\n"
                    + table.joined(separator: "\n"))
            #expect(survivors.isEmpty)
        }
    #endif
}
