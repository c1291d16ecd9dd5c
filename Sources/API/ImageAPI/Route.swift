import ControlFace
import HTTPTypes
import Hummingbird
import Images

/// One address with what may be done there: by whom, and by which handler.
struct Route: Sendable {
    /// Whom a route is for. `anyone` leaves it to the service, which first says what the caller can't see at all.
    enum Role: Sendable {
        case anyone, reader, member, admin, service
    }

    enum Handler: Sendable {
        /// Gets the body read and parsed.
        case plain(@Sendable (Handlers, Call) async throws(ImageError) -> Reply)
        /// Reads the body itself.
        case streaming(@Sendable (Handlers, Call, Request) async throws(ImageError) -> Reply)
    }

    let method: HTTPRequest.Method
    /// `*` stands for any one part.
    let pattern: [Substring]
    let role: Role
    /// As in policy files, e.g. `get_image`.
    let rule: String
    let handler: Handler

    init(
        _ method: HTTPRequest.Method, _ pattern: StaticString, _ role: Role, _ rule: String,
        _ handler: @escaping @Sendable (Handlers, Call) async throws(ImageError) -> Reply
    ) {
        self.init(method, pattern, role, rule, handler: .plain(handler))
    }

    init(_ method: HTTPRequest.Method, _ pattern: StaticString, _ role: Role, _ rule: String, handler: Handler) {
        self.method = method
        self.pattern = pattern.description.split(separator: "/")
        self.role = role
        self.rule = rule
        self.handler = handler
    }

    /// The open parts' values; nil if the address is another.
    func match(_ segments: ArraySlice<String>) -> [String]? {
        guard segments.count == pattern.count else { return nil }
        var arguments: [String] = []
        for (part, segment) in zip(pattern, segments) {
            if part == "*" {
                arguments.append(segment)
            } else if part != segment {
                return nil
            }
        }
        return arguments
    }

    /// Readers look, members change what is their project's, administrators do everything.
    func allows(_ asker: ImageAsker) -> Bool {
        switch role {
        case .anyone: true
        case .reader: asker.isReader
        case .member: asker.isMember
        case .service: asker.isService
        case .admin: asker.isAdmin
        }
    }
}

/// Where a request goes.
enum Destination {
    /// `/`, `/v2` and `/versions`: `isRoot` is not answered 200.
    case versions(isRoot: Bool)
    case health
    case resource(Routes.Found)
    case nowhere

    init(path: String, method: HTTPRequest.Method) {
        guard let segments = QueryText.segments(path) else {
            self = .nowhere
            return
        }
        switch segments.first {
        case nil: self = .versions(isRoot: true)
        case "versions" where segments.count == 1: self = .versions(isRoot: false)
        case "healthcheck" where segments.count == 1: self = .health
        case "v2":
            guard segments.count > 1 else {
                self = .versions(isRoot: true)
                return
            }
            // A slash at the end is an empty id, which nothing has; it must not become the collection itself.
            self = path.hasSuffix("/") ? .nowhere : .resource(Routes.find(segments.dropFirst(), method))
        default: self = .nowhere
        }
    }
}

/// All routes there are.
enum Routes {
    enum Found {
        case route(Route, arguments: [String])
        /// The address is served, but not for that method.
        case otherMethods([HTTPRequest.Method])
        case none
    }

    static let all: [Route] = imageRoutes + metadefRoutes + schemaRoutes

    private static let byCollection = Dictionary(grouping: all) { $0.pattern.first.map(String.init) ?? "" }

    static func find(_ segments: ArraySlice<String>, _ method: HTTPRequest.Method) -> Found {
        var methods: [HTTPRequest.Method] = []
        // Fixed parts come before open ones in the tables, so that the first match is the closest.
        for route in byCollection[segments.first ?? ""] ?? [] {
            guard let arguments = route.match(segments) else { continue }
            if route.method == method { return .route(route, arguments: arguments) }
            if !methods.contains(route.method) { methods.append(route.method) }
        }
        return methods.isEmpty ? .none : .otherMethods(methods)
    }
}
