import Codecs
import Disks
import Primitives

@testable import Chunks

/// What a step of a trace does to volumes. Numbers name handles and places, so that any step makes sense anywhere.
enum VolumeStep: Sendable, Hashable {
    case make(Int)
    /// `sector` and the bytes that `body` stands for, whole sectors.
    case write(Int, sector: Int, BodySpec, isDeferred: Bool)
    case zero(Int, sector: Int, count: Int)
    /// Adds one to every byte of the sectors, if the first is even (else leaves them).
    case update(Int, sector: Int, count: Int)
    case snapshot(Int, as: Int)
    case clone(Int, as: Int)
    case revert(Int, to: Int)
    case resize(Int)
    case remove(Int)
    case read(Int, seed: UInt64)
    /// Makes durable what was written to the volume that has a write cache.
    case flush
    /// Nobody holds it any more.
    case close(Int)
}

/// A volume's or a snapshot's bytes in the model, and their hash, computed once. Never changed: copies share it.
final class VolumeContent: Sendable {
    let bytes: [UInt8]
    let hash: UInt64

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        hash = Self.hash(bytes[...])
    }

    static func hash(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.withUnsafeBytes { $0.isEmpty ? 0 : XXH3.hash($0, secret) }
    }

    private static let secret = HashSecret((0..<192).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ 11) })

    func with(_ change: (inout [UInt8]) -> Void) -> VolumeContent {
        var copy = bytes
        change(&copy)
        return VolumeContent(copy)
    }
}

struct ModelVolume: Sendable {
    var isSnapshot: Bool
    var content: VolumeContent
    /// The snapshots that it stands on, oldest first.
    var ancestors: [Bytes]
}

struct VolumeLine: Hashable, Sendable {
    var name: Bytes
    var isSnapshot: Bool
    var size: Int
    var hash: UInt64
}

extension Model {
    var volumeLines: [VolumeLine] {
        volumes.keys.sorted().map { name in
            let volume = volumes[name]!
            return VolumeLine(
                name: name, isSnapshot: volume.isSnapshot, size: volume.content.bytes.count, hash: volume.content.hash)
        }
    }
}

extension StoreRig {
    static let handleNames: [Bytes] = ["v0", "v1", "v2", "s0", "s1"]
    /// The volume with a write cache.
    static let cachedVolume: Bytes = "v1"
    static let sectorBytes = 512
    /// One leaf of the map and a little of the next.
    static let volumeBytes = (1 << 20) + (64 << 10)
    static let volumeGrowth = 64 << 10

    func take(_ step: VolumeStep) throws {
        switch step {
        case .make(let v): try makeVolume(Self.handleNames[v])
        case .write(let v, let sector, let body, let isDeferred):
            try writeVolume(Self.handleNames[v], sector, body.bytes, flushes: !isDeferred)
        case .zero(let v, let sector, let count): try zeroVolume(Self.handleNames[v], sector, count)
        case .update(let v, let sector, let count): try updateVolume(Self.handleNames[v], sector, count)
        case .snapshot(let v, let s): try snapshot(Self.handleNames[v], as: Self.handleNames[s])
        case .clone(let from, let v): try clone(Self.handleNames[from], as: Self.handleNames[v])
        case .revert(let v, let s): try revert(Self.handleNames[v], to: Self.handleNames[s])
        case .resize(let v): try resize(Self.handleNames[v])
        case .remove(let v): try remove(Self.handleNames[v])
        case .read(let v, let seed): try readVolume(Self.handleNames[v], seed)
        case .flush: try flushVolumes()
        case .close(let v):
            try flush()
            openVolumes[Self.handleNames[v]] = nil
        }
    }

    // MARK: The tree

    private func makeVolume(_ name: Bytes) throws {
        let expected: LayerError? = model.volumes[name] == nil ? nil : .handleExists(name)
        try tree(expected) {
            try $0.createVolume(name, byteCount: UInt64(Self.volumeBytes), attributes: [1, 2])
        } effect: {
            $0.volumes[name] = ModelVolume(
                isSnapshot: false, content: VolumeContent([UInt8](repeating: 0, count: Self.volumeBytes)),
                ancestors: [])
        }
    }

    private func snapshot(_ name: Bytes, as snapshot: Bytes) throws {
        var expected: LayerError?
        if let volume = model.volumes[name] {
            if volume.isSnapshot {
                expected = .wrongKind(name)
            } else if model.volumes[snapshot] != nil {
                expected = .handleExists(snapshot)
            }
        } else {
            expected = .noSuchHandle(name)
        }
        try tree(expected) {
            try $0.snapshot(name, as: snapshot, attributes: [])
        } effect: {
            let volume = $0.volumes[name]!
            $0.volumes[snapshot] = ModelVolume(
                isSnapshot: true, content: volume.content, ancestors: volume.ancestors)
            $0.volumes[name]!.ancestors.append(snapshot)
        }
    }

