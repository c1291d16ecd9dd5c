package import BlockDevices
package import Chunks
package import Primitives

/// A volume of the engine as a disk.
///
/// Without a write cache everything that was acknowledged is on the medium already, and a flush has nothing to wait for. With
/// one, what was acknowledged outlives the daemon, and a flush makes it outlive the power.
package final class ChunkVolumeDevice: BlockDevice {
    package let volume: LayeredVolume
    private let logicalBlockBytes: UInt32
    private let hasWriteCache: Bool
    private let observer = PosixLocked<(@Sendable () -> Void)?>(nil)

    /// - Parameter logicalBlockBytes: 512 or 4096.
    package init(_ volume: LayeredVolume, logicalBlockBytes: UInt32, hasWriteCache: Bool = false) {
        precondition(logicalBlockBytes == 512 || logicalBlockBytes == 4096)
        self.volume = volume
        self.logicalBlockBytes = logicalBlockBytes
        self.hasWriteCache = hasWriteCache
    }

    package var geometry: BlockGeometry {
        BlockGeometry(
            byteCount: volume.byteCount, logicalBlockBytes: logicalBlockBytes,
            granularityBytes: UInt32(Limits.volumeBlockBytes), atomicBytesMax: UInt32(Limits.volumeAtomicBytesMax),
            hasWriteCache: hasWriteCache, isReadOnly: !volume.isWritable)
    }

    private func isCached(_ durability: Durability) -> Bool { hasWriteCache && durability == .device }

    package func readCached(
        at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(BlockError) -> Bool {
        try check(offset, UInt64(buffer.count))
        do throws(ChunkError) {
            return try volume.readCached(at: offset, into: buffer)
        } catch {
            // The blocking read meets it again, and says which block.
            return false
        }
    }

    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(BlockError) {
        try check(offset, UInt64(buffer.count))
        do throws(ChunkError) {
            try volume.read(at: offset, into: buffer)
        } catch {
            throw readFailure(error, offset, buffer)
        }
    }

    package func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, durability: Durability, sink: any CompletionSink,
        completion: @escaping BlockCompletion
    ) {
        guard let refusal = refusal(offset, UInt64(bytes.count)) else {
            return volume.write(bytes, at: offset, isCached: isCached(durability), sink: sink) { [self] in
                completion($0.mapError(writeFailure))
            }
        }
        sink.wake([{ completion(.failure(refusal)) }])
    }

    package func writeZeroes(
        _ range: BlockRange, deallocates: Bool, durability: Durability, sink: any CompletionSink,
        completion: @escaping BlockCompletion
    ) {
        guard let refusal = refusal(range.offset, range.count) else {
            // Blocks of zeros take no space in any case.
            return volume.zero(range.offset, range.count, isCached: isCached(durability), sink: sink) { [self] in
                completion($0.mapError(writeFailure))
            }
        }
        sink.wake([{ completion(.failure(refusal)) }])
    }

    package func unmap(_ ranges: [BlockRange], sink: any CompletionSink, completion: @escaping BlockCompletion) {
        for range in ranges {
            if let refusal = refusal(range.offset, range.count) {
                return sink.wake([{ completion(.failure(refusal)) }])
            }
        }
        let wanted = ranges.filter { $0.count > 0 }
        guard !wanted.isEmpty else { return sink.wake([{ completion(.success(())) }]) }
        let left = PosixLocked<(count: Int, failure: BlockError?)>((wanted.count, nil))
        for range in wanted {
            volume.zero(range.offset, range.count, isCached: hasWriteCache, sink: InlineSink.shared) { [self] result in
                let (isLast, failure) = left.withLock { state -> (Bool, BlockError?) in
                    state.count -= 1
                    if case .failure(let error) = result, state.failure == nil {
                        state.failure = writeFailure(error)
                    }
                    return (state.count == 0, state.failure)
                }
                guard isLast else { return }
                sink.wake([{ completion(failure.map { .failure($0) } ?? .success(())) }])
            }
        }
    }

    package func update(
        _ range: BlockRange, durability: Durability, sink: any CompletionSink,
        change: @escaping @Sendable (UnsafeMutableRawBufferPointer) -> Bool, completion: @escaping BlockCompletion
    ) {
        let refusal = refusal(range.offset, range.count)
        guard refusal == nil, range.count <= UInt64(Limits.volumeAtomicBytesMax) else {
            return sink.wake([{ completion(.failure(refusal ?? .outOfRange)) }])
        }
        volume.update(range.offset, Int(range.count), isCached: isCached(durability), sink: sink, change: change) {
            [self] in
            completion($0.mapError(writeFailure))
        }
    }

    package func flush(sink: any CompletionSink, completion: @escaping BlockCompletion) {
        if hasWriteCache, !volume.isGone {
            return volume.flush(sink: sink) { [self] in completion($0.mapError(writeFailure)) }
        }
        let result: Result<Void, BlockError> = volume.isGone ? .failure(.gone) : .success(())
        sink.wake([{ completion(result) }])
    }

    package func allocation(of range: BlockRange, max: Int) throws(BlockError) -> [BlockRun] {
        try check(range.offset, range.count)
        guard range.count > 0 else { return [] }
        let unit = UInt64(Limits.volumeBlockBytes)
        let runs: [(blocks: Range<UInt64>, isMapped: Bool)]
        do throws(ChunkError) {
            runs = try volume.runs(of: range.offset / unit..<(range.end + unit - 1) / unit, max: max)
        } catch {
            throw writeFailure(error)
        }
        return runs.map { run in
            let start = Swift.max(run.blocks.lowerBound * unit, range.offset)
            let end = Swift.min(run.blocks.upperBound * unit, range.end)
            return BlockRun(range: BlockRange(offset: start, count: end - start), isMapped: run.isMapped)
        }
    }

    package func observeResize(_ observer: @escaping @Sendable () -> Void) {
        self.observer.withLock { $0 = observer }
    }

    /// The volume has another size: whoever exports it calls this once the engine has said so.
    package func wasResized() { observer.withLock { $0 }?() }

    // MARK: Errors

    private func check(_ offset: UInt64, _ count: UInt64) throws(BlockError) {
        if volume.isGone { throw .gone }
        let size = volume.byteCount
        guard offset <= size, count <= size - offset else { throw .outOfRange }
    }

    private func refusal(_ offset: UInt64, _ count: UInt64) -> BlockError? {
        do throws(BlockError) {
            try check(offset, count)
            return volume.isWritable ? nil : .readOnly
        } catch {
            return error
        }
    }

    /// The first block that can't be read, found one by one.
    private func readFailure(
        _ error: ChunkError, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer
    ) -> BlockError {
        switch error {
        case .corrupt, .corruptIndex, .disk: break
        default: return writeFailure(error)
        }
        let unit = Int(logicalBlockBytes)
        var at = 0
        while at < buffer.count {
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<Swift.min(at + unit, buffer.count)])
            do throws(ChunkError) {
                try volume.read(at: offset + UInt64(at), into: piece)
            } catch {
                break
            }
            at += unit
        }
        return .unreadable(offset: offset + UInt64(Swift.min(at, buffer.count - unit)))
    }

    private func writeFailure(_ error: ChunkError) -> BlockError {
        switch error {
        case .noSpace: .noSpace
        case .overloaded: .overloaded
        // Or it has another size than when the range was looked at.
        case .cancelled: volume.isGone ? .gone : .outOfRange
        case .readOnly(.closed): .gone
        case .readOnly(.damaged), .readOnly(.logBehindIndex): .readOnly
        case .readOnly(.ioError), .readOnly(.checkpointFailed): .writeFailed
        case .corrupt, .corruptIndex, .disk, .index, .locked, .unusable: .writeFailed
        }
    }
}
