import Chunks
import Codecs
import Disks
import Primitives
import Synchronization

/// A value that a completion on some thread leaves for the rig.
final class Box<Value: Sendable>: Sendable {
    private let mutex = PosixMutex()
    private let content: PosixGuarded<Value?>

    init() { content = PosixGuarded(nil) }

    var value: Value? { mutex.withLock { content.value } }

    func set(_ value: Value) {
        mutex.withLock {
            content.value = value
            mutex.broadcast()
        }
    }

    /// Runs `work` again and again until there is a value.
    func wait(_ work: () -> Void) -> Value {
        while true {
            work()
            mutex.lock()
            if let value = content.value {
                mutex.unlock()
                return value
            }
            _ = mutex.wait(milliseconds: 1)
            mutex.unlock()
        }
    }
}

/// A store without threads on a simulated disk, and the model beside it. Steps run on both and must agree.
final class StoreRig {
    struct Queued {
        var effect: @Sendable (inout Model) -> Void
        var outcome: Box<(result: Result<Void, ChunkError>, cut: Int)>
        var containers: Set<Model.Name>
        var isWholeContainer: Bool
        var object: Bytes?
        /// Acknowledged before it is durable.
        var isCached = false
    }

    static let threads = WorkThreads(name: "rig", count: 6, queueMax: 100_000)
    static let accounts: [Bytes] = ["acc", "b"]
    static let containerNames: [Bytes] = ["c", "c/d", "photos"]
    static let objectNames: [Bytes] = [
        "a", "a//b", "a/b", "..", "🐘", "z", Bytes([0xC3, 0xA9]), Bytes([UInt8](repeating: 0x7A, count: 700)),
    ]

    private(set) var disk: SimulatedDisk
    private(set) var indexes: RigIndexes
    private(set) var configuration: ChunkStore.Configuration
    private(set) var storeIfOpen: ChunkStore? {
        didSet { openVolumes = [:] }
    }
    /// Held, as a target holds them, so that what is in memory of them is used again.
    var openVolumes: [Bytes: LayeredVolume] = [:]
    private var ticks: Int64 = 1_000_000
    /// The state after each operation that may have reached the log, from where this log began.
    private(set) var states: [Model] = [Model()]
    /// How many of them were acknowledged: what the store must show.
    private(set) var acknowledged = 0
    /// What a crash at some cut must leave.
    private(set) var acknowledgements: [(count: Int, cut: Int)] = [(0, 0)]
    private(set) var submissions: [Int] = []
    var queued: [Queued] = []
    private(set) var hasTrouble = false
    private(set) var operations = 0

    var store: ChunkStore { storeIfOpen! }
    var model: Model { states[acknowledged] }

    static func configuration(_ mutant: Mutant? = nil) -> ChunkStore.Configuration {
        var configuration = ChunkStore.Configuration(segmentBytes: 512 << 10, reserveBytes: 0)
        configuration.isThreaded = false
        configuration.zeroFillsSpares = false
        configuration.overlayOperationsMax = 25
        configuration.overlayLogBytesMax = 1 << 20
        configuration.mutant = mutant
        return configuration
    }

    init(configuration: ChunkStore.Configuration, options: SimulatedDisk.Options = SimulatedDisk.Options()) throws {
        self.configuration = configuration
        let disk = SimulatedDisk(options: options)
        self.disk = disk
        indexes = RigIndexes(copies: 2) { disk.cutCount }
        try open()
    }

    /// Goes on with a store that holds this state.
    init(
        adopting disk: SimulatedDisk, _ indexes: RigIndexes, _ model: Model, _ configuration: ChunkStore.Configuration,
        ticks: Int64
    ) throws {
        self.configuration = configuration
        self.disk = disk
        self.indexes = indexes
        self.ticks = ticks
        states = [model]
        try open()
        try compareAll()
    }

