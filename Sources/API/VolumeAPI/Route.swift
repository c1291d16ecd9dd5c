import ControlFace
import HTTPTypes
import Volumes

/// One address with what may be done there: since which version, by whom, and by which handler.
struct Route: Sendable {
    /// Whom a route is for. Which resources they see is the service's to say.
    enum Role: Sendable {
        case reader, member, admin
    }

    typealias Handler = @Sendable (Handlers, Call) async throws(VolumeError) -> Reply

    let method: HTTPRequest.Method
    /// `*` stands for any one part.
    let pattern: [Substring]
    let since: Int
    let role: Role
    let rule: String
    let handler: Handler

    init(
        _ method: HTTPRequest.Method, _ pattern: StaticString, since: Int = 0, _ role: Role, _ rule: String,
        _ handler: @escaping Handler
    ) {
        self.init(method, path: pattern.description, since: since, role, rule, handler)
    }

    init(
        _ method: HTTPRequest.Method, path: String, since: Int, _ role: Role, _ rule: String,
        _ handler: @escaping Handler
    ) {
        self.method = method
        pattern = path.split(separator: "/")
        self.since = since
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
}

/// Where a request goes.
enum Destination {
    /// `/`, or `/v3/`.
    case versions(isRoot: Bool)
    /// - project: as the address names it; nil if it leaves it out.
    case resource(project: String?, Routes.Found)
    case nowhere

    init(path: String, method: HTTPRequest.Method, version: Microversion) {
        guard let segments = QueryText.segments(path) else {
            self = .nowhere
            return
        }
        guard let first = segments.first else {
            self = .versions(isRoot: true)
            return
        }
        guard first == "v3" else {
            self = .nowhere
            return
        }
        let rest = segments.dropFirst()
        guard let second = rest.first else {
            self = .versions(isRoot: false)
            return
        }
        // A slash at the end is an empty id, which nothing has; it must not become the collection itself.
        guard !path.hasSuffix("/") else {
            self = .nowhere
            return
        }
        if Routes.collections.contains(second) {
            self = .resource(project: nil, Routes.find(rest, method, version))
        } else {
            self = .resource(project: second, Routes.find(rest.dropFirst(), method, version))
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

    static let all: [Route] =
        volumeRoutes + snapshotRoutes + attachmentRoutes + typeRoutes + groupRoutes + adminRoutes

    /// The first parts of all addresses: what tells an address without a project from one with.
    static let collections = Set(all.compactMap { $0.pattern.first.map(String.init) })

    private static let byCollection = Dictionary(grouping: all) { $0.pattern.first.map(String.init) ?? "" }

    static func find(
        _ segments: ArraySlice<String>, _ method: HTTPRequest.Method, _ version: Microversion
    ) -> Found {
        var methods: [HTTPRequest.Method] = []
        // Fixed parts come before open ones in the tables, so that the first match is the closest.
        for route in byCollection[segments.first ?? ""] ?? [] where route.since <= version.minor {
            guard let arguments = route.match(segments) else { continue }
            if route.method == method { return .route(route, arguments: arguments) }
            methods.append(route.method)
        }
        return methods.isEmpty ? .none : .otherMethods(methods)
    }
}
