private import ChunkVolumes
import Chunks
import Images
import Primitives

/// Images' bytes as frozen layers of the engine: a volume made from one stands on it, and no bytes move.
///
/// In the store an image's bytes are called `image/KEY`; while they come, `upload/KEY`, which a daemon that starts removes.
final class ChunkImages: ImageStore {
    private let store: ChunkStore
    /// For requests that wait for the disk or for each other.
    private let threads: WorkThreads

    init(store: ChunkStore, threads: WorkThreads) {
        self.store = store
        self.threads = threads
    }

    static func storedName(_ key: String) -> Bytes { Bytes("image/\(key)") }
    private static func uploadName(_ key: String) -> Bytes { Bytes("upload/\(key)") }

    /// Removes what uploads left that a crash interrupted. Before the first upload; blocks.
    func removeUnfinished() throws(ImageError) {
        do throws(LayerError) {
            for handle in try store.handles(prefix: Bytes("upload/")) { try store.removeHandle(handle.name) }
        } catch {
            throw Self.failure(error)
        }
    }

    // MARK: ImageStore

    func begin(_ key: String, byteCount: Int64?) throws(ImageError) -> any ImageWriter {
        let name = Self.uploadName(key)
        do throws(LayerError) {
            let bytes = LayerWriter.size(for: UInt64(max(0, byteCount ?? 0)), isKnown: byteCount != nil)
            try store.createVolume(name, byteCount: bytes, attributes: [])
            return LayerWriter(
                store: store, volume: try store.volume(name, threads: threads), name: name,
                finalName: Self.storedName(key))
        } catch {
            throw Self.failure(error)
        }
    }

    func open(_ key: String) throws(ImageError) -> any ImageReader {
        do throws(LayerError) {
            return LayerReader(volume: try store.volume(Self.storedName(key), threads: threads))
        } catch {
            throw Self.failure(error)
        }
    }

    func remove(_ key: String) throws(ImageError) {
        for name in [Self.uploadName(key), Self.storedName(key)] {
            do throws(LayerError) {
                try store.removeHandle(name)
            } catch {
                if case .noSuchHandle = error { continue }
                throw Self.failure(error)
            }
        }
    }

    static func failure(_ error: LayerError) -> ImageError {
        switch error {
        case .store(.noSpace): .full
        case .store(let cause): .storage("\(cause)")
        default: .storage("\(error)")
        }
    }

    static func failure(_ error: ChunkError) -> ImageError { failure(LayerError.store(error)) }
}

/// Writes a layer from its beginning to its end, then freezes it.
///
/// Bytes are handed to the engine as cached writes: the one flush at the end covers them all.
private final class LayerWriter: ImageWriter {
    private static let blockBytes = 4_096
    private static let growthBytes: UInt64 = 1 << 30
    /// Writes that the engine has and has not answered.
    private static let unansweredMax = 4 << 20
    /// What is looked at for being all zeros: such stretches are left out.
    private static let pieceBytes = 64 << 10

    private struct State {
        var position: UInt64 = 0
        /// The last bytes, while they fill no block.
        var carry: [UInt8] = []
    }

    private struct Progress {
        var unanswered = 0
        var failure: ChunkError?
    }

    private let store: ChunkStore
    private let volume: LayeredVolume
    private let name: Bytes
    private let finalName: Bytes
    private let state = PosixLocked(State())
    private let mutex = PosixMutex()
    private let progress = PosixGuarded(Progress())

    init(store: ChunkStore, volume: LayeredVolume, name: Bytes, finalName: Bytes) {
        self.store = store
        self.volume = volume
        self.name = name
        self.finalName = finalName
    }

    /// Whole GiB where the end isn't known: a volume has whole GiB too, so that it is never smaller than its image's layer.
    static func size(for bytes: UInt64, isKnown: Bool) -> UInt64 {
        let unit = isKnown ? UInt64(blockBytes) : growthBytes
        return max(1, (bytes + unit - 1) / unit) * unit
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        try state.withLock { (state) throws(ImageError) in
            var left = bytes[...]
            if !state.carry.isEmpty {
                let count = min(Self.blockBytes - state.carry.count, left.count)
                state.carry += left.prefix(count)
                left = left.dropFirst(count)
                guard state.carry.count == Self.blockBytes else { return }
                try writeCarry(&state)
            }
            let whole = left.count / Self.blockBytes * Self.blockBytes
            try put(UnsafeRawBufferPointer(rebasing: left.prefix(whole)), &state)
            state.carry = Array(left.dropFirst(whole))
        }
    }

