/// Addresses as text: percent escapes undone once, and the pairs behind the question mark.
package enum QueryText {
    /// Pairs that a query may have; what follows them is part of the last one's value.
    package static let pairsMax = 64

    /// `name=value` pairs in their order, decoded once. A pair with a broken escape is left out.
    package static func pairs(_ text: Substring) -> [(name: String, value: String)] {
        text.split(separator: "&", maxSplits: pairsMax).compactMap { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? parts[1].replacing("+", with: " ") : ""
            guard let name = percentDecoded(parts[0]), let value = percentDecoded(value[...]) else { return nil }
            return (name, value)
        }
    }

    /// The path's parts, decoded; nil if one is malformed or longer than any name. A trailing slash changes nothing.
    package static func segments(_ path: String) -> [String]? {
        var segments: [String] = []
        for part in path.split(separator: "/", omittingEmptySubsequences: true) {
            guard let segment = percentDecoded(part), segment.utf8.count <= 255 else { return nil }
            segments.append(segment)
        }
        return segments
    }

    /// Percent escapes undone once; nil for a broken escape, a NUL, or what is then no UTF-8.
    package static func percentDecoded(_ text: Substring) -> String? {
        var out: [UInt8] = []
        var bytes = Array(text.utf8)[...]
        while let byte = bytes.popFirst() {
            guard byte == 0x25 else {
                out.append(byte)
                continue
            }
            guard let high = bytes.popFirst().flatMap(nibble), let low = bytes.popFirst().flatMap(nibble) else {
                return nil
            }
            out.append(high << 4 | low)
        }
        guard !out.contains(0) else { return nil }
        return String(validating: out, as: UTF8.self)
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x61...0x66: byte - 0x57
        case 0x41...0x46: byte - 0x37
        default: nil
        }
    }
}