    /// From a snapshot, or from a volume as it is.
    private func clone(_ source: Bytes, as name: Bytes) throws {
        var expected: LayerError?
        if model.volumes[source] == nil {
            expected = .noSuchHandle(source)
        } else if model.volumes[name] != nil {
            expected = .handleExists(name)
        }
        let size = UInt64(model.volumes[source]?.content.bytes.count ?? Self.volumeBytes)
        let isSnapshot = model.volumes[source]?.isSnapshot == true
        try tree(expected) { store in
            if isSnapshot {
                try store.clone(source, as: name, byteCount: size, attributes: [])
            } else {
                try store.cloneVolume(source, as: name, byteCount: size, attributes: [])
            }
        } effect: {
            let from = $0.volumes[source]!
            $0.volumes[name] = ModelVolume(
                isSnapshot: false, content: from.content, ancestors: from.ancestors + (isSnapshot ? [source] : []))
        }
    }

    private func revert(_ name: Bytes, to snapshot: Bytes) throws {
        var expected: LayerError?
        if let volume = model.volumes[name] {
            if volume.isSnapshot {
                expected = .wrongKind(name)
            } else if let target = model.volumes[snapshot] {
                if !target.isSnapshot {
                    expected = .wrongKind(snapshot)
                } else if !volume.ancestors.contains(snapshot) {
                    expected = .notAnAncestor
                }
            } else {
                expected = .noSuchHandle(snapshot)
            }
        } else {
            expected = .noSuchHandle(name)
        }
        try tree(expected) {
            try $0.revert(name, to: snapshot)
        } effect: {
            $0.volumes[name]!.content = $0.volumes[snapshot]!.content
            let ancestors = $0.volumes[name]!.ancestors
            $0.volumes[name]!.ancestors = Array(ancestors[...ancestors.firstIndex(of: snapshot)!])
        }
    }

    private func resize(_ name: Bytes) throws {
        var expected: LayerError?
        if let volume = model.volumes[name] {
            if volume.isSnapshot { expected = .wrongKind(name) }
        } else {
            expected = .noSuchHandle(name)
        }
        let size = (model.volumes[name]?.content.bytes.count ?? 0) + Self.volumeGrowth
        guard size <= Self.volumeBytes + 4 * Self.volumeGrowth else { return }
        try tree(expected) {
            try $0.resize(name, to: UInt64(size))
        } effect: {
            $0.volumes[name]!.content = $0.volumes[name]!.content.with {
                $0 += [UInt8](repeating: 0, count: Self.volumeGrowth)
            }
        }
    }

    private func remove(_ name: Bytes) throws {
        let expected: LayerError? = model.volumes[name] == nil ? .noSuchHandle(name) : nil
        try tree(expected) {
            try $0.removeHandle(name)
        } effect: { model in
            model.volumes[name] = nil
            for other in model.volumes.keys { model.volumes[other]!.ancestors.removeAll { $0 == name } }
        }
    }

    /// A change of the tree waits for its own commit, so it is settled when it returns.
    private func tree(
        _ expected: LayerError?, _ change: (ChunkStore) throws -> Void,
        effect: @escaping @Sendable (inout Model) -> Void
    ) throws {
        try flush()
        let outcome = Box<(result: Result<Void, ChunkError>, cut: Int)>()
        let cut = disk.cutCount
        let wasReadOnly = store.readOnlyReason != nil
        do {
            try change(store)
            if let expected { throw RigFailure("\(expected) was not said") }
            outcome.set((.success(()), disk.cutCount))
        } catch LayerError.store(let error) {
            if expected != nil { return }
            outcome.set((.failure(error), disk.cutCount))
        } catch let error as LayerError {
            guard error == expected else { throw RigFailure("\(error), not \(String(describing: expected))") }
            return
        }
        try settle(
            [Queued(effect: effect, outcome: outcome, containers: [], isWholeContainer: false, object: nil)],
            submittedAt: cut, wasReadOnly: wasReadOnly)
    }

    // MARK: Bytes

    private func volume(_ name: Bytes) throws -> LayeredVolume? {
        do {
            let volume = try store.volume(name, threads: nil)
            openVolumes[name] = volume
            return volume
        } catch LayerError.noSuchHandle {
            guard model.volumes[name] == nil else { throw RigFailure("\(name) is gone") }
            return nil
        } catch LayerError.store(let error) {
            guard hasTrouble else { throw RigFailure("\(name) does not open: \(error)") }
            return nil
        }
    }

