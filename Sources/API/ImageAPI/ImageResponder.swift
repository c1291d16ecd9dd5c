package import ControlFace
package import HTTPFace
import HTTPTypes
package import Hummingbird
package import Images
package import Logging
package import Primitives

/// The Image API over HTTP: turns a request into a `Call`, checks caller and policy, and adds what every answer has. For a
/// Hummingbird `Application`, with or without TLS.
package struct ImageResponder: HTTPResponder {
    package typealias Context = ControlContext

    private let images: ImageService
    private let tokens: TokenCheck
    private let publicBase: @Sendable () -> String
    private let identityURL: @Sendable () -> String
    private let logger: Logger

    /// - Parameters:
    ///   - threads: of the caller's; used for verifying tokens only.
    ///   - logger: takes a line for each denial, each change and each error.
    ///   - publicBase: `scheme://host:port[/prefix]` as configured; links take the host from the request.
    ///   - identityURL: where tokens are had, for those who come without one.
    package init(
        images: ImageService, authenticator: any Authenticator, threads: WorkThreads, logger: Logger,
        publicBase: @escaping @Sendable () -> String, identityURL: @escaping @Sendable () -> String
    ) {
        self.images = images
        tokens = TokenCheck(authenticator: authenticator, threads: threads, services: ["image"])
        self.logger = logger
        self.publicBase = publicBase
        self.identityURL = identityURL
    }

    package func respond(to request: Request, context: Context) async throws -> Response {
        let requestID = ControlRequestID.text(images.configuration.randomBytes(16))
        let reply = await answer(request, requestID: requestID, context: context)
        return response(reply, request, requestID: requestID)
    }

    private func answer(_ request: Request, requestID: String, context: Context) async -> Reply {
        let target = request.head.path ?? "/"
        let path = String(target.prefix { $0 != "?" })
        let base = LinkBase.base(configured: publicBase(), authority: request.head.authority)
        let method = request.method
        switch Destination(path: path, method: method) {
        case .versions(let isRoot):
            guard method == .get else { return .fault(.methodNotAllowed, "The method is not allowed here.") }
            return Versions.reply(
                base: base, isRoot: isRoot, hasSeveralStores: images.configuration.stores.count > 1)
        case .health: return Reply(.ok, .text("OK"))
        case .nowhere: return .fault(.notFound, "The resource could not be found.")
        case .resource(let found):
            let asker: ImageAsker
            switch await tokens.check(request) {
            case .caller(let caller, let isService):
                // Images belong to projects: a token of a domain or of the system sees what strangers see, and its roles, which
                // are held on something else, say nothing here.
                asker = ImageAsker(
                    userID: caller.user.id, projectID: caller.project?.id ?? "",
                    roles: caller.project == nil ? [] : caller.roles, isService: isService, requestID: requestID)
            case .unknown:
                var reply = Reply.fault(.unauthorized, "This server could not verify that you are authorized.")
                reply.headers[.wwwAuthenticate] = "Keystone uri=\"\(identityURL())\""
                return noted(reply, nil, method, path, requestID, context)
            case .busy(let seconds):
                var reply = Reply.fault(.busy)
                reply.headers[.retryAfter] = String(seconds)
                return reply
            }
            var call = Call(
                asker: asker, arguments: [], query: QueryText.pairs(target.dropFirst(path.count + 1)),
                headers: request.headers, body: nil, base: base)
            let reply = await run(found, &call, request)
            return noted(reply, asker, method, path, requestID, context)
        }
    }

    private func run(_ found: Routes.Found, _ call: inout Call, _ request: Request) async -> Reply {
        switch found {
        case .none: return .fault(.notFound, "The resource could not be found.")
        case .otherMethods(let methods):
            var reply = Reply.fault(.methodNotAllowed, "The method is not allowed here.")
            reply.headers[.allow] = methods.map(\.rawValue).joined(separator: ", ")
            return reply
        case .route(let route, let arguments):
            call.arguments = arguments
            do throws(ImageError) {
                guard route.allows(call.asker) else { throw ImageError.denied(route.rule) }
                switch route.handler {
                case .plain(let handler):
                    if let refusal = await readBody(request, &call) { return refusal }
                    return try await handler(Handlers(images: images), call)
                case .streaming(let handler):
                    return try await handler(Handlers(images: images), call, request)
                }
            } catch {
                switch error {
                case .storage(let why): logger.error("image store failed", metadata: ["error": "\(why)"])
                case .records(let why): logger.error("control.db failed", metadata: ["error": "\(why)"])
                default: break
                }
                return .fault(error)
            }
        }
    }

    /// Why the body can't be used; nil once the call has it.
    private func readBody(_ request: Request, _ call: inout Call) async -> Reply? {
        guard [.post, .put, .patch].contains(request.method) else { return nil }
        switch await WholeBody.read(request, bytesMax: FaceLimits.bodyBytesMax) {
        case .none: return nil
        case .tooLarge: return .fault(.contentTooLarge, "Request is too large.")
        case .broken: return .fault(.badRequest, "The server could not read the request.")
        case .bytes(let bytes):
            guard let json = JSONParser.parse(bytes) else {
                return .fault(.badRequest, "Malformed JSON in request body.")
            }
            call.body = json
            return nil
        }
    }

    // MARK: What is written down and sent.

    private func noted(
        _ reply: Reply, _ asker: ImageAsker?, _ method: HTTPRequest.Method, _ path: String, _ requestID: String,
        _ context: Context
    ) -> Reply {
        let facts: Logger.Metadata = [
            "request_id": "\(requestID)", "method": "\(method.rawValue)", "path": "\(path)",
            "client": "\(context.client)", "user": "\(asker?.userID ?? "-")", "project": "\(asker?.projectID ?? "-")",
            "status": "\(reply.status.code)",
        ]
        switch reply.status.code {
        case 401, 403: logger.notice("image request denied", metadata: facts)
        case 500...: logger.error("image request failed", metadata: facts)
        case 200..<300 where method != .get: logger.notice("images changed", metadata: facts)
        default: break
        }
        return reply
    }

    private func response(_ reply: Reply, _ request: Request, requestID: String) -> Response {
        var headers = reply.headers
        headers[.imageRequestID] = requestID
        let bytes: [UInt8]
        switch reply.body {
        case .none: return Response(status: reply.status, headers: headers)
        case .data(let body): return Response(status: reply.status, headers: headers, body: body)
        case .json(let json):
            headers[.contentType] = "application/json"
            bytes = json.utf8
        case .text(let text):
            headers[.contentType] = "text/plain; charset=UTF-8"
            bytes = Array(text.utf8)
        case .fault(let message):
            let page = FaultPage(status: reply.status, message: message)
            let wantsJSON = request.headers[.accept]?.contains("application/json") == true
            headers[.contentType] = wantsJSON ? "application/json" : "text/html; charset=UTF-8"
            bytes = wantsJSON ? page.json.utf8 : Array(page.html.utf8)
        }
        return Response(
            status: reply.status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}

/// An error as image clients expect it: a small page, or its parts as JSON.
private struct FaultPage {
    let status: HTTPResponse.Status
    let message: String

    private var title: String { "\(status.code) \(status.reasonPhrase)" }

    var html: String {
        let text = Self.escaped(message)
        return "<html><head><title>\(title)</title></head><body><h1>\(title)</h1>\(text)<br /><br /></body></html>"
    }

    var json: JSON {
        .of([
            "message": .string(Self.escaped(message) + "<br /><br />\n\n\n"), "code": .string(title),
            "title": .string(status.reasonPhrase),
        ])
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}

extension HTTPField.Name {
    static var imageRequestID: Self { Self("X-Openstack-Request-Id") ?? .vary }
}
