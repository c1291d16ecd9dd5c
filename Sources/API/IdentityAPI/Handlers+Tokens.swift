import ControlFace
import HTTPTypes
import Identity
import Primitives

extension HTTPField.Name {
    // The names are fixed and well formed; the fall-back is never taken.
    static let subjectToken = HTTPField.Name("X-Subject-Token") ?? .cookie
    static let authToken = HTTPField.Name("X-Auth-Token") ?? .cookie
    static let requestID = HTTPField.Name("x-openstack-request-id") ?? .cookie
}

extension Handlers {
    func issueToken(_ call: Call) throws(IdentityError) -> Reply {
        let issued = try identity.issue(try AuthenticationRequest.parse(call))
        return try tokenReply(.created, issued.token, issued.info, call)
    }

    func showToken(_ call: Call) throws(IdentityError) -> Reply {
        let (token, info) = try subject(
            call, action: "validate_token", allowingExpired: call.flag("allow_expired") == true)
        return try tokenReply(.ok, token, info, call)
    }

    func revokeToken(_ call: Call) throws(IdentityError) -> Reply {
        let (token, _) = try subject(call, action: "revoke_token", allowingExpired: false)
        do throws(IdentityError) {
            try identity.revoke(token, wholeChain: false)
        } catch .unauthorized {
            throw .notFound(kind: "token", id: "it is not valid")
        }
        return .noContent
    }

    func showCatalog(_ call: Call) throws(IdentityError) -> Reply {
        let info = try authenticated(call)
        guard case .project = info.scope else { throw .forbidden(action: "identity:get_auth_catalog") }
        let views = Views(base: call.base)
        return Reply(
            .ok,
            .of([
                "catalog": views.catalog(try identity.catalog(for: info)),
                "links": .of(["next": .null, "self": .string("\(call.base)/v3/auth/catalog"), "previous": .null]),
            ]))
    }

    /// What the caller could ask a token for.
    func listOwnScopes(_ call: Call) throws(IdentityError) -> Reply {
        let info = try authenticated(call)
        let views = Views(base: call.base)
        switch call.route {
        case .authProjects:
            let projects = try identity.projects(ofUser: info.user.id)
            return Reply(.ok, views.list("projects", path: "auth/projects", projects, views.project))
        case .authDomains:
            let domains = try identity.domains(ofUser: info.user.id)
            return Reply(.ok, views.list("domains", path: "auth/domains", domains, views.domain))
        default:
            let items = try identity.hasSystemRole(userID: info.user.id) ? [true] : []
            return Reply(.ok, views.list("system", path: "auth/system", items) { .of(["all": .bool($0)]) })
        }
    }

    /// The token that the call is about; 404 unless it is valid, 403 unless it is the caller's own or they are an
    /// administrator or a service. The token itself is in no message.
    private func subject(
        _ call: Call, action: String, allowingExpired: Bool
    ) throws(IdentityError) -> (token: String, info: TokenInfo) {
        let caller = try authenticated(call)
        let missing = IdentityError.notFound(kind: "token", id: "it is not valid")
        guard let token = call.subjectToken else { throw missing }
        let info: TokenInfo
        do throws(IdentityError) {
            info = try allowingExpired ? identity.validateAllowingExpired(token) : identity.validate(token)
        } catch .unauthorized {
            throw missing
        }
        guard caller.user.id == info.user.id || caller.hasRole("admin") || caller.hasRole("service") else {
            throw .forbidden(action: "identity:\(action)")
        }
        return (token, info)
    }

    func tokenReply(
        _ status: HTTPResponse.Status, _ token: String, _ info: TokenInfo, _ call: Call
    ) throws(IdentityError) -> Reply {
        var catalog: [CatalogEntry]?
        if call.query["nocatalog"] == nil, info.scope != .unscoped { catalog = try identity.catalog(for: info) }
        var reply = Reply(status, .of(["token": Views(base: call.base).token(info, catalog: catalog)]))
        reply.headers[.subjectToken] = token
        return reply
    }
}

/// The body of `POST /v3/auth/tokens`.
enum AuthenticationRequest {
    static func parse(_ call: Call) throws(IdentityError) -> Authentication {
        let auth = try call.fields("auth")
        let identity = try auth.object("identity")
        guard identity.has("methods") else { throw .invalid("'methods' is a required property") }
        guard let methods = identity.value["methods"]?.array, !methods.isEmpty else {
            throw .invalid("Invalid input for field 'methods': it must be a list of names.")
        }
        var password: (user: UserReference, password: Secret)?
        var token: String?
        var application: (credential: ApplicationCredentialReference, secret: Secret)?
        for method in methods {
            guard let name = method.string else {
                throw .invalid("Invalid input for field 'methods': it must be a list of names.")
            }
            switch name {
            case "password":
                let user = try identity.object("password").object("user")
                password = (try Self.user(user), Secret(try user.string("password")))
            case "token": token = try identity.object("token").string("id")
            case "application_credential":
                let fields = try identity.object("application_credential")
                application = (try Self.credential(fields), Secret(try fields.string("secret")))
            // A method that isn't configured here.
            default: throw .unauthorized
            }
        }
        var authentication = Authentication(password: password, token: token, scope: try scope(auth))
        authentication.applicationCredential = application
        return authentication
    }

    private static func credential(_ fields: Fields) throws(IdentityError) -> ApplicationCredentialReference {
        if let id = try fields.optionalString("id") { return .id(id) }
        return .name(try fields.string("name"), try user(try fields.object("user")))
    }

    private static func scope(_ auth: Fields) throws(IdentityError) -> Authentication.Scope {
        switch auth.value["scope"] {
        case nil: return .standard
        case .string("unscoped")?: return .unscoped
        case .object(let members)?:
            guard members.count <= 1 else { throw .invalid("a token has one scope; the request names more") }
            guard let kind = members.first?.key else { return .standard }
            let scope = try auth.object("scope")
            switch kind {
            case "project":
                let project = try scope.object("project")
                if let id = try project.optionalString("id") { return .project(.id(id)) }
                return .project(.name(try project.string("name"), try domain(try project.object("domain"))))
            case "domain": return .domain(try domain(try scope.object("domain")))
            case "system":
                guard try scope.object("system").optionalBool("all") == true else {
                    throw .invalid("Invalid input for field 'system': only \"all\": true is known.")
                }
                return .system
            case "unscoped": return .unscoped
            case "OS-TRUST:trust": return .trust(try scope.object("OS-TRUST:trust").string("id"))
            default: throw .invalid("Invalid input for field 'scope': \(kind) is not known.")
            }
        default: throw .invalid("Invalid input for field 'scope': it must be an object or \"unscoped\".")
        }
    }

    private static func user(_ user: Fields) throws(IdentityError) -> UserReference {
        if let id = try user.optionalString("id") { return .id(id) }
        return .name(try user.string("name"), try domain(try user.object("domain")))
    }

    private static func domain(_ domain: Fields) throws(IdentityError) -> DomainReference {
        if let id = try domain.optionalString("id") { return .id(id) }
        return .name(try domain.string("name"))
    }
}
