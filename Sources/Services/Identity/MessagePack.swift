/// The part of MessagePack that token payloads use: integers, floats, booleans, nil, text, byte strings and arrays.
enum MessagePack: Equatable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case text(String)
    case bytes([UInt8])
    case array([MessagePack])

    private static let depthMax = 4

    func encode(into out: inout [UInt8]) {
        switch self {
        case .null: out.append(0xC0)
        case .bool(let value): out.append(value ? 0xC3 : 0xC2)
        case .int(let value):
            if (0...0x7F).contains(value) {
                out.append(UInt8(value))
            } else {
                out.append(0xD3)
                Self.append(UInt64(bitPattern: value), width: 8, to: &out)
            }
        case .double(let value):
            out.append(0xCB)
            Self.append(value.bitPattern, width: 8, to: &out)
        case .text(let value):
            let utf8 = Array(value.utf8)
            if utf8.count < 32 {
                out.append(0xA0 | UInt8(utf8.count))
            } else if utf8.count < 256 {
                out.append(0xD9)
                out.append(UInt8(utf8.count))
            } else {
                precondition(utf8.count < 65_536, "a token's payload holds ids only")
                out.append(0xDA)
                Self.append(UInt64(utf8.count), width: 2, to: &out)
            }
            out += utf8
        case .bytes(let value):
            precondition(value.count < 256, "a token's payload holds ids only")
            out.append(0xC4)
            out.append(UInt8(value.count))
            out += value
        case .array(let items):
            precondition(items.count < 16, "a token's payload has few fields")
            out.append(0x90 | UInt8(items.count))
            for item in items { item.encode(into: &out) }
        }
    }

    /// nil unless the bytes are exactly one value of the kinds above.
    static func decode(_ bytes: [UInt8]) -> MessagePack? {
        var position = 0
        guard let value = decode(bytes, &position, depth: 0), position == bytes.count else { return nil }
        return value
    }

    private static func decode(_ bytes: [UInt8], _ position: inout Int, depth: Int) -> MessagePack? {
        guard depth < depthMax, let head = number(bytes, &position, width: 1) else { return nil }
        switch head {
        case 0x00...0x7F: return .int(Int64(head))
        case 0xE0...0xFF: return .int(Int64(head) - 256)
        case 0x90...0x9F: return array(bytes, &position, count: Int(head & 15), depth: depth)
        case 0xA0...0xBF: return text(bytes, &position, count: Int(head & 31))
        case 0xC0: return .null
        case 0xC2: return .bool(false)
        case 0xC3: return .bool(true)
        case 0xC4, 0xC5:
            guard let count = number(bytes, &position, width: head == 0xC4 ? 1 : 2) else { return nil }
            return run(bytes, &position, count: Int(count)).map { .bytes($0) }
        case 0xCA: return number(bytes, &position, width: 4).map { .double(Double(Float(bitPattern: UInt32($0)))) }
        case 0xCB: return number(bytes, &position, width: 8).map { .double(Double(bitPattern: $0)) }
        case 0xCC: return number(bytes, &position, width: 1).map { .int(Int64($0)) }
        case 0xCD: return number(bytes, &position, width: 2).map { .int(Int64($0)) }
        case 0xCE: return number(bytes, &position, width: 4).map { .int(Int64($0)) }
        case 0xCF: return number(bytes, &position, width: 8).flatMap { Int64(exactly: $0) }.map { .int($0) }
        case 0xD0: return number(bytes, &position, width: 1).map { .int(Int64(Int8(truncatingIfNeeded: $0))) }
        case 0xD1: return number(bytes, &position, width: 2).map { .int(Int64(Int16(truncatingIfNeeded: $0))) }
        case 0xD2: return number(bytes, &position, width: 4).map { .int(Int64(Int32(truncatingIfNeeded: $0))) }
        case 0xD3: return number(bytes, &position, width: 8).map { .int(Int64(bitPattern: $0)) }
        case 0xD9, 0xDA:
            guard let count = number(bytes, &position, width: head == 0xD9 ? 1 : 2) else { return nil }
            return text(bytes, &position, count: Int(count))
        case 0xDC:
            guard let count = number(bytes, &position, width: 2) else { return nil }
            return array(bytes, &position, count: Int(count), depth: depth)
        default: return nil
        }
    }

    private static func array(_ bytes: [UInt8], _ position: inout Int, count: Int, depth: Int) -> MessagePack? {
        // Each item is at least a byte long, so a count beyond the rest is a lie.
        guard count <= bytes.count - position else { return nil }
        var items: [MessagePack] = []
        for _ in 0..<count {
            guard let item = decode(bytes, &position, depth: depth + 1) else { return nil }
            items.append(item)
        }
        return .array(items)
    }

    private static func text(_ bytes: [UInt8], _ position: inout Int, count: Int) -> MessagePack? {
        guard let raw = run(bytes, &position, count: count) else { return nil }
        // Writers of before 2019 put byte strings into the text type; sixteen bytes of an id are rarely UTF-8.
        guard let text = String(validating: raw, as: UTF8.self) else { return .bytes(raw) }
        return .text(text)
    }

    private static func run(_ bytes: [UInt8], _ position: inout Int, count: Int) -> [UInt8]? {
        guard count <= bytes.count - position else { return nil }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    private static func number(_ bytes: [UInt8], _ position: inout Int, width: Int) -> UInt64? {
        guard width <= bytes.count - position else { return nil }
        var value: UInt64 = 0
        for byte in bytes[position..<position + width] { value = value << 8 | UInt64(byte) }
        position += width
        return value
    }

    private static func append(_ value: UInt64, width: Int, to out: inout [UInt8]) {
        for index in (0..<width).reversed() { out.append(UInt8(truncatingIfNeeded: value >> UInt64(index * 8))) }
    }
}
