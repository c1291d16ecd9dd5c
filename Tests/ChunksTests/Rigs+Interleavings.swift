import Chunks
import Disks
import Primitives
import Synchronization

// The orders of events that are known to be dangerous, each by itself.

extension Rigs {
    static func rig(_ mutant: Mutant?, _ steps: [Step] = foundation) throws -> StoreRig {
        let rig = try StoreRig(configuration: StoreRig.configuration(mutant))
        try rig.run(steps)
        return rig
    }

    private static func put(
        _ store: ChunkStore, _ container: ContainerRow, _ name: Bytes, _ body: BodySpec, _ timestamp: Int64,
        _ hold: LatchHold,
        replacing: ObjectRow?, _ box: Box<Result<Void, ChunkError>>
    ) {
        let draft = ObjectDraft(
            timestamp: Timestamp(ticks: timestamp), size: body.size, etag: body.etag, contentType: "a/b", attributes: []
        )
        store.submit(
            .putObject(container: container, name: name, draft: draft, body: .inline(body.bytes), replacing: replacing),
            holding: hold, sink: InlineSink.shared
        ) { box.set($0) }
    }

    /// Two `If-None-Match: *` PUTs of one name: exactly one finds it absent.
    static func twoExclusivePuts(_ mutant: Mutant? = nil) throws {
        let rig = try rig(mutant)
        let store = rig.store
        let container = try store.container("acc", "c")!
        let answers = [Box<Bool>(), Box<Bool>()]
        let outcomes = [Box<Result<Void, ChunkError>>(), Box<Result<Void, ChunkError>>()]
        for number in 0..<2 {
            store.latchObject("acc", "c", "new", on: StoreRig.threads) { hold in
                let isThere = ((try? store.object(container.id, "new")) ?? nil) != nil
                answers[number].set(!isThere)
                if isThere { return hold.release() }
                put(
                    store, container, "new", BodySpec(seed: UInt64(number), size: 10, kind: .noise), 5_000_000, hold,
                    replacing: nil, outcomes[number])
            }
        }
        let winners = answers.map { box in box.wait { store.runPending() } }.filter { $0 }.count
        store.runPending()
        if winners != 1 { throw RigFailure("\(winners) exclusive PUTs of one name won") }
        if try store.container("acc", "c")!.objectCount != 3 {
            throw RigFailure("the counter is wrong after two exclusive PUTs")
        }
    }

    /// A PUT that found its container, against that container's DELETE that found it empty.
    static func putAgainstContainerDelete(_ mutant: Mutant? = nil) throws {
        for deleteFirst in [false, true] {
            let rig = try rig(mutant, [.putContainer(0, 0, attributes: 1)])
            let store = rig.store
            let putOutcome = Box<Result<Void, ChunkError>?>()
            let deleteOutcome = Box<Result<Void, ChunkError>?>()
            let startPut = {
                store.latchObject("acc", "c", "x", on: StoreRig.threads) { hold in
                    guard let row = (try? store.container("acc", "c")) ?? nil else {
                        putOutcome.set(nil)
                        return hold.release()
                    }
                    let box = Box<Result<Void, ChunkError>>()
                    put(
                        store, row, "x", BodySpec(seed: 3, size: 10, kind: .noise), 5_000_000, hold, replacing: nil, box
                    )
                    StoreRig.threads.resume { putOutcome.set(box.wait {}) }
                }
            }
            let startDelete = {
                store.latchContainer("acc", "c", on: StoreRig.threads) { hold in
                    guard let row = (try? store.container("acc", "c")) ?? nil, row.objectCount == 0 else {
                        deleteOutcome.set(nil)
                        return hold.release()
                    }
                    store.submit(
                        .deleteContainer(row, timestamp: Timestamp(ticks: 5_000_001)), holding: hold,
                        sink: InlineSink.shared
                    ) {
                        deleteOutcome.set($0)
                    }
                }
            }
            if deleteFirst {
                startDelete()
                startPut()
            } else {
                startPut()
                startDelete()
            }
            let putResult = putOutcome.wait { store.runPending() }
            let deleteResult = deleteOutcome.wait { store.runPending() }
            if putResult != nil, deleteResult != nil {
                throw RigFailure("an object was put into a container while it was deleted")
            }
            if putResult == nil, deleteResult == nil { throw RigFailure("neither the PUT nor the DELETE went through") }
            let account = try store.account("acc")
            let expected = putResult != nil ? (1, 1) : (0, 0)
            if account.map({ ($0.containerCount, $0.objectCount) }) ?? (0, 0) != expected {
                throw RigFailure("the account counts \(String(describing: account)) afterwards")
            }
        }
    }