    func skip(_ count: Int64) throws(ImageError) {
        try state.withLock { (state) throws(ImageError) in
            var left = UInt64(count)
            if !state.carry.isEmpty {
                let zeros = min(UInt64(Self.blockBytes - state.carry.count), left)
                state.carry += [UInt8](repeating: 0, count: Int(zeros))
                left -= zeros
                guard state.carry.count == Self.blockBytes else { return }
                try writeCarry(&state)
            }
            let whole = left / UInt64(Self.blockBytes) * UInt64(Self.blockBytes)
            try grow(to: state.position + whole)
            state.position += whole
            state.carry = [UInt8](repeating: 0, count: Int(left - whole))
        }
    }

    func finish() throws(ImageError) {
        try state.withLock { (state) throws(ImageError) in
            if !state.carry.isEmpty {
                state.carry += [UInt8](repeating: 0, count: Self.blockBytes - state.carry.count)
                try writeCarry(&state)
            }
        }
        try waitForRoom(leaving: 0)
        let flushed = PosixLocked<Result<Void, ChunkError>?>(nil)
        let isDone = PosixMutex()
        volume.flush(sink: InlineSink.shared) { result in
            isDone.lock()
            flushed.withLock { $0 = result }
            isDone.broadcast()
            isDone.unlock()
        }
        isDone.lock()
        while flushed.withLock({ $0 == nil }) { isDone.wait() }
        isDone.unlock()
        if case .failure(let error)? = flushed.withLock({ $0 }) { throw ChunkImages.failure(error) }
        do throws(LayerError) {
            try store.snapshot(name, as: finalName, attributes: [])
            try store.removeHandle(name)
        } catch {
            throw ChunkImages.failure(error)
        }
    }

    // MARK: Steps

    private func writeCarry(_ state: inout State) throws(ImageError) {
        let carry = state.carry
        state.carry = []
        var failure: ImageError?
        carry.withUnsafeBytes { bytes in
            do throws(ImageError) { try put(bytes, &state) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Whole blocks, at the end.
    private func put(_ bytes: UnsafeRawBufferPointer, _ state: inout State) throws(ImageError) {
        try grow(to: state.position + UInt64(bytes.count))
        var start = 0
        while start < bytes.count {
            let end = min(start + Self.pieceBytes, bytes.count)
            let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            if !Zeros.fill(piece) {
                try waitForRoom(leaving: Self.unansweredMax - piece.count)
                mutex.withLock { progress.value.unanswered += piece.count }
                let count = piece.count
                volume.write(piece, at: state.position, isCached: true, sink: InlineSink.shared) { [self] result in
                    answered(count, result)
                }
            }
            state.position += UInt64(piece.count)
            start = end
        }
    }

    private func grow(to end: UInt64) throws(ImageError) {
        guard end > volume.byteCount else { return }
        do throws(LayerError) {
            try store.resize(name, to: Self.size(for: end, isKnown: false))
        } catch {
            throw ChunkImages.failure(error)
        }
    }

    private func answered(_ count: Int, _ result: Result<Void, ChunkError>) {
        mutex.lock()
        progress.value.unanswered -= count
        if case .failure(let error) = result, progress.value.failure == nil { progress.value.failure = error }
        mutex.broadcast()
        mutex.unlock()
    }

    private func waitForRoom(leaving max: Int) throws(ImageError) {
        mutex.lock()
        while progress.value.unanswered > max, progress.value.failure == nil { mutex.wait() }
        let failure = progress.value.failure
        mutex.unlock()
        if let failure { throw ChunkImages.failure(failure) }
    }
}

private struct LayerReader: ImageReader {
    private static let sectorBytes = 512
    let volume: LayeredVolume

    func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) {
        let start = Int(offset) / Self.sectorBytes * Self.sectorBytes
        let end = (Int(offset) + buffer.count + Self.sectorBytes - 1) / Self.sectorBytes * Self.sectorBytes
        guard UInt64(end) <= volume.byteCount else { throw .storage("an image is shorter than its record says") }
        do throws(ChunkError) {
            if start == Int(offset), end - start == buffer.count {
                try volume.read(at: UInt64(start), into: buffer)
            } else {
                let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: end - start, alignment: 4_096)
                defer { whole.deallocate() }
                try volume.read(at: UInt64(start), into: whole)
                let skip = Int(offset) - start
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[skip..<skip + buffer.count]))
            }
        } catch {
            throw ChunkImages.failure(error)
        }
    }
}
