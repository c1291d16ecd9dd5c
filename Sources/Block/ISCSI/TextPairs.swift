/// The text of Login and Text PDUs: `key=value` pairs, each with a NUL behind it (RFC 7143 6.1).
enum TextPairs {
    enum Malformed: Error, Equatable { case pair, key, value, encoding, tooMany }

    /// The pairs in their order. Whoever calls has bounded `bytes`.
    static func parse(_ bytes: [UInt8]) throws(Malformed) -> [(key: String, value: String)] {
        var pairs: [(key: String, value: String)] = []
        var start = 0
        for (index, byte) in bytes.enumerated() where byte == 0 {
            defer { start = index + 1 }
            // Some pad with NULs inside of the data segment; they say nothing.
            if index == start { continue }
            guard pairs.count < ISCSILimits.loginKeysMax else { throw .tooMany }
            pairs.append(try pair(bytes[start..<index]))
        }
        guard start == bytes.count else { throw .pair }
        return pairs
    }

    private static func pair(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> (key: String, value: String) {
        guard let equals = bytes.firstIndex(of: UInt8(ascii: "=")) else { throw .pair }
        let key = bytes[..<equals]
        guard (1...ISCSILimits.keyBytesMax).contains(key.count), key.allSatisfy(isKeyByte) else { throw .key }
        let value = bytes[(equals + 1)...]
        // Base64 and hexadecimal of the longest binary value, with what announces them.
        guard value.count <= 2 * ISCSILimits.binaryValueBytesMax + 2 else { throw .value }
        guard let key = String(validating: key, as: UTF8.self), let value = String(validating: value, as: UTF8.self)
        else { throw .encoding }
        return (key, value)
    }

    /// RFC 7143 6.1: letters, digits, `.`, `-`, `+`, `@`, `_`; `#` starts no key, but extension keys may hold one.
    private static func isKeyByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "@"), UInt8(ascii: "_"),
            UInt8(ascii: "#"):
            true
        default: false
        }
    }

    static func append(_ key: String, _ value: String, to text: inout [UInt8]) {
        text.append(contentsOf: key.utf8)
        text.append(UInt8(ascii: "="))
        text.append(contentsOf: value.utf8)
        text.append(0)
    }

    /// A number as RFC 7143 6.1 writes one: decimal, or hexadecimal behind `0x`; no sign.
    static func number(_ text: String) -> UInt64? {
        if text.hasPrefix("0x") || text.hasPrefix("0X") {
            let digits = text.dropFirst(2)
            guard (1...16).contains(digits.count), digits.allSatisfy(\.isHexDigit) else { return nil }
            return UInt64(digits, radix: 16)
        }
        guard (1...20).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return UInt64(text)
    }

    /// A binary value: hexadecimal behind `0x`, or Base64 behind `0b`; nil if it is neither or too long.
    static func binary(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8.dropFirst(2))
        switch text.prefix(2) {
        case "0x", "0X": return hexadecimal(digits)
        case "0b", "0B": return base64(digits)
        default: return nil
        }
    }

    private static func hexadecimal(_ digits: [UInt8]) -> [UInt8]? {
        guard !digits.isEmpty, digits.count <= 2 * ISCSILimits.binaryValueBytesMax else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity((digits.count + 1) / 2)
        // An odd number of digits has its first byte's upper half left out, as numbers do.
        var high: UInt8? = digits.count % 2 == 1 ? 0 : nil
        for digit in digits {
            guard let value = Character(UnicodeScalar(digit)).hexDigitValue else { return nil }
            if let upper = high {
                bytes.append(upper << 4 | UInt8(value))
                high = nil
            } else {
                high = UInt8(value)
            }
        }
        return bytes
    }

    private static func base64(_ digits: [UInt8]) -> [UInt8]? {
        guard !digits.isEmpty, digits.count % 4 == 0, digits.count <= 2 * ISCSILimits.binaryValueBytesMax else {
            return nil
        }
        var bytes: [UInt8] = []
        for group in stride(from: 0, to: digits.count, by: 4) {
            var bits: UInt32 = 0
            var padding = 0
            for (place, digit) in digits[group..<group + 4].enumerated() {
                bits <<= 6
                if digit == UInt8(ascii: "=") {
                    // Padding ends the last group and nothing else.
                    guard group + 4 == digits.count, place >= 2 else { return nil }
                    padding += 1
                } else {
                    guard padding == 0, let value = base64Value(digit) else { return nil }
                    bits |= UInt32(value)
                }
            }
            for byte in 0..<(3 - padding) { bytes.append(UInt8(truncatingIfNeeded: bits >> (16 - 8 * byte))) }
        }
        return bytes.count <= ISCSILimits.binaryValueBytesMax ? bytes : nil
    }

    private static func base64Value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): digit - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
