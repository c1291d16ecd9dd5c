/// Random UUIDs (RFC 9562, version 4) as text.
package enum RandomUUID {
    /// - Parameter random: 16 bytes of a CSPRNG.
    package static func text(_ random: [UInt8]) -> String {
        precondition(random.count == 16)
        var bytes = random
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let digits = Array("0123456789abcdef".utf8)
        var out: [UInt8] = []
        out.reserveCapacity(36)
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { out.append(0x2D) }
            out.append(digits[Int(byte >> 4)])
            out.append(digits[Int(byte & 15)])
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Whether the text is 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    package static func isWellFormed(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return bytes.count == 36
            && bytes.indices.allSatisfy { index in
                if [8, 13, 18, 23].contains(index) { return bytes[index] == 0x2D }
                switch bytes[index] {
                case 0x30...0x39, 0x41...0x46, 0x61...0x66: return true
                default: return false
                }
            }
    }
}
