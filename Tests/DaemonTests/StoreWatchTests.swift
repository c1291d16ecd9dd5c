import Logging
import Testing

@testable import Daemon

@Suite("The watch over the store")
struct StoreWatchTests {
    private func levels(_ old: StoreWatch.Condition, _ new: StoreWatch.Condition) -> [Logger.Level] {
        StoreWatch.changes(from: old, to: new).map { $0.0 }
    }

    @Test func eachChangeIsSaidOnce() {
        let well = StoreWatch.Condition()
        let full = StoreWatch.Condition(refusesUploads: true)
        let broken = StoreWatch.Condition(readOnly: "the disk failed", refusesUploads: true)
        #expect(levels(well, well).isEmpty)
        #expect(levels(well, full) == [.error])
        #expect(levels(full, full).isEmpty)
        #expect(levels(full, well) == [.notice])
        #expect(levels(full, broken) == [.critical])
        #expect(levels(broken, broken).isEmpty)
        #expect(levels(well, StoreWatch.Condition(secondIndexFailed: true)) == [.error])
    }
}
