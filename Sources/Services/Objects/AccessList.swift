package import Primitives

/// A container's access list, `X-Container-Read` or `X-Container-Write` (object-api.md 2.7).
package struct AccessList: Sendable, Hashable {
    /// In order; the last that fits decides.
    var referrers: [(allows: Bool, host: String)] { items.compactMap(\.referrer) }
    private var items: [Item] = []

    private enum Item: Sendable, Hashable {
        case referrer(allows: Bool, host: String)
        case listings
        /// `project:user` or a role's name.
        case group(String)

        var referrer: (allows: Bool, host: String)? {
            if case .referrer(let allows, let host) = self { return (allows, host) }
            return nil
        }
    }

    /// Reads a list that `normalize` wrote.
    package init(_ normalized: String) {
        for element in normalized.utf8.split(separator: UInt8(ascii: ",")) {
            let text = String(Substring(trimmed(element)))
            if text.hasPrefix(".r:") {
                let host = text.dropFirst(3)
                if host.hasPrefix("-") {
                    items.append(.referrer(allows: false, host: host.dropFirst().lowercased()))
                } else {
                    items.append(.referrer(allows: true, host: host.lowercased()))
                }
            } else if text == ".rlistings" {
                items.append(.listings)
            } else if !text.isEmpty {
                items.append(.group(text))
            }
        }
    }

    /// Whoever lists the container needs this beside a referrer that fits.
    package var allowsListings: Bool { items.contains(.listings) }

    /// The header's value in the form that is stored and shown. Throws `.badRequest` for what the grammar lacks.
    package static func normalize(_ header: String, forWriting: Bool) throws(ObjectError) -> String {
        var out: [String] = []
        for element in header.utf8.split(separator: UInt8(ascii: ",")) {
            let text = String(Substring(trimmed(element)))
            if text.isEmpty { continue }
            guard text.hasPrefix(".") else {
                out.append(text)
                continue
            }
            guard let colon = text.firstIndex(of: ":") else {
                guard text == ".rlistings" else {
                    throw .badRequest("Unknown designator \(text) in access list")
                }
                out.append(text)
                continue
            }
            let designator = trimmed(String(text[..<colon]))
            guard [".r", ".ref", ".referer", ".referrer"].contains(designator) else {
                throw .badRequest("Unknown designator \(designator) in access list")
            }
            guard !forWriting else { throw .badRequest("Referrers not allowed in write access lists") }
            var host = trimmed(String(text[text.index(after: colon)...]))
            let denies = host.hasPrefix("-")
            if denies { host = trimmed(String(host.dropFirst())) }
            if host != "*", host.hasPrefix("*") { host = trimmed(String(host.dropFirst())) }
            guard !host.isEmpty, host != "." else { throw .badRequest("No host value after referrer designation") }
            out.append(".r:" + (denies ? "-" : "") + host)
        }
        return out.joined(separator: ",")
    }

    /// Whether the request's Referer is one that may read.
    package func allows(referer: String?) -> Bool {
        let host = Self.host(of: referer)
        var allowed = false
        for (allows, pattern) in referrers
        where pattern == "*" || pattern == host || (pattern.hasPrefix(".") && host.hasSuffix(pattern)) {
            allowed = allows
        }
        return allowed
    }

    /// Whether an element `project:user` means this caller.
    ///
    /// - Parameter namesCount: the list speaks of names in the default domain, and the caller lives there too.
    package func allows(_ caller: Caller, namesCount: Bool) -> Bool {
        var identities: Set<Bytes>?
        for case .group(let text) in items
        where text.utf8.contains(UInt8(ascii: ":")) || text.utf8.contains(UInt8(ascii: "%")) {
            if identities == nil { identities = Self.identities(of: caller, namesCount: namesCount) }
            if identities!.contains(Self.decoded(text)) { return true }
        }
        return false
    }

    /// Whether one of the roles stands in the list by itself.
    package func allows(anyRoleOf roles: Set<String>) -> Bool {
        items.contains { item in
            guard case .group(let text) = item else { return false }
            let role = Self.decoded(text)
            return roles.contains { Bytes($0) == role }
        }
    }

    /// Every `project:user` that means this caller. As bytes, since strings that only look the same (é in one character
    /// or two) are equal to Swift, and two users to Identity.
    static func identities(of caller: Caller, namesCount: Bool) -> Set<Bytes> {
        var users = ["*", caller.user.id]
        var projects = ["*"]
        if let project = caller.project { projects.append(project.id) }
        if namesCount {
            users.append(caller.user.name)
            if let project = caller.project { projects.append(project.name) }
        }
        var out: Set<Bytes> = []
        for project in projects {
            for user in users { out.insert(Bytes(project + ":" + user)) }
        }
        return out
    }

    static func decoded(_ text: String) -> Bytes {
        guard text.utf8.contains(UInt8(ascii: "%")), let bytes = PercentCoding.decode(Array(text.utf8)) else {
            return Bytes(text)
        }
        return Bytes(bytes)
    }

    /// The host of a URL in lower case, `unknown` when there is none.
    static func host(of referer: String?) -> String {
        guard let referer else { return "unknown" }
        let bytes = Array(referer.utf8)
        let scheme = Array("://".utf8)
        guard bytes.count > 3,
            let start = bytes.indices.dropLast(2).first(where: { bytes[$0..<($0 + 3)].elementsEqual(scheme) })
        else { return "unknown" }
        var authority = bytes[(start + 3)...].prefix { !"/?#\\".utf8.contains($0) }
        if let at = authority.lastIndex(of: UInt8(ascii: "@")) { authority = authority[(at + 1)...] }
        if authority.first == UInt8(ascii: "[") {
            authority = authority.dropFirst().prefix { $0 != UInt8(ascii: "]") }
        } else {
            authority = authority.prefix { $0 != UInt8(ascii: ":") }
        }
        return authority.isEmpty ? "unknown" : String(decoding: authority.map(asciiLowercase), as: UTF8.self)
    }
}
