package import NIOCore

/// A request's transaction id: `tx`, 21 random hex digits, `-`, ten of the time, and what the client added.
package struct RequestID: Sendable, Hashable, CustomStringConvertible {
    private let high: UInt64
    private let low: UInt32
    private let seconds: UInt64
    /// `X-Trans-Id-Extra`, cleaned and at most 32 bytes.
    private let extra: String?

    package init(high: UInt64, low: UInt32, seconds: Int64, extra: String?) {
        self.high = high
        self.low = low
        self.seconds = UInt64(truncatingIfNeeded: seconds)
        self.extra = extra.flatMap(Self.clean)
    }

    package init(seconds: Int64, extra: String?, using generator: inout some RandomNumberGenerator) {
        self.init(
            high: generator.next(), low: UInt32(truncatingIfNeeded: generator.next()), seconds: seconds, extra: extra)
    }

    package var description: String {
        let base = String(unsafeUninitializedCapacity: 34) { out in
            write(into: UnsafeMutableRawBufferPointer(out))
            return 34
        }
        guard let extra else { return base }
        return base + "-" + extra
    }

    package func write(into buffer: inout ByteBuffer) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 34) { out in
            write(into: out)
            return 34
        }
        if let extra {
            buffer.writeStaticString("-")
            buffer.writeString(extra)
        }
    }

    /// Writes at most `byteCountMax` bytes at `offset`; returns how many.
    func write(into space: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        write(into: UnsafeMutableRawBufferPointer(rebasing: space[offset..<offset + 34]))
        guard var extra else { return 34 }
        return extra.withUTF8 { extra in
            space[offset + 34] = UInt8(ascii: "-")
            UnsafeMutableRawBufferPointer(rebasing: space[(offset + 35)..<(offset + 35 + extra.count)]).copyMemory(
                from: UnsafeRawBufferPointer(extra))
            return 35 + extra.count
        }
    }

    /// 34 of ours, a dash, and 32 of the client's.
    static let byteCountMax = 67

    private func write(into out: UnsafeMutableRawBufferPointer) {
        let digits: StaticString = "0123456789abcdef"
        out[0] = 0x74
        out[1] = 0x78
        for i in 0..<16 { out[2 + i] = digits.utf8Start[Int(truncatingIfNeeded: high >> UInt64(60 - 4 * i) & 15)] }
        for i in 0..<5 { out[18 + i] = digits.utf8Start[Int(truncatingIfNeeded: low >> UInt32(16 - 4 * i) & 15)] }
        out[23] = 0x2d
        for i in 0..<10 { out[24 + i] = digits.utf8Start[Int(truncatingIfNeeded: seconds >> UInt64(36 - 4 * i) & 15)] }
    }

    /// The first 32 characters, anything but letters, digits and `-_.~` replaced, since it goes into a header and a log.
    private static func clean(_ text: String) -> String? {
        guard !text.isEmpty else { return nil }
        var out: [UInt8] = []
        for c in text.utf8.prefix(32) {
            switch c {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: out.append(c)
            default: out.append(0x5f)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// SplitMix64: unique ids without a system call each; nothing secret is made with it.
package struct IDGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64
    package init(seed: UInt64) { state = seed }
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
