/// What links start with: the configured scheme and path prefix, and the host that the client used to get here.
package enum LinkBase {
    /// - Parameter authority: the request's `Host`. One that is no plain host and port is not repeated to anyone.
    package static func base(configured: String, authority: String?) -> String {
        var configured = configured
        while configured.hasSuffix("/") { configured.removeLast() }
        guard let authority, isPlain(authority), let separator = configured.firstRange(of: "://") else {
            return configured
        }
        let rest = configured[separator.upperBound...]
        let prefix = rest.firstIndex(of: "/").map { rest[$0...] } ?? ""
        return configured[..<separator.upperBound] + authority + prefix
    }

    private static func isPlain(_ authority: String) -> Bool {
        (1...255).contains(authority.utf8.count)
            && authority.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x3A, 0x5B, 0x5D, 0x5F: true
                default: false
                }
            }
    }
}
