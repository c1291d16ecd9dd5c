import Chunks
import Primitives
package import VolumeDrivers

extension ChunkVolumeDriver {
    /// Each leaves a layer below the volume, which stays when the snapshot goes.
    package func snapshotsLeft(of volume: String) async throws(DriverError) -> Int {
        try await run { [store] () throws(LayerError) in
            Limits.layerDepthMax - Int(try store.layer(of: Self.volumeName(volume)).depth)
        }
    }

    package func openImage(_ source: CloneSource, since base: String?) async throws(DriverError) -> any VolumeImage {
        let (name, owner): (Bytes, String) =
            switch source {
            case .volume(let id): (Self.volumeName(id), id)
            case .snapshot(let id, let owner): (Self.snapshotName(id, of: owner), owner)
            }
        return try await run { [self] () throws(LayerError) in
            // Opened first: from then on a deletion shows.
            let volume = try store.volume(name, threads: ioThreads)
            let difference = try store.difference(of: name, since: base.map { Self.snapshotName($0, of: owner) })
            return ChunkVolumeImage(driver: self, volume: volume, difference: difference)
        }
    }

    package func openFilling(_ id: String) async throws(DriverError) -> any VolumeFilling {
        try await run { [self] () throws(LayerError) in
            ChunkVolumeFilling(volume: try store.volume(Self.volumeName(id), threads: ioThreads))
        }
    }

    /// One read of a volume on a thread that may block.
    fileprivate func perform<T: Sendable>(
        _ body: @escaping @Sendable () throws(ChunkError) -> T
    ) async throws(DriverError) -> T {
        try await run { () throws(LayerError) in
            do throws(ChunkError) { return try body() } catch { throw .store(error) }
        }
    }
}

/// A snapshot as it was, or a volume at rest, read through the engine.
private struct ChunkVolumeImage: VolumeImage {
    let driver: ChunkVolumeDriver
    let volume: LayeredVolume
    let difference: LayerDifference

    var bytes: UInt64 { difference.byteCount }

    func changes(from offset: UInt64) async throws(DriverError) -> ImageChanges {
        let unit = UInt64(Limits.volumeBlockBytes)
        let leafBytes = unit * UInt64(LayerDifference.blocksPerLeaf)
        precondition(offset % leafBytes == 0)
        let (volume, difference) = (volume, difference)
        let page = try await driver.run { () throws(LayerError) in
            let page = try difference.runs(from: UInt32(offset / leafBytes))
            // Leaves of a layer that is no more are on their way out: what was found may not be all.
            guard !volume.isGone else { throw .noSuchHandle(volume.name) }
            return page
        }
        return ImageChanges(
            runs: page.runs.map {
                .init($0.blocks.lowerBound * unit..<$0.blocks.upperBound * unit, isZero: $0.isZero)
            }, next: page.next.map { UInt64($0) * leafBytes })
    }

    func read(_ range: Range<UInt64>) async throws(DriverError) -> [UInt8] {
        guard range.lowerBound % 512 == 0, range.upperBound % 512 == 0, range.upperBound <= bytes,
            range.count <= ImageLimits.readBytesMax
        else { throw .invalid("\(range) is not to be read") }
        let volume = volume
        return try await driver.perform { () throws(ChunkError) in
            var failure: ChunkError?
            let data = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
                do throws(ChunkError) {
                    try volume.read(at: range.lowerBound, into: UnsafeMutableRawBufferPointer(buffer))
                    count = range.count
                } catch {
                    failure = error
                    count = 0
                }
            }
            if let failure { throw failure }
            return data
        }
    }
}

/// Writes go to the log as those of a volume with a write cache do, and are made durable together at the end.
private struct ChunkVolumeFilling: VolumeFilling {
    let volume: LayeredVolume

    func zero(_ range: Range<UInt64>) async throws(DriverError) {
        guard !range.isEmpty else { return }
        try await outcome { completion in
            volume.zero(
                range.lowerBound, UInt64(range.count), isCached: true, sink: InlineSink.shared, completion: completion)
        }
    }

    func write(_ data: [UInt8], at offset: UInt64) async throws(DriverError) {
        guard data.count <= ImageLimits.readBytesMax else { throw .invalid("a write of \(data.count) bytes") }
        guard !data.isEmpty else { return }
        try await outcome { completion in
            data.withUnsafeBytes {
                volume.write($0, at: offset, isCached: true, sink: InlineSink.shared, completion: completion)
            }
        }
    }

    func finish() async throws(DriverError) {
        try await outcome { volume.flush(sink: InlineSink.shared, completion: $0) }
    }

    private func outcome(_ begin: (@escaping LayeredVolume.Completion) -> Void) async throws(DriverError) {
        let result: Result<Void, ChunkError> = await withCheckedContinuation { continuation in
            begin { continuation.resume(returning: $0) }
        }
        if case .failure(let error) = result { throw ChunkVolumeDriver.failure(.store(error)) }
    }
}
