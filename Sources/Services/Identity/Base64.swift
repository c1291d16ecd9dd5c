/// Base64 without line breaks; the alphabet is the URL-safe one (`-` and `_`) unless said.
package enum Base64 {
    private static let urlDigits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    private static let plainDigits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    package static func encodeURL(_ bytes: [UInt8], padded: Bool) -> String { encode(bytes, urlDigits, padded: padded) }
    package static func encodePlain(_ bytes: [UInt8], padded: Bool) -> String {
        encode(bytes, plainDigits, padded: padded)
    }

    /// Accepts padding that is right and padding that is left off; nil for anything else, bits left over included.
    package static func decodeURL(_ text: some Sequence<UInt8>) -> [UInt8]? { decode(text, 0x2D, 0x5F) }
    package static func decodePlain(_ text: some Sequence<UInt8>) -> [UInt8]? { decode(text, 0x2B, 0x2F) }

    private static func encode(_ bytes: [UInt8], _ digits: [UInt8], padded: Bool) -> String {
        var out: [UInt8] = []
        out.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let a = UInt32(bytes[index])
            let b = left > 1 ? UInt32(bytes[index + 1]) : 0
            let c = left > 2 ? UInt32(bytes[index + 2]) : 0
            let group = a << 16 | b << 8 | c
            out.append(digits[Int(group >> 18)])
            out.append(digits[Int(group >> 12 & 63)])
            if left > 1 { out.append(digits[Int(group >> 6 & 63)]) } else if padded { out.append(0x3D) }
            if left > 2 { out.append(digits[Int(group & 63)]) } else if padded { out.append(0x3D) }
            index += 3
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func decode(_ text: some Sequence<UInt8>, _ digit62: UInt8, _ digit63: UInt8) -> [UInt8]? {
        var out: [UInt8] = []
        var group: UInt32 = 0
        var digits = 0
        var padding = 0
        for character in text {
            let value: UInt32
            switch character {
            case 0x41...0x5A: value = UInt32(character - 0x41)
            case 0x61...0x7A: value = UInt32(character - 0x61) + 26
            case 0x30...0x39: value = UInt32(character - 0x30) + 52
            case digit62: value = 62
            case digit63: value = 63
            case 0x3D:
                padding += 1
                continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            group = group << 6 | value
            digits += 1
            if digits % 4 == 0 {
                out.append(UInt8(group >> 16 & 255))
                out.append(UInt8(group >> 8 & 255))
                out.append(UInt8(group & 255))
                group = 0
            }
        }
        guard padding == 0 || (digits + padding) % 4 == 0 && padding <= 2 else { return nil }
        switch digits % 4 {
        case 0: return padding == 0 ? out : nil
        case 2:
            guard group & 15 == 0 else { return nil }
            out.append(UInt8(group >> 4 & 255))
        case 3:
            guard group & 3 == 0 else { return nil }
            out.append(UInt8(group >> 10 & 255))
            out.append(UInt8(group >> 2 & 255))
        default: return nil
        }
        return out
    }
}
