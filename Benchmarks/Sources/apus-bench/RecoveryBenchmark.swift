import Chunks
import Codecs
import Disks
import Foundation
import Glibc
import Primitives

/// How long a store takes to open whose index is 256 MiB of log behind, as after a kill.
struct RecoveryBenchmark {
    let folder: String
    let isSmoke: Bool

    private var tailBytes: Int { isSmoke ? 1 << 20 : 256 << 20 }
    private var rounds: Int { isSmoke ? 1 : 3 }
    private static let batch = 256

    func run(_ report: inout Report) throws {
        for (name, bytes) in [("4 KiB", 4096), ("64 KiB", 65536)] {
            var seconds: [Double] = []
            var detail = ""
            for round in 0..<rounds {
                let place = "\(folder)/\(bytes)-\(round)"
                try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
                try fill(place, objectBytes: bytes)
                try dropFromCache(place)
                let start = MonotonicClock.now()
                let store = try BenchStore.open(place) { _ in }
                seconds.append(Double(MonotonicClock.now() - start) / 1e9)
                let recovery = store.recovery
                guard recovery.bytesReplayed >= tailBytes, store.readOnlyReason == nil else {
                    throw BenchmarkError("the tail was not replayed: \(recovery)")
                }
                detail =
                    "\(recovery.operationsReplayed) operations in \(recovery.groupsReplayed) groups,"
                    + " \(recovery.bytesReplayed >> 20) MiB, its own report \(recovery.milliseconds) ms"
                try store.close()
                try FileManager.default.removeItem(atPath: place)
            }
            report.add(
                "recovery of a \(tailBytes >> 20) MiB tail of \(name) objects: seconds", median(seconds), .atMost(2),
                detail)
        }
    }

    /// Writes the tail without a thread that could checkpoint it away, and abandons the store.
    private func fill(_ place: String, objectBytes: Int) throws {
        let bench = try BenchStore(folder: place) { configuration in
            configuration.isThreaded = false
            configuration.overlayOperationsMax = .max
            configuration.overlayLogBytesMax = .max
            configuration.zeroFillsSpares = false
        }
        var generator = SeededGenerator(seed: 4)
        let body = generator.bytes(objectBytes)
        let etag = body.withUnsafeBytes { MD5.hash($0) }
        let failures = PosixGuarded<ChunkError?>(nil)
        var number = 0
        while number * objectBytes < tailBytes {
            for _ in 0..<Self.batch {
                bench.put(Bytes("object/\(number)"), body, etag: etag, sink: InlineSink.shared) { result in
                    if case .failure(let error) = result { failures.value = error }
                }
                number += 1
            }
            bench.store.runPending()
            if let failure = failures.value { throw failure }
        }
    }

    private func dropFromCache(_ place: String) throws {
        guard let walk = FileManager.default.enumerator(atPath: place) else { return }
        for case let path as String in walk {
            let descriptor = open(place + "/" + path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            fdatasync(descriptor)
            posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
            close(descriptor)
        }
    }
}
