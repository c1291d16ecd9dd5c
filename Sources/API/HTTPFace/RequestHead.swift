private import Glibc
import NIOCore
package import Primitives

/// A verb. What is not one of the known ones keeps its spelling.
package enum HTTPVerb: Sendable, Hashable, CustomStringConvertible {
    case get, head, put, post, delete, copy, options
    case other(String)

    init(_ token: UnsafeRawBufferPointer) {
        func equals(_ text: StaticString) -> Bool {
            text.utf8CodeUnitCount == token.count && memcmp(text.utf8Start, token.baseAddress!, token.count) == 0
        }
        if equals("GET") {
            self = .get
        } else if equals("PUT") {
            self = .put
        } else if equals("HEAD") {
            self = .head
        } else if equals("POST") {
            self = .post
        } else if equals("DELETE") {
            self = .delete
        } else if equals("COPY") {
            self = .copy
        } else if equals("OPTIONS") {
            self = .options
        } else {
            self = .other(String(decoding: token, as: UTF8.self))
        }
    }

    package var description: String {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .put: "PUT"
        case .post: "POST"
        case .delete: "DELETE"
        case .copy: "COPY"
        case .options: "OPTIONS"
        case .other(let token): token
        }
    }
}

/// How a request's body is delimited.
package enum BodyFraming: Sendable, Hashable {
    /// No Content-Length and no Transfer-Encoding: an empty body.
    case none
    case length(Int)
    case chunked
}

