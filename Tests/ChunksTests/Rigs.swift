import Disks
import Foundation
import Primitives

@testable import Chunks

/// The searches for bugs. Each throws a `RigFailure` that says what it found; the tests run them on the engine
/// as it is and expect nothing, and on each mutant and expect a finding.
enum Rigs {
    /// How much is done: 1 in the test command, more with APUS_TORTURE=n.
    static var scale: Int { ProcessInfo.processInfo.environment["APUS_TORTURE"].flatMap { Int($0) } ?? 1 }

    static var replaySeed: UInt64? { ProcessInfo.processInfo.environment["SEED"].flatMap { UInt64($0) } }

    // MARK: The model

    static func runTrace(_ steps: [Step], _ mutant: Mutant?) throws {
        var options = SimulatedDisk.Options()
        options.recyclesOldBytes = steps.count % 2 == 1
        let rig = try StoreRig(configuration: StoreRig.configuration(mutant), options: options)
        try rig.run(steps)
        try rig.compareAll()
        try rig.run([.kill])
        try rig.compareAll()
        try rig.run([.putContainer(1, 2, attributes: 1), .freeze, .reopen])
        try rig.compareAll()
        try leftovers(rig)
    }

    /// A random trace; a failing one is shrunk before it is reported.
    static func model(
        seed: UInt64, steps count: Int, hasBadDays: Bool = true, _ mutant: Mutant? = nil, shrinks: Bool = true
    ) throws {
        var generator = TraceGenerator(seed: seed)
        generator.hasBadDays = hasBadDays
        let steps = generator.trace(count)
        do {
            try runTrace(steps, mutant)
        } catch {
            guard shrinks else { throw error }
            var last = "\(error)"
            let shrunk = shrink(steps) { candidate in
                do {
                    try runTrace(candidate, mutant)
                    return false
                } catch {
                    last = "\(error)"
                    return true
                }
            }
            throw RigFailure(
                "SEED=\(seed): \(error)\nshrunk to \(shrunk.count) steps: \(last)\n[\n"
                    + shrunk.map { "    \($0)," }.joined(separator: "\n") + "\n]")
        }
    }

    /// What no user sees: map leaves belong to a current version, and nothing is left of uploads.
    static func leftovers(_ rig: StoreRig) throws {
        var owners: Set<UInt64> = []
        for container in try StoreRig.dump(rig.store).containers {
            for row in try rig.store.objects(in: container.id, NameRange(), reverse: false, limit: 10_000).rows
            where row.body == .mapped {
                owners.insert(row.owner)
            }
        }
        var layers: Set<UInt64> = []
        for handle in try rig.store.handles(prefix: Bytes([UInt8]())) {
            var id = try rig.store.layer(of: handle.name)
            while layers.insert(id.id).inserted, id.parent != 0 { id = try rig.store.layerRow(id.parent) }
        }
        for copy in 0..<2 {
            let rows = rig.indexes.history(copy).current.rows
            for key in rows.keys where key.first == RigKeys.layer || key.first == RigKeys.block {
                let owner = key[1..<9].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                let isSwept = rows[[RigKeys.swept] + key[1..<9]] != nil
                if !layers.contains(owner), key.first == RigKeys.layer || !isSwept {
                    throw RigFailure("index \(copy) knows layer \(owner), on which nothing stands")
                }
            }
            for key in rig.indexes.history(copy).current.rows.keys {
                if key.first == RigKeys.upload { throw RigFailure("index \(copy) remembers an upload that is over") }
                if key.first == RigKeys.leaf {
                    let owner = key[1..<9].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                    if !owners.contains(owner) {
                        throw RigFailure("index \(copy) has a leaf of \(owner), which is no current version")
                    }
                }
            }
        }
        let (a, b) = (rig.indexes.history(0).current, rig.indexes.history(1).current)
        if a.position == b.position, a.rows != b.rows {
            throw RigFailure("the two index copies differ at the same position")
        }
    }

    // MARK: Crash states

    struct CrashCount {
        var images = 0
        var continuations = 0
    }

