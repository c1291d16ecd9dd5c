import Chunks
import Codecs
import Disks
import Foundation
import Primitives
import Testing

/// A store in a temporary folder, or on a simulated disk, and short ways to use it from a test.
final class Bench: Sendable {
    let store: ChunkStore
    let threads: WorkThreads
    let clock = TimestampClock()

    init(_ store: ChunkStore) {
        self.store = store
        threads = WorkThreads(name: "test", count: 4, queueMax: 1_000)
        clock.advance(past: store.newestTimestamp)
    }

    /// Submits under a latch and waits.
    func run(
        _ make: @escaping @Sendable (LatchHold) -> Chunks.Operation?,
        latch: (account: Bytes, container: Bytes, object: Bytes?)
    ) throws {
        let done = PosixMutex()
        let outcome = PosixGuarded<Result<Void, ChunkError>?>(nil)
        let act: @Sendable (LatchHold) -> Void = { [store] hold in
            guard let operation = make(hold) else {
                hold.release()
                done.withLock {
                    outcome.value = .success(())
                    done.broadcast()
                }
                return
            }
            store.submit(operation, holding: hold, sink: InlineSink.shared) { result in
                done.withLock {
                    outcome.value = result
                    done.broadcast()
                }
            }
        }
        if let object = latch.object {
            store.latchObject(latch.account, latch.container, object, on: threads, then: act)
        } else {
            store.latchContainer(latch.account, latch.container, on: threads, then: act)
        }
        done.lock()
        while outcome.value == nil { done.wait() }
        let result = outcome.value!
        done.unlock()
        try result.get()
    }

    @discardableResult
    func makeContainer(_ account: Bytes, _ name: Bytes) throws -> ContainerRow {
        try run(
            { [store, clock] _ in
                .putContainer(
                    account: account, name: name, id: store.nextID(), existing: nil, timestamp: clock.next(),
                    attributes: [1, 2])
            }, latch: (account, name, nil))
        return try #require(try store.container(account, name))
    }

    func put(_ container: ContainerRow, _ name: Bytes, _ bytes: [UInt8]) throws {
        try run(
            { [store, clock] _ in
                let old = try! store.object(container.id, name)
                let draft = ObjectDraft(
                    timestamp: clock.next(), size: bytes.count, etag: bytes.withUnsafeBytes { MD5.hash($0) },
                    contentType: "text/plain",
                    attributes: [7])
                return .putObject(container: container, name: name, draft: draft, body: .inline(bytes), replacing: old)
            }, latch: (container.account, container.name, name))
    }

    func delete(_ container: ContainerRow, _ name: Bytes) throws {
        try run(
            { [store, clock] _ in
                guard let row = try! store.object(container.id, name) else { return nil }
                return .deleteObject(container: container, row: row, timestamp: clock.next())
            }, latch: (container.account, container.name, name))
    }

    func upload(_ container: ContainerRow, _ name: Bytes, _ bytes: [UInt8]) throws {
        let upload = try store.beginUpload(threads: threads, sink: InlineSink.shared)
        let mutex = PosixMutex()
        let ready = PosixGuarded(true)
        upload.setOnReady {
            mutex.withLock {
                ready.value = true; mutex.broadcast()
            }
        }
        for start in stride(from: 0, to: bytes.count, by: 70_000) {
            mutex.lock()
            while !ready.value { mutex.wait() }
            ready.value = false
            mutex.unlock()
            let more = Array(bytes[start..<min(start + 70_000, bytes.count)]).withUnsafeBytes { upload.append($0) }
            if more { mutex.withLock { ready.value = true } }
        }
        let body = PosixGuarded<Result<UploadedBody, ChunkError>?>(nil)
        upload.finish { result in
            mutex.withLock {
                body.value = result; mutex.broadcast()
            }
        }
        mutex.lock()
        while body.value == nil { mutex.wait() }
        let finished = try body.value!.get()
        mutex.unlock()
        #expect(finished.etag == bytes.withUnsafeBytes { MD5.hash($0) })
        try run(
            { [store, clock] _ in
                let old = try! store.object(container.id, name)
                let draft = ObjectDraft(
                    timestamp: clock.next(), size: finished.size, etag: finished.etag, contentType: "a/b",
                    attributes: [])
                return .putObject(
                    container: container, name: name, draft: draft, body: .uploaded(finished), replacing: old)
            }, latch: (container.account, container.name, name))
    }

    func read(_ container: ContainerRow, _ name: Bytes) throws -> [UInt8]? {
        guard let row = try store.object(container.id, name) else { return nil }
        let reader = try #require(try store.reader(row))
        var out: [UInt8] = []
        for frame in 0..<reader.frameCount {
            var buffer = [UInt8](repeating: 0xEE, count: reader.bufferBytes(frame: frame))
            let count = try buffer.withUnsafeMutableBytes { try reader.read(frame: frame, into: $0) }
            out += buffer[..<count]
        }
        return out
    }
}

func temporaryFolder() -> String {
    let path = NSTemporaryDirectory() + "apus-test-" + UUID().uuidString
    try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
}

