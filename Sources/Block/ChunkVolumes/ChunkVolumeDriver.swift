package import Chunks
package import Primitives
package import VolumeDrivers

/// The default driver: volumes and snapshots are layers of the engine. Making, copying and removing one costs a group of the
/// log, whatever its size.
///
/// In the store a volume is called `volume/ID`, a snapshot `snapshot/VOLUME/ID`.
package final class ChunkVolumeDriver: VolumeDriver {
    package let traits = DriverTraits(
        name: "chunk", version: "1.0", vendor: "Apus", storageProtocol: "iSCSI", isThin: true,
        supportsMultiattach: true,
        snapshotsTogether: true, discards: true, blockSizes: [512, 4096])

    let store: ChunkStore
    /// Apart, or changes that wait for requests to finish could hold all the threads that these need for that.
    let ioThreads: WorkThreads
    private let changeThreads: WorkThreads
    private let devices = PosixLocked<[String: ChunkVolumeDevice]>([:])

    /// - Parameters:
    ///   - ioThreads: for requests of initiators that have to wait for the disk or for each other.
    ///   - changeThreads: for changes of volumes; other ones than those.
    package init(store: ChunkStore, ioThreads: WorkThreads, changeThreads: WorkThreads) {
        precondition(ioThreads !== changeThreads)
        self.store = store
        self.ioThreads = ioThreads
        self.changeThreads = changeThreads
    }

    /// The volume as a disk; the same object as long as there is anybody who may use it. May wait for the disk.
    package func device(_ id: String) throws(DriverError) -> ChunkVolumeDevice {
        if let device = devices.withLock({ $0[id] }) { return device }
        do throws(LayerError) {
            guard let handle = try store.handle(Self.volumeName(id)) else { throw .noSuchHandle(Self.volumeName(id)) }
            let volume = try store.volume(Self.volumeName(id), threads: ioThreads)
            let attributes = Attributes(handle.attributes)
            return devices.withLock { devices in
                if let device = devices[id] { return device }
                let device = ChunkVolumeDevice(
                    volume, logicalBlockBytes: attributes.blockBytes, hasWriteCache: attributes.writeCache)
                devices[id] = device
                return device
            }
        } catch {
            throw Self.failure(error)
        }
    }

    /// Nobody uses the volume as a disk any more: it is closed when the last request is over.
    package func release(_ id: String) { devices.withLock { $0[id] = nil } }

    // MARK: VolumeDriver

    package func create(_ volume: NewVolume) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in
            try Self.making(volume, store) { () throws(LayerError) in
                try store.createVolume(
                    Self.volumeName(volume.id), byteCount: volume.bytes, attributes: Attributes(volume).encoded)
            }
        }
    }

    package func clone(_ volume: NewVolume, from source: CloneSource) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in
            try Self.making(volume, store) { () throws(LayerError) in
                let name = Self.volumeName(volume.id)
                let attributes = Attributes(volume).encoded
                switch source {
                case .volume(let id):
                    try Self.checkBlocks(volume, Self.volumeName(id), store)
                    try store.cloneVolume(
                        Self.volumeName(id), as: name, byteCount: volume.bytes, attributes: attributes)
                case .snapshot(let id, let owner):
                    try Self.checkBlocks(volume, Self.snapshotName(id, of: owner), store)
                    try store.clone(
                        Self.snapshotName(id, of: owner), as: name, byteCount: volume.bytes, attributes: attributes)
                }
            }
        }
    }

    /// Makes a volume that begins as a frozen layer of the store's, such as an image's; zeros beyond it.
    package func clone(_ volume: NewVolume, fromLayer layer: Bytes) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in
            try Self.making(volume, store) { () throws(LayerError) in
                try store.clone(
                    layer, as: Self.volumeName(volume.id), byteCount: volume.bytes,
                    attributes: Attributes(volume).encoded)
            }
        }
    }

    /// Freezes what the volume holds now as a layer of that name in the store; the volume goes on over it.
    package func freeze(_ id: String, as layer: Bytes) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in
            try store.snapshot(Self.volumeName(id), as: layer, attributes: [])
        }
    }

    package func delete(_ id: String) async throws(DriverError) {
        let hasSnapshots = try await run { [store] () throws(LayerError) in
            guard try store.handles(prefix: Self.snapshotPrefix(id)).isEmpty else { return true }
            try Self.ignoringAbsence { () throws(LayerError) in try store.removeHandle(Self.volumeName(id)) }
            return false
        }
        if hasSnapshots { throw .hasSnapshots(id) }
        devices.withLock { $0[id] = nil }
    }

    package func extend(_ id: String, to bytes: UInt64) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in try store.resize(Self.volumeName(id), to: bytes) }
        devices.withLock { $0[id] }?.wasResized()
    }

    package func snapshot(_ cuts: [SnapshotCut]) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in
            var requests: [SnapshotRequest] = []
            for cut in cuts {
                let name = Self.snapshotName(cut.id, of: cut.volume)
                guard try store.handle(name) == nil else { continue }
                guard let volume = try store.handle(Self.volumeName(cut.volume)) else {
                    throw .noSuchHandle(Self.volumeName(cut.volume))
                }
                requests.append(
                    SnapshotRequest(
                        volume: Self.volumeName(cut.volume), name: name, attributes: volume.attributes))
            }
            try store.snapshot(requests)
        }
    }

    package func deleteSnapshot(_ id: String, of volume: String) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in
            try Self.ignoringAbsence { () throws(LayerError) in
                try store.removeHandle(Self.snapshotName(id, of: volume))
            }
        }
    }

    package func revert(_ volume: String, to snapshot: String) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in
            try store.revert(Self.volumeName(volume), to: Self.snapshotName(snapshot, of: volume))
        }
        devices.withLock { $0[volume] }?.wasResized()
    }

    package func statistics() async throws(DriverError) -> DriverStatistics {
        let space = try await run { [store] () throws(LayerError) in
            do throws(ChunkError) { return try store.space() } catch { throw .store(error) }
        }
        return DriverStatistics(totalBytes: UInt64(max(0, space.total)), freeBytes: UInt64(max(0, space.free)))
    }

    package func inventory() async throws(DriverError) -> Inventory {
        try await run { [store] () throws(LayerError) in
            var inventory = Inventory(volumes: [], snapshots: [])
            for handle in try store.handles(prefix: Bytes([UInt8]())) {
                guard !Self.isForeign(handle.name.string) else { continue }
                let parts = handle.name.string.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
                let layer: LayerRow
                do throws(LayerError) {
                    layer = try store.layer(of: handle.name)
                } catch {
                    // It went meanwhile.
                    guard case .noSuchHandle = error else { throw error }
                    continue
                }
                let bytes = layer.byteCount
                switch handle.kind {
                case .volume:
                    let isOurs = parts.count == 2 && parts[0] == "volume"
                    let attributes = Attributes(handle.attributes)
                    inventory.volumes.append(
                        Inventory.StoredVolume(
                            reference: handle.name.string, id: isOurs ? parts[1] : nil, bytes: bytes,
                            blockBytes: Int(attributes.blockBytes), writeCache: attributes.writeCache))
                case .snapshot:
                    let isOurs = parts.count == 3 && parts[0] == "snapshot"
                    inventory.snapshots.append(
                        Inventory.StoredSnapshot(
                            reference: handle.name.string, id: isOurs ? parts[2] : nil,
                            volumeReference: isOurs ? Self.volumeName(parts[1]).string : "", bytes: bytes))
                }
            }
            return inventory
        }
    }

    package func adopt(_ reference: String, as id: String) async throws(DriverError) -> UInt64 {
        try await run { [store] () throws(LayerError) in
            let name = Self.volumeName(id)
            guard !Self.isForeign(reference) else { throw .noSuchHandle(Bytes(reference)) }
            if Bytes(reference) != name {
                guard let handle = try store.handle(Bytes(reference)) else {
                    // Done by an earlier try.
                    return try store.layer(of: name).byteCount
                }
                guard handle.kind == .volume else { throw .wrongKind(handle.name) }
                // Its snapshots stay with it.
                if let old = Self.volumeID(reference) {
                    for snapshot in try store.handles(prefix: Self.snapshotPrefix(old)) {
                        let own = String(snapshot.name.string.dropFirst(Self.snapshotPrefix(old).count))
                        try store.rename(
                            snapshot.name, to: Self.snapshotName(own, of: id), attributes: snapshot.attributes)
                    }
                }
                try store.rename(handle.name, to: name, attributes: handle.attributes)
            }
            return try store.layer(of: name).byteCount
        }
    }

    package func adoptSnapshot(_ reference: String, of volume: String, as id: String) async throws(DriverError) {
        try await run { [store] () throws(LayerError) in
            let name = Self.snapshotName(id, of: volume)
            guard !Self.isForeign(reference) else { throw .noSuchHandle(Bytes(reference)) }
            guard Bytes(reference) != name, let handle = try store.handle(Bytes(reference)) else {
                _ = try store.layer(of: name)
                return
            }
            guard handle.kind == .snapshot else { throw .wrongKind(handle.name) }
            try store.rename(handle.name, to: name, attributes: handle.attributes)
        }
    }

    // MARK: Names and attributes

    /// What the store calls a volume.
    package static func storedName(ofVolume id: String) -> Bytes { volumeName(id) }

    static func volumeName(_ id: String) -> Bytes { Bytes("volume/\(id)") }
    private static func snapshotPrefix(_ volume: String) -> Bytes { Bytes("snapshot/\(volume)/") }
    static func snapshotName(_ id: String, of volume: String) -> Bytes { Bytes("snapshot/\(volume)/\(id)") }

    /// Layers of the image service, in the same store: none of a volume operator's business.
    private static func isForeign(_ reference: String) -> Bool {
        reference.hasPrefix("image/") || reference.hasPrefix("upload/")
    }

    private static func volumeID(_ reference: String) -> String? {
        reference.hasPrefix("volume/") ? String(reference.dropFirst("volume/".count)) : nil
    }

    /// What the store keeps with a volume.
    private struct Attributes {
        var blockBytes: UInt32
        var writeCache: Bool

        init(_ volume: NewVolume) {
            blockBytes = UInt32(volume.blockBytes)
            writeCache = volume.writeCache
        }

        init(_ bytes: [UInt8]) {
            var reader = ByteReader(bytes)
            blockBytes = reader.get(UInt32.self)
            writeCache = reader.getFlag()
            if reader.failed || blockBytes != 512 && blockBytes != 4096 {
                blockBytes = 512
                writeCache = false
            }
        }

        var encoded: [UInt8] {
            var writer = ByteWriter(reserving: 5)
            writer.put(blockBytes)
            writer.put(writeCache)
            return writer.bytes
        }
    }

    // MARK: Steps

    /// Runs `make`; that the volume is there already, of the same size, is as good.
    private static func making(
        _ volume: NewVolume, _ store: ChunkStore, _ make: () throws(LayerError) -> Void
    ) throws(LayerError) {
        do throws(LayerError) {
            try make()
        } catch {
            guard case .handleExists(let name) = error, name == volumeName(volume.id),
                try store.layer(of: name).byteCount == volume.bytes
            else { throw error }
        }
    }

    private static func checkBlocks(_ volume: NewVolume, _ source: Bytes, _ store: ChunkStore) throws(LayerError) {
        guard let handle = try store.handle(source) else { throw .noSuchHandle(source) }
        guard Attributes(handle.attributes).blockBytes == UInt32(volume.blockBytes) else { throw .badSize }
    }

    private static func ignoringAbsence(_ body: () throws(LayerError) -> Void) throws(LayerError) {
        do throws(LayerError) {
            try body()
        } catch {
            guard case .noSuchHandle = error else { throw error }
        }
    }

    /// On a thread that may block.
    func run<T: Sendable>(_ body: @escaping @Sendable () throws(LayerError) -> T) async throws(DriverError) -> T {
        let result: Result<T, DriverError> = await withCheckedContinuation { continuation in
            let isAdmitted = changeThreads.run {
                do throws(LayerError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(Self.failure(error)))
                }
            }
            if !isAdmitted { continuation.resume(returning: .failure(.failed("too many requests wait"))) }
        }
        return try result.get()
    }

    static func failure(_ error: LayerError) -> DriverError {
        switch error {
        case .noSuchHandle(let name): .absent(name.string)
        case .handleExists(let name): .exists(name.string)
        case .wrongKind(let name): .invalid("\(name) is not of that kind")
        case .shrinks: .invalid("a volume gets no smaller")
        case .badSize: .invalid("a volume has whole blocks of 4 KiB, and as many bytes a logical block as its source")
        case .tooDeep: .failed("too many snapshots and copies stand on one another")
        case .tooLarge: .failed("more volumes at once than one change takes")
        case .notAnAncestor: .invalid("the volume has moved on from that snapshot")
        case .inUse(let name): .failed("\(name) is in use")
        case .store(.noSpace): .full
        case .store(let cause): .failed("\(cause)")
        }
    }
}
