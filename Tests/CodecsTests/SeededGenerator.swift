/// SplitMix64: the same numbers for the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }

    /// Words out of a small vocabulary: compresses about as text does.
    mutating func text(_ count: Int) -> [UInt8] {
        let words = (0..<64).map { _ in bytes(Int.random(in: 2...9, using: &self)) }
        var out = [UInt8]()
        while out.count < count { out += words.randomElement(using: &self)! }
        return Array(out.prefix(count))
    }

    /// The bytes with a few flipped, cut or inserted.
    mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var out = bytes
        for _ in 0..<Int.random(in: 1...4, using: &self) where !out.isEmpty {
            let index = Int.random(in: 0..<out.count, using: &self)
            switch Int.random(in: 0..<4, using: &self) {
            case 0: out[index] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 1: out[index] = UInt8.random(in: 0...255, using: &self)
            case 2: out.remove(at: index)
            default: out.insert(UInt8.random(in: 0...255, using: &self), at: index)
            }
        }
        return out
    }
}
