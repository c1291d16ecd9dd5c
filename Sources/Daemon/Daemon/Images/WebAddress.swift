private import Glibc
import NIOCore

/// An address that an image may be fetched from: `http` or `https`, a host, a port, a path. Nothing else of what URLs may
/// have is taken: no user, no password, no odd characters.
struct WebAddress: Sendable, Equatable {
    var isSecure: Bool
    /// As in the address, without the brackets of an IPv6 one.
    var host: String
    var port: Int
    /// With the query, as it is sent.
    var path: String

    static let bytesMax = 2_048

    /// nil for anything that isn't one.
    init?(_ text: String) {
        guard text.utf8.count <= Self.bytesMax, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x5C })
        else { return nil }
        var rest: Substring
        if text.lowercased().hasPrefix("http://") {
            isSecure = false
            rest = text.dropFirst("http://".count)
        } else if text.lowercased().hasPrefix("https://") {
            isSecure = true
            rest = text.dropFirst("https://".count)
        } else {
            return nil
        }
        rest = rest.prefix { $0 != "#" }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let tail = rest.dropFirst(authority.count)
        path = tail.hasPrefix("/") ? String(tail) : "/" + tail
        guard !authority.contains("@") else { return nil }
        var portText: Substring?
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { return nil }
            host = String(authority[authority.index(after: authority.startIndex)..<close])
            let behind = authority[authority.index(after: close)...]
            guard behind.isEmpty || behind.hasPrefix(":") else { return nil }
            if !behind.isEmpty { portText = behind.dropFirst() }
            guard host.utf8.allSatisfy({ Self.isHexDigit($0) || $0 == 0x3A || $0 == 0x2E }) else { return nil }
        } else {
            let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2 else { return nil }
            host = String(parts[0])
            if parts.count == 2 { portText = parts[1] }
            guard host.utf8.allSatisfy({ Self.isHostByte($0) }) else { return nil }
        }
        guard !host.isEmpty, host.utf8.count <= 253 else { return nil }
        port = isSecure ? 443 : 80
        if let portText {
            guard !portText.isEmpty, portText.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int(portText),
                (1...65_535).contains(number)
            else { return nil }
            port = number
        }
    }

    /// Whether the host is an address itself.
    var isNumeric: Bool { host.contains(":") || host.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == 0x2E } }

    /// As configured exceptions name it.
    var authority: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
        default: false
        }
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
        default: false
        }
    }
}

/// Whether a network address is one of the world's, and not of this machine, of its neighbours or of its cloud.
enum PublicAddress {
    static func isPublic(_ address: SocketAddress) -> Bool {
        guard let text = address.ipAddress else { return false }
        return isPublic(text)
    }

    /// - Parameter text: a numeric address; false for anything else.
    static func isPublic(_ text: String) -> Bool {
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: &v4) { isPublic(v4: Array($0)) } }
        var v6 = in6_addr()
        // A zone, as in fe80::1%eth0, stands behind link-local addresses only.
        guard inet_pton(AF_INET6, String(text.prefix { $0 != "%" }), &v6) == 1 else { return false }
        return withUnsafeBytes(of: &v6) { isPublic(v6: Array($0)) }
    }

    /// IANA's registry of special-purpose addresses (RFC 6890 and its successors), and multicast.
    static func isPublic(v4 bytes: [UInt8]) -> Bool {
        switch (bytes[0], bytes[1], bytes[2]) {
        case (0, _, _), (10, _, _), (127, _, _), (169, 254, _), (192, 168, _), (192, 0, 0), (192, 0, 2), (192, 88, 99),
            (198, 51, 100), (203, 0, 113), (224...255, _, _), (100, 64...127, _), (172, 16...31, _), (198, 18...19, _):
            false
        default: true
        }
    }

    static func isPublic(v6 bytes: [UInt8]) -> Bool {
        // An IPv4 address in one of its IPv6 dresses: mapped, compatible, NAT64, 6to4.
        if bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF {
            return isPublic(v4: Array(bytes[12...]))
        }
        if bytes[..<12].allSatisfy({ $0 == 0 }) { return false }
        if bytes[..<4].elementsEqual([0x00, 0x64, 0xFF, 0x9B]) {
            return bytes[4..<12].allSatisfy { $0 == 0 } && isPublic(v4: Array(bytes[12...]))
        }
        if bytes[0] == 0x20, bytes[1] == 0x02 { return isPublic(v4: Array(bytes[2..<6])) }
        // What is global unicast at all is in 2000::/3; of that, not the documentation's nor Teredo's and its like.
        guard bytes[0] & 0xE0 == 0x20 else { return false }
        if bytes[0] == 0x20, bytes[1] == 0x01, bytes[2] < 0x02 { return false }
        if bytes[0] == 0x20, bytes[1] == 0x01, bytes[2] == 0x0D, bytes[3] == 0xB8 { return false }
        return !(bytes[0] == 0x3F && bytes[1] == 0xFF && bytes[2] & 0xF0 == 0)
    }
}
