import Primitives

/// What every `BlockDevice` keeps, as claims that can be tried on one: for the tests of each driver.
///
/// A claim gets a device of its own that nobody has written to, of at least `byteCountMin` bytes. It writes, waits and looks,
/// and throws what it found to be otherwise.
package enum BlockDeviceContract {
    /// The smallest device the claims can be tried on.
    package static let byteCountMin: UInt64 = 4 << 20

    package struct Claim: Sendable, CustomStringConvertible {
        package let description: String
        package let check: @Sendable (any BlockDevice) throws(Violation) -> Void
    }

    package struct Violation: Error, Sendable, CustomStringConvertible {
        package let description: String
    }

    package static let claims: [Claim] = transfers + provisioning + order

    private static let transfers: [Claim] = [
        Claim(description: "a new device reads as zeros") { (device) throws(Violation) in
            let size = device.geometry.byteCount
            for offset: UInt64 in [0, size / 2 / 4096 * 4096, size - 4096] {
                try expect(try device.bytes(offset, 4096) == zeros(4096), "bytes at \(offset) are not zero")
            }
        },
        Claim(description: "what was written is read, and its neighbours are as they were") {
            (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            let data = pattern(3 * block, 1)
            try device.put(pattern(16 * block, 2), at: 0)
            try device.put(data, at: UInt64(5 * block))
            let all = try device.bytes(0, 16 * block)
            try expect(Array(all[5 * block..<8 * block]) == data, "not what was written")
            try expect(Array(all[..<(5 * block)]) == Array(pattern(16 * block, 2)[..<(5 * block)]), "changed before")
            try expect(Array(all[(8 * block)...]) == Array(pattern(16 * block, 2)[(8 * block)...]), "changed behind")
        },
        Claim(description: "the last block can be written and read") { (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            let last = device.geometry.byteCount - UInt64(block)
            try device.put(pattern(block, 3), at: last)
            try expect(try device.bytes(last, block) == pattern(block, 3), "not what was written")
        },
        Claim(description: "what lies beyond the end is refused, and nothing is changed") {
            (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            let size = device.geometry.byteCount
            let last = size - UInt64(block)
            for (offset, count) in [(size, block), (last, 2 * block), (UInt64.max - UInt64(block) + 1, block)] {
                let range = BlockRange(offset: offset, count: UInt64(count))
                let ends: [(String, Result<Void, BlockError>)] = [
                    ("read", device.readResult(offset, count).map { _ in }),
                    ("write", device.writeResult(pattern(count, 4), at: offset)),
                    ("zeroing", device.zeroResult(range, deallocates: true)),
                    ("unmap", device.unmapResult([range])),
                    ("update", device.updateResult(range) { _ in true }),
                ]
                for (name, result) in ends {
                    guard case .failure(.outOfRange) = result else {
                        throw Violation(description: "\(name) of \(count) at \(offset): \(result)")
                    }
                }
            }
            try expect(try device.bytes(last, block) == zeros(block), "the last block was written to")
        },
        Claim(description: "bytes are not touched after the call") { (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            let waiter = CompletionWaiter()
            var data = pattern(block, 5)
            data.withUnsafeBytes {
                device.write($0, at: 0, durability: .device, sink: InlineSink.shared, completion: waiter.completion)
            }
            for index in data.indices { data[index] = 0xEE }
            try device.check(waiter.wait())
            try expect(try device.bytes(0, block) == pattern(block, 5), "later bytes were written")
        },
        Claim(description: "a cached read that answers has the same bytes") { (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            try device.put(pattern(8 * block, 6), at: 0)
            _ = try device.bytes(0, 8 * block)
            var buffer = zeros(8 * block)
            if try device.cached(0, &buffer) { try expect(buffer == pattern(8 * block, 6), "other bytes") }
        },
        Claim(description: "a write that must be on the medium and a flush complete") { (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            try device.put(pattern(block, 7), at: 0, durability: .medium)
            try device.sync()
            try expect(try device.bytes(0, block) == pattern(block, 7), "not what was written")
        },
    ]

    private static let provisioning: [Claim] = [
        Claim(description: "zeroing reads as zeros, with and without giving space back") { (device) throws(Violation) in
            let block = UInt64(device.geometry.logicalBlockBytes)
            for deallocates in [false, true] {
                try device.put(pattern(Int(32 * block), 8), at: 0)
                try device.clear(BlockRange(offset: block, count: 20 * block), deallocates: deallocates)
                let all = try device.bytes(0, Int(32 * block))
                var expected = pattern(Int(32 * block), 8)
                for index in Int(block)..<Int(21 * block) { expected[index] = 0 }
                try expect(all == expected, "deallocates: \(deallocates)")
            }
        },
        Claim(description: "unmapped blocks read as zeros down to the last, and their neighbours stay") {
            (device) throws(Violation) in
            let block = UInt64(device.geometry.logicalBlockBytes)
            var expected = pattern(Int(64 * block), 9)
            try device.put(expected, at: 0)
            let ranges = [(1, 1), (7, 9), (30, 17)].map { (start: UInt64, count: UInt64) in
                BlockRange(offset: start * block, count: count * block)
            }
            try device.discard(ranges)
            for range in ranges { for index in Int(range.offset)..<Int(range.end) { expected[index] = 0 } }
            try expect(try device.bytes(0, Int(64 * block)) == expected, "not zeros, or too many")
        },
        Claim(description: "what was unmapped can be written again") { (device) throws(Violation) in
            let unit = Int(device.geometry.granularityBytes)
            try device.put(pattern(unit, 10), at: 0)
            try device.discard([BlockRange(offset: 0, count: UInt64(unit))])
            try device.put(pattern(unit, 11), at: 0)
            try expect(try device.bytes(0, unit) == pattern(unit, 11), "not what was written")
        },
        Claim(description: "runs start with the range, lie side by side, alternate, and are as few as asked for") {
            (device) throws(Violation) in
            let unit = UInt64(device.geometry.granularityBytes)
            for index in stride(from: UInt64(1), to: 12, by: 2) {
                try device.put(pattern(Int(unit), 12), at: index * unit)
            }
            for max in [1, 2, 5, 100] {
                let range = BlockRange(offset: 0, count: 16 * unit)
                let runs = try device.map(range, max)
                try expect(!runs.isEmpty && runs.count <= max, "\(runs.count) runs")
                try expect(runs[0].range.offset == 0, "starts at \(runs[0].range.offset)")
                for (run, next) in zip(runs, runs.dropFirst()) {
                    try expect(run.range.end == next.range.offset && run.isMapped != next.isMapped, "\(runs)")
                }
                try expect(runs.allSatisfy { $0.range.count > 0 && $0.range.end <= range.end }, "\(runs)")
            }
        },
        Claim(description: "written blocks are mapped; on a thin device, unmapped granules are not") {
            (device) throws(Violation) in
            let unit = UInt64(device.geometry.granularityBytes)
            try device.put(pattern(Int(8 * unit), 13), at: 0)
            let written = BlockRange(offset: 0, count: 8 * unit)
            try expect(try device.map(written, 4).allSatisfy(\.isMapped), "written and not mapped")
            guard device.geometry.isThin else { return }
            try device.discard([BlockRange(offset: 2 * unit, count: 3 * unit)])
            let gap = try device.map(BlockRange(offset: 2 * unit, count: 3 * unit), 4)
            try expect(gap.allSatisfy { !$0.isMapped }, "unmapped and still mapped: \(gap)")
            try expect(
                try device.map(BlockRange(offset: 5 * unit, count: unit), 4)[0].isMapped, "its neighbour is gone")
        },
    ]

    private static let order: [Claim] = [
        Claim(description: "an update sees what is there, and writes what it was changed to") {
            (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            let range = BlockRange(offset: UInt64(block), count: UInt64(block))
            try device.put(pattern(3 * block, 14), at: 0)
            let seen = PosixLocked<[UInt8]>([])
            try device.alter(range) { bytes in
                seen.withLock { $0 = [UInt8](bytes) }
                for index in bytes.indices { bytes[index] = ~bytes[index] }
                return true
            }
            let before = Array(pattern(3 * block, 14)[block..<2 * block])
            try expect(seen.withLock { $0 } == before, "saw something else")
            try expect(try device.bytes(UInt64(block), block) == before.map { ~$0 }, "wrote something else")
        },
        Claim(description: "an update that answers false changes nothing") { (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            try device.put(pattern(block, 15), at: 0)
            try device.alter(BlockRange(offset: 0, count: UInt64(block))) { bytes in
                for index in bytes.indices { bytes[index] = 0 }
                return false
            }
            try expect(try device.bytes(0, block) == pattern(block, 15), "it was written")
        },
        Claim(description: "updates from many threads lose none of each other's work") { (device) throws(Violation) in
            let block = UInt64(device.geometry.logicalBlockBytes)
            let (threads, rounds) = (4, 50)
            let waiters = (0..<threads).map { _ in CompletionWaiter() }
            for waiter in waiters {
                startThread(name: "updates") {
                    var result: Result<Void, BlockError> = .success(())
                    for _ in 0..<rounds {
                        let each = CompletionWaiter()
                        device.update(
                            BlockRange(offset: 0, count: block), durability: .device, sink: InlineSink.shared,
                            change: { bytes in
                                let value = bytes.loadUnaligned(as: UInt32.self)
                                bytes.storeBytes(of: value + 1, as: UInt32.self)
                                return true
                            }, completion: each.completion)
                        if case .failure(let error) = each.wait() { result = .failure(error) }
                    }
                    waiter.completion(result)
                }
            }
            for waiter in waiters { try device.check(waiter.wait()) }
            let bytes = try device.bytes(0, Int(block))
            let sum = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
            try expect(sum == UInt32(threads * rounds), "\(sum) of \(threads * rounds)")
        },
        Claim(description: "of writes that overlap, every block holds one or the other") { (device) throws(Violation) in
            let block = Int(device.geometry.logicalBlockBytes)
            let waiters = (0..<4).map { _ in CompletionWaiter() }
            for (index, waiter) in waiters.enumerated() {
                let data = [UInt8](repeating: UInt8(index + 1), count: 16 * block)
                data.withUnsafeBytes {
                    device.write(
                        $0, at: 0, durability: .device, sink: InlineSink.shared, completion: waiter.completion)
                }
            }
            for waiter in waiters { try device.check(waiter.wait()) }
            let bytes = try device.bytes(0, 16 * block)
            for start in stride(from: 0, to: bytes.count, by: block) {
                let part = Set(bytes[start..<start + block])
                try expect(part.count == 1 && part.isSubset(of: [1, 2, 3, 4]), "a mixture at \(start)")
            }
        },
    ]

    private static func expect(_ holds: Bool, _ what: @autoclosure () -> String) throws(Violation) {
        if !holds { throw Violation(description: what()) }
    }

    private static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

    /// Bytes that repeat with no power of two, and differ by `salt`.
    private static func pattern(_ count: Int, _ salt: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: ($0 % 251) &* 7 &+ salt &* 37 &+ 1) }
    }
}

/// Waits on the calling thread for one completion; traps on a second.
package final class CompletionWaiter: Sendable {
    private let mutex = PosixMutex()
    private let result = PosixGuarded<Result<Void, BlockError>?>(nil)

    package init() {}

    package var completion: BlockCompletion {
        { [self] result in
            mutex.withLock {
                precondition(self.result.value == nil, "a completion ran twice")
                self.result.value = result
                mutex.broadcast()
            }
        }
    }

    package func wait() -> Result<Void, BlockError> {
        mutex.withLock {
            while true {
                if let result = result.value { return result }
                mutex.wait()
            }
        }
    }
}

// Calls that wait, and what they end with.
extension BlockDevice {
    fileprivate func readResult(_ offset: UInt64, _ count: Int) -> Result<[UInt8], BlockError> {
        var buffer = [UInt8](repeating: 0xEE, count: count)
        var failure: BlockError?
        buffer.withUnsafeMutableBytes { memory in
            do throws(BlockError) { try read(at: offset, into: memory) } catch { failure = error }
        }
        return failure.map { .failure($0) } ?? .success(buffer)
    }

    fileprivate func writeResult(_ data: [UInt8], at offset: UInt64, durability: Durability = .device)
        -> Result<Void, BlockError>
    {
        let waiter = CompletionWaiter()
        data.withUnsafeBytes {
            write($0, at: offset, durability: durability, sink: InlineSink.shared, completion: waiter.completion)
        }
        return waiter.wait()
    }

    fileprivate func zeroResult(_ range: BlockRange, deallocates: Bool) -> Result<Void, BlockError> {
        let waiter = CompletionWaiter()
        writeZeroes(
            range, deallocates: deallocates, durability: .device, sink: InlineSink.shared,
            completion: waiter.completion)
        return waiter.wait()
    }

    fileprivate func unmapResult(_ ranges: [BlockRange]) -> Result<Void, BlockError> {
        let waiter = CompletionWaiter()
        unmap(ranges, sink: InlineSink.shared, completion: waiter.completion)
        return waiter.wait()
    }

    fileprivate func updateResult(
        _ range: BlockRange, _ change: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Bool
    ) -> Result<Void, BlockError> {
        let waiter = CompletionWaiter()
        update(
            range, durability: .device, sink: InlineSink.shared, change: change, completion: waiter.completion)
        return waiter.wait()
    }
}

// The same, with whatever fails told as a violation.
extension BlockDevice {
    fileprivate typealias Violation = BlockDeviceContract.Violation

    @discardableResult
    fileprivate func check<T>(_ result: Result<T, BlockError>) throws(Violation) -> T {
        switch result {
        case .success(let value): return value
        case .failure(let error): throw Violation(description: "failed: \(error)")
        }
    }

    fileprivate func bytes(_ offset: UInt64, _ count: Int) throws(Violation) -> [UInt8] {
        try check(readResult(offset, count))
    }

    fileprivate func cached(_ offset: UInt64, _ buffer: inout [UInt8]) throws(Violation) -> Bool {
        var result: Result<Bool, BlockError> = .success(false)
        buffer.withUnsafeMutableBytes { memory in
            do throws(BlockError) {
                result = .success(try readCached(at: offset, into: memory))
            } catch { result = .failure(error) }
        }
        return try check(result)
    }

    fileprivate func put(_ data: [UInt8], at offset: UInt64, durability: Durability = .device) throws(Violation) {
        try check(writeResult(data, at: offset, durability: durability))
    }

    fileprivate func clear(_ range: BlockRange, deallocates: Bool) throws(Violation) {
        try check(zeroResult(range, deallocates: deallocates))
    }

    fileprivate func discard(_ ranges: [BlockRange]) throws(Violation) { try check(unmapResult(ranges)) }

    fileprivate func alter(
        _ range: BlockRange, _ change: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Bool
    ) throws(Violation) {
        try check(updateResult(range, change))
    }

    fileprivate func sync() throws(Violation) {
        let waiter = CompletionWaiter()
        flush(sink: InlineSink.shared, completion: waiter.completion)
        try check(waiter.wait())
    }

    fileprivate func map(_ range: BlockRange, _ max: Int) throws(Violation) -> [BlockRun] {
        do throws(BlockError) { return try allocation(of: range, max: max) } catch {
            throw Violation(description: "failed: \(error)")
        }
    }
}
