/// A control plane's request id: `req-` and a random UUID.
package enum ControlRequestID {
    /// - Parameter random: 16 bytes.
    package static func text(_ random: [UInt8]) -> String {
        var bytes = random
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let digits = Array("0123456789abcdef")
        var out = "req-"
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { out.append("-") }
            out.append(digits[Int(byte >> 4)])
            out.append(digits[Int(byte & 15)])
        }
        return out
    }
}
