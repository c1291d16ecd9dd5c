/// Reads JSON where it stands, value by value: whatever the text holds, the only memory it costs is that of the
/// strings asked for.
struct JSONReader {
    private let bytes: [UInt8]
    private let start: Int
    private let limit: Int
    private var position: Int

    init(_ bytes: [UInt8], _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        start = range.lowerBound
        limit = range.upperBound
        position = start
    }

    private var malformed: RingError { .malformedMetadata(offset: position - start) }

    /// Reads an object; `member` must consume the value that belongs to the key. Of a repeated key the last wins.
    mutating func object(
        _ member: (inout JSONReader, String) throws(RingError) -> Void
    ) throws(RingError) {
        try expect(UInt8(ascii: "{"))
        if take(UInt8(ascii: "}")) { return }
        repeat {
            let key = try string()
            try expect(UInt8(ascii: ":"))
            try member(&self, key)
        } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"))
    }

    /// Reads an array; `element` must consume one value.
    mutating func array(_ element: (inout JSONReader) throws(RingError) -> Void) throws(RingError) {
        try expect(UInt8(ascii: "["))
        if take(UInt8(ascii: "]")) { return }
        repeat { try element(&self) } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "]"))
    }

    /// Consumes `null` if it comes next.
    mutating func null() -> Bool { takeWord("null") }

    mutating func integer() throws(RingError) -> Int {
        let text = try number()
        guard let value = Int(text) else { throw malformed }
        return value
    }

    mutating func double() throws(RingError) -> Double {
        let text = try number()
        guard let value = Double(text), value.isFinite else { throw malformed }
        return value
    }

    mutating func string() throws(RingError) -> String {
        try expect(UInt8(ascii: "\""))
        var units = [UInt8]()
        while position < limit {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: units, as: UTF8.self) else { throw malformed }
                return text
            case UInt8(ascii: "\\"): try escape(into: &units)
            case 0..<0x20: throw malformed
            default: units.append(byte)
            }
        }
        throw malformed
    }

    /// Steps over a value of any kind.
    mutating func skip() throws(RingError) { try skip(depth: 0) }

    /// Only blanks may be left.
    mutating func end() throws(RingError) {
        blanks()
        guard position == limit else { throw malformed }
    }

    private mutating func skip(depth: Int) throws(RingError) {
        guard depth < RingLimits.metadataDepthMax else { throw malformed }
        blanks()
        guard position < limit else { throw malformed }
        switch bytes[position] {
        case UInt8(ascii: "{"): try object { (reader, _) throws(RingError) in try reader.skip(depth: depth + 1) }
        case UInt8(ascii: "["): try array { (reader) throws(RingError) in try reader.skip(depth: depth + 1) }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): guard takeWord("true") else { throw malformed }
        case UInt8(ascii: "f"): guard takeWord("false") else { throw malformed }
        case UInt8(ascii: "n"): guard takeWord("null") else { throw malformed }
        default: _ = try number()
        }
    }

    /// The text of a number as JSON's grammar has it.
    private mutating func number() throws(RingError) -> String {
        blanks()
        let first = position
        if position < limit, bytes[position] == UInt8(ascii: "-") { position += 1 }
        let leading = position
        guard digits() > 0 else { throw malformed }
        if position - leading > 1, bytes[leading] == UInt8(ascii: "0") { throw malformed }
        if position < limit, bytes[position] == UInt8(ascii: ".") {
            position += 1
            guard digits() > 0 else { throw malformed }
        }
        if position < limit, bytes[position] | 0x20 == UInt8(ascii: "e") {
            position += 1
            if position < limit, bytes[position] == UInt8(ascii: "+") || bytes[position] == UInt8(ascii: "-") {
                position += 1
            }
            guard digits() > 0 else { throw malformed }
        }
        guard position - first <= Self.numberBytesMax else { throw malformed }
        return String(decoding: bytes[first..<position], as: UTF8.self)
    }

    private static let numberBytesMax = 64

    private mutating func digits() -> Int {
        let first = position
        while position < limit, UInt8(ascii: "0")...UInt8(ascii: "9") ~= bytes[position] { position += 1 }
        return position - first
    }

    private mutating func escape(into units: inout [UInt8]) throws(RingError) {
        guard position < limit else { throw malformed }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): units.append(byte)
        case UInt8(ascii: "b"): units.append(0x08)
        case UInt8(ascii: "t"): units.append(0x09)
        case UInt8(ascii: "n"): units.append(0x0a)
        case UInt8(ascii: "f"): units.append(0x0c)
        case UInt8(ascii: "r"): units.append(0x0d)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if 0xd800..<0xdc00 ~= code {
                guard position + 1 < limit, bytes[position] == UInt8(ascii: "\\"),
                    bytes[position + 1] == UInt8(ascii: "u")
                else { throw malformed }
                position += 2
                let low = try hexadecimal()
                guard 0xdc00..<0xe000 ~= low else { throw malformed }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            // A lone second half is no scalar.
            guard let scalar = Unicode.Scalar(code) else { throw malformed }
            units += Array(String(Character(scalar)).utf8)
        default: throw malformed
        }
    }

    private mutating func hexadecimal() throws(RingError) -> UInt32 {
        guard limit - position >= 4 else { throw malformed }
        var value: UInt32 = 0
        for byte in bytes[position..<position + 4] {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
            default: throw malformed
            }
        }
        position += 4
        return value
    }

    private mutating func blanks() {
        while position < limit, bytes[position] == 0x20 || 0x09...0x0a ~= bytes[position] || bytes[position] == 0x0d {
            position += 1
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        blanks()
        guard position < limit, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ byte: UInt8) throws(RingError) {
        guard take(byte) else { throw malformed }
    }

    private mutating func takeWord(_ word: StaticString) -> Bool {
        blanks()
        let count = word.utf8CodeUnitCount
        guard limit - position >= count else { return false }
        for index in 0..<count where unsafe bytes[position + index] != word.utf8Start[index] { return false }
        position += count
        return true
    }
}
