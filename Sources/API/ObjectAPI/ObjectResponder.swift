package import HTTPFace
package import Logging
import NIOCore
package import Objects
package import Primitives

/// The Object API over `ObjectService`: routes, authenticates, calls the service, writes the answer.
///
/// Runs on event loops and never blocks them: what may wait for a disk or for Identity goes to the work threads and
/// comes back through the loop's sink. A GET whose token, row and bytes are in memory never leaves the loop.
package final class ObjectResponder: RequestResponder {
    let service: ObjectService
    let authenticator: any Authenticator
    let threads: WorkThreads
    let configuration: ObjectServerConfiguration
    let infoDocument: String
    let damaged: Counter
    let uploads: UploadPlaces
    let copies: UploadPlaces
    let streams = StreamPlaces()
    private let logger: Logger

    package init(
        service: ObjectService, authenticator: any Authenticator, workThreads: WorkThreads,
        configuration: ObjectServerConfiguration, metrics: MetricsRegistry, logger: Logger
    ) {
        self.logger = logger
        self.service = service
        self.authenticator = authenticator
        threads = workThreads
        uploads = UploadPlaces(perAccountMax: configuration.uploadsPerAccountMax)
        copies = UploadPlaces(perAccountMax: configuration.copiesPerAccountMax)
        self.configuration = configuration
        infoDocument = InfoDocument.json(
            policyName: service.configuration.policyName, headerCountMax: configuration.listener.limits.headerCountMax)
        damaged = metrics.counter(
            "object_damaged_reads_total", help: "GETs that were refused or cut because bytes did not verify.")
    }

    package func respond(to exchange: Exchange) {
        let endpoint = Endpoint(exchange.head)
        switch endpoint {
        case .healthcheck:
            text(exchange, "text/plain", "OK")
        case .info:
            text(exchange, "application/json; charset=UTF-8", infoDocument)
        case .options(let allow):
            var builder = exchange.response(200)
            builder.add("Allow", trusted: allow.text)
            builder.endHead(contentLength: 0)
            exchange.send(builder)
        case .refused(let status, let text, let allow):
            refuse(exchange, status, text) { builder in
                if let allow { builder.add("Allow", trusted: allow.text) }
            }
        case .signIn(let realm):
            signIn(exchange, realm: realm)
        case .account(let action, let path):
            authenticate(exchange, path) { [self] requester in onAccount(exchange, action, path, requester) }
        case .container(let action, let path):
            authenticate(exchange, path) { [self] requester in onContainer(exchange, action, path, requester) }
        case .object(let action, let path):
            authenticate(exchange, path) { [self] requester in onObject(exchange, action, path, requester) }
        }
    }

    // MARK: Who is asking

    /// Finds the caller of the token, if there is one; a token that does not verify makes an anonymous requester,
    /// who may still read what is public.
    private func authenticate(
        _ exchange: Exchange, _ path: ObjectPath, then: @escaping @Sendable (Requester) -> Void
    ) {
        let head = exchange.head
        if let query = head.query,
            let refusal = UnannouncedFeatures.refusal(
                query: QueryParameters(query).items.map { (Bytes($0.name), Bytes($0.value)) })
        {
            return refuse(exchange, refusal, path)
        }
        let referer = head.value("referer")
        guard let token = head.value("x-auth-token") ?? head.value("x-storage-token"), !token.isEmpty else {
            return then(Requester(caller: nil, referer: referer))
        }
        if let caller = authenticator.cachedCaller(token: token) {
            return proceed(exchange, caller, referer, then)
        }
        guard let sink = exchange.sink else { return }
        authenticator.verify(token: token, on: threads) { result in
            sink.wake([
                {
                    guard exchange.isOpen else { return }
                    switch result {
                    case .success(let caller):
                        self.proceed(exchange, caller, referer, then)
                    case .failure(let error):
                        self.refuse(exchange, 503, "Tokens can't be verified at the moment.") {
                            $0.add("Retry-After", Int((error as? TokensUnverifiable)?.retryAfterSeconds ?? 1))
                        }
                    }
                }
            ])
        }
    }

    /// A token that isn't good for this request (access rules of an application credential) is as none.
    private func proceed(
        _ exchange: Exchange, _ caller: Caller?, _ referer: String?, _ then: @Sendable (Requester) -> Void
    ) {
        if let caller, caller.accessRules != nil {
            let raw = exchange.head.target.storage.prefix { $0 != UInt8(ascii: "?") }
            let decoded = PercentCoding.decode(raw).flatMap { String(validating: $0, as: UTF8.self) }
            guard let decoded,
                caller.permits(services: ["object-store"], method: exchange.head.verb.description, path: decoded)
            else { return then(Requester(caller: nil, referer: referer)) }
        }
        exchange.caller = caller
        then(Requester(caller: caller, referer: referer))
    }

    /// Runs blocking work on a work thread and its continuation on the loop, if the client is still there.
    func offload<Value: Sendable>(
        _ exchange: Exchange, _ work: @escaping @Sendable () -> Value,
        then: @escaping @Sendable (Exchange, Value) -> Void
    ) {
        guard let sink = exchange.sink else { return }
        let admitted = threads.run {
            let value = work()
            sink.wake([{ if exchange.isOpen { then(exchange, value) } }])
        }
        if !admitted { refuse(exchange, 503, "Too many requests are waiting.") }
    }

    // MARK: Answers

    /// A small body of our own; none of it for HEAD.
    func text(_ exchange: Exchange, _ contentType: StaticString, _ text: String) {
        var builder = exchange.response(200, reserving: text.utf8.count + 128)
        builder.add("Content-Type", trusted: contentType)
        builder.endHead(contentLength: text.utf8.count)
        if exchange.head.verb != .head { builder.buffer.writeString(text) }
        exchange.send(builder)
    }

    /// A refusal with the usual page. A HEAD gets no body, and neither does a condition that failed.
    func refuse(
        _ exchange: Exchange, _ status: HTTPStatus, _ text: String? = nil, page: Bool = true,
        fields: (inout ResponseBuilder) -> Void = { _ in }
    ) {
        var builder = exchange.response(status)
        fields(&builder)
        if !page || exchange.head.verb == .head || status.hasNoBody {
            builder.endHead(contentLength: 0)
        } else {
            // A few texts are compared literally by conformance suites: those stand alone.
            let text = text ?? status.explanation
            let body = Self.bareTexts.contains(text) ? text : ErrorPage.html(status, text)
            builder.endHead(contentLength: body.utf8.count)
            builder.buffer.writeString(body)
        }
        exchange.send(builder)
    }

    private static let bareTexts: Set<String> = ["Bad URL", "Invalid UTF8 or contains NULL"]

    func refuse(_ exchange: Exchange, _ error: ObjectError, _ path: ObjectPath) {
        switch error {
        case .notModified: refuse(exchange, 304)
        case .badRequest(let text): refuse(exchange, 400, text)
        case .unauthorized:
            // Percent-encoded, so that no name can end the quotes or the header.
            let realm = PercentCoding.encode(path.account.storage)
            refuse(exchange, 401) { $0.add("WWW-Authenticate", "Swift realm=\"\(realm)\"") }
        case .forbidden: refuse(exchange, 403)
        case .notFound: refuse(exchange, 404)
        case .methodNotAllowed:
            let allow: Endpoint.StaticAllow =
                path.container == nil ? .account : path.object == nil ? .container : .object
            refuse(exchange, 405) { $0.add("Allow", trusted: allow.text) }
        case .conflict(let text): refuse(exchange, 409, text)
        case .lengthRequired: refuse(exchange, 411)
        case .preconditionFailed(let text): refuse(exchange, 412, text)
        case .tooLarge(let text): refuse(exchange, 413, text)
        case .rangeNotSatisfiable(let size):
            refuse(exchange, 416) { $0.add("Content-Range", "bytes */\(size)") }
        case .unprocessable: refuse(exchange, 422)
        case .unavailable(let text): refuse(exchange, 503, text)
        case .insufficientStorage: refuse(exchange, 507)
        case .corrupt(let text): damage(exchange, text)
        }
    }

    /// Bytes did not verify, or could not be read, and none of them was sent.
    func damage(_ exchange: Exchange, _ what: String) {
        noteDamage(exchange, what, isCut: false)
        refuse(exchange, 503, "The stored data is damaged.")
    }

    /// Counts it, and says in the log what it was.
    func noteDamage(_ exchange: Exchange, _ what: String, isCut: Bool) {
        damaged.add()
        logger.error(
            "a read was refused: stored bytes are damaged",
            metadata: ["what": "\(what)", "response_was_cut": "\(isCut)", "req_id": "\(exchange.id)"])
    }

    func answer(_ exchange: Exchange, _ result: Result<WriteOutcome, ObjectError>, _ path: ObjectPath) {
        switch result {
        case .success(let outcome):
            let status: HTTPStatus =
                switch outcome.kind {
                case .created: 201
                case .accepted: 202
                case .noContent: 204
                }
            var builder = exchange.response(status)
            builder.add(outcome.headers)
            builder.endHead(contentLength: 0)
            exchange.send(builder)
        case .failure(let error): refuse(exchange, error, path)
        }
    }
}
