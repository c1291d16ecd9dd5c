import Synchronization

/// Volumes in memory: what a driver has to do, in the fewest words, for tests and for reading beside the protocol.
///
/// It keeps only the blocks that were written, so that a volume of any size costs what was put into it.
package final class MemoryVolumes: VolumeDriver {
    package let traits: DriverTraits

    /// One call, for tests that stop, fail or count them.
    package enum Step: Sendable, Hashable {
        case create(String), clone(String), delete(String), extend(String), snapshot(String), deleteSnapshot(String)
        case revert(String), adopt(String), statistics, inventory, openImage(String), readImage, fill(String)
    }

    package enum Moment: Sendable, Hashable {
        case before, after
    }

    /// Asked around every call: it may wait, and what it throws is the call's outcome.
    package typealias Hook = @Sendable (Step, Moment) async throws(DriverError) -> Void

    struct Content: Sendable {
        var bytes: UInt64
        var blockBytes: Int
        var writeCache: Bool
        var blocks: [UInt64: [UInt8]]
    }

    struct State {
        var volumes: [String: Content] = [:]
        /// By volume, then snapshot.
        var snapshots: [String: [String: Content]] = [:]
        /// Names of what was not made here.
        var foreign: Set<String> = []
        var hook: Hook?
    }

    let state = Mutex(State())
    private let totalBytes: UInt64
    /// What `snapshotsLeft` says.
    let snapshotsMax: Int

    package init(
        totalBytes: UInt64 = 1 << 40, snapshotsMax: Int = .max,
        traits: DriverTraits = DriverTraits(
            name: "memory", version: "1.0", vendor: "Apus", storageProtocol: "iSCSI", isThin: true,
            supportsMultiattach: true, snapshotsTogether: true, discards: true, blockSizes: [512, 4096])
    ) {
        self.totalBytes = totalBytes
        self.snapshotsMax = snapshotsMax
        self.traits = traits
    }

    package func setHook(_ hook: Hook?) { state.withLock { $0.hook = hook } }

    func around<T: Sendable>(
        _ step: Step, _ body: (inout sending State) throws(DriverError) -> sending T
    ) async throws(DriverError) -> T {
        let hook = state.withLock { $0.hook }
        try await hook?(step, .before)
        let result: Result<T, DriverError> = state.withLock { state in
            do throws(DriverError) {
                return .success(try body(&state))
            } catch {
                return .failure(error)
            }
        }
        let value = try result.get()
        try await hook?(step, .after)
        return value
    }

    package func create(_ volume: NewVolume) async throws(DriverError) {
        try await around(.create(volume.id)) { state throws(DriverError) in
            if let old = state.volumes[volume.id] {
                guard old.bytes == volume.bytes else { throw .exists(volume.id) }
                return
            }
            state.volumes[volume.id] = Content(
                bytes: volume.bytes, blockBytes: volume.blockBytes, writeCache: volume.writeCache, blocks: [:])
        }
    }

    package func clone(_ volume: NewVolume, from source: CloneSource) async throws(DriverError) {
        try await around(.clone(volume.id)) { state throws(DriverError) in
            let found: Content?
            switch source {
            case .volume(let id): found = state.volumes[id]
            case .snapshot(let id, let owner): found = state.snapshots[owner]?[id]
            }
            guard var content = found else { throw .absent("\(source)") }
            guard volume.bytes >= content.bytes, volume.blockBytes == content.blockBytes else {
                throw .invalid("a clone is no smaller than its source and has its blocks")
            }
            if let old = state.volumes[volume.id] {
                guard old.bytes == volume.bytes else { throw .exists(volume.id) }
                return
            }
            content.bytes = volume.bytes
            content.writeCache = volume.writeCache
            state.volumes[volume.id] = content
        }
    }

    package func delete(_ id: String) async throws(DriverError) {
        try await around(.delete(id)) { state throws(DriverError) in
            guard state.snapshots[id]?.isEmpty ?? true else { throw .hasSnapshots(id) }
            state.volumes[id] = nil
            state.snapshots[id] = nil
        }
    }

    package func extend(_ id: String, to bytes: UInt64) async throws(DriverError) {
        try await around(.extend(id)) { state throws(DriverError) in
            guard let old = state.volumes[id] else { throw .absent(id) }
            guard bytes >= old.bytes else { throw .invalid("\(id) can't shrink") }
            state.volumes[id]?.bytes = bytes
        }
    }

    package func snapshot(_ cuts: [SnapshotCut]) async throws(DriverError) {
        try await around(.snapshot(cuts.first?.id ?? "")) { state throws(DriverError) in
            for cut in cuts where state.volumes[cut.volume] == nil { throw .absent(cut.volume) }
            for cut in cuts where state.snapshots[cut.volume]?[cut.id] == nil {
                state.snapshots[cut.volume, default: [:]][cut.id] = state.volumes[cut.volume]
            }
        }
    }

    package func deleteSnapshot(_ id: String, of volume: String) async throws(DriverError) {
        try await around(.deleteSnapshot(id)) { state throws(DriverError) in state.snapshots[volume]?[id] = nil }
    }

    package func revert(_ volume: String, to snapshot: String) async throws(DriverError) {
        try await around(.revert(volume)) { state throws(DriverError) in
            guard state.volumes[volume] != nil, let content = state.snapshots[volume]?[snapshot] else {
                throw .absent(snapshot)
            }
            state.volumes[volume] = content
        }
    }

    package func statistics() async throws(DriverError) -> DriverStatistics {
        let totalBytes = totalBytes
        return try await around(.statistics) { state throws(DriverError) in
            let used = state.volumes.values.reduce(0) { $0 + UInt64($1.blocks.count * $1.blockBytes) }
            return DriverStatistics(totalBytes: totalBytes, freeBytes: totalBytes - min(totalBytes, used))
        }
    }

    package func inventory() async throws(DriverError) -> Inventory {
        try await around(.inventory) { state throws(DriverError) in
            let foreign = state.foreign
            return Inventory(
                volumes: state.volumes.sorted { $0.key < $1.key }.map { id, content in
                    .init(
                        reference: id, id: foreign.contains(id) ? nil : id, bytes: content.bytes,
                        blockBytes: content.blockBytes, writeCache: content.writeCache)
                },
                snapshots: state.snapshots.sorted { $0.key < $1.key }.flatMap { volume, snapshots in
                    snapshots.sorted { $0.key < $1.key }.map { id, content in
                        .init(reference: id, id: id, volumeReference: volume, bytes: content.bytes)
                    }
                })
        }
    }

    package func adopt(_ reference: String, as id: String) async throws(DriverError) -> UInt64 {
        try await around(.adopt(id)) { state throws(DriverError) in
            if let content = state.volumes[id], state.volumes[reference] == nil { return content.bytes }
            guard let content = state.volumes[reference] else { throw .absent(reference) }
            state.volumes[reference] = nil
            state.foreign.remove(reference)
            state.volumes[id] = content
            state.snapshots[id] = state.snapshots.removeValue(forKey: reference)
            return content.bytes
        }
    }

    package func adoptSnapshot(_ reference: String, of volume: String, as id: String) async throws(DriverError) {
        try await around(.adopt(id)) { state throws(DriverError) in
            if state.snapshots[volume]?[id] != nil { return }
            guard let content = state.snapshots[volume]?.removeValue(forKey: reference) else {
                throw .absent(reference)
            }
            state.snapshots[volume]?[id] = content
        }
    }

    // MARK: For tests: the bytes.

    /// Puts a volume there that the service never made.
    package func plant(_ reference: String, bytes: UInt64) {
        state.withLock { state in
            state.volumes[reference] = Content(bytes: bytes, blockBytes: 512, writeCache: false, blocks: [:])
            state.foreign.insert(reference)
        }
    }

    package func write(_ volume: String, block: UInt64, _ data: [UInt8]) {
        state.withLock { $0.volumes[volume]?.blocks[block] = data }
    }

    /// nil if the block is not there; all zeros if nobody wrote it.
    package func read(_ volume: String, block: UInt64) -> [UInt8]? {
        state.withLock { state in
            guard let content = state.volumes[volume], block < content.bytes / UInt64(content.blockBytes) else {
                return nil
            }
            return content.blocks[block] ?? [UInt8](repeating: 0, count: content.blockBytes)
        }
    }

    package var volumeIDs: Set<String> { state.withLock { Set($0.volumes.keys) } }
    package func snapshotIDs(of volume: String) -> Set<String> {
        state.withLock { Set($0.snapshots[volume, default: [:]].keys) }
    }
}