    static func open(
        _ disk: SimulatedDisk, _ indexes: RigIndexes, _ configuration: ChunkStore.Configuration
    ) throws -> ChunkStore {
        try ChunkStore.open(disk: disk, indexes: indexes, configuration: configuration) { count in
            (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
        }
    }

    private func open() throws {
        do {
            storeIfOpen = try Self.open(disk, indexes, configuration)
        } catch ChunkError.disk(let error) where error.operation == "fdatasync" {
            // A kernel reports an old write's failure once, to whoever flushes next: recovery does not believe such a
            // disk, and the operator starts the daemon again.
            do {
                storeIfOpen = try Self.open(disk, indexes, configuration)
            } catch {
                throw RigFailure("the store does not open again: \(error)")
            }
        } catch {
            throw RigFailure("the store does not open: \(error)")
        }
        if let reason = store.readOnlyReason { throw RigFailure("opened read-only: \(reason)") }
    }

    // MARK: Steps

    func run(_ steps: [Step]) throws {
        for (index, step) in steps.enumerated() {
            do {
                try run(step)
            } catch {
                throw RigFailure("step \(index) \(step): \(error)")
            }
        }
    }

    /// From here on operations may fail, until the next restart.
    func injectTrouble(_ fault: DiskFault) {
        hasTrouble = true
        disk.inject(fault)
    }

    private func now() -> Timestamp {
        ticks += 1
        return Timestamp(ticks: ticks)
    }

    private func attributes(_ n: Int) -> [UInt8] { [UInt8](repeating: UInt8(truncatingIfNeeded: n), count: n) }

    func run(_ step: Step) throws {
        operations += 1
        do {
            try take(step)
        } catch let error as ChunkError {
            // A read that met a fault may say so; anything else is a finding.
            guard hasTrouble else { throw error }
        }
    }

    private func take(_ step: Step) throws {
        switch step {
        case .putAccount(let a, let n): try putAccount(Self.accounts[a], attributes(n))
        case .putContainer(let a, let c, let n): try putContainer(name(a, c), attributes(n))
        case .deleteContainer(let a, let c): try deleteContainer(name(a, c))
        case .put(let a, let c, let o, let body, let deferred):
            try putObject(name(a, c), Self.objectNames[o], body, .inline(body.bytes), flushes: !deferred)
        case .upload(let a, let c, let o, let body):
            try flush()
            if let uploaded = try upload(body, finishes: true) {
                try putObject(name(a, c), Self.objectNames[o], body, .uploaded(uploaded), flushes: true)
            }
        case .abandon(let body, let finishes):
            try flush()
            _ = try upload(body, finishes: finishes)
            try flush()
        case .setMetadata(let a, let c, let o, let n): try setMetadata(name(a, c), Self.objectNames[o], attributes(n))
        case .delete(let a, let c, let o): try delete(name(a, c), Self.objectNames[o])
        case .volume(let step): try take(step)
        case .list(let a, let c, let seed): try list(name(a, c), seed)
        case .read(let a, let c, let o, let seed): try read(name(a, c), Self.objectNames[o], seed)
        case .flush: try flush()
        case .freeze:
            try flush()
            store.freeze()
        case .seal:
            try flush()
            store.idle()
        case .reopen: try reopen()
        case .kill: try kill()
        case .crash(let seed): try crash(seed)
        case .loseIndex(let copy): if !indexes.hasLost { indexes.lose(copy) }
        case .fault(let call, let index, let code, let short, let sticky, let after):
            hasTrouble = true
            disk.inject(
                DiskFault(
                    calls: [call], index: index, effect: short ? .short(code) : .error(code), isSticky: sticky,
                    afterFailedSync: after))
        case .indexFault(let copy, let isCheckpoint):
            hasTrouble = true
            indexes.fail(isCheckpoint ? .checkpoint : .apply, copy: copy, at: 0)
        case .full(let pages):
            hasTrouble = true
            disk.setCapacity(disk.usedBytes + Int64(pages) * 4096)
        case .roomy: disk.setCapacity(nil)
        }
    }

    func name(_ a: Int, _ c: Int) -> Model.Name {
        Model.Name(account: Self.accounts[a], container: Self.containerNames[c])
    }

    // MARK: Operations

    private func latch(_ name: Model.Name?, _ object: Bytes?, account: Bytes? = nil) -> LatchHold {
        let box = Box<LatchHold>()
        if let account {
            store.latchAccount(account, on: Self.threads) { box.set($0) }
        } else if let object {
            store.latchObject(name!.account, name!.container, object, on: Self.threads) { box.set($0) }
        } else {
            store.latchContainer(name!.account, name!.container, on: Self.threads) { box.set($0) }
        }
        return box.wait {}
    }

    private func submit(
        _ operation: Chunks.Operation, _ hold: LatchHold, containers: Set<Model.Name>, object: Bytes?,
        _ effect: @escaping @Sendable (inout Model) -> Void
    ) {
        let outcome = Box<(result: Result<Void, ChunkError>, cut: Int)>()
        let disk = disk
        queued.append(
            Queued(
                effect: effect, outcome: outcome, containers: containers, isWholeContainer: object == nil,
                object: object))
        store.submit(operation, holding: hold, sink: InlineSink.shared) { outcome.set(($0, disk.cutCount)) }
    }

    /// Commits what is queued and settles what each operation came to.
    func flush() throws {
        guard !queued.isEmpty else {
            storeIfOpen?.runPending()
            return
        }
        let wasReadOnly = store.readOnlyReason != nil
        let cut = disk.cutCount
        store.runPending()
        let all = queued
        queued = []
        try settle(all, submittedAt: cut, wasReadOnly: wasReadOnly)
    }

    /// What each operation came to, in order.
    func settle(_ all: [Queued], submittedAt cut: Int, wasReadOnly: Bool) throws {
        for entry in all {
            guard let (result, ackCut) = entry.outcome.value else {
                throw RigFailure("an operation was never answered")
            }
            switch result {
            case .success:
                guard acknowledged == states.count - 1 else { throw RigFailure("acknowledged after a failed one") }
                var next = states[acknowledged]
                entry.effect(&next)
                states.append(next)
                submissions.append(cut)
                acknowledged += 1
                // What is durable makes durable what came before it.
                if !entry.isCached { acknowledgements.append((acknowledged, ackCut)) }
            case .failure(.readOnly) where !wasReadOnly, .failure(.disk) where !wasReadOnly:
                // Its group may or may not have reached the medium.
                guard hasTrouble else { throw RigFailure("refused without trouble: \(result)") }
                var next = states[states.count - 1]
                entry.effect(&next)
                states.append(next)
                submissions.append(cut)
            case .failure(let error):
                guard hasTrouble else { throw RigFailure("refused without trouble: \(error)") }
            }
        }
    }

    /// Commits what is queued if it and an operation on this name would wait for each other.
    private func settle(_ name: Model.Name, _ object: Bytes?) throws {
        let conflicts = queued.contains {
            $0.containers.contains(name) && ($0.isWholeContainer || object == nil || $0.object == object)
        }
        if conflicts { try flush() }
    }

    /// The row, which must be what the model says.
    @discardableResult
    private func container(_ name: Model.Name) throws -> ContainerRow? {
        let row = try store.container(name.account, name.container)
        if queued.isEmpty {
            let expected = model.containerRow(name)
            if row != expected {
                throw RigFailure("container \(name) is \(String(describing: row)), not \(String(describing: expected))")
            }
        }
        return row
    }

    private func object(_ name: Model.Name, _ row: ContainerRow, _ object: Bytes) throws -> ObjectRow? {
        let found = try store.object(row.id, object)
        let expected = model.containers[name].flatMap { model.line($0, object) }
        if found.map({ Dump.Line($0, in: row.id) }) != expected {
            throw RigFailure("object \(object) is \(String(describing: found)), not \(String(describing: expected))")
        }
        switch store.cachedObject(row.id, object) {
        case .unknown: break
        case .absent: if expected != nil { throw RigFailure("cached: absent \(object)") }
        case .found(let cached): if cached != found { throw RigFailure("cached: another row of \(object)") }
        }
        return found
    }

    private func putAccount(_ account: Bytes, _ attributes: [UInt8]) throws {
        try flush()
        let timestamp = now()
        submit(
            .putAccount(name: account, timestamp: timestamp, attributes: attributes), latch(nil, nil, account: account),
            containers: [], object: nil
        ) { model in
            model.touchAccount(account, timestamp)
            model.accounts[account]!.attributes = attributes
            model.accounts[account]!.modified = timestamp
        }
        try flush()
    }

    private func putContainer(_ name: Model.Name, _ attributes: [UInt8]) throws {
        try settle(name, nil)
        try flush()
        let hold = latch(name, nil)
        let existing = try container(name)
        let timestamp = now()
        let id = existing?.id ?? store.nextID()
        submit(
            .putContainer(
                account: name.account, name: name.container, id: id, existing: existing, timestamp: timestamp,
                attributes: attributes), hold, containers: [name], object: nil
        ) { model in
            model.touchAccount(name.account, timestamp)
            var container =
                model.containers[name]
                ?? Model.Container(id: id, created: timestamp, modified: timestamp, attributes: [])
            container.attributes = attributes
            container.modified = timestamp
            model.containers[name] = container
        }
        try flush()
    }

    private func deleteContainer(_ name: Model.Name) throws {
        try settle(name, nil)
        try flush()
        let hold = latch(name, nil)
        guard let row = try container(name), row.objectCount == 0 else { return hold.release() }
        submit(.deleteContainer(row, timestamp: now()), hold, containers: [name], object: nil) {
            $0.containers[name] = nil
        }
        try flush()
    }

    private func putObject(
        _ name: Model.Name, _ objectName: Bytes, _ body: BodySpec, _ newBody: Chunks.Operation.NewBody, flushes: Bool
    ) throws {
        try settle(name, objectName)
        let hold = latch(name, objectName)
        guard let row = try container(name) else { return hold.release() }
        let replaced = try object(name, row, objectName)
        let timestamp = now()
        let type = Bytes("text/x-\(body.seed)")
        let attributes = attributes(Int(body.seed % 50))
        let etag = body.etag
        let draft = ObjectDraft(
            timestamp: timestamp, size: body.size, etag: etag, contentType: type, attributes: attributes)
        submit(
            .putObject(container: row, name: objectName, draft: draft, body: newBody, replacing: replaced), hold,
            containers: [name], object: objectName
        ) { model in
            model.containers[name]!.objects[objectName] = Model.Object(
                created: timestamp, modified: timestamp, contentType: type, attributes: attributes, body: body,
                etag: etag)
        }
        if flushes { try flush() }
    }

    private func setMetadata(_ name: Model.Name, _ objectName: Bytes, _ attributes: [UInt8]) throws {
        try settle(name, objectName)
        let hold = latch(name, objectName)
        guard let row = try container(name), let old = try object(name, row, objectName) else { return hold.release() }
        let timestamp = now()
        submit(
            .setObjectMetadata(
                container: row, row: old, timestamp: timestamp, contentType: "x/y", attributes: attributes), hold,
            containers: [name], object: objectName
        ) { model in
            model.containers[name]!.objects[objectName]!.modified = timestamp
            model.containers[name]!.objects[objectName]!.contentType = "x/y"
            model.containers[name]!.objects[objectName]!.attributes = attributes
        }
        try flush()
    }

    private func delete(_ name: Model.Name, _ objectName: Bytes) throws {
        try settle(name, objectName)
        let hold = latch(name, objectName)
        guard let row = try container(name), let old = try object(name, row, objectName) else { return hold.release() }
        submit(.deleteObject(container: row, row: old, timestamp: now()), hold, containers: [name], object: objectName)
        {
            $0.containers[name]!.objects[objectName] = nil
        }
        try flush()
    }

    /// Sends the body in uneven pieces; nil if the store refuses it.
    private func upload(_ body: BodySpec, finishes: Bool) throws -> UploadedBody? {
        let upload: Upload
        do {
            upload = try store.beginUpload(threads: Self.threads, sink: InlineSink.shared)
        } catch {
            guard hasTrouble || store.readOnlyReason != nil else { throw RigFailure("upload refused: \(error)") }
            return nil
        }
        let ready = PosixLocked<Box<Void>>(Box())
        upload.setOnReady { ready.withLock { $0 }.set(()) }
        let bytes = body.bytes
        var random = SplitMix64(seed: body.seed)
        var at = 0
        let end = finishes ? bytes.count : bytes.count / 2
        while at < end {
            let count = min(end - at, 1 + random.below(200_000))
            let next = Box<Void>()
            ready.withLock { $0 = next }
            let goesOn = bytes[at..<at + count].withUnsafeBytes { upload.append($0) }
            if !goesOn { next.wait { store.runPending() } }
            at += count
        }
        guard finishes else {
            upload.cancel()
            return nil
        }
        let box = Box<Result<UploadedBody, ChunkError>>()
        upload.finish { box.set($0) }
        switch box.wait({ store.runPending() }) {
        case .success(let uploaded):
            if uploaded.size != body.size || uploaded.etag != body.etag {
                throw RigFailure("the upload counted or hashed wrongly")
            }
            return uploaded
        case .failure(let error):
            guard hasTrouble else { throw RigFailure("upload failed: \(error)") }
            return nil
        }
    }

    // MARK: Reads

    private func list(_ name: Model.Name, _ seed: UInt64) throws {
        try flush()
        var random = SplitMix64(seed: seed)
        guard let row = try container(name) else { return }
        let names = Self.objectNames.sorted()
        func pick() -> Bytes? { random.oneIn(2) ? nil : names[random.below(names.count)] }
        let range = NameRange(from: pick(), after: random.oneIn(3) ? pick() : nil, before: pick())
        let reverse = random.oneIn(2)
        let limit = random.oneIn(2) ? 100 : 1 + random.below(4)
        let page = try store.objects(in: row.id, range, reverse: reverse, limit: limit)
        var expected = model.dump.objects.filter { $0.container == row.id && range.contains($0.name) }
        if reverse { expected.reverse() }
        let got = page.rows.map { Dump.Line($0, in: row.id) }
        if got != Array(expected.prefix(limit)) {
            throw RigFailure("listing \(range) reverse \(reverse) limit \(limit) differs")
        }
        if !page.mayHaveMore, expected.count > limit { throw RigFailure("a listing says it is complete and is not") }
        let containers = try store.containers(of: name.account, in: NameRange(), reverse: reverse, limit: limit).rows
        var all = model.dump.containers.filter { $0.account == name.account }
        if reverse { all.reverse() }
        if containers != Array(all.prefix(limit)) {
            throw RigFailure("the listing of \(name.account)'s containers differs")
        }
        let account = try store.account(name.account)
        if account != model.accountRow(name.account) {
            throw RigFailure("account differs: \(String(describing: account))")
        }
    }

    private func read(_ name: Model.Name, _ objectName: Bytes, _ seed: UInt64) throws {
        try settle(name, objectName)
        guard let row = try container(name), let found = try object(name, row, objectName) else { return }
        guard let reader = try store.reader(found) else { throw RigFailure("the bytes of a current row are gone") }
        let expected = model.containers[name]!.objects[objectName]!.body.bytes
        if reader.size != expected.count { throw RigFailure("a reader of \(reader.size) bytes, not \(expected.count)") }
        var random = SplitMix64(seed: seed)
        guard reader.frameCount > 0 else { return }
        let frame = random.below(reader.frameCount)
        let (bytes, cached) = try Self.frame(reader, frame)
        let slice = expected[frame * frameBytes..<min(expected.count, (frame + 1) * frameBytes)]
        if !same(bytes, slice) { throw RigFailure("wrong bytes in frame \(frame) of \(objectName)") }
        if let cached, !same(cached, slice) {
            throw RigFailure("wrong cached bytes in frame \(frame) of \(objectName)")
        }
    }

    static func frame(_ reader: ObjectReader, _ frame: Int) throws -> (bytes: [UInt8], cached: [UInt8]?) {
        var cached = [UInt8](repeating: 0xEE, count: reader.bufferBytes(frame: frame))
        let fromCache = try cached.withUnsafeMutableBytes { try reader.readCached(frame: frame, into: $0) }
        var bytes = [UInt8](repeating: 0xDD, count: reader.bufferBytes(frame: frame))
        let count = try bytes.withUnsafeMutableBytes { try reader.read(frame: frame, into: $0) }
        return (Array(bytes[..<count]), fromCache.map { Array(cached[..<$0]) })
    }

    // MARK: Endings and beginnings

    private func recoverFromTrouble() {
        disk.clearFaults()
        disk.setCapacity(nil)
        hasTrouble = false
        queued = []
    }

    private func reopen() throws {
        try flush()
        do {
            try store.close()
        } catch {
            guard hasTrouble else { throw RigFailure("close failed: \(error)") }
        }
        storeIfOpen = nil
        disk.killProcess()
        try restart()
    }

    private func kill() throws {
        storeIfOpen = nil
        disk.killProcess()
        try restart()
    }

    private func restart() throws {
        // A process that ends takes nothing along, but a failed flush may have.
        let least = hasTrouble ? durable : acknowledged
        recoverFromTrouble()
        // Faults of the index belong to the process that died; what it holds goes on, with its history.
        for copy in 0..<2 {
            indexes.fail(.apply, copy: copy, at: .max)
            indexes.fail(.checkpoint, copy: copy, at: .max)
        }
        try open()
        try settleOnOneState(from: least)
        noteDurable(at: disk.cutCount)
    }

    private func crash(_ seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let choice: CrashChoice = [.none, .all, .random(seed: random.next()), .random(seed: random.next())][
            random.below(4)]
        let cut = disk.cutCount
        let least = durable
        storeIfOpen = nil
        queued = []
        let image = disk.crashImage(at: cut, choice)
        indexes = indexes.afterCrash(at: cut, RigIndexes.Choice.allCases[random.below(4)]) { image.cutCount }
        disk = image
        recoverFromTrouble()
        try open()
        try settleOnOneState(from: least)
        states = [model]
        acknowledged = 0
        acknowledgements = [(0, 0)]
        submissions = []
    }

    /// How many operations no power cut takes back.
    private var durable: Int { acknowledgements.last?.count ?? 0 }

    func noteDurable(at cut: Int) { acknowledgements.append((acknowledged, cut)) }

    /// The store must show one of the states from this one on.
    private func settleOnOneState(from least: Int) throws {
        let dump = try Self.dump(store)
        for candidate in (least..<states.count).reversed() where states[candidate].dump == dump {
            if candidate == acknowledged, states.count == acknowledged + 1 { return }
            states = [states[candidate]]
            acknowledged = 0
            acknowledgements = [(0, disk.cutCount)]
            submissions = []
            return
        }
        throw RigFailure(
            "not the state after any of operations \(least)...\(states.count - 1): \(dump.difference(from: model.dump))"
        )
    }

    /// The whole visible state must be the model's.
    func compareAll() throws {
        try flush()
        let dump = try Self.dump(store)
        if dump != model.dump { throw RigFailure(dump.difference(from: model.dump)) }
    }

    /// Reads everything that users can see, and verifies each body against its ETag.
    static func dump(_ store: ChunkStore, pageRows: Int = 3) throws -> Dump {
        var result = Dump()
        for account in accounts.sorted() {
            if let row = try store.account(account) { result.accounts.append(row) }
            var containers: [ContainerRow] = []
            while true {
                let page = try store.containers(
                    of: account, in: NameRange(after: containers.last?.name), reverse: false, limit: pageRows)
                containers += page.rows
                guard page.mayHaveMore, !page.rows.isEmpty else { break }
            }
            result.containers += containers
            for container in containers {
                guard try store.container(account, container.name) == container else {
                    throw RigFailure("the listing shows another row of container \(container.name)")
                }
                var objects: [ObjectRow] = []
                while true {
                    let page = try store.objects(
                        in: container.id, NameRange(after: objects.last?.name), reverse: false, limit: pageRows)
                    objects += page.rows
                    guard page.mayHaveMore, !page.rows.isEmpty else { break }
                }
                let reversed = try store.objects(in: container.id, NameRange(), reverse: true, limit: 1000).rows
                if reversed.reversed() != objects {
                    throw RigFailure("the reverse listing of \(container.name) differs")
                }
                for object in objects {
                    if try store.object(container.id, object.name) != object {
                        throw RigFailure("the listing shows another row of \(object.name)")
                    }
                    guard let reader = try store.reader(object) else {
                        throw RigFailure("the bytes of \(object.name) are gone")
                    }
                    var digest = MD5()
                    var size = 0
                    for frame in 0..<reader.frameCount {
                        let bytes = try self.frame(reader, frame).bytes
                        bytes.withUnsafeBytes { digest.update($0) }
                        size += bytes.count
                    }
                    if size != object.size || digest.finalize() != object.etag {
                        throw RigFailure("wrong bytes in \(object.name)")
                    }
                    result.objects.append(Dump.Line(object, in: container.id))
                }
            }
        }
        result.volumes = try volumeLines(store)
        return result
    }
}
