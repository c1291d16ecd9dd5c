/// Percent-decoding of raw bytes. It is done once, and `+` is only a space where the caller says so.
package enum PercentDecoding {
    /// A `%` without two hex digits behind it stands for itself, as clients in the wild expect.
    package static func decode(_ bytes: some Collection<UInt8>, plusIsSpace: Bool = false) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        let bytes = Array(bytes)
        var i = 0
        while i < bytes.count {
            let c = bytes[i]
            i += 1
            if c == 0x25, i + 1 < bytes.count, let high = nibble(bytes[i]), let low = nibble(bytes[i + 1]) {
                out.append(high << 4 | low)
                i += 2
            } else {
                out.append(plusIsSpace && c == 0x2b ? 0x20 : c)
            }
        }
        return out
    }

    /// Decodes without the cost of the general case when there is nothing to decode.
    package static func decode(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        if !bytes.contains(0x25) { return [UInt8](bytes) }
        return decode([UInt8](bytes))
    }

    private static func nibble(_ c: UInt8) -> UInt8? {
        switch c {
        case 0x30...0x39: c - 0x30
        case 0x61...0x66: c - 0x57
        case 0x41...0x46: c - 0x37
        default: nil
        }
    }
}

/// The parameters of a query, decoded (`+` is a space), in order. A name without `=` has an empty value.
package struct QueryParameters: Sendable {
    package let items: [(name: [UInt8], value: [UInt8])]
    /// No more than this many are looked at; further ones are ignored.
    package static let countMax = 256

    package init(_ raw: some Collection<UInt8>) {
        var items: [(name: [UInt8], value: [UInt8])] = []
        for part in raw.split(separator: 0x26, maxSplits: Self.countMax) where !part.isEmpty {
            guard items.count < Self.countMax else { break }
            if let equals = part.firstIndex(of: 0x3d) {
                items.append(
                    (
                        PercentDecoding.decode(part[..<equals], plusIsSpace: true),
                        PercentDecoding.decode(part[part.index(after: equals)...], plusIsSpace: true)
                    ))
            } else {
                items.append((PercentDecoding.decode(part, plusIsSpace: true), []))
            }
        }
        self.items = items
    }

    /// The last value of that name.
    package func value(_ name: StaticString) -> [UInt8]? {
        let wanted = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        return items.last { $0.name.elementsEqual(wanted) }?.value
    }

    package func text(_ name: StaticString) -> String? {
        value(name).map { String(decoding: $0, as: UTF8.self) }
    }

    package var isWellFormed: Bool {
        items.allSatisfy { UTF8Check.isValid($0.name) && UTF8Check.isValid($0.value) }
    }
}
