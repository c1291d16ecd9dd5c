import Chunks
import Codecs
import Disks
import Primitives

// What happens to a store at rest: rot.

extension Rigs {
    /// One kind of harm to a file of a store at rest.
    enum Harm: Sendable {
        case flip(path: String, offset: Int, bit: Int)
        case zero(path: String, offset: Int, count: Int)
        /// Two blocks in each other's place.
        case swap(path: String, Int, Int)
        /// A block of one file written over one of another: a misdirected write.
        case misdirect(from: String, Int, to: String, Int)

        func apply(to disk: SimulatedDisk) {
            func block(_ path: String, _ offset: Int) -> [UInt8] {
                let all = disk.contents(path) ?? []
                return Array(all[min(offset, all.count)..<min(offset + 4096, all.count)])
            }
            switch self {
            case .flip(let path, let offset, let bit): disk.flipBit(path, at: offset, bit: bit)
            case .zero(let path, let offset, let count): disk.rot(path, at: offset, [UInt8](repeating: 0, count: count))
            case .swap(let path, let a, let b):
                let (first, second) = (block(path, a), block(path, b))
                disk.rot(path, at: a, second)
                disk.rot(path, at: b, first)
            case .misdirect(let from, let a, let to, let b): disk.rot(to, at: b, block(from, a))
            }
        }
    }

    /// A store with some of its state in the index and some in the log behind it, every group vouched for, killed.
    static func storeAtRest(_ mutant: Mutant?) throws -> StoreRig {
        let rig = try StoreRig(configuration: StoreRig.configuration(mutant))
        try rig.run([
            .putContainer(0, 0, attributes: 3),
            .put(0, 0, 0, BodySpec(seed: 1, size: 9000, kind: .noise), isDeferred: false),
            .upload(0, 0, 2, BodySpec(seed: 2, size: 300_000, kind: .noise)),
            .put(0, 0, 3, BodySpec(seed: 3, size: 60_000, kind: .text), isDeferred: false), .freeze,
            .put(0, 0, 4, BodySpec(seed: 4, size: 5000, kind: .noise), isDeferred: true),
            .put(0, 0, 5, BodySpec(seed: 5, size: 20_000, kind: .noise), isDeferred: false),
            .upload(0, 0, 6, BodySpec(seed: 6, size: 140_000, kind: .text)), .delete(0, 0, 0),
            .put(0, 0, 1, BodySpec(seed: 7, size: 0, kind: .noise), isDeferred: false),
            .setMetadata(0, 0, 3, attributes: 9),
            .put(0, 0, 7, BodySpec(seed: 8, size: 100_000, kind: .noise), isDeferred: false),
            .put(0, 0, 0, BodySpec(seed: 9, size: 100_000, kind: .noise), isDeferred: false),
            .put(0, 0, 1, BodySpec(seed: 10, size: 100_000, kind: .noise), isDeferred: false),
            .put(0, 0, 2, BodySpec(seed: 11, size: 100_000, kind: .noise), isDeferred: false), .seal,
            .putContainer(0, 1, attributes: 1), .seal,
        ])
        return rig
    }

    /// What a rig's store showed after each operation, and every body that it ever held.
    struct KnownStates {
        let dumps: [Dump]
        let bodies: [MD5Digest: [UInt8]]

        init(_ rig: StoreRig) {
            dumps = rig.states.map(\.dump)
            var bodies: [MD5Digest: [UInt8]] = [:]
            for container in rig.states.flatMap(\.containers.values) {
                for object in container.objects.values where bodies[object.etag] == nil {
                    bodies[object.etag] = object.body.bytes
                }
            }
            self.bodies = bodies
        }
    }

