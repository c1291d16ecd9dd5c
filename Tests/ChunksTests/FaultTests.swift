import Chunks
import Disks
import Foundation
import Testing

@Suite struct FaultTests {
    @Test func anyCallMayFailAndNothingIsAcknowledgedFalsely() throws {
        let began = Date()
        let runs = try Rigs.faults(stride: Rigs.scale > 1 ? 1 : 3)
        print("faults: \(runs) runs, \(Int(Date().timeIntervalSince(began))) s")
        #expect(runs > 20)
    }

    @Test func anyCallOfOpeningMayFailAndTheNextOpeningIsWhole() throws {
        let runs = try Rigs.openFaults()
        print("faults while opening: \(runs) runs")
        #expect(runs > 10)
    }
}
