import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Why an outside Identity service said nothing that could be used. The text is for the log, and has no secret in it.
enum AuthorityFailure: Error, Equatable {
    /// No connection, or no answer in time.
    case away(String)
    /// The connection ended before the answer did.
    case brokenOff(String)
    /// An answer that can't be understood, or that says that the service itself is in trouble.
    case senseless(String)
    /// It doesn't take the daemon's own user.
    case refusesUs(String)

    /// How long nobody is asked after it; nil where it may be one token's fault, and the next may well get an answer.
    var pauseMilliseconds: UInt64? {
        switch self {
        case .away: AuthorityLimits.pauseMilliseconds
        case .refusesUs: AuthorityLimits.refusedSignInPauseMilliseconds
        case .brokenOff, .senseless: nil
        }
    }
}

extension AuthorityFailure: CustomStringConvertible {
    var description: String {
        switch self {
        case .away(let why), .brokenOff(let why), .senseless(let why), .refusesUs(let why): why
        }
    }
}

/// Asks an outside Identity service over HTTP/1.1, with TLS or without, on event loops. A connection for each question:
/// they are few, since answers are remembered, and none is ever found closed.
struct AuthorityClient: Sendable {
    struct Question: Sendable {
        var method: HTTPMethod
        /// Behind the prefix.
        var path: String
        var fields: [(name: String, value: String)]
        var body: [UInt8] = []
    }

    struct Answer: Sendable {
        var status: Int
        /// `X-Subject-Token`.
        var token: String?
        var body: [UInt8]
    }

    private let address: AuthorityAddress
    private let tls: NIOSSLContext?
    private let group: any EventLoopGroup
    private let timeout: TimeAmount

    /// Reads the certificates that are trusted. Blocks.
    init(_ settings: AuthoritySettings, address: AuthorityAddress, group: any EventLoopGroup) throws(DaemonError) {
        self.address = address
        self.group = group
        timeout = .seconds(Int64(settings.timeoutSeconds))
        do {
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.minimumTLSVersion = .tlsv12
            if !settings.caFile.isEmpty { configuration.trustRoots = .file(settings.caFile) }
            tls = address.web.isSecure ? try NIOSSLContext(configuration: configuration) : nil
        } catch {
            throw DaemonError(
                "identity.keystone_ca_file is \"\(settings.caFile)\", which can't be used (\(error)).",
                remedy: "It must be a PEM file of certificates.")
        }
    }

    /// A loop for promises of what is to come.
    var loop: any EventLoop { group.next() }

    /// Fails with an `AuthorityFailure`. A connection that fails or breaks off is tried once more: all questions here may
    /// be asked twice.
    func ask(_ question: Question) -> EventLoopFuture<Answer> {
        let deadline = NIODeadline.now() + timeout
        let loop = loop
        let failed = { @Sendable (error: any Error) in loop.makeFailedFuture(error) as EventLoopFuture<Answer> }
        return askOnce(question, deadline, loop).flatMapError { error in
            switch error as? AuthorityFailure {
            case .away, .brokenOff: NIODeadline.now() < deadline ? askOnce(question, deadline, loop) : failed(error)
            default: failed(error)
            }
        }
    }

    private func askOnce(
        _ question: Question, _ deadline: NIODeadline, _ loop: any EventLoop
    ) -> EventLoopFuture<Answer> {
        let promise = loop.makePromise(of: Answer.self)
        let (address, tls) = (address, tls)
        ClientBootstrap(group: loop)
            .connectTimeout(deadline - .now())
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls {
                        let name = address.web.isNumeric ? nil : address.web.host
                        try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: name))
                    }
                    try pipeline.addHTTPClientHandlers()
                }
            }
            .connect(host: address.web.host, port: address.web.port)
            .whenComplete { result in
                switch result {
                case .failure(let error): promise.fail(AuthorityFailure.away("\(error)"))
                case .success(let channel):
                    do {
                        try channel.pipeline.syncOperations.addHandler(
                            Conversation(question, address: address, deadline: deadline, promise))
                    } catch {
                        promise.fail(AuthorityFailure.brokenOff("\(error)"))
                        channel.close(promise: nil)
                    }
                }
            }
        return promise.futureResult
    }
}

/// One question and its answer on a connection of their own. Touched on the connection's event loop only.
private final class Conversation: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let question: AuthorityClient.Question
    private let address: AuthorityAddress
    private let deadline: NIODeadline
    private let promise: EventLoopPromise<AuthorityClient.Answer>
    private var isDone = false
    private var timer: Scheduled<Void>?
    private var answer: AuthorityClient.Answer?

    init(
        _ question: AuthorityClient.Question, address: AuthorityAddress, deadline: NIODeadline,
        _ promise: EventLoopPromise<AuthorityClient.Answer>
    ) {
        self.question = question
        self.address = address
        self.deadline = deadline
        self.promise = promise
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(deadline: deadline) {
            let (handler, context) = bound.value
            handler.fail(.away("no answer in time"), context)
        }
        var head = HTTPRequestHead(version: .http1_1, method: question.method, uri: address.prefix + question.path)
        head.headers.add(name: "Host", value: address.hostField)
        head.headers.add(name: "User-Agent", value: "apus")
        head.headers.add(name: "Accept", value: "application/json")
        head.headers.add(name: "Connection", value: "close")
        for field in question.fields { head.headers.add(name: field.name, value: field.value) }
        if !question.body.isEmpty {
            head.headers.add(name: "Content-Type", value: "application/json")
            head.headers.add(name: "Content-Length", value: String(question.body.count))
        }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !question.body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: question.body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            // Given more than once it is nobody's token.
            let tokens = head.headers["X-Subject-Token"]
            answer = AuthorityClient.Answer(
                status: Int(head.status.code), token: tokens.count == 1 ? tokens[0] : nil, body: [])
        case .body(let bytes):
            guard let count = answer?.body.count, count + bytes.readableBytes <= AuthorityLimits.answerBytesMax else {
                return fail(.senseless("an answer of too many bytes"), context)
            }
            answer?.body.append(contentsOf: bytes.readableBytesView)
        case .end:
            guard !isDone, let answer else { return }
            finish(context)
            promise.succeed(answer)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(.brokenOff("\(error)"), context) }

    func channelInactive(context: ChannelHandlerContext) { fail(.brokenOff("the connection was closed"), context) }

    func handlerRemoved(context: ChannelHandlerContext) { fail(.brokenOff("the connection was closed"), context) }

    private func fail(_ failure: AuthorityFailure, _ context: ChannelHandlerContext) {
        guard !isDone else { return }
        finish(context)
        promise.fail(failure)
    }

    private func finish(_ context: ChannelHandlerContext) {
        isDone = true
        timer?.cancel()
        context.close(promise: nil)
    }
}