    /// Recovers from every image that the plan makes of the rig's log: the state must be that of a prefix at or
    /// after the last acknowledged operation, recovering again (or after a crash of the recovery) must give the
    /// same, and the store must go on from there.
    static func crashes(
        _ rig: StoreRig, _ plan: CrashPlan, deepEvery: Int, _ mutant: Mutant?, _ count: inout CrashCount
    ) throws {
        let configuration = StoreRig.configuration(mutant)
        let dumps = rig.states.map(\.dump)
        var random = SplitMix64(seed: plan.seed)
        var done = CrashCount()
        defer {
            count.images += done.images
            count.continuations += done.continuations
        }
        try rig.disk.forEachCrashImage(plan) { image throws(any Error) in
            let least = rig.acknowledgements.last { $0.cut <= image.cut }?.count ?? 0
            let most = rig.submissions.filter { $0 < image.cut }.count
            let choices: [RigIndexes.Choice] =
                rig.indexes.isCertain(at: image.cut) ? [.newest] : RigIndexes.Choice.allCases
            for choice in choices {
                done.images += 1
                let disk = choices.count == 1 ? image.disk : image.disk.copy()
                let where_ = "cut \(image.cut) (\(image.choice), index \(choice))"
                let indexes = rig.indexes.afterCrash(at: image.cut, choice) { disk.cutCount }
                let store: ChunkStore
                do {
                    store = try StoreRig.open(disk, indexes, configuration)
                } catch {
                    throw RigFailure("\(where_): does not open: \(error)")
                }
                if let reason = store.readOnlyReason { throw RigFailure("\(where_): read-only: \(reason)") }
                let dump: Dump
                do { dump = try StoreRig.dump(store) } catch { throw RigFailure("\(where_): \(error)") }
                guard let found = (least...max(least, most)).last(where: { $0 < dumps.count && dumps[$0] == dump })
                else {
                    throw RigFailure(
                        "\(where_): not the state after operations \(least)...\(most): \(dump.difference(from: dumps[least]))"
                    )
                }
                if random.oneIn(8) {
                    var report = CheckReport()
                    try store.check(&report, readsBytes: false)
                    if let problem = report.problems.first { throw RigFailure("\(where_): check: \(problem)") }
                }
                guard random.oneIn(deepEvery) else { continue }
                done.continuations += 1
                // Crash inside the recovery that just ran, then go on from there.
                let cut = random.below(disk.cutCount + 1)
                let again = disk.crashImage(at: cut, [.none, .all, .random(seed: random.next())][random.below(3)])
                let indexesAgain = indexes.afterCrash(at: cut, RigIndexes.Choice.allCases[random.below(4)]) {
                    again.cutCount
                }
                do {
                    let next = try StoreRig(
                        adopting: again, indexesAgain, rig.states[found], configuration, ticks: 9_000_000)
                    try next.run([
                        .putContainer(0, 0, attributes: 9),
                        .put(0, 0, 1, BodySpec(seed: 5, size: 3000, kind: .noise), isDeferred: false),
                        .put(0, 0, 2, BodySpec(seed: 6, size: 0, kind: .zeros), isDeferred: false),
                        .crash(seed: random.next() % 1000),
                        .put(0, 0, 3, BodySpec(seed: 7, size: 5000, kind: .noise), isDeferred: false), .seal, .freeze,
                        .kill,
                    ])
                    try next.compareAll()
                } catch {
                    throw RigFailure("\(where_), then a crash of its recovery at \(cut): \(error)")
                }
            }
        }
    }

    /// The kinds of operation that sequences are made of.
    static let kinds: [Step] = [
        .put(0, 0, 1, BodySpec(seed: 11, size: 700, kind: .noise), isDeferred: false),
        .put(0, 0, 0, BodySpec(seed: 12, size: 20_000, kind: .noise), isDeferred: true),
        .delete(0, 0, 0),
        .upload(0, 0, 0, BodySpec(seed: 13, size: 140_000, kind: .noise)),
        .setMetadata(0, 0, 0, attributes: 40),
        .putContainer(0, 1, attributes: 5),
        .freeze,
        .seal,
        .abandon(BodySpec(seed: 14, size: 140_000, kind: .text), finishes: true),
        .volume(.write(0, sector: 2032, BodySpec(seed: 15, size: 16_384, kind: .noise), isDeferred: true)),
        .volume(.write(0, sector: 2047, BodySpec(seed: 16, size: 1_024, kind: .text), isDeferred: false)),
        .volume(.zero(0, sector: 2040, count: 20)),
        .volume(.snapshot(0, as: 3)),
        .volume(.remove(3)),
        .volume(.write(1, sector: 2040, BodySpec(seed: 17, size: 8_192, kind: .noise), isDeferred: false)),
        .volume(.flush),
    ]

    static let foundation: [Step] = [
        .putContainer(0, 0, attributes: 3),
        .put(0, 0, 0, BodySpec(seed: 1, size: 100, kind: .noise), isDeferred: false),
        .upload(0, 0, 2, BodySpec(seed: 2, size: 140_000, kind: .text)),
        .volume(.make(0)),
        .volume(.write(0, sector: 2044, BodySpec(seed: 3, size: 4_096, kind: .noise), isDeferred: false)),
        .volume(.make(1)),
    ]

