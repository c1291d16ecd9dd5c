import Chunks
import HTTPFace
import NIOCore
import Primitives

/// Sends an object's bytes as fast as the client takes them: one batch of frames is read and verified on a work
/// thread while the last one goes out. What did not verify is never sent: 503 before the first byte, a reset after it.
final class ObjectStreamer: @unchecked Sendable {
    // SAFETY: everything is confined to the exchange's event loop, but `reader`, which one job at a time uses.
    private let exchange: Exchange
    private let reader: ObjectReader
    private let threads: WorkThreads
    private var plan: BodyPlan
    /// The response's head, until the first bytes are there.
    private var head: ResponseBuilder?
    private var isReading = false
    /// A batch that was read while the one before it is still going out.
    private var waiting: Result<[ByteBuffer], ChunkError>?
    private let places: StreamPlaces
    private let onDamage: (Exchange, ChunkError, _ isCut: Bool) -> Void

    /// - Parameter onDamage: answers, if nothing was sent yet, and tells the log.
    init(
        exchange: Exchange, reader: ObjectReader, plan: BodyPlan, head: consuming ResponseBuilder, threads: WorkThreads,
        places: StreamPlaces, onDamage: @escaping (Exchange, ChunkError, _ isCut: Bool) -> Void
    ) {
        places.enter()
        self.places = places
        self.exchange = exchange
        self.reader = reader
        self.plan = plan
        self.head = head
        self.threads = threads
        self.onDamage = onDamage
    }

    deinit { places.leave() }

    /// False when the work threads' queue is full.
    func start() -> Bool {
        exchange.whenWritable { [self] in next() }
        return read(isFirst: true)
    }

    private func next() {
        guard exchange.isOpen else {
            waiting = nil
            return exchange.whenWritable(nil)
        }
        if let result = waiting, exchange.isWritable {
            waiting = nil
            deliver(result)
        }
        // Reads run one batch ahead of the socket, so that neither waits for the other; unless too many do.
        guard !isReading, waiting == nil, head == nil, !plan.isAtEnd, exchange.isOpen else { return }
        if exchange.isWritable || !places.isCrowded { _ = read(isFirst: false) }
    }

    private func read(isFirst: Bool) -> Bool {
        guard let sink = exchange.sink else { return true }
        let pieces = plan.nextBatch(most: places.isCrowded ? 1 : BodyPlan.framesPerBatch)
        let reader = reader
        isReading = true
        let job: WorkThreads.Job = { [self] in
            let result = Self.read(pieces, reader)
            sink.wake([{ self.arrived(result) }])
        }
        if !isFirst {
            threads.resume(job)
            return true
        }
        if threads.run(job) { return true }
        exchange.whenWritable(nil)
        return false
    }

    private func arrived(_ result: Result<[ByteBuffer], ChunkError>) {
        isReading = false
        guard exchange.isOpen else { return }
        if head != nil || exchange.isWritable { deliver(result) } else { waiting = result }
        next()
    }

    private func deliver(_ result: Result<[ByteBuffer], ChunkError>) {
        switch result {
        case .failure(let error):
            let isCut = head == nil
            head = nil
            exchange.whenWritable(nil)
            onDamage(exchange, error, isCut)
            if isCut { exchange.reset() }
        case .success(let parts):
            if let head {
                self.head = nil
                exchange.sendHead(head, parts)
            } else {
                exchange.sendParts(parts)
            }
        }
    }

    private static func read(_ pieces: [BodyPlan.Piece], _ reader: ObjectReader) -> Result<[ByteBuffer], ChunkError> {
        var parts: [ByteBuffer] = []
        parts.reserveCapacity(pieces.count)
        for piece in pieces {
            switch piece {
            case .literal(let bytes): parts.append(bytes)
            case .frame(let index, let range):
                var buffer = ByteBufferAllocator().buffer(capacity: reader.bufferBytes(frame: index))
                do throws(ChunkError) {
                    let count = try buffer.writeFrame(reader, index)
                    guard range.upperBound <= count else {
                        throw .corruptIndex("a frame is shorter than its object says")
                    }
                } catch {
                    return .failure(error)
                }
                guard let part = buffer.getSlice(at: buffer.readerIndex + range.lowerBound, length: range.count) else {
                    return .failure(.corruptIndex("a frame is shorter than its object says"))
                }
                parts.append(part)
            }
        }
        return .success(parts)
    }
}

extension ByteBuffer {
    /// Reads and verifies a frame behind what is written; returns its length. May block.
    mutating func writeFrame(_ reader: ObjectReader, _ frame: Int) throws(ChunkError) -> Int {
        var failure: ChunkError?
        let count = writeWithUnsafeMutableBytes(minimumWritableBytes: reader.bufferBytes(frame: frame)) { out in
            do throws(ChunkError) {
                return try reader.read(frame: frame, into: out)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return count
    }

    /// The same from memory only; nil if it would have to wait for the disk.
    mutating func writeCachedFrame(_ reader: ObjectReader, _ frame: Int) throws(ChunkError) -> Int? {
        var failure: ChunkError?
        var isCached = true
        let count = writeWithUnsafeMutableBytes(minimumWritableBytes: reader.bufferBytes(frame: frame)) { out in
            do throws(ChunkError) {
                if let count = try reader.readCached(frame: frame, into: out) { return count }
                isCached = false
                return 0
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return isCached ? count : nil
    }
}
