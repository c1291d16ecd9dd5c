import CXXHash
import Codecs
import Foundation
import Primitives

/// lz4 and XXH3 as the engine calls them, against `lz4 -b1` and `xxhsum -b` on the same buffers.
///
/// A round runs the tool for about a second, then ours as long, both taking the best of their passes as the tools
/// do; the ratio is the median of the rounds' ratios.
struct CodecsBenchmark {
    let folder: String
    let isSmoke: Bool

    private var rounds: Int { isSmoke ? 1 : 7 }
    private var seconds: Double { isSmoke ? 0.05 : 1 }
    private static let blockSizes = [64 << 10, 128 << 10]

    func run(_ report: inout Report) throws {
        var generator = SeededGenerator(seed: 1)
        let text = generator.text(8 << 20)
        let noise = generator.bytes(8 << 20)
        for blockBytes in Self.blockSizes {
            try compression(of: text, "text", .atLeast(0.7), blockBytes, &report)
            // The tool gives incompressible data all the room; ours gives up early, as the engine wants it.
            try compression(of: noise, "noise", .none, blockBytes, &report)
            try hashing(Array(noise.prefix(blockBytes)), &report)
        }
    }

    private func compression(
        of data: [UInt8], _ name: String, _ budget: Report.Budget, _ blockBytes: Int, _ report: inout Report
    ) throws {
        let path = "\(folder)/\(name)-\(blockBytes)"
        try Data(data).write(to: URL(fileURLWithPath: path))
        var packing: [Double] = []
        var unpacking: [Double] = []
        var ratio = 0.0
        var last = (ours: 0.0, theirs: 0.0)
        for _ in 0..<rounds {
            let theirs = try lz4Tool(path, blockBytes)
            let ours = lz4(data, blockBytes)
            packing.append(ours.compress / theirs.compress)
            if let decompress = ours.decompress { unpacking.append(decompress / theirs.decompress) }
            ratio = ours.ratio
            last = (ours.compress, theirs.compress)
        }
        let detail = String(
            format: "last round %.0f / %.0f MB/s, data %.2f : 1", last.ours / 1e6, last.theirs / 1e6, ratio)
        let size = "\(blockBytes >> 10) KiB \(name)"
        report.add("lz4 compress, \(size), / lz4 -b1", median(packing), budget, detail)
        if !unpacking.isEmpty {
            report.add("lz4 decompress, \(size), / lz4 -b1", median(unpacking), budget, "into an exact buffer")
        }
    }

    /// Bytes per second that `lz4 -b1` reports.
    private func lz4Tool(_ path: String, _ blockBytes: Int) throws -> (compress: Double, decompress: Double) {
        let text = try output(of: "lz4", ["-b1", "-B\(blockBytes)", "-i\(isSmoke ? 1 : 2)", path])
        // The last line's figures: "..., 950.4 MB/s ,5501.2 MB/s", with MB of 10^6.
        let figures = text.components(separatedBy: "MB/s").dropLast().compactMap { piece -> Double? in
            let digits = piece.reversed().drop { $0 == " " }.prefix { $0.isNumber || $0 == "." }
            return Double(String(digits.reversed()))
        }
        guard figures.count >= 2 else { throw BenchmarkError("lz4 printed no figures: \(text)") }
        return (figures[figures.count - 2] * 1e6, figures[figures.count - 1] * 1e6)
    }

    private func lz4(
        _ data: [UInt8], _ blockBytes: Int
    ) -> (compress: Double, decompress: Double?, ratio: Double) {
        let blocks = data.count / blockBytes
        let room = blockBytes / 8 * 7
        var packed = [UInt8](repeating: 0, count: blocks * room)
        var sizes = [Int?](repeating: nil, count: blocks)
        var unpacked = [UInt8](repeating: 0, count: blockBytes)
        return data.withUnsafeBytes { data in
            packed.withUnsafeMutableBytes { packed in
                let compress = best(data.count) {
                    for block in 0..<blocks {
                        sizes[block] = LZ4.compress(
                            UnsafeRawBufferPointer(rebasing: data[block * blockBytes..<(block + 1) * blockBytes]),
                            into: UnsafeMutableRawBufferPointer(rebasing: packed[block * room..<(block + 1) * room]))
                    }
                }
                let stored = sizes.reduce(0) { $0 + ($1 ?? blockBytes) }
                let ratio = Double(data.count) / Double(stored)
                guard sizes.allSatisfy({ $0 != nil }) else { return (compress, nil, ratio) }
                let decompress = unpacked.withUnsafeMutableBytes { unpacked in
                    best(data.count) {
                        for block in 0..<blocks {
                            let source = packed[block * room..<block * room + sizes[block]!]
                            let isValid = LZ4.decompress(UnsafeRawBufferPointer(rebasing: source), into: unpacked)
                            precondition(isValid)
                        }
                    }
                }
                return (compress, decompress, ratio)
            }
        }
    }

    private func hashing(_ buffer: [UInt8], _ report: inout Report) throws {
        let path = "\(folder)/hash-\(buffer.count)"
        try Data(buffer).write(to: URL(fileURLWithPath: path))
        var generator = SeededGenerator(seed: 2)
        let secret = HashSecret(generator.bytes(HashSecret.byteCount))
        var ratios: [Double] = []
        var last = (ours: 0.0, theirs: 0.0)
        for _ in 0..<rounds {
            let theirs = try xxhsum(path, buffer.count)
            let ours = buffer.withUnsafeBytes { buffer in
                var sum: UInt64 = 0
                let speed = best(buffer.count * 1000) {
                    for _ in 0..<1000 { sum &+= XXH3.hash(buffer, secret) }
                }
                precondition(sum != 1)
                return speed
            }
            ratios.append(ours / theirs)
            last = (ours, theirs)
        }
        report.add(
            "XXH3 keyed, \(buffer.count >> 10) KiB, / xxhsum -b", median(ratios), .atLeast(0.7),
            String(
                format: "last round %.1f / %.1f GB/s, %@", last.ours / 1e9, last.theirs / 1e9,
                apus_xxh3_uses_avx2() != 0 ? "AVX2" : "baseline"))
    }

    /// Bytes per second of `xxhsum`'s XXH3 over the file, from its iterations per second.
    private func xxhsum(_ path: String, _ count: Int) throws -> Double {
        let text = try output(of: "xxhsum", ["-b5", "-i\(isSmoke ? 1 : 3)", path])
        guard let line = text.components(separatedBy: "5#XXH3_64b").last,
            let arrow = line.range(of: "->"), let unit = line.range(of: "it/s"),
            let iterations = Double(line[arrow.upperBound..<unit.lowerBound].trimmingCharacters(in: .whitespaces))
        else { throw BenchmarkError("xxhsum printed no figure: \(text)") }
        return iterations * Double(count)
    }

    /// Bytes per second of the quickest pass.
    private func best(_ bytes: Int, _ pass: () -> Void) -> Double {
        let end = MonotonicClock.now() + UInt64(seconds * 1e9)
        var shortest = UInt64.max
        pass()
        repeat {
            let start = MonotonicClock.now()
            pass()
            shortest = min(shortest, MonotonicClock.now() - start)
        } while MonotonicClock.now() < end
        return Double(bytes) / (Double(shortest) / 1e9)
    }
}