    /// All sequences of at most three kinds, every `stride`-th of them.
    static func sequences(
        stride: Int, offset: Int = 0, _ plan: CrashPlan, deepEvery: Int, _ mutant: Mutant? = nil,
        _ count: inout CrashCount
    ) throws {
        var number = 0
        for length in 1...3 {
            var digits = [Int](repeating: 0, count: length)
            while true {
                number += 1
                if number % stride == offset % stride {
                    let steps = digits.map { kinds[$0] } + [.flush]
                    do {
                        let rig = try StoreRig(configuration: StoreRig.configuration(mutant))
                        try rig.run(foundation)
                        var plan = plan
                        plan.firstCut = rig.disk.cutCount
                        try rig.run(steps)
                        try rig.compareAll()
                        try crashes(rig, plan, deepEvery: deepEvery, mutant, &count)
                    } catch {
                        throw RigFailure("\(steps): \(error)")
                    }
                }
                var at = length - 1
                while at >= 0, digits[at] == kinds.count - 1 {
                    digits[at] = 0
                    at -= 1
                }
                if at < 0 { break }
                digits[at] += 1
            }
        }
    }

    /// A longer random trace that begins with an empty disk and has no bad days of its own, then all its crashes.
    static func traceCrashes(
        seed: UInt64, steps: Int, _ plan: CrashPlan, deepEvery: Int, _ mutant: Mutant? = nil, _ count: inout CrashCount
    ) throws {
        var generator = TraceGenerator(seed: seed)
        generator.hasBadDays = false
        generator.bodyMax = 9000
        let trace = generator.trace(steps)
        do {
            let rig = try StoreRig(configuration: StoreRig.configuration(mutant))
            try rig.run(trace + [.flush])
            try rig.compareAll()
            var plan = plan
            plan.seed = seed
            try crashes(rig, plan, deepEvery: deepEvery, mutant, &count)
        } catch {
            throw RigFailure("SEED=\(seed): \(error)")
        }
    }

    // MARK: Faults

    static let faultTrace: [Step] = [
        .putContainer(0, 0, attributes: 3),
        .put(0, 0, 0, BodySpec(seed: 1, size: 5000, kind: .noise), isDeferred: false),
        .put(0, 0, 1, BodySpec(seed: 2, size: 100_000, kind: .noise), isDeferred: true),
        .put(0, 0, 2, BodySpec(seed: 3, size: 0, kind: .noise), isDeferred: false),
        .upload(0, 0, 3, BodySpec(seed: 4, size: 300_000, kind: .noise)), .read(0, 0, 3, seed: 1), .freeze,
        .putContainer(0, 1, attributes: 4), .delete(0, 0, 0), .list(0, 0, seed: 3), .read(0, 0, 1, seed: 1), .seal,
        .put(0, 0, 1, BodySpec(seed: 5, size: 130_000, kind: .noise), isDeferred: false),
        .put(0, 0, 4, BodySpec(seed: 6, size: 130_000, kind: .noise), isDeferred: false),
        .put(0, 0, 5, BodySpec(seed: 7, size: 130_000, kind: .noise), isDeferred: false), .delete(0, 0, 3), .freeze,
        .setMetadata(0, 0, 1, attributes: 8), .deleteContainer(0, 1),
        .put(0, 0, 6, BodySpec(seed: 8, size: 900, kind: .text), isDeferred: false),
        .abandon(BodySpec(seed: 9, size: 200_000, kind: .text), finishes: true), .volume(.make(0)),
        .volume(.write(0, sector: 16, BodySpec(seed: 20, size: 8_192, kind: .noise), isDeferred: true)),
        .volume(.write(0, sector: 3, BodySpec(seed: 21, size: 1_536, kind: .noise), isDeferred: false)),
        .volume(.snapshot(0, as: 3)), .volume(.update(0, sector: 4, count: 8)), .freeze,
        .volume(.write(0, sector: 1_000, BodySpec(seed: 22, size: 65_536, kind: .text), isDeferred: false)),
        .volume(.clone(3, as: 1)), .volume(.revert(0, to: 3)), .volume(.remove(1)), .volume(.read(0, seed: 4)),
        .volume(.make(1)),
        .volume(.write(1, sector: 8, BodySpec(seed: 23, size: 12_288, kind: .noise), isDeferred: false)),
        .volume(.write(1, sector: 24, BodySpec(seed: 24, size: 4_096, kind: .noise), isDeferred: false)),
        .volume(.flush),
        .volume(.write(1, sector: 24, BodySpec(seed: 25, size: 2_048, kind: .noise), isDeferred: false)), .freeze,
    ]

