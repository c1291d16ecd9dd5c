package import ControlFace
package import HTTPFace
import HTTPTypes
package import Hummingbird
package import Logging
package import Primitives
package import Volumes

/// The Block Storage API over HTTP: turns a request into a `Call`, checks version, caller and policy, and adds what every
/// answer has. For a Hummingbird `Application`, with or without TLS.
package struct VolumeResponder: HTTPResponder {
    package typealias Context = ControlContext

    private let volumes: VolumeService
    private let tokens: TokenCheck
    private let publicBase: @Sendable () -> String
    private let logger: Logger

    /// - Parameters:
    ///   - threads: of the caller's; used for verifying tokens only.
    ///   - logger: takes a line for each denial, each change and each error.
    ///   - publicBase: `scheme://host:port[/prefix]` as configured; links take the host from the request.
    package init(
        volumes: VolumeService, authenticator: any Authenticator, threads: WorkThreads, logger: Logger,
        publicBase: @escaping @Sendable () -> String
    ) {
        self.volumes = volumes
        tokens = TokenCheck(
            authenticator: authenticator, threads: threads,
            services: ["volumev3", "block-storage", "block-store", "volume"])
        self.logger = logger
        self.publicBase = publicBase
    }

    package func respond(to request: Request, context: Context) async throws -> Response {
        let requestID = ControlRequestID.text(volumes.configuration.randomBytes(16))
        let version: Microversion
        do throws(Microversion.Refusal) {
            version = try Microversion.requested(request.headers[values: .apiVersion])
        } catch {
            let reply: Reply
            switch error {
            case .malformed(let text):
                reply = .fault(
                    .badRequest,
                    "API Version String '\(text)' is of invalid format. Must be of format MajorNum.MinorNum.")
            case .unsupported(let text):
                reply = .fault(
                    .notAcceptable, "Version \(text) is not supported by the API. Minimum is 3.0 and maximum is 3.71.")
            }
            return response(reply, isHead: request.method == .head, version: nil, requestID: requestID)
        }
        let reply = await answer(request, version, requestID: requestID, context: context)
        return response(reply, isHead: request.method == .head, version: version, requestID: requestID)
    }

    private func answer(
        _ request: Request, _ version: Microversion, requestID: String, context: Context
    ) async -> Reply {
        let target = request.head.path ?? "/"
        let path = String(target.prefix { $0 != "?" })
        let base = LinkBase.base(configured: publicBase(), authority: request.head.authority)
        let method = request.method == .head ? .get : request.method
        switch Destination(path: path, method: method, version: version) {
        case .versions(let isRoot):
            guard method == .get else { return .fault(.methodNotAllowed, "The method is not allowed here.") }
            return Versions.reply(base: base, isRoot: isRoot)
        case .nowhere: return .fault(.notFound, "The resource could not be found.")
        case .resource(let project, let found):
            let asker: (asker: Asker, roles: Set<String>)
            switch await identify(request, requestID: requestID) {
            case .success(let identified): asker = identified
            case .failure(let refusal):
                note(refusal.reply, nil, method, path, requestID, context)
                return refusal.reply
            }
            if let project, project != asker.asker.projectID {
                return .fault(.badRequest, "Malformed request url")
            }
            var call = Call(
                asker: asker.asker, roles: asker.roles, version: version, arguments: [],
                query: QueryText.pairs(target.dropFirst(path.count + 1)), body: nil,
                matches: request.headers[.ifMatch], base: base, path: path)
            let reply = await run(found, &call, request)
            note(reply, asker.asker, method, path, requestID, context)
            return reply
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
            if [.post, .put].contains(request.method), let refusal = await readBody(request, &call) { return refusal }
            do throws(VolumeError) {
                try Policy.check(route.role, route.rule, call)
                return try await route.handler(Handlers(volumes: volumes), call)
            } catch {
                if case .backend(let why) = error {
                    logger.error("volume backend failed", metadata: ["error": "\(why)"])
                }
                if case .records(let why) = error { logger.error("control.db failed", metadata: ["error": "\(why)"]) }
                return .fault(error)
            }
        }
    }

    /// Why the body can't be used; nil once the call has it.
    private func readBody(_ request: Request, _ call: inout Call) async -> Reply? {
        switch await WholeBody.read(request, bytesMax: FaceLimits.bodyBytesMax) {
        case .none: return nil
        case .tooLarge: return .fault(.contentTooLarge, "Request is too large.")
        case .broken: return .fault(.badRequest, "The server could not read the request.")
        case .bytes(let bytes):
            let type = request.headers[.contentType]?.prefix { $0 != ";" }.lowercased()
            guard type == nil || type == "application/json" || type?.hasPrefix("application/vnd.openstack.") == true
            else { return .fault(.unsupportedMediaType, "Unsupported Content-Type") }
            guard let json = JSONParser.parse(bytes), json.members != nil else {
                return .fault(.badRequest, "Malformed request body")
            }
            call.body = json
            return nil
        }
    }

    // MARK: Who asks.

    private struct Refusal: Error {
        var reply: Reply
    }

    private func identify(
        _ request: Request, requestID: String
    ) async -> Result<(asker: Asker, roles: Set<String>), Refusal> {
        let caller: Caller
        let isService: Bool
        switch await tokens.check(request) {
        case .caller(let found, isService: let vouched): (caller, isService) = (found, vouched)
        case .unknown:
            return .failure(
                Refusal(reply: .fault(.unauthorized, "The request you have made requires authentication.")))
        case .busy(let seconds):
            var reply = Reply.fault(.serviceUnavailable, "The service is busy; try again shortly.")
            reply.headers[.retryAfter] = String(seconds)
            return .failure(Refusal(reply: reply))
        }
        guard let project = caller.project else {
            return .failure(Refusal(reply: .fault(.forbidden, "A token of a project is needed.")))
        }
        let asker = Asker(
            userID: caller.user.id, projectID: project.id, isAdmin: caller.roles.contains("admin"),
            isService: isService, requestID: requestID)
        return .success((asker, caller.roles))
    }

    // MARK: What is written down and sent.

    private func note(
        _ reply: Reply, _ asker: Asker?, _ method: HTTPRequest.Method, _ path: String, _ requestID: String,
        _ context: Context
    ) {
        let facts: Logger.Metadata = [
            "request_id": "\(requestID)", "method": "\(method.rawValue)", "path": "\(path)",
            "client": "\(context.client)", "user": "\(asker?.userID ?? "-")", "project": "\(asker?.projectID ?? "-")",
            "status": "\(reply.status.code)",
        ]
        switch reply.status.code {
        case 401, 403: logger.notice("volume request denied", metadata: facts)
        case 500...: logger.error("volume request failed", metadata: facts)
        case 200..<300 where method != .get: logger.notice("volumes changed", metadata: facts)
        default: break
        }
    }

    private func response(_ reply: Reply, isHead: Bool, version: Microversion?, requestID: String) -> Response {
        var headers = reply.headers
        headers[.requestID] = requestID
        headers[.computeRequestID] = requestID
        headers[.vary] = "OpenStack-API-Version"
        if let version { headers[.apiVersion] = "volume \(version)" }
        guard let body = reply.body else { return Response(status: reply.status, headers: headers) }
        headers[.contentType] = "application/json"
        let response = Response(
            status: reply.status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body.utf8)))
        return isHead ? response.createHeadResponse() : response
    }
}

extension HTTPField.Name {
    static var apiVersion: Self { Self("OpenStack-API-Version") ?? .vary }
    static var requestID: Self { Self("x-openstack-request-id") ?? .vary }
    static var computeRequestID: Self { Self("x-compute-request-id") ?? .vary }
}
