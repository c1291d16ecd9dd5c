import Chunks
import Disks
import Foundation
import Primitives
import Synchronization

/// What snapshots, copies and removals cost by the volume's size, how long a large volume takes to open, and what a snapshot
/// costs the writes that follow it.
struct LayersBenchmark {
    let folder: String
    let isSmoke: Bool

    private static let small: Bytes = "small"
    private static let large: Bytes = "large"
    private static let huge: Bytes = "huge"
    private static let busy: Bytes = "busy"
    private var rounds: Int { isSmoke ? 3 : 41 }

    func run(_ report: inout Report) throws {
        let threads = WorkThreads(name: "work", count: 4, queueMax: 10_000)
        var store = try BenchStore.open(folder) { _ in }
        try store.createVolume(Self.small, byteCount: 1 << 30, attributes: [])
        try store.createVolume(Self.large, byteCount: 1 << 40, attributes: [])
        try store.createVolume(Self.huge, byteCount: 10 << 40, attributes: [])
        try store.createVolume(Self.busy, byteCount: 1 << 30, attributes: [])
        // As dense as disks of such sizes are: the large one has twenty times the map of the small one.
        try scatter(try store.volume(Self.small, threads: threads), isSmoke ? 100 : 5_000)
        try scatter(try store.volume(Self.large, threads: threads), isSmoke ? 200 : 100_000)
        try scatter(try store.volume(Self.huge, threads: threads), isSmoke ? 200 : 100_000)
        // The map goes to the index, and memory begins anew.
        try store.close()
        store = try BenchStore.open(folder) { _ in }

        try opening(store, threads, &report)
        try changes(store, threads, &report)
        try writesAfterSnapshots(store, threads, &report)
        try store.close()
        threads.stop()
    }

    // MARK: Opening

    private func opening(_ store: ChunkStore, _ threads: WorkThreads, _ report: inout Report) throws {
        var block = [UInt8](repeating: 0, count: 4096)
        let start = MonotonicClock.now()
        let volume = try store.volume(Self.huge, threads: threads)
        try block.withUnsafeMutableBytes { try volume.read(at: 5 << 40, into: $0) }
        let milliseconds = Double(MonotonicClock.now() - start) / 1e6
        report.add(
            "opening a 10 TiB volume and reading a block: ms", milliseconds, .atMost(50), "first after the start")
    }

    // MARK: Changes of the tree

    private func changes(_ store: ChunkStore, _ threads: WorkThreads, _ report: inout Report) throws {
        let sides = [Self.small, Self.large]
        // Open, as attached ones are.
        let open = try sides.map { try store.volume($0, threads: threads) }
        defer { withExtendedLifetime(open) {} }
        var times: [String: [[Double]]] = [:]
        for round in 0..<rounds {
            for side in round % 2 == 0 ? [0, 1] : [1, 0] {
                let name = sides[side]
                let (snapshot, copy) = (Bytes("snapshot \(round) of \(side)"), Bytes("copy \(round) of \(side)"))
                func timed(_ what: String, _ body: () throws -> Void) throws {
                    let start = MonotonicClock.now()
                    try body()
                    times[what, default: [[], []]][side].append(Double(MonotonicClock.now() - start) / 1e6)
                }
                try timed("snapshot") { try store.snapshot(name, as: snapshot, attributes: []) }
                let size = try store.layer(of: name).byteCount
                try timed("copy of a snapshot") {
                    try store.clone(snapshot, as: copy, byteCount: size, attributes: [])
                }
                try timed("removal of a copy") { try store.removeHandle(copy) }
                try timed("removal of a snapshot") { try store.removeHandle(snapshot) }
            }
        }
        for (what, sides) in times.sorted(by: { $0.key < $1.key }) {
            let (small, large) = (median(sides[0]), median(sides[1]))
            report.add("\(what) of 1 TiB: ms", large, .atMost(10), "median of \(rounds)")
            report.add(
                "\(what): 1 TiB against 1 GiB", large / small, .atMost(1.2),
                "1 GiB: \((small * 100).rounded() / 100) ms")
        }
    }

    // MARK: Writes after a snapshot

    private func writesAfterSnapshots(_ store: ChunkStore, _ threads: WorkThreads, _ report: inout Report) throws {
        let volume = try store.volume(Self.busy, threads: threads)
        // Every leaf has been seen, as on a disk in use.
        try scatter(volume, isSmoke ? 100 : 20_000)
        var ratios: [Double] = []
        var rates: [Double] = []
        for round in 0..<(isSmoke ? 2 : 15) {
            let before = try rate(volume)
            try store.snapshot(Self.busy, as: Bytes("busy \(round)"), attributes: [])
            let after = try rate(volume)
            ratios.append(after / before)
            rates.append(after)
            try store.removeHandle(Bytes("busy \(round)"))
        }
        report.add(
            "durable 4 KiB writes right after a snapshot, against before", median(ratios), .atLeast(0.95),
            "\(Int(median(rates)))/s at depth 32, median of \(ratios.count)")
    }

    private func rate(_ volume: LayeredVolume) throws -> Double {
        let nanoseconds: UInt64 = isSmoke ? 20_000_000 : 400_000_000
        let start = MonotonicClock.now()
        let count = try write(volume, seed: start) { _ in MonotonicClock.now() - start < nanoseconds }
        return Double(count) / (Double(MonotonicClock.now() - start) / 1e9)
    }

    /// Writes blocks all over the volume.
    private func scatter(_ volume: LayeredVolume, _ count: Int) throws {
        _ = try write(volume, seed: 7) { $0 < count }
    }

    /// 32 writers, each with one block under way, for as long as `goesOn` says so of the number written; that number.
    private func write(_ volume: LayeredVolume, seed: UInt64, _ goesOn: (Int) -> Bool) throws -> Int {
        var generator = SeededGenerator(seed: seed)
        let bytes = generator.bytes(1 << 20)
        let gate = WriteGate(depth: 32)
        var count = 0
        while goesOn(count) {
            try gate.enter()
            let block = generator.next() % (volume.byteCount / 4096)
            let from = Int(generator.next() % 2048) * 256
            bytes.withUnsafeBytes {
                volume.write(
                    UnsafeRawBufferPointer(rebasing: $0[from..<from + 4096]), at: block * 4096, sink: InlineSink.shared
                ) { gate.leave($0) }
            }
            count += 1
        }
        try gate.drain()
        return count
    }
}

/// Lets so many writes be under way at once.
private final class WriteGate: Sendable {
    private let mutex = PosixMutex()
    private let state = PosixGuarded<(free: Int, failure: ChunkError?)>((0, nil))
    private let depth: Int

    init(depth: Int) {
        self.depth = depth
        state.value.free = depth
    }

    func enter() throws {
        try mutex.withLock {
            while state.value.free == 0 { mutex.wait() }
            if let failure = state.value.failure { throw failure }
            state.value.free -= 1
        }
    }

    func leave(_ result: Result<Void, ChunkError>) {
        mutex.withLock {
            if case .failure(let error) = result { state.value.failure = error }
            state.value.free += 1
            mutex.broadcast()
        }
    }

    func drain() throws {
        try mutex.withLock {
            while state.value.free < depth { mutex.wait() }
            if let failure = state.value.failure { throw failure }
        }
    }
}
