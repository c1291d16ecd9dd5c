import Foundation
import Testing

@testable import ImageFormats

@Suite("The formats of images") struct InspectorTests {
    private static func inspect(_ bytes: [UInt8], pieces: Int = .max) -> Inspection {
        var inspector = ImageInspector()
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + min(pieces, bytes.count))
            bytes[start..<end].withUnsafeBytes { inspector.feed($0) }
            start = end
        }
        return inspector.finish()
    }

    @Test("each format is known by its bytes, and says how large its disk is")
    func known() {
        let images: [(ImageFormat, [UInt8], UInt64?)] = [
            (.qcow2, Made.qcow2Header(size: 3 << 20), 3 << 20), (.qcow2, Made.qcow2Header(version: 2), 1 << 20),
            (.qcow2, Made.qcow2Header(features: 0b1011), 1 << 20), (.vmdk, Made.vmdk(), 1 << 20),
            (.vhdx, Made.vhdx(), 8 << 30), (.vhd, Made.vhd(), 5 << 20), (.vdi, Made.vdi(), 7 << 20),
            (.iso, Made.iso(), 40_960), (.iso, Made.iso(with: Made.mbr()), 40_960), (.gpt, Made.mbr(), 8_192),
            (.luks, Made.luks(version: 1), 4_096), (.raw, [UInt8](repeating: 7, count: 1_000), 1_000), (.raw, [], 0),
        ]
        for (format, bytes, size) in images {
            for pieces in [Int.max, 1_000, 65_537] {
                let found = Self.inspect(bytes, pieces: pieces)
                #expect(found.format == format)
                #expect(found.failure == nil, "\(format)")
                #expect(found.virtualBytes == size, "\(format)")
                #expect(found.streamBytes == UInt64(bytes.count))
                #expect(
                    found.verdict(declared: format == .gpt ? "raw" : format.rawValue, requiresMatch: true)
                        == .accepted(virtualBytes: size))
            }
        }
    }

    @Test(
        "what was tried on others is refused, whatever it claims to be and however strictly formats are matched",
        arguments: AttackImage.all)
    func attacks(attack: AttackImage) {
        for pieces in [Int.max, 1, 511, 4_096] where pieces > 1 || attack.bytes.count < 4_096 {
            let found = Self.inspect(attack.bytes, pieces: pieces)
            for requiresMatch in [true, false] {
                for declared in [attack.declared, "raw", "ami"] {
                    guard case .unsafe(let failure) = found.verdict(declared: declared, requiresMatch: requiresMatch)
                    else {
                        Issue.record("taken as \(declared)")
                        continue
                    }
                    #expect(failure.description.hasPrefix(attack.answer))
                }
            }
        }
    }

    @Test("another format than the declared one is refused, unless the match is relaxed; raw may look like anything")
    func mismatch() {
        let noise = Self.inspect([UInt8](repeating: 7, count: 1_000))
        #expect(noise.verdict(declared: "qcow2", requiresMatch: true) == .mismatch(found: .raw))
        #expect(noise.verdict(declared: "qcow2", requiresMatch: false) == .accepted(virtualBytes: nil))
        #expect(noise.verdict(declared: "ami", requiresMatch: true) == .accepted(virtualBytes: nil))
        let qcow2 = Self.inspect(Made.qcow2Header())
        #expect(qcow2.verdict(declared: "raw", requiresMatch: true) == .accepted(virtualBytes: 512))
        #expect(qcow2.verdict(declared: "vmdk", requiresMatch: true) == .mismatch(found: .qcow2))
        #expect(qcow2.verdict(declared: "ami", requiresMatch: true) == .mismatch(found: .qcow2))
    }

    @Test("no bytes trap it, and however they are cut it says the same")
    func fuzz() {
        let times = Int(ProcessInfo.processInfo.environment["APUS_TORTURE"] ?? "").map { $0 * 2_000 } ?? 2_000
        let seed = UInt64.random(in: .min ... .max)
        var random = Xorshift(state: seed | 1)
        let seeds =
            AttackImage.all.map(\.bytes) + [
                Made.vmdk(), Made.vhdx(), Made.vdi(), Made.iso(), Made.mbr(), Made.luks(version: 1),
            ]
        for round in 0..<times {
            var bytes = seeds[Int(random.next() % UInt64(seeds.count))]
            if bytes.count > 300_000, round % 20 != 0 { bytes = Array(bytes.prefix(4_096)) }
            for _ in 0..<(1 + random.next() % 8) where !bytes.isEmpty {
                let place = Int(random.next() % UInt64(min(bytes.count, 2_048)))
                bytes[place] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.next() % 4 == 0 { bytes.removeLast(Int(random.next() % UInt64(bytes.count + 1))) }
            let whole = Self.inspect(bytes)
            let cut = Self.inspect(bytes, pieces: 1 + Int(random.next() % 5_000))
            #expect(whole == cut, "seed \(seed), round \(round)")
        }
    }
}

struct Xorshift: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
