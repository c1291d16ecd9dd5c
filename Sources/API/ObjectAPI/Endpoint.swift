private import Glibc
package import HTTPFace
package import Objects
package import Primitives

/// What a request is about: one value for every request that can be parsed, so that authentication, metrics and
/// handlers switch over the same thing.
package enum Endpoint: Sendable, Hashable {
    package enum AccountAction: Sendable, Hashable { case get, head, post, put, delete }
    package enum ContainerAction: Sendable, Hashable { case get, head, post, put, delete }
    package enum ObjectAction: Sendable, Hashable { case get, head, post, put, delete, copy }

    case healthcheck
    case info
    /// `realm` is the account that the path named, if it did.
    case signIn(realm: Bytes?)
    /// OPTIONS on anything: the verbs that it has.
    case options(allow: StaticAllow)
    case account(AccountAction, ObjectPath)
    case container(ContainerAction, ObjectPath)
    case object(ObjectAction, ObjectPath)
    /// No such place, or no such verb there.
    case refused(HTTPStatus, String, allow: StaticAllow?)

    /// The `Allow` header of each kind of resource.
    package enum StaticAllow: Sendable, Hashable {
        case account, container, object, readOnly, signIn

        var text: StaticString {
            switch self {
            case .account: "GET, HEAD, OPTIONS, POST"
            case .container: "DELETE, GET, HEAD, OPTIONS, POST, PUT"
            case .object: "COPY, DELETE, GET, HEAD, OPTIONS, POST, PUT"
            case .readOnly: "GET, HEAD, OPTIONS"
            case .signIn: "GET, OPTIONS"
            }
        }
    }

    package init(_ head: RequestHead) {
        let verb = head.verb
        self = head.withTarget { target in
            let end = target.firstIndex(of: 0x3f) ?? target.endIndex
            return Self.route(verb, UnsafeRawBufferPointer(rebasing: target[..<end]))
        }
    }

    private static func route(_ verb: HTTPVerb, _ rawPath: UnsafeRawBufferPointer) -> Endpoint {
        let path = PercentDecoding.decode(rawPath)
        guard UTF8Check.isValid(path), !path.contains(0) else {
            return .refused(412, "Invalid UTF8 or contains NULL", allow: nil)
        }
        if path.count == 1, path[0] == 0x2a { return verb == .options ? .options(allow: .object) : notFound }
        guard path.first == 0x2f else { return notFound }
        let parts = Self.split(path)
        guard let first = parts.first, !first.isEmpty else {
            // `/` alone is no resource; an empty first element is an extra leading slash.
            return parts.count <= 1 ? badURL : notFound
        }
        if parts.count == 1 {
            if equals(first, "healthcheck") { return fixed(verb, .healthcheck) }
            if equals(first, "info") { return fixed(verb, .info) }
        }
        if equals(first, "auth") { return signIn(verb, parts) }
        guard equals(first, "v1") || equals(first, "v1.0") else {
            return parts.count > 1 && !parts[1].isEmpty
                ? .refused(400, "Unknown version of the API.", allow: nil) : badURL
        }
        // A trailing slash behind an account or container is no element of its own.
        let account = parts.count > 1 ? parts[1] : []
        let container = parts.count > 2 ? parts[2] : []
        let object = parts.count > 3 ? parts[3] : []
        if account.isEmpty { return parts.count > 2 ? notFound : badURL }
        // `/v1/a//o` is wrong, but so is `/v1/a//`: there is an element behind the empty one.
        if container.isEmpty, parts.count > 3 { return notFound }
        let resource = ObjectPath(
            account: Bytes(account), container: container.isEmpty ? nil : Bytes(container),
            object: object.isEmpty ? nil : Bytes(object))
        // Here, so that no name of any other length is ever looked up.
        if let refusal = resource.lengthRefusal { return .refused(400, refusal, allow: nil) }
        if container.isEmpty { return onAccount(verb, resource) }
        return object.isEmpty ? onContainer(verb, resource) : onObject(verb, resource)
    }

    private static let notFound = Endpoint.refused(404, HTTPStatus(404).explanation, allow: nil)
    private static let badURL = Endpoint.refused(412, "Bad URL", allow: nil)

    private static func notAllowed(_ allow: StaticAllow) -> Endpoint {
        .refused(405, HTTPStatus(405).explanation, allow: allow)
    }

    private static func fixed(_ verb: HTTPVerb, _ endpoint: Endpoint) -> Endpoint {
        switch verb {
        case .get, .head: endpoint
        case .options: .options(allow: .readOnly)
        case .put, .post, .delete, .copy, .other: notAllowed(.readOnly)
        }
    }

    /// `/auth/v1.0` and `/auth/v1/{account}/auth`.
    private static func signIn(_ verb: HTTPVerb, _ parts: [ArraySlice<UInt8>]) -> Endpoint {
        let realm: Bytes?
        guard parts.count > 1, equals(parts[1], "v1") || equals(parts[1], "v1.0") else {
            return notFound
        }
        if parts.count == 2 {
            realm = nil
        } else if parts.count == 4, !parts[2].isEmpty, equals(parts[3], "auth") {
            realm = Bytes(parts[2])
        } else {
            return notFound
        }
        switch verb {
        case .get: return .signIn(realm: realm)
        case .options: return .options(allow: .signIn)
        case .head, .put, .post, .delete, .copy, .other: return notAllowed(.signIn)
        }
    }

    private static func onAccount(_ verb: HTTPVerb, _ path: ObjectPath) -> Endpoint {
        switch verb {
        case .get: .account(.get, path)
        case .head: .account(.head, path)
        case .post: .account(.post, path)
        case .put: .account(.put, path)
        case .delete: .account(.delete, path)
        case .options: .options(allow: .account)
        case .copy, .other: notAllowed(.account)
        }
    }

    private static func onContainer(_ verb: HTTPVerb, _ path: ObjectPath) -> Endpoint {
        switch verb {
        case .get: .container(.get, path)
        case .head: .container(.head, path)
        case .post: .container(.post, path)
        case .put: .container(.put, path)
        case .delete: .container(.delete, path)
        case .options: .options(allow: .container)
        case .copy, .other: notAllowed(.container)
        }
    }

    private static func onObject(_ verb: HTTPVerb, _ path: ObjectPath) -> Endpoint {
        switch verb {
        case .get: .object(.get, path)
        case .head: .object(.head, path)
        case .post: .object(.post, path)
        case .put: .object(.put, path)
        case .delete: .object(.delete, path)
        case .copy: .object(.copy, path)
        case .options: .options(allow: .object)
        case .other: notAllowed(.object)
        }
    }

    private static func equals(_ part: ArraySlice<UInt8>, _ text: StaticString) -> Bool {
        guard part.count == text.utf8CodeUnitCount else { return false }
        return part.withUnsafeBytes { memcmp($0.baseAddress!, text.utf8Start, $0.count) == 0 }
    }

    /// The elements behind the leading slash: at most four, the last of which is the rest with its slashes.
    private static func split(_ path: [UInt8]) -> [ArraySlice<UInt8>] {
        var parts: [ArraySlice<UInt8>] = []
        parts.reserveCapacity(4)
        var start = 1
        while parts.count < 3, let slash = path[start...].firstIndex(of: 0x2f) {
            parts.append(path[start..<slash])
            start = slash + 1
        }
        parts.append(path[start...])
        return parts
    }
}