    /// A GET that began before the object was overwritten and deleted reads the old version to its end.
    static func readAcrossOverwrite(_ mutant: Mutant? = nil) throws {
        for freezes in [false, true] {
            let body = BodySpec(seed: 2, size: 400_000, kind: .noise)
            let rig = try rig(mutant, [.putContainer(0, 0, attributes: 1), .upload(0, 0, 2, body)])
            if freezes { try rig.run([.freeze]) }
            let container = try rig.store.container("acc", "c")!
            let row = try rig.store.object(container.id, StoreRig.objectNames[2])!
            guard let reader = try rig.store.reader(row) else { throw RigFailure("no reader") }
            let right = body.bytes
            for frame in 0..<reader.frameCount {
                let bytes = try StoreRig.frame(reader, frame).bytes
                if !same(bytes, right[frame * frameBytes..<min(right.count, (frame + 1) * frameBytes)]) {
                    throw RigFailure("wrong bytes")
                }
                switch frame {
                case 0: try rig.run([.upload(0, 0, 2, BodySpec(seed: 3, size: 300_000, kind: .noise))])
                case 1: try rig.run([.delete(0, 0, 2), .freeze])
                default: try rig.run([.upload(0, 0, 3, BodySpec(seed: 4, size: 300_000, kind: .noise)), .freeze])
                }
            }
            if freezes, try rig.store.reader(row) != nil { throw RigFailure("a deleted version can still be opened") }
        }
    }

    /// An upload half done when the power goes: nothing of it is left, and its id is not used again.
    static func uploadThenCrash(_ mutant: Mutant? = nil) throws {
        for seed in 0..<6 {
            let rig = try rig(mutant)
            let upload = try rig.store.beginUpload(threads: StoreRig.threads, sink: InlineSink.shared)
            let box = Box<Result<UploadedBody, ChunkError>>()
            _ = BodySpec(seed: 9, size: 300_000, kind: .noise).bytes.withUnsafeBytes { upload.append($0) }
            if seed % 2 == 0 {
                upload.finish { box.set($0) }
                // Held: dropping it would log that it is given up.
                let body = try box.wait { rig.store.runPending() }.get()
                if seed % 4 == 0 { rig.store.freeze() }
                try withExtendedLifetime(body) { try rig.run([seed % 3 == 0 ? .kill : .crash(seed: UInt64(seed))]) }
            } else {
                try rig.run([.crash(seed: UInt64(seed))])
            }
            try rig.run([
                .put(0, 0, 1, BodySpec(seed: 4, size: 10, kind: .noise), isDeferred: false),
                .upload(0, 0, 3, BodySpec(seed: 5, size: 200_000, kind: .noise)), .freeze, .reopen,
            ])
            try rig.compareAll()
            try leftovers(rig)
        }
    }

    /// The medium lost group k but holds group k+1, which vouches for it: that is damage, and is not cut off.
    static func lostGroup(_ mutant: Mutant? = nil) throws {
        let rig = try rig(mutant, [.putContainer(0, 0, attributes: 1)])
        let first = rig.disk.cutCount
        try rig.run([.put(0, 0, 0, BodySpec(seed: 1, size: 100, kind: .noise), isDeferred: false)])
        try rig.run([.put(0, 0, 1, BodySpec(seed: 2, size: 100, kind: .noise), isDeferred: false)])
        let files = rig.disk.files.filter { $0.hasSuffix(".seg") }
        let before = rig.disk.crashImage(at: first, .all)
        guard let path = files.first(where: { before.contents($0) != rig.disk.contents($0) }) else {
            throw RigFailure("nothing was written")
        }
        let (old, new) = (before.contents(path)!, rig.disk.contents(path)!)
        let block = stride(from: 0, to: new.count, by: 4096).first { old[$0..<$0 + 4096] != new[$0..<$0 + 4096] }!
        let disk = rig.disk.copy()
        disk.rot(path, at: block, Array(old[block..<block + 4096]))
        let indexes = rig.indexes.fork { disk.cutCount }
        let store = try StoreRig.open(disk, indexes, StoreRig.configuration(mutant))
        guard case .damaged = store.readOnlyReason else {
            throw RigFailure("a lost group was not reported: \(String(describing: store.readOnlyReason))")
        }
        if try StoreRig.dump(store) != rig.states[1].dump {
            throw RigFailure("the state before the damage is not served")
        }
    }

