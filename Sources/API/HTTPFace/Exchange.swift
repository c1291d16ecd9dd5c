package import NIOCore
package import Primitives
private import Synchronization

/// One request and its response. Lives on the connection's event loop; after the connection is gone every call
/// is harmless and does nothing.
package final class Exchange: @unchecked Sendable {
    // SAFETY: all state is confined to the connection's event loop; other threads only carry the reference
    // back to it (LoopSink).
    package let head: RequestHead
    package let id: RequestID
    let startNanoseconds: UInt64
    /// nil once the exchange is over.
    var connection: HTTPConnection? {
        didSet { if connection == nil { isOver.store(true, ordering: .relaxed) } }
    }
    private let isOver = Atomic(false)

    enum Intake {
        /// Nobody has asked for the body yet.
        case waiting
        case collecting(ByteBuffer?, max: Int, then: (Result<ByteBuffer, BodyFailure>) -> Void)
        case streaming(any BodyConsumer, paused: Bool)
        case discarding(left: Int)
        case done
    }

    enum Output {
        case none
        case streaming(left: Int)
        case complete
    }

    var intake = Intake.waiting
    var output = Output.none
    var status = HTTPStatus(499)
    var bytesSent = 0
    var closesAfter = false
    var sentContinue = false
    /// Called when the socket takes bytes again, and when the connection is gone.
    var onWritable: (() -> Void)?

    init(head: RequestHead, id: RequestID, startNanoseconds: UInt64, connection: HTTPConnection) {
        self.head = head
        self.id = id
        self.startNanoseconds = startNanoseconds
        self.connection = connection
    }

    /// False once the client is gone: work that is only for it may stop.
    package var isOpen: Bool { connection != nil }

    /// The same for any thread: work that waits in a queue asks before it starts.
    package var isWanted: Bool { !isOver.load(ordering: .relaxed) }

    package var clientAddress: ClientAddress { connection?.clientAddress ?? ClientAddress(nil) }

    /// Who asks, for the line in the log that a denial gets: set once it is known.
    package var caller: Caller?

    /// Where completions for this exchange are to run.
    package var sink: LoopSink? { connection?.loopContext.sink }

    // MARK: Response

    /// Begins a response: status line, Date, transaction ids. `reserving` more bytes for fields and body.
    package func response(_ status: HTTPStatus, reserving: Int = 512) -> ResponseBuilder {
        var builder = ResponseBuilder(status: status, buffer: ByteBufferAllocator().buffer(capacity: 384 + reserving))
        builder.writeStatusLine()
        guard let connection else { return builder }
        connection.writeStandardFields(self, into: &builder)
        return builder
    }

    /// Sends a response that is complete: `endHead` was called, and the body, if any, is in the buffer.
    package func send(_ builder: consuming ResponseBuilder) {
        guard let connection, case .none = output else { return }
        precondition(builder.contentLength != nil, "endHead first")
        status = builder.status
        bytesSent += builder.buffer.readableBytes
        output = .complete
        connection.write(builder.buffer)
        connection.responseEnded(self)
    }

    /// Sends a head whose body of `contentLength` bytes follows by `sendPart`.
    package func sendHead(_ builder: consuming ResponseBuilder) {
        guard let connection, case .none = output else { return }
        guard let length = builder.contentLength else { preconditionFailure("endHead first") }
        status = builder.status
        bytesSent += builder.buffer.readableBytes
        output = .streaming(left: length)
        connection.write(builder.buffer)
        if length == 0 { end(connection) }
    }

    /// The next bytes of the body. The response is complete when the announced length was sent; to send more is
    /// a mistake that resets the connection.
    package func sendPart(_ part: ByteBuffer) {
        guard let connection, case .streaming(let left) = output else { return }
        let count = part.readableBytes
        guard count <= left else { return reset() }
        bytesSent += count
        output = .streaming(left: left - count)
        connection.writePart(part)
        if left == count { end(connection) }
    }

    /// A head and the first parts of its body, in one flush.
    package func sendHead(_ builder: consuming ResponseBuilder, _ parts: [ByteBuffer]) {
        guard let connection else { return }
        connection.cork()
        sendHead(builder)
        for part in parts { sendPart(part) }
        connection.uncork()
    }

    /// Several parts in one flush.
    package func sendParts(_ parts: [ByteBuffer]) {
        guard let connection else { return }
        connection.cork()
        for part in parts { sendPart(part) }
        connection.uncork()
    }

    private func end(_ connection: HTTPConnection) {
        output = .complete
        onWritable = nil
        connection.responseEnded(self)
    }

    /// The socket would take more bytes now.
    package var isWritable: Bool { connection?.isWritable ?? false }

    /// Sets what is called, on the event loop, when the socket takes bytes again or the connection is gone.
    package func whenWritable(_ body: (() -> Void)?) { onWritable = body }

    /// Ends the connection at once, so that the client can't mistake what it has for the whole.
    package func reset() { connection?.reset() }

    // MARK: Body

    /// Reads the whole body, at most `max` bytes of it (`tooLarge` otherwise: answer then, the rest is dealt with).
    package func collectBody(max: Int, then: @escaping (Result<ByteBuffer, BodyFailure>) -> Void) {
        guard let connection else { return then(.failure(.clientGone)) }
        if case .done = intake { return then(.success(ByteBuffer())) }
        if case .length(let length) = head.framing, length > max { return then(.failure(.tooLarge)) }
        intake = .collecting(nil, max: max, then: then)
        connection.bodyWanted(self)
    }

    /// Hands the body over as it comes.
    package func streamBody(to consumer: any BodyConsumer) {
        guard let connection else { return consumer.failed(.clientGone) }
        if case .done = intake { return consumer.ended() }
        intake = .streaming(consumer, paused: false)
        connection.bodyWanted(self)
    }

    /// Goes on after `received` answered false.
    package func resumeBody() {
        guard let connection, case .streaming(let consumer, true) = intake else { return }
        intake = .streaming(consumer, paused: false)
        connection.bodyWanted(self)
    }
}
