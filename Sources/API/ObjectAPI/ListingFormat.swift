/// How a listing is written (object-api.md 5.1).
package enum ListingFormat: Sendable, Hashable {
    case plain, json, xml, textXML

    var contentType: StaticString {
        switch self {
        case .plain: "text/plain; charset=utf-8"
        case .json: "application/json; charset=utf-8"
        case .xml: "application/xml; charset=utf-8"
        case .textXML: "text/xml; charset=utf-8"
        }
    }

    package enum Choice: Sendable, Hashable {
        case format(ListingFormat)
        case malformed
        case notAcceptable
    }

    /// `format` wins over `Accept`.
    package static func choose(query: String?, accept: String?) -> Choice {
        if let query {
            return switch query.lowercased() {
            case "json": .format(.json)
            case "xml": .format(.xml)
            default: .format(.plain)
            }
        }
        guard let accept, accept.utf8.contains(where: { $0 != 0x20 && $0 != 0x09 }) else { return .format(.plain) }
        return negotiate(Array(accept.utf8))
    }

    private static let offers: [(ListingFormat, type: StaticString, subtype: StaticString)] = [
        (.plain, "text", "plain"), (.json, "application", "json"), (.xml, "application", "xml"),
        (.textXML, "text", "xml"),
    ]

    /// One pass over the header, no backtracking: for each offer the quality of the most specific range that
    /// covers it; the best wins, ties go to the earlier offer.
    private static func negotiate(_ header: [UInt8]) -> Choice {
        var quality = [Int](repeating: 0, count: offers.count)
        var specificity = [Int](repeating: -1, count: offers.count)
        for element in header.split(separator: 0x2c) {
            let parameters = element.split(separator: 0x3b, omittingEmptySubsequences: false).map(trim)
            guard let range = parameters.first else { continue }
            if range.isEmpty && parameters.count == 1 { continue }
            let halves = range.split(separator: 0x2f, omittingEmptySubsequences: false)
            guard halves.count == 2, isToken(halves[0]), isToken(halves[1]) else { return .malformed }
            var q = 1000
            for parameter in parameters.dropFirst() where parameter.count >= 2 {
                guard parameter.first.map({ $0 | 0x20 }) == 0x71 else { continue }
                let value = trim(parameter.dropFirst())
                guard value.first == 0x3d else { continue }
                guard let parsed = weight(trim(value.dropFirst())) else { return .malformed }
                q = parsed
            }
            let anyType = halves[0].elementsEqual("*".utf8)
            let anySubtype = halves[1].elementsEqual("*".utf8)
            for (index, offer) in offers.enumerated() {
                guard anyType || equals(halves[0], offer.type), anySubtype || equals(halves[1], offer.subtype) else {
                    continue
                }
                let rank = anyType ? 0 : anySubtype ? 1 : 2
                if rank > specificity[index] {
                    specificity[index] = rank
                    quality[index] = q
                }
            }
        }
        var best: Int?
        for index in offers.indices where quality[index] > 0 {
            if best.map({ quality[index] > quality[$0] }) ?? true { best = index }
        }
        guard let best else { return .notAcceptable }
        return .format(offers[best].0)
    }

    /// `0`, `1`, `0.5`, `1.000`: in thousandths.
    private static func weight(_ text: ArraySlice<UInt8>) -> Int? {
        guard let first = text.first, first == 0x30 || first == 0x31 else { return nil }
        var value = first == 0x31 ? 1000 : 0
        let rest = text.dropFirst()
        if rest.isEmpty { return value }
        guard rest.first == 0x2e, rest.count <= 16 else { return nil }
        var unit = 100
        for digit in rest.dropFirst() {
            guard digit &- 0x30 < 10 else { return nil }
            value += Int(digit - 0x30) * unit
            unit /= 10
        }
        return min(value, 1000)
    }

    private static func trim(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var text = text
        while let c = text.first, c == 0x20 || c == 0x09 { text = text.dropFirst() }
        while let c = text.last, c == 0x20 || c == 0x09 { text = text.dropLast() }
        return text
    }

    private static func isToken(_ text: ArraySlice<UInt8>) -> Bool {
        !text.isEmpty
            && text.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x28 && $0 != 0x29 && $0 != 0x3d }
    }

    private static func equals(_ text: ArraySlice<UInt8>, _ lowercase: StaticString) -> Bool {
        guard text.count == lowercase.utf8CodeUnitCount else { return false }
        var i = 0
        for c in text {
            if (c &- 0x41 < 26 ? c | 0x20 : c) != lowercase.utf8Start[i] { return false }
            i += 1
        }
        return true
    }
}
