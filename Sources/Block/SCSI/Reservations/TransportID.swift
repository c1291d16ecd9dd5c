/// How SPC-4 7.6.4.6 writes an iSCSI initiator port: in READ FULL STATUS and in the lists of PERSISTENT RESERVE OUT.
enum TransportID: Sendable, Hashable {
    /// Format 00b: all ports of an initiator.
    case device(name: String)
    /// Format 01b: name and ISID.
    case port(InitiatorPort)

    private static let protocolISCSI: UInt8 = 0x5
    private static let separator = ",i,0x"
    /// RFC 7143 4.2.7.1: names have at most 223 bytes; with the ISID, a null and padding it stays below this.
    private static let textBytesMax = 256

    static func encode(_ port: InitiatorPort) -> [UInt8] {
        let digits = String(port.isid & 0xFFFF_FFFF_FFFF, radix: 16)
        var text = [UInt8]((port.name + separator + String(repeating: "0", count: 12 - digits.count) + digits).utf8)
        text.append(0)
        while text.count % 4 != 0 { text.append(0) }
        var bytes: [UInt8] = [0x40 | protocolISCSI, 0]
        bytes.put16(UInt16(truncatingIfNeeded: text.count))
        return bytes + text
    }

    /// Reads one from the start of a list; nil where there is none that makes sense. Names are in lower case, as sessions'
    /// are (RFC 7143 4.2.7.1).
    static func decode(_ bytes: ArraySlice<UInt8>) -> (id: TransportID, count: Int)? {
        let list = [UInt8](bytes.prefix(4))
        guard list.count == 4, list[0] & 0x0F == protocolISCSI else { return nil }
        let length = Int(list.get16(2))
        guard length >= 4, length % 4 == 0, length <= textBytesMax, bytes.count >= 4 + length else { return nil }
        let field = bytes.dropFirst(4).prefix(length)
        // Null-terminated, and padded with nulls.
        guard let end = field.firstIndex(of: 0), field[end...].allSatisfy({ $0 == 0 }), end > field.startIndex,
            let text = String(validating: field[..<end], as: UTF8.self)
        else { return nil }
        switch list[0] >> 6 {
        case 0b00: return (.device(name: text.lowercased()), 4 + length)
        case 0b01:
            guard let (name, isid) = split(text) else { return nil }
            return (.port(InitiatorPort(name: name, isid: isid)), 4 + length)
        default: return nil
        }
    }

    private static func split(_ text: String) -> (String, UInt64)? {
        let bytes = [UInt8](text.utf8)
        let mark = [UInt8](separator.utf8)
        guard bytes.count > mark.count else { return nil }
        var at = bytes.count - mark.count
        while at > 0, Array(bytes[at..<at + mark.count]) != mark { at -= 1 }
        let digits = String(decoding: bytes[(at + mark.count)...], as: UTF8.self)
        guard at > 0, digits.utf8.count == 12, digits.allSatisfy(\.isHexDigit), let isid = UInt64(digits, radix: 16)
        else {
            return nil
        }
        return (String(decoding: bytes[..<at], as: UTF8.self).lowercased(), isid)
    }
}
