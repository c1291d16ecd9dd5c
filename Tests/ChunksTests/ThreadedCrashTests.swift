import Chunks
import Disks
import Foundation
import Primitives
import Synchronization
import Testing

/// The store as the daemon runs it, with its committer, applier and spare threads, and many writers at once.
@Suite struct ThreadedCrashTests {
    /// What one writer did to its own object: version n was submitted, and acknowledged, at these points of the disk's log.
    struct Version: Sendable {
        var submitted: Int
        var acknowledged: Int?
        /// nil: a DELETE.
        var body: BodySpec?
    }

    @Test func whatManyWritersWereToldIsDurableSurvivesAnyPowerCut() throws {
        let seed = Rigs.replaySeed ?? UInt64.random(in: 1...1_000_000_000)
        let disk = SimulatedDisk()
        let indexes = RigIndexes(copies: 2) { disk.cutCount }
        var configuration = StoreRig.configuration()
        configuration.isThreaded = true
        configuration.overlayOperationsMax = 60
        let store = try StoreRig.open(disk, indexes, configuration)
        let made = Box<Result<Void, ChunkError>>()
        store.latchContainer("acc", "c", on: StoreRig.threads) { hold in
            store.submit(
                .putContainer(
                    account: "acc", name: "c", id: store.nextID(), existing: nil, timestamp: Timestamp(ticks: 1),
                    attributes: []),
                holding: hold, sink: InlineSink.shared
            ) { made.set($0) }
        }
        try made.wait {}.get()
        let begun = disk.cutCount
        let writers = 8
        let histories = PosixLocked<[[Version]]>(Array(repeating: [], count: writers))
        let done = (0..<writers).map { _ in Box<String?>() }
        for writer in 0..<writers {
            startThread(name: "writer") {
                do {
                    try Self.write(store, disk, writer, SplitMix64(seed: seed &+ UInt64(writer)), histories)
                    done[writer].set(nil)
                } catch {
                    done[writer].set("\(error)")
                }
            }
        }
        for box in done { #expect(box.wait {} == nil) }
        let versions = histories.withLock { $0 }
        var random = SplitMix64(seed: seed)
        let end = disk.cutCount
        for _ in 0..<40 * Rigs.scale {
            let cut = begun + random.below(end - begun + 1)
            let choice: CrashChoice = [.none, .all, .random(seed: random.next())][random.below(3)]
            let image = disk.crashImage(at: cut, choice)
            let copies = indexes.afterCrash(at: cut, RigIndexes.Choice.allCases[random.below(4)]) { image.cutCount }
            let found = try StoreRig.open(image, copies, StoreRig.configuration())
            #expect(found.readOnlyReason == nil, "SEED=\(seed) cut \(cut)")
            var report = CheckReport()
            try found.check(&report, readsBytes: true)
            #expect(report.problems.isEmpty, "SEED=\(seed) cut \(cut) \(choice)")
            let container = try #require(try found.container("acc", "c"))
            for writer in 0..<writers {
                let row = try found.object(container.id, Bytes("object\(writer)"))
                let history = versions[writer]
                let least = history.lastIndex { ($0.acknowledged ?? .max) <= cut } ?? -1
                let possible = history.indices.filter { $0 >= least && ($0 == least || history[$0].submitted < cut) }
                var allowed = possible.map { history[$0].body?.etag }
                if least == -1 { allowed.append(nil) }
                #expect(allowed.contains(row?.etag), "SEED=\(seed) cut \(cut) \(choice): writer \(writer)")
            }
        }
        try store.close()
        print(
            "threads: \(versions.reduce(0) { $0 + $1.count }) operations of \(writers) writers in \(store.status().groupsCommitted) groups, SEED=\(seed)"
        )
    }

    private static func write(
        _ store: ChunkStore, _ disk: SimulatedDisk, _ writer: Int, _ generator: SplitMix64,
        _ histories: PosixLocked<[[Version]]>
    ) throws {
        var random = generator
        let name = Bytes("object\(writer)")
        for number in 0..<25 {
            let size = random.oneIn(6) ? 131_073 + random.below(200_000) : random.below(6000)
            let body = random.oneIn(5) ? nil : BodySpec(seed: UInt64(writer * 1000 + number), size: size, kind: .noise)
            var newBody: Chunks.Operation.NewBody?
            if let body {
                newBody = body.size > inlineBytesMax ? .uploaded(try upload(store, body)) : .inline(body.bytes)
            }
            let latched = Box<LatchHold>()
            store.latchObject("acc", "c", name, on: StoreRig.threads) { latched.set($0) }
            let hold = latched.wait {}
            guard let container = try store.container("acc", "c") else { throw RigFailure("the container is gone") }
            let old = try store.object(container.id, name)
            let timestamp = Timestamp(ticks: Int64(10 + number))
            let operation: Chunks.Operation
            if let body, let newBody {
                operation = .putObject(
                    container: container, name: name,
                    draft: ObjectDraft(
                        timestamp: timestamp, size: body.size, etag: body.etag, contentType: "a/b", attributes: []),
                    body: newBody, replacing: old)
            } else {
                guard let old else {
                    hold.release()
                    continue
                }
                operation = .deleteObject(container: container, row: old, timestamp: timestamp)
            }
            let place = histories.withLock {
                $0[writer].append(Version(submitted: disk.cutCount, acknowledged: nil, body: body))
                return $0[writer].count - 1
            }
            let outcome = Box<(result: Result<Void, ChunkError>, cut: Int)>()
            store.submit(operation, holding: hold, sink: InlineSink.shared) { outcome.set(($0, disk.cutCount)) }
            let (result, cut) = outcome.wait {}
            try result.get()
            histories.withLock { $0[writer][place].acknowledged = cut }
            guard try store.object(container.id, name)?.etag == body?.etag else {
                throw RigFailure("a writer does not read its own write")
            }
        }
    }

    private static func upload(_ store: ChunkStore, _ body: BodySpec) throws -> UploadedBody {
        let upload = try store.beginUpload(threads: StoreRig.threads, sink: InlineSink.shared)
        let ready = Box<Void>()
        upload.setOnReady { ready.set(()) }
        let bytes = body.bytes
        if !bytes.withUnsafeBytes({ upload.append($0) }) { ready.wait {} }
        let box = Box<Result<UploadedBody, ChunkError>>()
        upload.finish { box.set($0) }
        return try box.wait {}.get()
    }
}
