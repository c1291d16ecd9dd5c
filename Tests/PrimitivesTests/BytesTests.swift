import Primitives
import Testing

private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

@Suite struct BytesTests {
    @Test func theOrderIsThatOfUnsignedBytesAndAPrefixComesFirst() {
        let ordered: [Bytes] = [
            "", Bytes([0]), Bytes([0, 0]), Bytes([0, 1]), "A", "a", "a/", "aa", "b", Bytes([0x7f]), Bytes([0x80]),
            Bytes([0xff]), Bytes([0xff, 0]),
        ]
        for (i, a) in ordered.enumerated() {
            for (j, b) in ordered.enumerated() {
                #expect((a < b) == (i < j))
                #expect((a == b) == (i == j))
                #expect(Bytes.compare(a.storage, b.storage).signum() == (i - j).signum())
            }
        }
    }

    @Test("order, equality and hashing agree with those of arrays", arguments: [1, 2, 3] as [UInt64])
    func agreement(_ seed: UInt64) {
        print("seed \(seed)")
        var random = Generator(state: seed)
        // Few values and lengths, so that prefixes and equals are common.
        let alphabet: [UInt8] = [0, 1, 0x7f, 0x80, 0xff]
        let values: [[UInt8]] = (0..<200).map { _ in
            let count = Int.random(in: 0...6, using: &random)
            return (0..<count).map { _ in alphabet[Int.random(in: alphabet.indices, using: &random)] }
        }
        for a in values {
            for b in values {
                #expect((Bytes(a) < Bytes(b)) == a.lexicographicallyPrecedes(b))
                #expect((Bytes(a) == Bytes(b)) == (a == b))
                #expect(Bytes(b).hasPrefix(Bytes(a)) == b.starts(with: a))
            }
        }
        #expect(Set(values.map { Bytes($0) }).count == Set(values).count)
        #expect(Set(values.map { Bytes($0) }) == Set(values.reversed().map { Bytes($0[...]) }))
    }

    @Test func namesThatOnlyLookTheSameAreTwo() {
        let one: Bytes = "\u{e9}"
        let two: Bytes = "e\u{301}"
        #expect(one != two)
        #expect(Set([one, two]).count == 2)
        #expect(one.string == two.string, "or the test shows nothing")
    }
}

@Suite struct ByteReaderTests {
    private static let stamp = Timestamp(ticks: 0x0102_0304_0506_0708)

    private static let record: [UInt8] = {
        var writer = ByteWriter()
        writer.put(UInt8(7))
        writer.put(UInt16(0x0102))
        writer.put(UInt64.max)
        writer.put("name" as Bytes)
        writer.put([UInt8](repeating: 9, count: 5))
        writer.put(stamp)
        writer.put(true)
        return writer.bytes
    }()

    private struct Values: Equatable {
        var small: UInt8
        var medium: UInt16
        var large: UInt64
        var name: Bytes
        var text: [UInt8]
        var stamp: Timestamp
        var flag: Bool

        init(_ reader: inout ByteReader) {
            small = reader.get()
            medium = reader.get()
            large = reader.get()
            name = reader.getBytes()
            text = reader.getString()
            stamp = reader.getTimestamp()
            flag = reader.getFlag()
        }
    }

    @Test func whatWasWrittenIsReadAndIsLittleEndian() {
        var reader = ByteReader(Self.record)
        let values = Values(&reader)
        #expect(reader.isComplete)
        #expect(values.small == 7 && values.medium == 0x0102 && values.large == .max)
        #expect(values.name == "name" && values.text == [9, 9, 9, 9, 9])
        #expect(values.stamp == Self.stamp && values.flag)
        #expect(Array(Self.record[1..<3]) == [2, 1])
    }

    @Test func everyTruncationFailsAndReadsNothingBeyondTheEnd() {
        for count in 0..<Self.record.count {
            // Cut short, and as a range of the whole, which must not be read past either.
            var short = ByteReader(Array(Self.record[..<count]))
            var range = ByteReader(Self.record, 0..<count)
            let values = Values(&short)
            #expect(short.failed && !short.isComplete, "\(count)")
            #expect(Values(&range) == values)
            #expect(range.failed)
            #expect(range.position <= count)
            // The last value was never whole.
            #expect(!values.flag)
            // And nothing comes after a failure, even if it were there.
            #expect(short.get(UInt8.self) == 0 && short.get(raw: 0).isEmpty)
        }
        var long = ByteReader(Self.record + [0])
        _ = Values(&long)
        #expect(!long.failed && !long.isComplete && long.remaining == 1)
    }

    @Test func noLengthIsBelieved() {
        for length in [1, 5, UInt32(Int32.max), UInt32.max] {
            var writer = ByteWriter()
            writer.put(length)
            var reader = ByteReader(writer.bytes)
            #expect(reader.getString().isEmpty)
            #expect(reader.failed)
        }
        var reader = ByteReader([1, 2, 3])
        #expect(reader.get(raw: -1).isEmpty)
        #expect(reader.failed)
        var huge = ByteReader([1, 2, 3])
        #expect(huge.get(raw: .max).isEmpty)
        #expect(huge.failed)
    }

    @Test func aFlagIsZeroOrOne() {
        for value in UInt8.min...UInt8.max {
            var reader = ByteReader([value])
            #expect(reader.getFlag() == (value == 1))
            #expect(reader.failed == (value > 1))
        }
    }

    @Test func paddingIsZeros() {
        var writer = ByteWriter()
        writer.put(UInt8(1))
        writer.pad(to: 10_000)
        #expect(writer.count == 10_000)
        #expect(writer.bytes.dropFirst().allSatisfy { $0 == 0 })
        writer.pad(to: 5)
        #expect(writer.count == 10_000)
    }
}
