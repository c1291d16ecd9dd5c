/// JSON as backups' metadata objects have it, read and written here since the service knows no face: nothing that is not
/// in RFC 8259, bounded in depth and in values, linear in the length of the text.
enum BackupText: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Int64)
    case string(String)
    case array([BackupText])
    case object([(key: String, value: BackupText)])

    private static let depthMax = 8

    static func == (a: BackupText, b: BackupText) -> Bool { a.utf8 == b.utf8 }

    static func text(_ value: String?) -> BackupText { value.map { .string($0) } ?? .null }

    subscript(_ key: String) -> BackupText? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    var string: String? { if case .string(let value) = self { value } else { nil } }
    var number: Int64? { if case .number(let value) = self { value } else { nil } }
    var array: [BackupText]? { if case .array(let items) = self { items } else { nil } }
    var members: [(key: String, value: BackupText)]? { if case .object(let members) = self { members } else { nil } }

    // MARK: Writing.

    var utf8: [UInt8] {
        var out: [UInt8] = []
        write(to: &out)
        return out
    }

    func write(to out: inout [UInt8]) {
        switch self {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .number(let value): out += String(value).utf8
        case .string(let value): Self.write(value, to: &out)
        case .array(let items):
            out.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                item.write(to: &out)
            }
            out.append(UInt8(ascii: "]"))
        case .object(let members):
            out.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                Self.write(member.key, to: &out)
                out.append(UInt8(ascii: ":"))
                member.value.write(to: &out)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ text: String, to out: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        out.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): out += [UInt8(ascii: "\\"), byte]
            case 0..<0x20, 0x7F: out += "\\u00".utf8 + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }

    // MARK: Reading.

    /// nil for what is no JSON, has a number that is no whole one of 64 bits, nests too deep or has too many values.
    init?(_ bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        guard let value = reader.value(0), reader.isAtEnd() else { return nil }
        self = value
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0
        var valuesLeft = Limits.backupManifestValuesMax

        mutating func isAtEnd() -> Bool {
            skip()
            return at == bytes.count
        }

        private mutating func skip() {
            while at < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[at]) { at += 1 }
        }

        private mutating func take(_ character: Unicode.Scalar) -> Bool {
            skip()
            guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        private mutating func word(_ text: StaticString) -> Bool {
            let wanted = Array(text.description.utf8)
            guard bytes.count - at >= wanted.count, bytes[at..<at + wanted.count].elementsEqual(wanted) else {
                return false
            }
            at += wanted.count
            return true
        }

        mutating func value(_ depth: Int) -> BackupText? {
            guard depth < depthMax, valuesLeft > 0 else { return nil }
            valuesLeft -= 1
            skip()
            guard at < bytes.count else { return nil }
            switch bytes[at] {
            case UInt8(ascii: "{"): return object(depth)
            case UInt8(ascii: "["): return array(depth)
            case UInt8(ascii: "\""): return string().map { .string($0) }
            case UInt8(ascii: "n"): return word("null") ? .null : nil
            case UInt8(ascii: "t"): return word("true") ? .bool(true) : nil
            case UInt8(ascii: "f"): return word("false") ? .bool(false) : nil
            default: return number()
            }
        }

        private mutating func object(_ depth: Int) -> BackupText? {
            at += 1
            var members: [(key: String, value: BackupText)] = []
            if take("}") { return .object([]) }
            repeat {
                skip()
                guard at < bytes.count, bytes[at] == UInt8(ascii: "\""), let key = string(), take(":"),
                    let item = value(depth + 1)
                else { return nil }
                members.append((key, item))
            } while take(",")
            return take("}") ? .object(members) : nil
        }

        private mutating func array(_ depth: Int) -> BackupText? {
            at += 1
            var items: [BackupText] = []
            if take("]") { return .array([]) }
            repeat {
                guard let item = value(depth + 1) else { return nil }
                items.append(item)
            } while take(",")
            return take("]") ? .array(items) : nil
        }

        private mutating func number() -> BackupText? {
            let start = at
            while at < bytes.count, bytes[at] == UInt8(ascii: "-") || (0x30...0x39).contains(bytes[at]) { at += 1 }
            return Int64(String(decoding: bytes[start..<at], as: UTF8.self)).map { .number($0) }
        }

        private mutating func string() -> String? {
            at += 1
            // Escapes are units of UTF-16, two of which may make one character.
            var units: [UInt16] = []
            var plain: [UInt8] = []
            func flush() -> Bool {
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
                    guard flush() else { return nil }
                    return String(validating: units, as: UTF16.self)
                case UInt8(ascii: "\\"):
                    guard at < bytes.count else { return nil }
                    let escape = bytes[at]
                    at += 1
                    switch escape {
                    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): plain.append(escape)
                    case UInt8(ascii: "b"): plain.append(0x08)
                    case UInt8(ascii: "f"): plain.append(0x0C)
                    case UInt8(ascii: "n"): plain.append(0x0A)
                    case UInt8(ascii: "r"): plain.append(0x0D)
                    case UInt8(ascii: "t"): plain.append(0x09)
                    case UInt8(ascii: "u"):
                        guard at + 4 <= bytes.count, flush(),
                            bytes[at..<at + 4].allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                            let unit = UInt16(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16)
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
