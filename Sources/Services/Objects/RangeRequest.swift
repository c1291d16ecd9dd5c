/// What a Range header asks of a body of known size (object-api.md section 7).
package enum RangeRequest: Sendable, Hashable {
    /// No range, or one to ignore: the whole body, 200.
    case whole
    /// 416 with `Content-Range: bytes */size`.
    case unsatisfiable
    /// 206: at least one, none empty, in the order asked for.
    case ranges([Range<Int>])

    /// - Parameter header: the Range header's value, if there was one.
    package static func parse(_ header: String?, size: Int) -> RangeRequest {
        guard let header, let specs = specifications(header), size > 0 else { return .whole }
        if specs.isEmpty { return .unsatisfiable }
        guard specs.count <= ObjectLimits.rangeCountMax else { return .unsatisfiable }
        var ranges: [Range<Int>] = []
        for spec in specs {
            switch spec {
            case .from(let first, let last):
                if first < size { ranges.append(first..<(min(last, size - 1) + 1)) }
            case .suffix(let count):
                if count > 0 { ranges.append(max(0, size - count)..<size) }
            }
        }
        guard !ranges.isEmpty, !isAbusive(ranges) else { return .unsatisfiable }
        return .ranges(ranges)
    }

    private enum Specification {
        case from(Int, through: Int)
        case suffix(Int)
    }

    /// nil when malformed.
    private static func specifications(_ header: String) -> [Specification]? {
        // Spaces are tolerated anywhere (object-api.md section 29).
        let text = header.utf8.filter { $0 != 0x20 && $0 != 0x09 }
        guard let equals = text.firstIndex(of: UInt8(ascii: "=")),
            text[..<equals].lazy.map(asciiLowercase).elementsEqual("bytes".utf8)
        else { return nil }
        var out: [Specification] = []
        for part in text[(equals + 1)...].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
            if part.isEmpty { continue }
            guard let dash = part.firstIndex(of: UInt8(ascii: "-")) else { return nil }
            let left = part[..<dash]
            let right = part[(dash + 1)...]
            if left.isEmpty {
                guard let count = number(right) else { return nil }
                out.append(.suffix(count))
            } else {
                guard let first = number(left) else { return nil }
                if right.isEmpty {
                    out.append(.from(first, through: Int.max - 1))
                } else {
                    guard let last = number(right), last >= first else { return nil }
                    out.append(.from(first, through: last))
                }
            }
        }
        return out.isEmpty ? nil : out
    }

    /// Decimal digits only; what an Int does not hold counts as its largest.
    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        guard !digits.isEmpty, digits.allSatisfy({ $0 &- 0x30 < 10 }) else { return nil }
        return min(Int(String(decoding: digits, as: UTF8.self)) ?? Int.max, Int.max - 1)
    }

    /// More than two overlapping pairs, or eight and more in no ascending order: somebody multiplies our work.
    private static func isAbusive(_ ranges: [Range<Int>]) -> Bool {
        var overlapping = 0
        for i in ranges.indices {
            for j in ranges.indices.dropFirst(i + 1) where ranges[i].overlaps(ranges[j]) {
                overlapping += 1
                if overlapping > 2 { return true }
            }
        }
        guard ranges.count >= 8 else { return false }
        return zip(ranges, ranges.dropFirst()).contains { $0.lowerBound > $1.lowerBound }
    }
}
