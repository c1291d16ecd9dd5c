import Codecs
import Crypto
import Primitives

/// What became of the bytes of one upload.
struct TakenBytes: Sendable, Equatable {
    var byteCount: Int64
    /// MD5, in hexadecimal.
    var checksum: String
    /// SHA-512, in hexadecimal.
    var hash: String
}

/// One image's bytes on their way in: each block is hashed twice and written, on three threads at a time.
///
/// `makeRoom` and `take` are called by one task at a time; the first waits while all blocks are under way, so that a fast client fills no more
/// memory than `blocksMax` blocks.
final class ImageIntake: Sendable {
    static let blockBytes = 1 << 20
    static let blocksMax = 6

    @safe private final class Block: Sendable {
        // SAFETY: written by the adding task while it owns the block, read by the lanes after it was handed on.
        nonisolated(unsafe) let bytes: UnsafeMutableRawBufferPointer

        init() { unsafe bytes = .allocate(byteCount: ImageIntake.blockBytes, alignment: 4096) }
        deinit { unsafe bytes.deallocate() }
    }

    private struct State {
        var free: [Block] = []
        var made = 0
        var waiter: CheckedContinuation<Void, Never>?
        var failure: ImageError?
    }

    /// What only the adding task touches.
    private struct Filling {
        var block: Block?
        var count = 0
        var total: Int64 = 0
    }

    private let writer: any ImageWriter
    private let state = PosixLocked(State())
    private let filling = PosixLocked(Filling())
    private let md5 = PosixLocked(MD5())
    private let sha512 = PosixLocked(SHA512())
    private let inspector: PosixLocked<any StreamInspector>
    private let checksumLane: SerialLane
    private let hashLane: SerialLane
    private let writeLane: SerialLane

    init(writer: any ImageWriter, inspector: any StreamInspector, threads: WorkThreads) {
        self.writer = writer
        self.inspector = PosixLocked(inspector)
        checksumLane = SerialLane(threads)
        hashLane = SerialLane(threads)
        writeLane = SerialLane(threads)
    }

    /// Bytes that were added so far.
    var byteCount: Int64 { filling.withLock { $0.total } }

    /// Makes room for at least one byte. Throws what the store, or the inspection, refused.
    func makeRoom() async throws(ImageError) {
        guard filling.withLock({ $0.block == nil }) else { return }
        let block = try await nextBlock()
        filling.withLock {
            $0.block = block
            $0.count = 0
        }
    }

    /// Copies as many of the bytes as there is room for, and hands a full block on; after `makeRoom`.
    func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        let (count, isFull) = filling.withLock { state -> (Int, Bool) in
            guard let block = state.block else { return (0, false) }
            let count = min(bytes.count, Self.blockBytes - state.count)
            unsafe UnsafeMutableRawBufferPointer(rebasing: block.bytes[state.count..<state.count + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            state.count += count
            state.total += Int64(count)
            return (count, state.count == Self.blockBytes)
        }
        if isFull { handOn() }
        return count
    }

    /// Fills the current block, which is empty, from bytes that are in the store already; after `makeRoom`. Blocks.
    func fill(_ reader: any ImageReader, at offset: Int64, count: Int) throws(ImageError) {
        guard let block = filling.withLock({ $0.block }) else { return }
        try unsafe reader.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: block.bytes[..<count]))
        filling.withLock {
            $0.count = count
            $0.total += Int64(count)
        }
        handOn()
    }

    /// The last block goes on its way; returns when everything is durable.
    func finish() async throws(ImageError) -> TakenBytes {
        handOn()
        // A lane's last step runs behind all of its others.
        for lane in [checksumLane, hashLane] {
            await withCheckedContinuation { continuation in lane.add { continuation.resume() } }
        }
        let writer = writer
        let result: Result<Void, ImageError> = await withCheckedContinuation { continuation in
            writeLane.add { [self] in
                if let failure = state.withLock({ $0.failure }) {
                    return continuation.resume(returning: .failure(failure))
                }
                do throws(ImageError) {
                    try writer.finish()
                    continuation.resume(returning: .success(()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        try result.get()
        let checksum = md5.withLock { $0.finalize().hex }
        let hash = sha512.withLock { $0.finalize() }
        return TakenBytes(byteCount: byteCount, checksum: checksum, hash: Hex.encode(Array(hash)))
    }

    /// Waits until no step is under way any more, so that the store may take the bytes away.
    func abandon() async {
        state.withLock { if $0.failure == nil { $0.failure = .invalid("The upload was given up.") } }
        for lane in [checksumLane, hashLane, writeLane] {
            await withCheckedContinuation { continuation in lane.add { continuation.resume() } }
        }
    }

    /// What the inspection says of the whole; after `finish`.
    func inspected() -> StreamFindings { inspector.withLock { $0.finish() } }

    // MARK: Blocks

    private func nextBlock() async throws(ImageError) -> Block {
        while true {
            let found = state.withLock { state -> Result<Block, ImageError>? in
                if let failure = state.failure { return .failure(failure) }
                if let block = state.free.popLast() { return .success(block) }
                guard state.made < Self.blocksMax else { return nil }
                state.made += 1
                return .success(Block())
            }
            if let found { return try found.get() }
            await withCheckedContinuation { continuation in
                let isFree = state.withLock { state in
                    if !state.free.isEmpty || state.failure != nil { return true }
                    state.waiter = continuation
                    return false
                }
                if isFree { continuation.resume() }
            }
        }
    }

    /// The filled part of the current block goes to the three lanes.
    private func handOn() {
        let taken = filling.withLock { state -> (Block, Int)? in
            guard let block = state.block, state.count > 0 else { return nil }
            state.block = nil
            return (block, state.count)
        }
        guard let (block, count) = taken else { return }
        let left = PosixLocked(3)
        let done: @Sendable () -> Void = { [self] in
            guard
                left.withLock({
                    $0 -= 1; return $0 == 0
                })
            else { return }
            release(block)
        }
        checksumLane.add { [self] in
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: block.bytes[..<count])
            md5.withLock { unsafe $0.update(bytes) }
            let refusal = inspector.withLock { unsafe $0.feed(bytes) }
            if let refusal { fail(refusal) }
            done()
        }
        hashLane.add { [self] in
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: block.bytes[..<count])
            sha512.withLock { unsafe $0.update(bufferPointer: bytes) }
            done()
        }
        writeLane.add { [self] in
            if state.withLock({ $0.failure }) == nil {
                do throws(ImageError) {
                    try unsafe writer.write(UnsafeRawBufferPointer(rebasing: block.bytes[..<count]))
                } catch {
                    fail(error)
                }
            }
            done()
        }
    }

    private func fail(_ error: ImageError) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.failure == nil { state.failure = error }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    private func release(_ block: Block) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.free.append(block)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}