    /// The block of the log that these steps wrote first, and where it lies.
    private static func written(_ rig: StoreRig, _ steps: [Step]) throws -> (path: String, offset: Int) {
        let before = rig.disk.copy()
        try rig.run(steps)
        for path in rig.disk.files where path.hasSuffix(".seg") {
            let new = rig.disk.contents(path)!
            let old = before.contents(path) ?? [UInt8](repeating: 0, count: new.count)
            // A new segment's own header is not what is meant.
            let from = before.contents(path) == nil ? 4096 : 0
            if let block = stride(from: from, to: new.count, by: 4096).first(where: {
                $0 >= old.count || old[$0..<min($0 + 4096, old.count)] != new[$0..<$0 + 4096]
            }) {
                return (path, block)
            }
        }
        throw RigFailure("nothing was written")
    }

    /// Each of these groups is the last operation, or the SEAL, that something later vouches for.
    static func vouchedGroups(_ mutant: Mutant? = nil) throws {
        let put = Step.put(0, 0, 1, BodySpec(seed: 4, size: 10, kind: .noise), isDeferred: false)
        for (harmed, later, what) in [
            (put, Step.seal, "the last group before a SEAL"), (.seal, put, "a SEAL before the last group"),
        ] {
            let rig = try rig(mutant, [.putContainer(0, 0, attributes: 1)])
            let place = try written(rig, [harmed])
            try rig.run([later])
            let disk = rig.disk.copy()
            disk.flipBit(place.path, at: place.offset + 20, bit: 1)
            let store = try StoreRig.open(disk, rig.indexes.fork { disk.cutCount }, StoreRig.configuration(mutant))
            guard case .damaged = store.readOnlyReason else {
                throw RigFailure("damage of \(what) was cut off in silence")
            }
        }
    }

    /// The last group and the SEAL that vouches for it lie in each other's place.
    static func swappedGroups(_ mutant: Mutant? = nil) throws {
        let rig = try rig(mutant, [.putContainer(0, 0, attributes: 1)])
        let put = try written(rig, [.put(0, 0, 1, BodySpec(seed: 4, size: 0, kind: .zeros), isDeferred: false)])
        let seal = try written(rig, [.seal])
        guard put.path == seal.path else { throw RigFailure("the SEAL lies in another segment") }
        let disk = rig.disk.copy()
        Harm.swap(path: put.path, put.offset, seal.offset).apply(to: disk)
        let store = try StoreRig.open(disk, rig.indexes.fork { disk.cutCount }, StoreRig.configuration(mutant))
        guard case .damaged = store.readOnlyReason else {
            throw RigFailure("two swapped groups were cut off in silence")
        }
    }

    /// A group that a misdirected write put behind the end of the previous segment too.
    static func misplacedGroup(_ mutant: Mutant? = nil) throws {
        let rig = try rig(mutant, [.putContainer(0, 0, attributes: 1)])
        let last = try written(rig, [.put(0, 0, 0, BodySpec(seed: 3, size: 10, kind: .noise), isDeferred: false)])
        try rig.run([.kill])
        let next = try written(rig, [.put(0, 0, 1, BodySpec(seed: 4, size: 10, kind: .noise), isDeferred: false)])
        try rig.run([.put(0, 0, 3, BodySpec(seed: 5, size: 10, kind: .noise), isDeferred: false)])
        guard last.path != next.path else { throw RigFailure("a restart did not begin a segment") }
        let group = Array(rig.disk.contents(next.path)![next.offset..<next.offset + 4096])
        let disk = rig.disk.copy()
        // An object of one sector: its group is one block, and ends where the copy begins.
        disk.rot(last.path, at: last.offset + 4096, group)
        let store = try StoreRig.open(disk, rig.indexes.fork { disk.cutCount }, StoreRig.configuration(mutant))
        if let reason = store.readOnlyReason { throw RigFailure("a misplaced copy of a group was followed: \(reason)") }
        if try StoreRig.dump(store) != rig.model.dump { throw RigFailure("a misplaced copy of a group was replayed") }
    }