/// A request's head as it came: one buffer, and where things lie in it. Names are compared without case.
///
/// Made only by `RequestParser`, so every field is well-formed: token names, values without control
/// characters, at most one Host, Content-Length and Transfer-Encoding.
package struct RequestHead: Sendable {
    struct Field: Sendable {
        var name: Range<UInt16>
        var value: Range<UInt16>
    }

    /// The head from the request line on, without what came before or after.
    let bytes: ByteBuffer
    let fields: [Field]
    let targetRange: Range<UInt16>
    package let verb: HTTPVerb
    package let framing: BodyFraming
    /// HTTP/1.1 unless it said close, or HTTP/1.0 that said keep-alive.
    package let keepsAlive: Bool
    package let isHTTP10: Bool
    package let expectsContinue: Bool

    /// The request target as sent: path and query, still percent-encoded.
    package var target: Bytes { Bytes(slice(targetRange)) }

    /// What follows the target's `?`, still percent-encoded; nil if there is none.
    package var query: [UInt8]? {
        withTarget { target in target.firstIndex(of: 0x3f).map { [UInt8](target[($0 + 1)...]) } }
    }

    package var fieldCount: Int { fields.count }

    /// The first field of that name, given in lower case, as raw bytes; nil if there is none.
    package func bytes(_ lowercaseName: StaticString) -> [UInt8]? {
        guard let index = index(of: lowercaseName) else { return nil }
        return slice(fields[index].value)
    }

    /// The first field of that name, given in lower case; ill-formed UTF-8 is repaired with U+FFFD.
    package func value(_ lowercaseName: StaticString) -> String? {
        guard let index = index(of: lowercaseName) else { return nil }
        return string(fields[index].value)
    }

    /// All values of that name joined with commas, as HTTP/1.1 has it for lists.
    package func list(_ lowercaseName: StaticString) -> String? {
        var joined: String?
        bytes.withUnsafeReadableBytes { raw in
            for field in fields where Self.matches(raw, field.name, lowercaseName) {
                let value = String(decoding: Self.part(raw, field.value), as: UTF8.self)
                if joined == nil { joined = value } else { joined! += "," + value }
            }
        }
        return joined
    }

    package func has(_ lowercaseName: StaticString) -> Bool { index(of: lowercaseName) != nil }

    /// Every field in order, names as sent, internal ones left out (`isInternal`).
    package func fieldList() -> [(name: String, value: String)] {
        var list: [(name: String, value: String)] = []
        list.reserveCapacity(fields.count)
        bytes.withUnsafeReadableBytes { raw in
            for field in fields {
                let name = Self.part(raw, field.name)
                if Self.isInternal(name) { continue }
                list.append(
                    (
                        String(decoding: name, as: UTF8.self),
                        String(decoding: Self.part(raw, field.value), as: UTF8.self)
                    ))
            }
        }
        return list
    }

    /// The fields whose names begin with the prefix (lower case); costs nothing when there are none.
    package func fields(prefix lowercasePrefix: StaticString) -> [(name: String, value: String)] {
        bytes.withUnsafeReadableBytes { raw in
            var list: [(name: String, value: String)] = []
            for field in fields where Self.hasPrefix(Self.part(raw, field.name), lowercasePrefix) {
                list.append(
                    (
                        String(decoding: Self.part(raw, field.name), as: UTF8.self),
                        String(decoding: Self.part(raw, field.value), as: UTF8.self)
                    ))
            }
            return list
        }
    }

    /// A value of any field that begins with the prefix (lower case) and is not well-formed UTF-8.
    package func hasIllFormedValue(prefix lowercasePrefix: StaticString) -> Bool {
        bytes.withUnsafeReadableBytes { raw in
            for field in fields where Self.hasPrefix(Self.part(raw, field.name), lowercasePrefix) {
                if !UTF8Check.isValid(Self.part(raw, field.value)) || !UTF8Check.isValid(Self.part(raw, field.name)) {
                    return true
                }
            }
            return false
        }
    }

    /// Headers by which a client could pretend to be a part of the service itself (object-api.md 1.8).
    static func isInternal(_ name: UnsafeRawBufferPointer) -> Bool {
        guard name.count > 6, name[0] | 0x20 == UInt8(ascii: "x"), name[1] == 0x2d else { return false }
        for prefix in internalPrefixes where hasPrefix(name, prefix) { return true }
        for whole in internalNames where whole.utf8CodeUnitCount == name.count && hasPrefix(name, whole) { return true }
        return false
    }

    private static let internalPrefixes: [StaticString] = [
        "x-backend-", "x-account-sysmeta-", "x-container-sysmeta-", "x-object-sysmeta-", "x-object-transient-sysmeta-",
    ]
    private static let internalNames: [StaticString] = [
        "x-timestamp", "x-account-host", "x-account-device", "x-account-partition", "x-container-host",
        "x-container-device", "x-container-partition", "x-delete-at-host", "x-delete-at-device",
        "x-delete-at-partition", "x-delete-at-container", "x-user-id", "x-user-name", "x-user", "x-roles", "x-role",
        "x-project-id", "x-project-name", "x-tenant-id", "x-tenant-name", "x-tenant", "x-domain-id", "x-domain-name",
        "x-identity-status", "x-service-identity-status", "x-service-roles", "x-user-domain-id",
        "x-user-domain-name", "x-project-domain-id", "x-project-domain-name", "x-is-admin-project",
    ]

    private func index(of lowercaseName: StaticString) -> Int? {
        bytes.withUnsafeReadableBytes { raw in
            for index in fields.indices where Self.matches(raw, fields[index].name, lowercaseName) { return index }
            return nil
        }
    }

    private func slice(_ range: Range<UInt16>) -> [UInt8] {
        bytes.withUnsafeReadableBytes { [UInt8](Self.part($0, range)) }
    }

    private func string(_ range: Range<UInt16>) -> String {
        bytes.withUnsafeReadableBytes { String(decoding: Self.part($0, range), as: UTF8.self) }
    }

    /// Gives the target's bytes to `body` without copying them.
    package func withTarget<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        bytes.withUnsafeReadableBytes { body(Self.part($0, targetRange)) }
    }

    @inline(__always)
    static func part(_ raw: UnsafeRawBufferPointer, _ range: Range<UInt16>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: raw[Int(range.lowerBound)..<Int(range.upperBound)])
    }

    @inline(__always)
    private static func matches(_ raw: UnsafeRawBufferPointer, _ range: Range<UInt16>, _ lowercase: StaticString)
        -> Bool
    {
        range.count == lowercase.utf8CodeUnitCount && hasPrefix(part(raw, range), lowercase)
    }

    @inline(__always)
    static func hasPrefix(_ name: UnsafeRawBufferPointer, _ lowercase: StaticString) -> Bool {
        let count = lowercase.utf8CodeUnitCount
        guard name.count >= count else { return false }
        let wanted = lowercase.utf8Start
        for i in 0..<count {
            var c = name[i]
            if c &- 0x41 < 26 { c |= 0x20 }
            if c != wanted[i] { return false }
        }
        return true
    }
}

/// Well-formedness of UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF), in one pass.
package enum UTF8Check {
    package static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var i = 0
        let n = bytes.count
        while i < n {
            let c = bytes[i]
            if c < 0x80 {
                i += 1
                continue
            }
            let length: Int
            var low: UInt8 = 0x80
            var high: UInt8 = 0xbf
            switch c {
            case 0xc2...0xdf: length = 2
            case 0xe0: (length, low) = (3, 0xa0)
            case 0xed: (length, high) = (3, 0x9f)
            case 0xe1...0xef: length = 3
            case 0xf0: (length, low) = (4, 0x90)
            case 0xf4: (length, high) = (4, 0x8f)
            case 0xf1...0xf3: length = 4
            default: return false
            }
            guard i + length <= n, bytes[i + 1] >= low, bytes[i + 1] <= high else { return false }
            var k = 2
            while k < length {
                if bytes[i + k] & 0xc0 != 0x80 { return false }
                k += 1
            }
            i += length
        }
        return true
    }

    package static func isValid(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { isValid($0) } }
}