    private func bounds(_ name: Bytes, _ sector: Int, _ count: Int) -> Range<Int>? {
        guard let volume = model.volumes[name], !volume.isSnapshot else { return nil }
        let end = volume.content.bytes.count
        let start = min(sector * Self.sectorBytes, end - Self.sectorBytes)
        return start..<min(start + max(count, 1) * Self.sectorBytes, end)
    }

    private func writeVolume(_ name: Bytes, _ sector: Int, _ body: [UInt8], flushes: Bool) throws {
        guard let range = bounds(name, sector, body.count / Self.sectorBytes) else { return }
        let bytes = Array(body.prefix(range.count))
        guard bytes.count == range.count else { return }
        let blocks = range.lowerBound / 4096..<(range.upperBound + 4095) / 4096
        let isWhole = range.lowerBound % 4096 == 0 && range.count % 4096 == 0
        // Parts of blocks wait for what is on its way, and several records may be cut between.
        let isCached = name == Self.cachedVolume
        let isBulk = isWhole && !isCached && range.count >= Limits.volumeBulkBytesMin
        if !isWhole || isBulk || blocks.count > Limits.volumeRecordBlocksMax { try flush() }
        if blocks.count > Limits.volumeRecordBlocksMax, hasTrouble { return }
        guard let volume = try volume(name) else { return }
        let outcome = Box<(result: Result<Void, ChunkError>, cut: Int)>()
        let most = isBulk ? store.bulkBlocksMax : Limits.volumeRecordBlocksMax
        for first in stride(from: blocks.lowerBound, to: blocks.upperBound, by: most) {
            let part = (first * 4096..<(first + most) * 4096).clamped(to: range)
            queue(outcome, isCached: isCached) {
                $0.volumes[name]!.content = $0.volumes[name]!.content.with {
                    $0.replaceSubrange(
                        part, with: bytes[part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound])
                }
            }
        }
        let disk = disk
        bytes.withUnsafeBytes {
            volume.write($0, at: UInt64(range.lowerBound), isCached: isCached, sink: InlineSink.shared) {
                outcome.set(($0, disk.cutCount))
            }
        }
        if flushes || !isWhole || blocks.count > Limits.volumeRecordBlocksMax { try flush() }
    }

    private func zeroVolume(_ name: Bytes, _ sector: Int, _ count: Int) throws {
        guard let range = bounds(name, sector, count), !hasTrouble else { return }
        try flush()
        guard let volume = try volume(name) else { return }
        let outcome = Box<(result: Result<Void, ChunkError>, cut: Int)>()
        // First the parts of blocks, then what lies between.
        var parts: [Range<Int>] = []
        var middle = range
        if range.lowerBound % 4096 != 0 || range.count < 4096 && range.upperBound % 4096 != 0 {
            let end = min(range.upperBound, (range.lowerBound / 4096 + 1) * 4096)
            parts.append(range.lowerBound..<end)
            middle = end..<range.upperBound
        }
        if middle.upperBound % 4096 != 0, !middle.isEmpty {
            parts.append(middle.upperBound / 4096 * 4096..<middle.upperBound)
            middle = middle.lowerBound..<middle.upperBound / 4096 * 4096
        }
        if !middle.isEmpty { parts.append(middle) }
        for part in parts {
            queue(outcome, isCached: name == Self.cachedVolume) {
                $0.volumes[name]!.content = $0.volumes[name]!.content.with {
                    $0.replaceSubrange(part, with: repeatElement(0, count: part.count))
                }
            }
        }
        let disk = disk
        volume.zero(
            UInt64(range.lowerBound), UInt64(range.count), isCached: name == Self.cachedVolume, sink: InlineSink.shared
        ) {
            outcome.set(($0, disk.cutCount))
        }
        try flush()
    }

    private func updateVolume(_ name: Bytes, _ sector: Int, _ count: Int) throws {
        guard let range = bounds(name, sector, min(count, 100)) else { return }
        try flush()
        guard let volume = try volume(name) else { return }
        let outcome = Box<(result: Result<Void, ChunkError>, cut: Int)>()
        let isChanged = model.volumes[name]!.content.bytes[range.lowerBound] % 2 == 0
        if isChanged {
            queue(outcome, isCached: name == Self.cachedVolume) {
                $0.volumes[name]!.content = $0.volumes[name]!.content.with { bytes in
                    for at in range { bytes[at] &+= 1 }
                }
            }
        }
        let disk = disk
        volume.update(
            UInt64(range.lowerBound), range.count, isCached: name == Self.cachedVolume, sink: InlineSink.shared,
            change: { bytes in
                guard bytes[0] % 2 == 0 else { return false }
                for at in 0..<bytes.count { bytes[at] &+= 1 }
                return true
            }
        ) { outcome.set(($0, disk.cutCount)) }
        try flush()
        if !isChanged, outcome.value == nil { throw RigFailure("an update that changes nothing was never answered") }
    }

