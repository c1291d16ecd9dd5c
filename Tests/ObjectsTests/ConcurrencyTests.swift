import Chunks
import Codecs
import Primitives
import Synchronization
import Testing

@testable import Objects

/// Requests at once, on the service's own threads.
@Suite struct ConcurrencyTests {
    typealias Bench = ServiceBench

    /// Runs the bodies on threads of their own and waits for all.
    private func atOnce(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let mutex = PosixMutex()
        let left = PosixGuarded(count)
        let started = PosixGuarded(0)
        for index in 0..<count {
            startThread(name: "client-\(index)") {
                mutex.lock()
                started.value += 1
                mutex.broadcast()
                while started.value < count { mutex.wait() }
                mutex.unlock()
                body(index)
                mutex.withLock {
                    left.value -= 1
                    mutex.broadcast()
                }
            }
        }
        mutex.lock()
        while left.value > 0 { mutex.wait() }
        mutex.unlock()
    }

    @Test(arguments: [100, 200_000]) func oneOfManyIfNoneMatchPutsWins(_ size: Int) throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        for round in 0..<10 {
            let statuses = PosixLocked<[Int: Int]>([:])
            atOnce(6) { index in
                let status = bench.put("c", "o\(round)", patterned(size, seed: UInt64(index)), [("If-None-Match", "*")])
                    .status
                statuses.withLock { $0[index] = status }
            }
            let all = statuses.withLock { $0 }
            #expect(all.values.sorted() == [201, 412, 412, 412, 412, 412])
            let winner = try #require(all.first { $0.value == 201 })
            #expect(try bench.get("c", "o\(round)") == patterned(size, seed: UInt64(winner.key)))
        }
        #expect(try bench.list("c").count == 10)
    }

    @Test func putAgainstContainerDeleteLeavesNoOrphan() throws {
        let bench = try Bench()
        for round in 0..<40 {
            let name = "c\(round)"
            _ = bench.putContainer(name)
            let put = Atomic<Int>(0)
            let deleted = Atomic<Int>(0)
            atOnce(2) { index in
                if index == 0 {
                    put.store(bench.put(name, "o", [1, 2]).status, ordering: .relaxed)
                } else {
                    deleted.store(bench.deleteContainer(name).status, ordering: .relaxed)
                }
            }
            switch (put.load(ordering: .relaxed), deleted.load(ordering: .relaxed)) {
            case (201, 409):
                #expect(try bench.get(name, "o") == [1, 2])
                #expect(try bench.list(name) == ["o"])
            case (404, 204):
                #expect(status { _ = try bench.list(name) } == 404)
                #expect(bench.putContainer(name).status == 201)
                #expect(try bench.list(name) == [])
            case let other: Issue.record("round \(round): PUT \(other.0), DELETE \(other.1)")
            }
        }
    }

    @Test func bodyThatArrivesAfterItsContainerWentIsRefused() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        for size in [10, 300_000] {
            let put = try bench.begin(Bench.path("c", "o"), [], length: size).get()
            _ = patterned(size, seed: 1).withUnsafeBytes { put.append($0) }
            #expect(bench.deleteContainer("c").status == 204)
            #expect(Bench.wait { put.finish(completion: $0) }.status == 404)
            #expect(bench.putContainer("c").status == 201)
            #expect(try bench.list("c") == [])
        }
    }

    @Test func rightsWithdrawnDuringTheBodyCount() throws {
        let bench = try Bench()
        _ = bench.putContainer("c", [("X-Container-Write", "p2:u2")])
        let put = try bench.begin(Bench.path("c", "o"), [], length: 3, as: Bench.stranger).get()
        _ = [UInt8]([1, 2, 3]).withUnsafeBytes { put.append($0) }
        _ = bench.postContainer("c", [("X-Container-Write", "")])
        #expect(Bench.wait { put.finish(completion: $0) }.status == 403)
        #expect(try bench.list("c") == [])
    }

    @Test func manyWritersAgreeWithTheirCounters() throws {
        let bench = try Bench()
        _ = bench.putContainer("c")
        let seed = UInt64.random(in: 0...UInt64.max)
        atOnce(8) { index in
            var random = SeededGenerator(seed: seed &+ UInt64(index))
            for _ in 0..<60 {
                let name = "o\(Int.random(in: 0..<12, using: &random))"
                switch Int.random(in: 0..<4, using: &random) {
                case 0: _ = bench.deleteObject("c", name)
                case 1: _ = bench.postObject("c", name, [("X-Object-Meta-A", "\(index)")])
                default:
                    let body = patterned(Int.random(in: 0..<3_000, using: &random), seed: random.next())
                    _ = bench.put("c", name, body)
                }
            }
        }
        let names = try bench.list("c")
        var bytes = 0
        for name in names {
            let object = try bench.open("c", name)
            let body = try Bench.bytes(object)
            #expect(md5(body) == object.etag.hex, "seed \(seed): \(name)")
            bytes += body.count
        }
        let info = try bench.service.containerInfo(Bench.path("c"), Bench.owner).headers
        #expect(info.first(named: "x-container-object-count") == String(names.count), "seed \(seed)")
        #expect(info.first(named: "x-container-bytes-used") == String(bytes), "seed \(seed)")
    }

    @Test func fullStoreRefusesWritesAndTakesDeletes() throws {
        let bench = try Bench { $0.capacityBytes = 64 << 20 }
        _ = bench.putContainer("c")
        var sizes: [Int] = []
        var last = 201
        while last == 201, sizes.count < 100 {
            last = bench.put("c", "o\(sizes.count)", patterned(4_000_000, seed: UInt64(sizes.count))).status
            if last == 201 { sizes.append(4_000_000) }
        }
        #expect(last == 507)
        #expect(try bench.list("c").count == sizes.count)
        #expect(try bench.get("c", "o0") == patterned(4_000_000, seed: 0))
        #expect(bench.deleteObject("c", "o0").status == 204)
    }
}