    /// Opens the harmed store. Every harm must be harmless (it met nothing), refused, reported, or found when the
    /// bytes are read; what is served must be right, and no acknowledged operation may be missing in silence.
    static func check(_ harm: Harm, _ rig: StoreRig, _ known: KnownStates, _ mutant: Mutant?) throws -> Bool {
        let expected = known.dumps[known.dumps.count - 1]
        let disk = rig.disk.copy()
        let indexes = rig.indexes.fork { disk.cutCount }
        harm.apply(to: disk)
        let store: ChunkStore
        do {
            store = try StoreRig.open(disk, indexes, StoreRig.configuration(mutant))
        } catch is ChunkError {
            return true
        }
        let isReported = store.readOnlyReason != nil
        if isReported {
            let box = Box<Result<Void, ChunkError>>()
            store.latchAccount("acc", on: StoreRig.threads) { hold in
                store.submit(
                    .putAccount(name: "acc", timestamp: .zero, attributes: []), holding: hold, sink: InlineSink.shared
                ) {
                    box.set($0)
                }
            }
            if case .success = box.wait({ store.runPending() }) {
                throw RigFailure("\(harm): a damaged store takes writes")
            }
        }
        var found = isReported
        // Rows of a read-only store may be those of an earlier moment, but of one moment.
        let dumps = isReported ? known.dumps[...] : known.dumps.suffix(1)
        var rows: [Dump.Line] = []
        var containers: [ContainerRow] = []
        for account in StoreRig.accounts {
            containers += try store.containers(of: account, in: NameRange(), reverse: false, limit: 100).rows
        }
        for container in containers {
            for row in try store.objects(in: container.id, NameRange(), reverse: false, limit: 100).rows {
                rows.append(Dump.Line(row, in: container.id))
                guard let right = known.bodies[row.etag] else {
                    throw RigFailure("\(harm): a row of \(row.name) that never was")
                }
                do {
                    guard let reader = try store.reader(row) else {
                        throw RigFailure("\(harm): the bytes of \(row.name) are gone")
                    }
                    for frame in 0..<reader.frameCount {
                        let (bytes, cached) = try StoreRig.frame(reader, frame)
                        let slice = right[frame * frameBytes..<min(right.count, (frame + 1) * frameBytes)]
                        if !same(bytes, slice) || (cached.map { !same($0, slice) } ?? false) {
                            throw RigFailure("\(harm): wrong bytes of \(row.name) were served")
                        }
                    }
                } catch is ChunkError {
                    found = true
                }
            }
        }
        containers.sort { ($0.account, $0.name) < ($1.account, $1.name) }
        guard dumps.contains(where: { $0.objects == rows && $0.containers == containers }) else {
            let difference = Dump(accounts: expected.accounts, containers: containers, objects: rows).difference(
                from: expected)
            throw RigFailure(
                "\(harm): \(isReported ? "reported, but" : "silently") not a state that was: \(difference)")
        }
        return found
    }

    /// Harms all over the files of a store at rest; answers how many were tried, and how many were noticed.
    static func media(seed: UInt64, count: Int, _ mutant: Mutant? = nil) throws -> (tried: Int, noticed: Int) {
        let rig = try storeAtRest(mutant)
        let known = KnownStates(rig)
        var random = SplitMix64(seed: seed)
        let files = rig.disk.files.filter { $0.hasSuffix(".seg") }
        let used = files.map { path in
            let bytes = rig.disk.contents(path)!
            return stride(from: 0, to: bytes.count, by: 4096).filter { at in bytes[at..<at + 4096].contains { $0 != 0 }
            }
        }
        var noticed = 0
        func offset(_ file: Int) -> Int { used[file].isEmpty ? 0 : used[file][random.below(used[file].count)] }
        for number in 0..<count {
            let file = random.below(files.count)
            let path = files[file]
            let harm: Harm
            switch number % 6 {
            case 0, 1: harm = .flip(path: path, offset: offset(file) + random.below(4096), bit: random.below(8))
            case 2: harm = .flip(path: path, offset: offset(file) + random.below(96), bit: random.below(8))
            case 3:
                harm = .zero(
                    path: path, offset: offset(file) + random.below(8) * 512, count: random.oneIn(2) ? 512 : 4096)
            case 4: harm = .swap(path: path, offset(file), offset(file))
            default:
                let other = random.below(files.count)
                harm = .misdirect(from: files[other], offset(other), to: path, offset(file))
            }
            do {
                if try check(harm, rig, known, mutant) { noticed += 1 }
            } catch {
                throw RigFailure("SEED=\(seed): \(error)")
            }
        }
        return (count, noticed)
    }
}
