package import NIOCore

/// Whom a connection comes from, as far as limits for one client go: an IPv4 address, or the first 64 bits of an IPv6
/// one, since a single host commonly has that many; `-` where there is no such thing.
package struct ClientAddress: Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ address: SocketAddress?) {
        switch address {
        case .v4: description = address?.ipAddress ?? "-"
        case .v6:
            // The 16 bytes of the address lie behind family, port and flow (RFC 3493 section 3.3).
            let bytes =
                address?.withSockAddr { pointer, size in
                    [UInt8](UnsafeRawBufferPointer(start: pointer, count: size)[8..<24])
                } ?? []
            if bytes[..<10].allSatisfy({ $0 == 0 }), bytes[10] == 0xff, bytes[11] == 0xff {
                description = bytes[12...].map { "\($0)" }.joined(separator: ".")
            } else {
                let groups = stride(from: 0, to: 8, by: 2).map { Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]) }
                description = groups.map { String($0, radix: 16) }.joined(separator: ":") + "::/64"
            }
        case .unixDomainSocket, nil: description = "-"
        }
    }
}
