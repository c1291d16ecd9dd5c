package import Primitives

/// The query of a listing (object-api.md 5.1), parsed and bounded.
package struct ListingQuery: Sendable {
    package var limit = ObjectLimits.listingLimit
    package var marker: Bytes?
    package var endMarker: Bytes?
    package var prefix: Bytes?
    package var delimiter: Bytes?
    /// Legacy: children of a pseudo-directory (containers only).
    package var path: Bytes?
    package var reverse = false
    package init() {}

    /// From the query's items, decoded once; `format` and strange names are left to the face.
    ///
    /// Throws `.preconditionFailed` for a limit above `ObjectLimits.listingLimit`, `.badRequest` for a value that is
    /// not UTF-8. Of a repeated name the first counts.
    package init(items: [(name: Bytes, value: Bytes)]) throws(ObjectError) {
        var seen: Set<Bytes> = []
        for (name, value) in items {
            guard isValidUTF8(name.storage), isValidUTF8(value.storage) else {
                throw .badRequest("Invalid UTF-8 in the query")
            }
            guard seen.insert(name).inserted else { continue }
            switch name.string {
            case "limit":
                guard !value.isEmpty, value.storage.allSatisfy({ $0 &- 0x30 < 10 }) else { continue }
                // More digits than an Int holds is more than the limit too.
                let asked = Int(value.string) ?? Int.max
                guard asked <= ObjectLimits.listingLimit else {
                    throw .preconditionFailed("Maximum limit is \(ObjectLimits.listingLimit)")
                }
                limit = asked
            case "marker": marker = value.isEmpty ? nil : value
            case "end_marker": endMarker = value.isEmpty ? nil : value
            case "prefix": prefix = value.isEmpty ? nil : value
            case "delimiter": delimiter = value.isEmpty ? nil : value
            case "path": path = value
            case "reverse": reverse = isTruthy(value.string)
            default: break
            }
        }
    }
}

/// OpenStack's reading of a switch: true, 1, yes, on, t, y in any case.
package func isTruthy(_ text: String) -> Bool {
    switch text.lowercased() {
    case "true", "1", "yes", "on", "t", "y": true
    default: false
    }
}

/// Whether the bytes are well-formed UTF-8.
package func isValidUTF8(_ bytes: [UInt8]) -> Bool {
    if bytes.allSatisfy({ $0 < 0x80 }) { return true }
    return String(validating: bytes, as: UTF8.self) != nil
}
