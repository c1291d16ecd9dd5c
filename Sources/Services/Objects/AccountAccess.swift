package import Primitives

/// `X-Account-Access-Control`: who beside the owner may use an account (object-api.md 2.8).
package struct AccountAccess: Sendable, Hashable {
    package enum Level: Int, Sendable, Comparable {
        case none, readOnly, readWrite, admin
        package static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    private var lists: [String: [String]] = [:]
    private static let levels: [(name: String, level: Level)] = [
        ("admin", .admin), ("read-only", .readOnly), ("read-write", .readWrite),
    ]

    /// Throws `.badRequest` for anything but an object of known keys with lists of strings.
    package init(json: String) throws(ObjectError) {
        var parser = Parser(bytes: Array(json.utf8))
        guard let lists = parser.document() else {
            throw .badRequest("X-Account-Access-Control must be a JSON object of lists of strings")
        }
        for key in lists.keys where !Self.levels.contains(where: { $0.name == key }) {
            throw .badRequest("X-Account-Access-Control: unknown key \(key.prefix(64))")
        }
        self.lists = lists
    }

    /// Compact, keys sorted, ASCII only.
    package var json: String {
        let members = lists.keys.sorted().map { key in
            Self.quoted(key) + ":[" + lists[key, default: []].map(Self.quoted).joined(separator: ",") + "]"
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    /// The highest level that a list with one of the caller's identities gives: `project`, `project:user`, ids always,
    /// names where `namesCount`.
    package func level(of caller: Caller, namesCount: Bool) -> Level {
        var identities = AccessList.identities(of: caller, namesCount: namesCount)
        if let project = caller.project {
            identities.insert(Bytes(project.id))
            if namesCount { identities.insert(Bytes(project.name)) }
        }
        var best = Level.none
        for (name, level) in Self.levels where level > best {
            if lists[name, default: []].contains(where: { identities.contains(Bytes($0)) }) { best = level }
        }
        return best
    }

    private static func quoted(_ text: String) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var out: [UInt8] = [UInt8(ascii: "\"")]
        for unit in text.utf16 {
            switch unit {
            case 0x22, 0x5C: out += [UInt8(ascii: "\\"), UInt8(unit)]
            case 0x20...0x7E: out.append(UInt8(unit))
            default:
                out += [UInt8(ascii: "\\"), UInt8(ascii: "u")]
                for shift in [12, 8, 4, 0] { out.append(digits[Int(unit >> UInt16(shift)) & 15]) }
            }
        }
        out.append(UInt8(ascii: "\""))
        return String(decoding: out, as: UTF8.self)
    }

    /// JSON as far as this header's shape goes: nothing nests deeper than a list of strings.
    private struct Parser {
        let bytes: [UInt8]
        var at = 0

        mutating func document() -> [String: [String]]? {
            var out: [String: [String]] = [:]
            guard take("{") else { return nil }
            if !take("}") {
                repeat {
                    guard let key = string(), take(":"), let values = list() else { return nil }
                    out[key] = values
                } while take(",")
                guard take("}") else { return nil }
            }
            skipSpace()
            return at == bytes.count ? out : nil
        }

        private mutating func list() -> [String]? {
            guard take("[") else { return nil }
            var out: [String] = []
            if take("]") { return out }
            repeat {
                guard let text = string() else { return nil }
                out.append(text)
            } while take(",")
            return take("]") ? out : nil
        }

        private mutating func skipSpace() {
            while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
        }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        private mutating func string() -> String? {
            guard take("\"") else { return nil }
            var units: [UInt16] = []
            var plain: [UInt8] = []
            func flush(_ plain: inout [UInt8], _ units: inout [UInt16]) -> Bool {
                guard let text = String(validating: plain, as: UTF8.self) else { return false }
                units += Array(text.utf16)
                plain = []
                return true
            }
            while at < bytes.count {
                let byte = bytes[at]
                at += 1
                switch byte {
                case UInt8(ascii: "\""):
                    guard flush(&plain, &units) else { return nil }
                    return String(validating: units, as: UTF16.self)
                case UInt8(ascii: "\\"):
                    guard at < bytes.count else { return nil }
                    let escape = bytes[at]
                    at += 1
                    switch escape {
                    case 0x22, 0x5C, 0x2F: plain.append(escape)
                    case UInt8(ascii: "b"): plain.append(8)
                    case UInt8(ascii: "f"): plain.append(12)
                    case UInt8(ascii: "n"): plain.append(10)
                    case UInt8(ascii: "r"): plain.append(13)
                    case UInt8(ascii: "t"): plain.append(9)
                    case UInt8(ascii: "u"):
                        guard at + 4 <= bytes.count, flush(&plain, &units),
                            bytes[at..<(at + 4)].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                            let unit = UInt16(String(decoding: bytes[at..<(at + 4)], as: UTF8.self), radix: 16)
                        else { return nil }
                        units.append(unit)
                        at += 4
                    default: return nil
                    }
                case 0..<0x20: return nil
                default: plain.append(byte)
                }
            }
            return nil
        }
    }
}