func openTemporary(_ folder: String, _ change: (inout ChunkStore.Configuration) -> Void = { _ in }) throws -> ChunkStore
{
    var configuration = ChunkStore.Configuration(segmentBytes: 1 << 20, reserveBytes: 0)
    change(&configuration)
    return try ChunkStore.open(
        disk: SystemDisk(root: folder), indexes: SQLiteIndexes(folder: folder, copies: 2), configuration: configuration,
        random: { count in (0..<count).map { _ in UInt8.random(in: 0...255) } })
}

func patterned(_ count: Int, seed: UInt64, compressible: Bool = false) -> [UInt8] {
    var state = seed &+ 0x9E37_79B9_7F4A_7C15
    return (0..<count).map { index in
        if compressible, index % 64 > 8 { return UInt8(truncatingIfNeeded: seed) }
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state)
    }
}

@Test func whatWasPutIsThereAfterReopening() throws {
    let folder = temporaryFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var bodies: [Bytes: [UInt8]] = [:]
    do {
        let bench = Bench(try openTemporary(folder))
        let container = try bench.makeContainer("AUTH_a", "c")
        for index in 0..<40 {
            let name = Bytes("o/\(index)")
            bodies[name] = patterned(index * 997, seed: UInt64(index), compressible: index % 2 == 0)
            try bench.put(container, name, bodies[name]!)
        }
        bodies["big"] = patterned(3_000_001, seed: 5)
        try bench.upload(container, "big", bodies["big"]!)
        for (name, body) in bodies { #expect(try bench.read(container, name) == body) }
        let row = try #require(try bench.store.container("AUTH_a", "c"))
        #expect(row.objectCount == 41)
        #expect(row.byteCount == bodies.values.reduce(0) { $0 + $1.count })
        try bench.store.close()
    }
    for round in 0..<3 {
        let bench = Bench(try openTemporary(folder))
        #expect(bench.store.readOnlyReason == nil)
        #expect(bench.store.recovery.wasClean)
        let container = try #require(try bench.store.container("AUTH_a", "c"))
        for (name, body) in bodies { #expect(try bench.read(container, name) == body, "\(name) in round \(round)") }
        let page = try bench.store.objects(in: container.id, NameRange(), reverse: false, limit: 10_000)
        #expect(page.rows.map(\.name) == bodies.keys.sorted())
        #expect(!page.mayHaveMore)
        bodies["round"] = patterned(10 + round, seed: 1)
        try bench.put(container, "round", bodies["round"]!)
        let account = try #require(try bench.store.account("AUTH_a"))
        #expect(account.objectCount == bodies.count)
        #expect(account.containerCount == 1)
        try bench.store.close()
    }
}

@Test func checkFindsASoundStoreSound() throws {
    let folder = temporaryFolder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let bench = Bench(try openTemporary(folder))
    let container = try bench.makeContainer("AUTH_a", "c")
    for index in 0..<20 {
        try bench.put(container, Bytes("o\(index % 15)"), patterned(index * 501, seed: UInt64(index)))
    }
    try bench.upload(container, "big", patterned(1_000_000, seed: 3))
    try bench.upload(container, "big", patterned(700_000, seed: 4))
    try bench.store.close()
    let report = try ChunkStore.check(
        disk: SystemDisk(root: folder), indexes: SQLiteIndexes(folder: folder, copies: 2), readsBytes: true)
    #expect(report.problems == [])
    #expect((report.accounts, report.containers, report.objects) == (1, 1, 16))
}

/// Each layer counts what was written to it, in the index and in memory; what a snapshot or a copy stands on is shared.
@Test func spaceIsCountedLayerByLayer() throws {
    let rig = try StoreRig(configuration: StoreRig.configuration())
    let noise = BodySpec(seed: 3, size: 65_536, kind: .noise)
    try rig.run([
        .volume(.make(0)), .volume(.write(0, sector: 0, noise, isDeferred: false)), .freeze,
        .volume(.write(0, sector: 2048, BodySpec(seed: 4, size: 8_192, kind: .noise), isDeferred: false)),
        .volume(.write(0, sector: 64, BodySpec(seed: 5, size: 16_384, kind: .zeros), isDeferred: false)),
    ])
    let alone = try rig.store.space(of: "v0")
    #expect(alone.map(\.writtenBytes) == [65_536 - 16_384 + 8_192])
    #expect(alone.map(\.storedBytes) == alone.map(\.writtenBytes))
    #expect(alone.map(\.isShared) == [false] && alone.map(\.name) == ["v0"])
    try rig.run([
        .volume(.snapshot(0, as: 3)),
        .volume(.write(0, sector: 0, BodySpec(seed: 6, size: 65_536, kind: .text), isDeferred: false)),
    ])
    let both = try rig.store.space(of: "v0")
    #expect(both.map(\.writtenBytes) == [65_536, 57_344])
    #expect(both[0].storedBytes < 65_536 && both[0].storedBytes > 0)
    #expect(both.map(\.isShared) == [false, true] && both.map(\.name) == ["v0", "s0"])
    // The snapshot's name goes, the layer stays for what stands on it, and only for that.
    try rig.run([.volume(.remove(3)), .freeze])
    let left = try rig.store.space(of: "v0")
    #expect(left.map(\.name) == ["v0", nil] && left.map(\.isShared) == [false, false])
    #expect(left.map(\.writtenBytes) == both.map(\.writtenBytes))
}
