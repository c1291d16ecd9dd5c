/// Appends little-endian integers and length-prefixed byte strings to an array.
package struct ByteWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    private static let zeros = [UInt8](repeating: 0, count: 4096)

    package init(reserving capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    package var count: Int { bytes.count }

    package mutating func put(_ value: UInt8) { bytes.append(value) }

    @inline(__always)
    package mutating func put<T: FixedWidthInteger>(_ value: T) {
        unsafe withUnsafeBytes(of: value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
    }

    package mutating func put(raw: [UInt8]) { bytes.append(contentsOf: raw) }

    /// A 32-bit length, then the bytes.
    package mutating func put(_ string: [UInt8]) {
        put(UInt32(string.count))
        bytes.append(contentsOf: string)
    }

    package mutating func put(_ string: Bytes) { put(string.storage) }
    package mutating func put(_ timestamp: Timestamp) { put(timestamp.ticks) }
    package mutating func put(_ flag: Bool) { put(UInt8(flag ? 1 : 0)) }

    package mutating func pad(to count: Int) {
        while bytes.count < count { bytes.append(contentsOf: Self.zeros.prefix(count - bytes.count)) }
    }
}

/// Reads what `ByteWriter` wrote. Every length is checked against what is left before it is used; the first
/// violation makes `failed` true and every later value zero or empty, so callers check once at the end.
package struct ByteReader {
    private let bytes: [UInt8]
    package private(set) var position: Int
    private let end: Int
    package private(set) var failed = false

    package init(_ bytes: [UInt8]) { self.init(bytes, 0..<bytes.count) }

    package init(_ bytes: [UInt8], _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    package var remaining: Int { end - position }
    /// Everything was read, and nothing was out of bounds.
    package var isComplete: Bool { !failed && position == end }

    @inline(__always)
    package mutating func get<T: FixedWidthInteger>(_: T.Type = T.self) -> T {
        let size = MemoryLayout<T>.size
        guard !failed, size <= remaining else {
            failed = true
            return 0
        }
        let value = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: position, as: T.self) }
        position += size
        return T(littleEndian: value)
    }

    package mutating func get(raw count: Int) -> [UInt8] {
        guard !failed, count >= 0, count <= remaining else {
            failed = true
            return []
        }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// Marks the input as not understood: a value was in bounds and yet impossible.
    package mutating func fail() { failed = true }

    /// All that is left.
    package mutating func getRest() -> [UInt8] { get(raw: remaining) }

    package mutating func getString() -> [UInt8] { get(raw: Int(get(UInt32.self))) }
    package mutating func getBytes() -> Bytes { Bytes(getString()) }
    package mutating func getTimestamp() -> Timestamp { Timestamp(ticks: get(Int64.self)) }

    package mutating func getFlag() -> Bool {
        switch get(UInt8.self) {
        case 0: return false
        case 1: return true
        default:
            failed = true
            return false
        }
    }
}
