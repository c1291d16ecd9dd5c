import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Primitives

@testable import Daemon

/// An Identity service on a free port of the loopback that says what a test tells it to.
final class FakeAuthority: Sendable {
    struct Question: Sendable {
        var method: String
        var uri: String
        var token: String?
        var subject: String?
        var body: String
    }

    struct Answer: Sendable {
        var status = 200
        var fields: [(String, String)] = []
        var body = ""
        /// Sends nothing, and closes.
        var breaksOff = false
        /// Sends nothing until `release`.
        var isHeld = false
    }

    typealias Rule = @Sendable (Question, Int) -> Answer

    let port: Int
    private let channel: any Channel
    private let questions = PosixLocked<[Question]>([])
    private let held = PosixLocked<[@Sendable () -> Void]>([])

    /// - Parameters:
    ///   - tls: PEM files.
    ///   - rule: what to answer, by the question and by how many came before it.
    init(port: Int = 0, tls: (certificate: String, key: String)? = nil, _ rule: @escaping Rule) async throws {
        let (questions, held) = (questions, held)
        let context = try tls.map { files in
            try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: try NIOSSLCertificate.fromPEMFile(files.certificate).map { .certificate($0) },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: files.key, format: .pem))))
        }
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { child in
                child.eventLoop.makeCompletedFuture {
                    if let context {
                        try child.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                    }
                    try child.pipeline.syncOperations.configureHTTPServerPipeline()
                    try child.pipeline.syncOperations.addHandler(Handler(rule, questions, held))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        self.port = channel.localAddress?.port ?? 0
    }

    func stop() async throws { try await channel.close() }

    func release() {
        for send in held.withLock({ held in
            defer { held = [] }
            return held
        }) { send() }
    }

    var seen: [Question] { questions.withLock { $0 } }
    var signIns: Int { seen.count { $0.method == "POST" } }
    var described: Int { seen.count { $0.method == "GET" } }

    /// - Parameter base: `scheme://host`, if not the usual one.
    func settings(
        base: String = "http://127.0.0.1", caFile: String = "", cacheSeconds: Int = 300, timeoutSeconds: Int = 10
    ) throws -> AuthoritySettings {
        try ConfigurationSources.load(
            overrides: [
                (key: "identity.authority", value: "keystone"),
                (key: "identity.keystone_url", value: "\(base):\(port)/v3/"),
                (key: "identity.keystone_ca_file", value: caFile),
                (key: "identity.keystone_user", value: "apus"),
                (key: "identity.keystone_password_file", value: "/nowhere"),
                (key: "identity.keystone_cache_seconds", value: String(cacheSeconds)),
                (key: "identity.keystone_timeout_seconds", value: String(timeoutSeconds)),
            ], environment: [:], file: nil
        ).authority
    }

    // MARK: What it usually says

    /// Takes the daemon's password, giving tokens `own-0`, `own-1` and so on, and knows tokens that begin with `good`.
    static let kind: Rule = { question, number in
        question.method == "POST"
            ? welcome("own-\(number)")
            : question.subject?.hasPrefix("good") == true ? Answer(body: token()) : Answer(status: 404)
    }

    static func welcome(_ token: String, expires: String = far) -> Answer {
        Answer(
            status: 201, fields: [("X-Subject-Token", token)], body: #"{"token": {"expires_at": "\#(expires)"}}"#)
    }

    static let far = "2099-01-01T00:00:00.000000Z"

    /// - Parameters:
    ///   - scope: members of the token beside user, roles and end.
    static func token(
        expires: String = far, roles: String = #"[{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}]"#,
        scope: String =
            #""project": {"id": "p1", "name": "lab", "domain": {"id": "d1", "name": "Lab"}}, "is_domain": false"#
    ) -> String {
        #"{"token": {"methods": ["password"], "user": {"id": "u1", "name": "ann", "domain": {"id": "default", "name": "Default"}, "password_expires_at": null}, "expires_at": "\#(expires)", "issued_at": "2026-01-01T00:00:00.000000Z", "roles": \#(roles), \#(scope)}}"#
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let rule: Rule
        private let questions: PosixLocked<[Question]>
        private let held: PosixLocked<[@Sendable () -> Void]>
        private var question = Question(method: "", uri: "", body: "")

        init(_ rule: @escaping Rule, _ questions: PosixLocked<[Question]>, _ held: PosixLocked<[@Sendable () -> Void]>)
        {
            (self.rule, self.questions, self.held) = (rule, questions, held)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                question = Question(
                    method: head.method.rawValue, uri: head.uri, token: head.headers.first(name: "X-Auth-Token"),
                    subject: head.headers.first(name: "X-Subject-Token"), body: "")
            case .body(let bytes): question.body += String(buffer: bytes)
            case .end:
                let question = question
                let number = questions.withLock { questions in
                    questions.append(question)
                    return questions.count - 1
                }
                let answer = rule(question, number)
                let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
                let loop = context.eventLoop
                let send: @Sendable () -> Void = {
                    loop.execute { bound.value.handler.send(answer, bound.value.context) }
                }
                if answer.isHeld { held.withLock { $0.append(send) } } else { send() }
            }
        }

        private func send(_ answer: Answer, _ context: ChannelHandlerContext) {
            guard !answer.breaksOff else { return context.close(promise: nil) }
            var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: answer.status))
            for (name, value) in answer.fields { head.headers.add(name: name, value: value) }
            head.headers.add(name: "Content-Length", value: String(answer.body.utf8.count))
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: answer.body)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
