/// Runs of whole leaves of one layer that were trimmed since the index was written: a volume of any size is emptied at the
/// cost of a few numbers.
struct LeafSpans: Sendable {
    struct Span: Sendable, Hashable {
        var leaves: Range<UInt32>
        /// They read as zeros; or else the layer says nothing of them.
        var isZero: Bool
    }

    /// Sorted, apart from one another.
    private(set) var spans: [Span] = []

    /// What becomes of a leaf; nil: nothing.
    subscript(leaf: UInt32) -> MapEntry? {
        let at = firstIndex(endingBehind: leaf)
        guard at < spans.count, spans[at].leaves.contains(leaf) else { return nil }
        return spans[at].isZero ? .zero : .absent
    }

    mutating func insert(_ leaves: Range<UInt32>, isZero: Bool) {
        var new = Span(leaves: leaves, isZero: isZero)
        // What it touches and is alike becomes part of it; of what is not, the parts beside it stay.
        var from = firstIndex(endingBehind: leaves.lowerBound)
        if from > 0, spans[from - 1].leaves.upperBound == leaves.lowerBound { from -= 1 }
        var beside: [Span] = []
        var to = from
        while to < spans.count, spans[to].leaves.lowerBound <= leaves.upperBound {
            let old = spans[to]
            if old.isZero == isZero {
                new.leaves =
                    min(
                        new.leaves.lowerBound, old.leaves.lowerBound)..<max(
                        new.leaves.upperBound, old.leaves.upperBound)
            } else {
                for rest in [
                    old.leaves.clamped(to: 0..<leaves.lowerBound),
                    old.leaves.clamped(to: leaves.upperBound..<UInt32.max),
                ] where !rest.isEmpty { beside.append(Span(leaves: rest, isZero: old.isZero)) }
            }
            to += 1
        }
        spans.replaceSubrange(
            from..<to, with: (beside + [new]).sorted { $0.leaves.lowerBound < $1.leaves.lowerBound })
    }

    /// The first span that ends behind the leaf.
    private func firstIndex(endingBehind leaf: UInt32) -> Int {
        var low = 0
        var high = spans.count
        while low < high {
            let middle = (low + high) / 2
            if spans[middle].leaves.upperBound <= leaf { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
