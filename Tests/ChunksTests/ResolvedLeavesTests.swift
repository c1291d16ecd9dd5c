import Testing

@testable import Chunks

/// Resolved leaves are a cache: bounded, and never wrong about what they hold.
@Suite struct ResolvedLeavesTests {
    private func id(_ index: UInt32, volume: UInt64 = 1) -> VolumeTable.LeafID {
        VolumeTable.LeafID(volume: volume, index: index)
    }

    /// A leaf that can be told from others.
    private func leaf(_ number: UInt64) -> Leaf {
        var leaf = Leaf.whole(.absent)
        leaf[7] = MapEntry(locator: number, word: number)
        return leaf
    }

    @Test("No more leaves than the limit are kept, and those in use stay")
    func generations() throws {
        let leaves = ResolvedLeaves(limit: 8)
        for index in 0..<100 as Range<UInt32> {
            leaves.put(id(index), leaf(UInt64(index)))
            #expect(leaves.count <= 8)
            // The first is asked for again and again.
            let first = try #require(leaves.find(id(0)))
            #expect(first[7].word == 0 && first.count == Leaf.blocks)
            let last = try #require(leaves.find(id(index)))
            #expect(last[7].word == UInt64(index) && last[8] == .absent)
        }
        #expect(leaves.find(id(50)) == nil)
    }

    @Test("A leaf that is put in again has its new entries, in either generation")
    func replaced() throws {
        let leaves = ResolvedLeaves(limit: 4)
        for index in 0..<3 as Range<UInt32> { leaves.put(id(index), leaf(1)) }
        for index in 0..<3 as Range<UInt32> where leaves.find(id(index)) != nil {
            leaves.put(id(index), leaf(2))
            #expect(try #require(leaves.find(id(index)))[7].word == 2)
        }
        #expect(leaves.count <= 4)
    }

    @Test("What is removed is gone from both generations, and nothing else")
    func removed() {
        let leaves = ResolvedLeaves(limit: 8)
        for index in 0..<6 as Range<UInt32> { leaves.put(id(index, volume: UInt64(index % 2)), leaf(9)) }
        leaves.removeAll { $0.volume == 1 }
        for index in 0..<6 as Range<UInt32> {
            #expect((leaves.find(id(index, volume: UInt64(index % 2))) != nil) == (index % 2 == 0))
        }
        #expect(leaves.count == 3)
    }
}
