import Chunks
import Foundation
import Primitives

/// What a million small objects cost in resident memory, beyond the idle store.
struct MemoryBenchmark {
    let folder: String
    let isSmoke: Bool

    private var objects: Int { isSmoke ? 2_000 : 1_000_000 }
    private static let writers = 64

    func run(_ report: inout Report) throws {
        let bench = try BenchStore(folder: folder) { _ in }
        let sink = LoopSink()
        let loop = ClosedLoop(bench, sink: sink, firstNumber: 0) { number in
            ClosedLoop.Body(Array("small body \(number)".utf8))
        }
        _ = try loop.run(writers: Self.writers, operations: 1_000, nanoseconds: .max)
        let idle = try Self.residentBytes("VmRSS")
        let start = MonotonicClock.now()
        var highest = idle
        for _ in 0..<20 {
            _ = try loop.run(writers: Self.writers, operations: objects / 20, nanoseconds: .max)
            highest = max(highest, try Self.residentBytes("VmRSS"))
        }
        let seconds = Double(MonotonicClock.now() - start) / 1e9
        let after = try Self.residentBytes("VmRSS")
        report.add(
            "\(objects) small objects: resident MB beyond idle", Double(max(after, highest) - idle) / 1e6, .atMost(200),
            String(
                format: "idle %.0f MB, at the end %.0f, highest seen %.0f; %.0f objects/s", Double(idle) / 1e6,
                Double(after) / 1e6, Double(highest) / 1e6, Double(objects) / seconds))
        try bench.close()
        sink.stop()
    }

    static func residentBytes(_ field: String) throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(field + ":") }),
            let kilobytes = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) })
        else { throw BenchmarkError("/proc/self/status has no \(field)") }
        return kilobytes << 10
    }
}