    /// What was acknowledged before is what any crash leaves from here on.
    private func flushVolumes() throws {
        try flush()
        let outcome = Box<Result<Void, ChunkError>>()
        store.flush(sink: InlineSink.shared) { outcome.set($0) }
        store.runPending()
        switch outcome.value {
        case .success: noteDurable(at: disk.cutCount)
        case .failure(let error): if !hasTrouble { throw RigFailure("a flush failed without trouble: \(error)") }
        case nil: throw RigFailure("a flush was never answered")
        }
    }

    private func queue(
        _ outcome: Box<(result: Result<Void, ChunkError>, cut: Int)>, isCached: Bool,
        _ effect: @escaping @Sendable (inout Model) -> Void
    ) {
        queued.append(
            Queued(
                effect: effect, outcome: outcome, containers: [], isWholeContainer: false, object: nil,
                isCached: isCached))
    }

    private func readVolume(_ name: Bytes, _ seed: UInt64) throws {
        try flush()
        guard let volume = try volume(name), let expected = model.volumes[name] else { return }
        let size = expected.content.bytes.count
        guard Int(volume.byteCount) == size else {
            throw RigFailure("\(name) has \(volume.byteCount) bytes, not \(size)")
        }
        var random = SplitMix64(seed: seed)
        let sectors = size / Self.sectorBytes
        let start = random.below(sectors)
        let count = min(sectors - start, 1 + random.below(random.oneIn(3) ? 600 : 20))
        let range = start * Self.sectorBytes..<(start + count) * Self.sectorBytes
        var cached = [UInt8](repeating: 0xEE, count: range.count)
        let wasCached = try cached.withUnsafeMutableBytes {
            try volume.readCached(at: UInt64(range.lowerBound), into: $0)
        }
        var bytes = [UInt8](repeating: 0xDD, count: range.count)
        try bytes.withUnsafeMutableBytes { try volume.read(at: UInt64(range.lowerBound), into: $0) }
        if !same(bytes, expected.content.bytes[range]) { throw RigFailure("wrong bytes in \(name) at \(range)") }
        if wasCached, !same(cached, expected.content.bytes[range]) {
            throw RigFailure("wrong cached bytes in \(name) at \(range)")
        }
    }

    /// Everything that can be read of volumes and snapshots.
    static func volumeLines(_ store: ChunkStore) throws -> [VolumeLine] {
        try store.handles(prefix: Bytes([UInt8]())).map { handle in
            let volume = try store.volume(handle.name, threads: nil)
            var bytes = [UInt8](repeating: 0xDD, count: Int(volume.byteCount))
            try bytes.withUnsafeMutableBytes { try volume.read(at: 0, into: $0) }
            return VolumeLine(
                name: handle.name, isSnapshot: handle.kind == .snapshot, size: bytes.count,
                hash: VolumeContent.hash(bytes[...]))
        }
    }
}

extension TraceGenerator {
    mutating func volumeStep() -> VolumeStep {
        let v = random.below(3)
        let any = random.below(5)
        let s = 3 + random.below(2)
        // Around the leaf's end more often than elsewhere.
        let sectors = StoreRig.volumeBytes / 512
        let sector = random.oneIn(2) ? 2048 - 40 + random.below(80) : random.below(sectors)
        switch random.below(100) {
        case 0..<12: return .make(v)
        case 12..<50:
            let isWhole = random.oneIn(2)
            let count = random.oneIn(20) ? 512 + random.below(300) : 1 + random.below(random.oneIn(4) ? 256 : 24)
            let body = BodySpec(
                seed: random.next() % 1000, size: (isWhole ? (count + 7) / 8 * 8 : count) * 512,
                kind: [.zeros, .text, .noise, .noise][random.below(4)])
            return .write(v, sector: isWhole ? sector / 8 * 8 : sector, body, isDeferred: random.oneIn(3))
        case 50..<58: return .zero(v, sector: sector, count: 1 + random.below(random.oneIn(4) ? 2100 : 40))
        case 58..<63: return .update(v, sector: sector, count: 1 + random.below(40))
        case 63..<70: return .snapshot(v, as: s)
        case 70..<76: return .clone(any, as: v)
        case 76..<79: return .revert(v, to: s)
        case 79..<81: return .resize(v)
        case 81..<87: return .remove(any)
        case 87..<90: return .flush
        case 90..<92: return .close(any)
        default: return .read(any, seed: random.next() % 10_000)
        }
    }
}
