import ControlFace
import Primitives

/// What an outside Identity service answers, as values of ours. It is trusted to say who somebody is, but not to be well.
enum AuthorityReply {
    /// The caller of a token that it described with 200.
    static func verdict(_ body: [UInt8]) throws(AuthorityFailure) -> AuthorityCache.Verdict {
        let token = try token(body)
        guard !isConditional(token) else { return .refused }
        guard let user = named(token["user"]), let userDomain = named(token["user"]?["domain"]) else {
            throw .senseless("a token without a user")
        }
        var project: Caller.Named?
        var projectDomain: Caller.Named?
        var domain: Caller.Named?
        if let described = present(token["project"]) {
            guard let found = named(described), let itsDomain = named(described["domain"]) else {
                throw .senseless("a token of a project without an id")
            }
            (project, projectDomain) = (found, itsDomain)
        }
        if let described = present(token["domain"]) {
            guard let found = named(described) else { throw .senseless("a token of a domain without an id") }
            domain = found
        }
        let isSystemScoped = token["system"]?["all"] == .bool(true)
        guard [project != nil, domain != nil, isSystemScoped].count(where: { $0 }) <= 1 else {
            throw .senseless("a token of several scopes")
        }
        return .known(
            Caller(
                user: user, userDomain: userDomain, project: project, projectDomain: projectDomain, domain: domain,
                isSystemScoped: isSystemScoped, roles: try roles(token), expiresAt: try end(token)))
    }

    /// When a token that it gave ends, in Unix seconds.
    static func end(ofTokenIn body: [UInt8]) throws(AuthorityFailure) -> Int64 { try end(try token(body)) }

    private static func token(_ body: [UInt8]) throws(AuthorityFailure) -> JSON {
        guard let token = JSONParser.parse(body)?["token"], token.members != nil else {
            throw .senseless("an answer that describes no token")
        }
        return token
    }

    private static func end(_ token: JSON) throws(AuthorityFailure) -> Int64 {
        guard let text = token["expires_at"]?.string, text.utf8.count <= 64, let end = ISOTime.microseconds(text) else {
            throw .senseless("a token without an end")
        }
        return end / 1_000_000
    }

    /// Whether it is good for some requests only (an application credential with rules), or for those who prove more
    /// than that they have it (a certificate, a ticket). None of that is checked here, so such a token is good for nothing.
    private static func isConditional(_ token: JSON) -> Bool {
        if let bindings = present(token["bind"]), bindings != .object([]) { return true }
        return present(token["oauth2_credential"]) != nil
            || present(token["application_credential"]?["access_rules"]) != nil
    }

    private static func roles(_ token: JSON) throws(AuthorityFailure) -> Set<String> {
        guard let listed = present(token["roles"]) else { return [] }
        guard let items = listed.array, items.count <= AuthorityLimits.rolesMax else {
            throw .senseless("a token with too many roles")
        }
        var names: Set<String> = []
        for item in items {
            guard let name = item["name"]?.string, isText(name) else { throw .senseless("a role without a name") }
            names.insert(name)
        }
        return names
    }

    /// An id becomes part of accounts and of paths in links; a name is for eyes only, and may be missing.
    private static func named(_ json: JSON?) -> Caller.Named? {
        guard let id = json?["id"]?.string, isText(id), id.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != 0x2F })
        else { return nil }
        guard let name = json?["name"]?.string else { return Caller.Named(id: id, name: id) }
        return isText(name) ? Caller.Named(id: id, name: name) : nil
    }

    private static func isText(_ text: String) -> Bool { (1...AuthorityLimits.nameBytesMax).contains(text.utf8.count) }

    /// nil for null, too.
    private static func present(_ json: JSON?) -> JSON? { json == .null ? nil : json }
}
