/// Bytes of a volume as ranges: sorted, none empty, none touching another.
struct ByteRanges: Sendable, Equatable {
    private(set) var ranges: [Range<UInt64>] = []

    init() {}

    init(_ ranges: some Sequence<Range<UInt64>>) {
        for range in ranges.filter({ !$0.isEmpty }).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = self.ranges.last, range.lowerBound <= last.upperBound {
                self.ranges[self.ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                self.ranges.append(range)
            }
        }
    }

    var isEmpty: Bool { ranges.isEmpty }

    func union(_ other: ByteRanges) -> ByteRanges { ByteRanges(ranges + other.ranges) }

    func subtracting(_ other: ByteRanges) -> ByteRanges {
        var out = ByteRanges()
        var at = 0
        for range in ranges {
            var start = range.lowerBound
            while at < other.ranges.count, other.ranges[at].upperBound <= start { at += 1 }
            var next = at
            while next < other.ranges.count, other.ranges[next].lowerBound < range.upperBound {
                if other.ranges[next].lowerBound > start {
                    out.ranges.append(start..<other.ranges[next].lowerBound)
                }
                start = max(start, other.ranges[next].upperBound)
                next += 1
            }
            if start < range.upperBound { out.ranges.append(start..<range.upperBound) }
        }
        return out
    }

    func intersection(_ other: ByteRanges) -> ByteRanges { subtracting(subtracting(other)) }

    /// Whether any of these bytes is among them.
    func overlaps(_ wanted: Range<UInt64>) -> Bool {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound <= wanted.lowerBound { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].lowerBound < wanted.upperBound
    }
}