    /// The process dies between a write and its flush, the machine lives on, the store starts again and goes on;
    /// then the power goes. What the second process showed must be there.
    static func killBeforeSync(_ mutant: Mutant? = nil) throws {
        let rig = try rig(mutant)
        let from = rig.disk.cutCount
        try rig.run([
            .put(0, 0, 1, BodySpec(seed: 4, size: 3000, kind: .noise), isDeferred: true),
            .put(0, 0, 3, BodySpec(seed: 5, size: 10, kind: .noise), isDeferred: false), .delete(0, 0, 0),
        ])
        for cut in from...rig.disk.cutCount {
            let disk = rig.disk.rewound(to: cut)
            let indexes = rig.indexes.afterCrash(at: cut, .newest) { disk.cutCount }
            let shown = try StoreRig.dump(try StoreRig.open(disk, indexes, StoreRig.configuration(mutant)))
            disk.killProcess()
            guard let model = rig.states.last(where: { $0.dump == shown }) else {
                throw RigFailure("killed at \(cut): shows a state that never was")
            }
            let next = try StoreRig(adopting: disk, indexes, model, StoreRig.configuration(mutant), ticks: 9_000_000)
            for steps in [[Step](), [.put(0, 0, 4, BodySpec(seed: 6, size: 10, kind: .noise), isDeferred: false)]] {
                try next.run(steps)
                // Nothing but what was synced survives.
                let image = next.disk.crashImage(at: next.disk.cutCount, .none)
                let found = try StoreRig.open(
                    image, next.indexes.afterCrash(at: next.disk.cutCount, .oldest) { image.cutCount },
                    StoreRig.configuration(mutant))
                let dump = try StoreRig.dump(found)
                if found.readOnlyReason != nil || dump != next.model.dump {
                    throw RigFailure(
                        "killed at \(cut), restarted, then a power cut: \(dump.difference(from: next.model.dump))")
                }
            }
        }
    }

    /// The LSN that is reported as applied is durable in the index (I7 leans on it).
    static func appliedIsDurable(_ mutant: Mutant? = nil) throws {
        let rig = try rig(mutant)
        rig.store.freeze()
        let cut = rig.disk.cutCount + 1
        for (copy, lsn) in rig.store.status().appliedLSN.enumerated() {
            let certain = rig.indexes.history(copy).states(at: cut).map { $0.position?.lsn ?? 0 }.min() ?? 0
            if lsn > certain {
                throw RigFailure("copy \(copy) is said to hold LSN \(lsn), and surely holds \(certain)")
            }
        }
    }

    /// Everything is read rightly while a frozen overlay waits for the index.
    static func readAcrossFrozen(_ mutant: Mutant? = nil) throws {
        let disk = SimulatedDisk()
        let indexes = RigIndexes(copies: 2) { disk.cutCount }
        var configuration = StoreRig.configuration(mutant)
        configuration.isThreaded = true
        configuration.overlayOperationsMax = 4
        let store = try StoreRig.open(disk, indexes, configuration)
        indexes.history(0).close(gate: true)
        defer {
            indexes.history(0).close(gate: false)
            try? store.close()
        }
        var model = Model()
        let ticks = PosixLocked<Int64>(100)
        func run(_ make: (Timestamp, LatchHold) throws -> Chunks.Operation) throws -> Timestamp {
            let timestamp = Timestamp(
                ticks: ticks.withLock {
                    $0 += 1; return $0
                })
            let latched = Box<LatchHold>()
            store.latchContainer("acc", "c", on: StoreRig.threads) { latched.set($0) }
            let hold = latched.wait {}
            let done = Box<Result<Void, ChunkError>>()
            store.submit(try make(timestamp, hold), holding: hold, sink: InlineSink.shared) { done.set($0) }
            try done.wait {}.get()
            return timestamp
        }
        let name = Model.Name(account: "acc", container: "c")
        let id = store.nextID()
        let made = try run { timestamp, _ in
            .putContainer(account: "acc", name: "c", id: id, existing: nil, timestamp: timestamp, attributes: [])
        }
        model.touchAccount("acc", made)
        model.containers[name] = Model.Container(id: id, created: made, modified: made, attributes: [])
        for (number, object) in ["a", "b", "a//b", "a", "b", "z"].enumerated() as EnumeratedSequence<[Bytes]> {
            let body = BodySpec(seed: UInt64(number), size: 100 + number, kind: .noise)
            let isDelete = number == 4
            let timestamp = try run { timestamp, _ in
                let container = try store.container("acc", "c")!
                let old = try store.object(id, object)
                if isDelete { return .deleteObject(container: container, row: old!, timestamp: timestamp) }
                return .putObject(
                    container: container, name: object,
                    draft: ObjectDraft(
                        timestamp: timestamp, size: body.size, etag: body.etag, contentType: "a/b", attributes: []),
                    body: .inline(body.bytes), replacing: old)
            }
            model.containers[name]!.objects[object] =
                isDelete
                ? nil
                : Model.Object(
                    created: timestamp, modified: timestamp, contentType: "a/b", attributes: [], body: body,
                    etag: body.etag)
            let dump = try StoreRig.dump(store)
            if dump != model.dump {
                throw RigFailure("while an overlay is frozen: \(dump.difference(from: model.dump))")
            }
        }
        if store.status().appliedLSN.contains(where: { $0 > 0 }) {
            throw RigFailure("the gate did not hold the applier")
        }
    }

