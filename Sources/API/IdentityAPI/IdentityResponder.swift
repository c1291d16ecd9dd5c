package import ControlFace
import HTTPFace
import HTTPTypes
package import Hummingbird
package import Identity
package import Logging
import Primitives

/// The Identity API over HTTP: turns a request into a `Call`, has it answered on Identity's threads, and adds what every
/// answer has. For a Hummingbird `Application`, with or without TLS.
package struct IdentityResponder: HTTPResponder {
    package typealias Context = ControlContext

    private let identity: IdentityService
    private let handlers: Handlers
    private let publicBase: @Sendable () -> String
    private let logger: Logger

    /// - Parameters:
    ///   - logger: takes a line for each denial, each change and each error.
    ///   - publicBase: `scheme://host:port[/prefix]` as configured; links take the scheme and the prefix from
    ///   it, and the host from the request, where that is well formed.
    package init(identity: IdentityService, logger: Logger, publicBase: @escaping @Sendable () -> String) {
        self.identity = identity
        handlers = Handlers(identity: identity)
        self.publicBase = publicBase
        self.logger = logger
    }

    package func respond(to request: Request, context: Context) async throws -> Response {
        let requestID = ControlRequestID.text(identity.configuration.randomBytes(16))
        let base = LinkBase.base(configured: publicBase(), authority: request.head.authority)
        let reply = await answer(request, base: base, requestID: requestID, context: context)
        return response(reply, isHead: request.method == .head, requestID: requestID)
    }

    private func answer(_ request: Request, base: String, requestID: String, context: Context) async -> Reply {
        let target = request.head.path ?? "/"
        let path = target.prefix { $0 != "?" }
        guard let route = Route(path: String(path)) else { return .error(.notFound, ErrorText.notFound, base: base) }
        guard route.methods.contains(request.method) else {
            var reply = Reply.error(.methodNotAllowed, ErrorText.methodNotAllowed, base: base)
            reply.headers[.allow] = route.methods.map(\.rawValue).joined(separator: ", ")
            return reply
        }
        var call = Call(
            route: route, method: request.method == .head ? .get : request.method,
            query: Call.query(target.dropFirst(path.count + 1)), authToken: token(request, .authToken),
            subjectToken: token(request, .subjectToken), body: nil, base: base)
        call.isHead = request.method == .head
        call.path = QueryText.percentDecoded(path)
        if [.post, .put, .patch].contains(request.method) {
            switch await body(request) {
            case .tooLarge: return .error(.contentTooLarge, ErrorText.tooLarge, base: base)
            case .malformed: return .error(.badRequest, ErrorText.malformed, base: base)
            case .none: break
            case .json(let body): call.body = body
            }
        }
        return await run(call, requestID: requestID, context: context)
    }

    private func run(_ call: Call, requestID: String, context: Context) async -> Reply {
        let handlers = handlers
        let client = context.client.description
        let throttle = identity.signInThrottle
        if call.hashesPassword, let seconds = throttle.secondsToWait(client, now: identity.now) {
            var reply = Reply.error(.tooManyRequests, ErrorText.tooManyFailures, base: call.base)
            reply.headers[.retryAfter] = String(seconds)
            return reply
        }
        let answer: (reply: Reply, failure: IdentityError?)
        do throws(IdentityError) {
            answer = try await identity.perform(call.hashesPassword ? .password : .tables) { () throws(IdentityError) in
                handlers.answer(call)
            }
        } catch {
            answer = (.error(error, base: call.base), error)
        }
        let actor = call.authToken.flatMap { identity.cachedCaller(token: $0)?.user.id } ?? "-"
        let facts: Logger.Metadata = [
            "request_id": "\(requestID)", "method": "\(call.method.rawValue)", "route": "\(call.route)",
            "client": "\(client)", "user": "\(actor)", "status": "\(answer.reply.status.code)",
        ]
        switch answer.failure {
        case .unauthorized?, .forbidden?:
            if call.hashesPassword, answer.failure == .unauthorized { throttle.failed(client, now: identity.now) }
            logger.notice("identity request denied", metadata: facts)
        case .records?, .keyRepository?, .cryptography?, .full?:
            let text = answer.failure?.description ?? ""
            logger.error("identity request failed", metadata: facts.merging(["error": "\(text)"]) { $1 })
        case .busy?: logger.warning("identity request refused, queue full", metadata: facts)
        case nil where call.route == .authTokens && call.method == .post:
            logger.info("token issued", metadata: facts)
        case nil where call.method != .get: logger.notice("identity changed", metadata: facts)
        case .notFound?, .conflict?, .invalid?, nil: break
        }
        return answer.reply
    }

    private enum Body {
        case none
        case json(JSON)
        case malformed
        case tooLarge
    }

    private func body(_ request: Request) async -> Body {
        switch await WholeBody.read(request, bytesMax: Call.bodyBytesMax) {
        case .none: return .none
        case .tooLarge: return .tooLarge
        case .broken: return .malformed
        case .bytes(let bytes):
            guard let json = JSONParser.parse(bytes), json.members != nil else { return .malformed }
            return .json(json)
        }
    }

    /// A header's value if it is there, not empty, and given once.
    private func token(_ request: Request, _ name: HTTPField.Name) -> String? {
        let values = request.headers[values: name]
        guard values.count == 1, let value = values.first, !value.isEmpty else { return nil }
        return value
    }

    private func response(_ reply: Reply, isHead: Bool, requestID: String) -> Response {
        var headers = reply.headers
        headers[.vary] = "X-Auth-Token"
        headers[.requestID] = requestID
        guard let body = reply.body else { return Response(status: reply.status, headers: headers) }
        headers[.contentType] = "application/json"
        let response = Response(
            status: reply.status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body.utf8)))
        return isHead ? response.createHeadResponse() : response
    }
}