    /// Fails the i-th call of one kind: nothing is acknowledged falsely, nothing traps, and a restart is clean.
    static func fault(
        _ call: DiskCall?, _ index: Int, _ effect: DiskFault.Effect, sticky: Bool, _ after: DiskFault.AfterFailedSync,
        powerCut: Bool, _ mutant: Mutant? = nil
    ) throws {
        let what = "\(call?.rawValue ?? "call") \(index) \(effect) sticky \(sticky) \(after) power cut \(powerCut)"
        do {
            let rig = try StoreRig(configuration: StoreRig.configuration(mutant))
            rig.injectTrouble(
                DiskFault(
                    calls: call.map { [$0] }, index: index, effect: effect, isSticky: sticky, afterFailedSync: after))
            try rig.run(faultTrace)
            try rig.run(powerCut ? [.crash(seed: UInt64(index))] : [.kill])
            try rig.run([
                .putContainer(0, 2, attributes: 7),
                .put(0, 2, 0, BodySpec(seed: 10, size: 2000, kind: .noise), isDeferred: false),
                .freeze, .reopen,
            ])
            try rig.compareAll()
            try leftovers(rig)
        } catch {
            throw RigFailure("\(what): \(error)")
        }
    }

    /// Every kind, every `stride`-th call.
    static func faults(stride: Int, _ mutant: Mutant? = nil, only: [DiskCall] = DiskCall.allCases) throws -> Int {
        let clean = try StoreRig(configuration: StoreRig.configuration(mutant))
        let before = clean.disk.counts
        try clean.run(faultTrace)
        var runs = 0
        for call in only where call != .readCached {
            let total = (clean.disk.counts[call] ?? 0) - (before[call] ?? 0)
            for index in Swift.stride(from: 0, to: total, by: max(1, total > 40 ? stride * 4 : stride)) {
                let variants: [(DiskFault.Effect, Bool, DiskFault.AfterFailedSync)] =
                    switch call {
                    case .sync:
                        [
                            (.error(5), false, .cleanAndKept), (.error(5), false, .cleanAndReverted),
                            (.error(5), true, .cleanAndKept),
                            (.error(28), false, .cleanAndReverted), (.error(5), false, .reportedLate),
                        ]
                    case .write:
                        [
                            (.error(5), false, .cleanAndKept), (.short(5), false, .cleanAndKept),
                            (.error(28), true, .cleanAndKept), (.short(28), false, .cleanAndKept),
                        ]
                    default: [(.error(5), false, .cleanAndKept), (.error(28), true, .cleanAndKept)]
                    }
                for (effect, sticky, after) in variants {
                    runs += 1
                    try fault(call, index, effect, sticky: sticky, after, powerCut: (index + runs) % 2 == 0, mutant)
                }
            }
        }
        return runs
    }

    /// Fails the i-th call of opening: it throws or succeeds, and the next opening finds everything.
    static func openFaults(_ mutant: Mutant? = nil) throws -> Int {
        let rig = try StoreRig(configuration: StoreRig.configuration(mutant))
        try rig.run(Array(faultTrace.prefix(16)) + [.flush])
        let expected = rig.model.dump
        var runs = 0
        for sticky in [false, true] {
            var index = 0
            while true {
                let disk = rig.disk.crashImage(at: rig.disk.cutCount, .none)
                let indexes = rig.indexes.afterCrash(at: rig.disk.cutCount, .oldest) { disk.cutCount }
                disk.inject(DiskFault(calls: nil, index: index, effect: .error(5), isSticky: sticky))
                do {
                    _ = try StoreRig.open(disk, indexes, StoreRig.configuration(mutant))
                } catch is ChunkError {
                    // As it should.
                }
                let struck = disk.faultsHit > 0
                disk.clearFaults()
                disk.killProcess()
                runs += 1
                let store = try StoreRig.open(disk, indexes, StoreRig.configuration(mutant))
                guard store.readOnlyReason == nil, try StoreRig.dump(store) == expected else {
                    throw RigFailure(
                        "after call \(index) of an opening failed: \(try StoreRig.dump(store).difference(from: expected))"
                    )
                }
                if !struck { break }
                index += 1
            }
        }
        return runs
    }
}

/// The first bytes of index keys that the rigs look at.
enum RigKeys {
    static let leaf = UInt8(ascii: "L")
    static let upload = UInt8(ascii: "U")
    static let layer = UInt8(ascii: "Y")
    static let block = UInt8(ascii: "B")
    static let swept = UInt8(ascii: "X")
}