    /// The index is ahead of the log: the disk lost what was acknowledged.
    static func indexAhead(_ mutant: Mutant? = nil) throws {
        let rig = try rig(mutant)
        let cut = rig.disk.cutCount
        try rig.run([.put(0, 0, 1, BodySpec(seed: 4, size: 10, kind: .noise), isDeferred: false), .freeze])
        let disk = rig.disk.crashImage(at: cut, .all)
        let indexes = rig.indexes.fork { disk.cutCount }
        let store = try StoreRig.open(disk, indexes, StoreRig.configuration(mutant))
        guard case .logBehindIndex = store.readOnlyReason else {
            throw RigFailure("an index ahead of the log was not noticed")
        }
    }

    /// Index copies that are lost, one or both, before and after they hold something.
    static func lostIndexes(_ mutant: Mutant? = nil) throws {
        for lost in [[0], [1]] {
            for steps in [
                [Step.freeze], [.freeze, .put(0, 0, 1, BodySpec(seed: 4, size: 10, kind: .noise), isDeferred: false)],
                [],
            ] {
                let rig = try rig(mutant)
                try rig.run(steps + lost.map { .loseIndex($0) } + [.kill])
                try rig.compareAll()
                try rig.run([
                    .put(0, 0, 3, BodySpec(seed: 5, size: 10, kind: .noise), isDeferred: false), .freeze,
                    .loseIndex(1 - lost[0]), .reopen,
                ])
                try rig.compareAll()
                try leftovers(rig)
            }
        }
        let rig = try rig(mutant)
        rig.store.freeze()
        let disk = rig.disk.copy()
        let indexes = rig.indexes.fork { disk.cutCount }
        indexes.lose(0)
        indexes.lose(1)
        do {
            _ = try StoreRig.open(disk, indexes, StoreRig.configuration(mutant))
        } catch ChunkError.unusable {
            return
        }
        throw RigFailure("a store without any index copy opened")
    }

    /// Behind a cut nothing is written: the next group goes to a new segment.
    static func nothingBehindTheCut(_ mutant: Mutant? = nil) throws {
        let rig = try rig(mutant)
        let paths = rig.disk.files.filter { $0.hasSuffix(".seg") }
        let before = paths.map { rig.disk.contents($0) }
        try rig.run([.kill, .put(0, 0, 1, BodySpec(seed: 4, size: 10, kind: .noise), isDeferred: false)])
        if paths.map({ rig.disk.contents($0) }) != before {
            throw RigFailure("a segment was written to behind its cut")
        }
    }

    /// A group in its valid place and hash, but of another history: the chain tells.
    static func foreignGroup(_ mutant: Mutant? = nil) throws {
        // Two futures of one store; the second future's second group is put behind the first future's first.
        let base = try rig(mutant)
        func future(_ seed: UInt64) throws -> StoreRig {
            let disk = base.disk.copy()
            let next = try StoreRig(
                adopting: disk, base.indexes.fork { disk.cutCount }, base.model, StoreRig.configuration(mutant),
                ticks: 3_000_000)
            try next.run([
                .put(0, 0, 0, BodySpec(seed: seed, size: 50, kind: .noise), isDeferred: false),
                .put(0, 0, 1, BodySpec(seed: seed + 1, size: 50, kind: .noise), isDeferred: false),
            ])
            return next
        }
        let (one, two) = (try future(100), try future(200))
        let path = two.disk.files.last { $0.hasSuffix(".seg") }!
        let (a, b) = (one.disk.contents(path)!, two.disk.contents(path)!)
        let blocks = stride(from: 0, to: a.count, by: 4096).filter { a[$0..<$0 + 4096] != b[$0..<$0 + 4096] }
        guard let last = blocks.last, blocks.count >= 2 else {
            throw RigFailure("the futures do not differ as expected")
        }
        let disk = one.disk.copy()
        disk.rot(path, at: last, Array(b[last..<last + 4096]))
        let store = try StoreRig.open(disk, one.indexes.fork { disk.cutCount }, StoreRig.configuration(mutant))
        let dump = try StoreRig.dump(store)
        if dump == two.model.dump || !one.states.contains(where: { $0.dump == dump }) {
            throw RigFailure("a group of another history was replayed")
        }
    }
}
