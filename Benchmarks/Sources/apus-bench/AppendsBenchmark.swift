import Chunks
import Codecs
import Foundation
import Glibc
import Primitives

/// Durable 4 KiB objects from 32 writers through the engine, against a bare loop of pwritev and fdatasync that writes
/// as many 4 KiB blocks at a time as the engine put into a group.
///
/// Rounds of both follow each other on the same disk; the bare loop writes in place over a file of written zeros, as
/// the engine's segments are.
struct AppendsBenchmark {
    let folder: String
    let isSmoke: Bool

    private var rounds: Int { isSmoke ? 1 : 31 }
    private var roundNanoseconds: UInt64 { isSmoke ? 50_000_000 : 400_000_000 }
    private static let writers = 32
    private static let blockBytes = 4096
    private static let bareFileBytes = 64 << 20

    func run(_ report: inout Report) throws {
        var generator = SeededGenerator(seed: 3)
        // Incompressible, so that the same number of bytes reaches the disk; the engine hashes and tries lz4 all the
        // same.
        let bodies = (0..<64).map { _ in ClosedLoop.Body(generator.bytes(Self.blockBytes)) }
        let storeFolder = folder + "/store"
        try FileManager.default.createDirectory(atPath: storeFolder, withIntermediateDirectories: true)
        let bench = try BenchStore(folder: storeFolder) { _ in }
        let sink = LoopSink()
        let loop = ClosedLoop(bench, sink: sink, firstNumber: 0) { bodies[$0 % bodies.count] }
        let bare = try BareLoop(path: folder + "/bare", bytes: Self.bareFileBytes, block: bodies[0].bytes)

        // To warm up: files, caches, spare segments.
        _ = try loop.run(writers: Self.writers, operations: .max, nanoseconds: roundNanoseconds)
        var ratios: [Double] = []
        var batches: [Double] = []
        var last = (engine: 0.0, bare: 0.0)
        var microseconds: [Double] = []
        for _ in 0..<rounds {
            let before = bench.store.status()
            let busy = clock()
            let engine = try loop.run(writers: Self.writers, operations: .max, nanoseconds: roundNanoseconds)
            microseconds.append(Double(clock() - busy) / Double(max(engine.operations, 1)))
            let after = bench.store.status()
            let groups = after.groupsCommitted - before.groupsCommitted
            let batch = Double(after.operationsCommitted - before.operationsCommitted) / Double(max(groups, 1))
            let bareRate = try bare.run(batch: max(Int(batch.rounded()), 1), nanoseconds: roundNanoseconds)
            let engineRate = Double(engine.operations) / (Double(engine.nanoseconds) / 1e9)
            ratios.append(engineRate / bareRate)
            batches.append(batch)
            last = (engineRate, bareRate)
        }
        report.add(
            "durable 4 KiB appends, 32 writers: per flush", median(batches), .atLeast(8), "operations in a group")
        report.add(
            "durable 4 KiB appends, 32 writers, / bare loop", median(ratios), .atLeast(0.6),
            String(
                format: "last round %.0f / %.0f per second; %.1f us of CPU an operation", last.engine, last.bare,
                median(microseconds)))
        try bench.close()
        sink.stop()
        bare.close()
    }
}

/// pwritev of a batch, fdatasync, and on.
final class BareLoop {
    private let descriptor: Int32
    private let bytes: Int
    private let block: UnsafeMutableRawBufferPointer
    private var offset = 0

    init(path: String, bytes: Int, block: [UInt8]) throws {
        self.bytes = bytes
        self.block = UnsafeMutableRawBufferPointer.allocate(byteCount: block.count, alignment: 4096)
        self.block.copyBytes(from: block)
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw BenchmarkError("open \(path): errno \(errno)") }
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        for start in stride(from: 0, to: bytes, by: zeros.count) {
            guard pwrite(descriptor, zeros, zeros.count, start) == zeros.count else {
                throw BenchmarkError("pwrite \(path): errno \(errno)")
            }
        }
        guard fsync(descriptor) == 0 else { throw BenchmarkError("fsync \(path): errno \(errno)") }
    }

    /// Blocks per second.
    func run(batch: Int, nanoseconds: UInt64) throws -> Double {
        let parts = [iovec](repeating: iovec(iov_base: block.baseAddress, iov_len: block.count), count: batch)
        let start = MonotonicClock.now()
        var blocks = 0
        while MonotonicClock.now() - start < nanoseconds {
            if offset + batch * block.count > bytes { offset = 0 }
            guard pwritev(descriptor, parts, Int32(batch), offset) == batch * block.count,
                fdatasync(descriptor) == 0
            else { throw BenchmarkError("bare loop: errno \(errno)") }
            offset += batch * block.count
            blocks += batch
        }
        return Double(blocks) / (Double(MonotonicClock.now() - start) / 1e9)
    }

    func close() {
        Glibc.close(descriptor)
        block.deallocate()
    }
}
