import ControlFace
import HTTPTypes
package import Identity
private import Primitives

/// Answers calls. Plain functions that block: the responder runs them on Identity's threads.
package struct Handlers: Sendable {
    let identity: IdentityService

    package init(identity: IdentityService) { self.identity = identity }

    /// Total: every error is an answer.
    package func answer(_ call: Call) -> (reply: Reply, failure: IdentityError?) {
        do throws(IdentityError) {
            return (try dispatch(call), nil)
        } catch {
            return (.error(error, base: call.base), error)
        }
    }

    private func dispatch(_ call: Call) throws(IdentityError) -> Reply {
        switch call.route {
        case .root:
            var reply = Reply(
                .multipleChoices,
                .of(["versions": .of(["values": .array([Views(base: call.base).version()])])]))
            reply.headers[.location] = "\(call.base)/v3/"
            return reply
        case .version: return Reply(.ok, .of(["version": Views(base: call.base).version()]))
        case .authTokens:
            switch call.method {
            case .post: return try issueToken(call)
            case .delete: return try revokeToken(call)
            default: return try showToken(call)
            }
        case .authCatalog: return try showCatalog(call)
        case .authProjects, .authDomains, .authSystem: return try listOwnScopes(call)
        case .domains, .domain: return try readDomains(call)
        case .projects, .project: return try answerProjects(call)
        case .users, .user, .userPassword, .userProjects: return try answerUsers(call)
        case .roles, .role: return try answerRoles(call)
        case .grants(let target, let user): return try listGrants(call, target, userID: user)
        case .grant(let target, let user, let role):
            return try answerGrant(call, RoleAssignment(userID: user, roleID: role, target: target))
        case .roleAssignments: return try listAssignments(call)
        case .services, .service, .endpoints, .endpoint, .regions, .region: return try readCatalog(call)
        }
    }

    // MARK: Who is asking.

    /// The caller's token, verified; 401 if there is none.
    func authenticated(_ call: Call) throws(IdentityError) -> TokenInfo {
        guard let token = call.authToken else { throw .unauthorized }
        return try identity.validate(token)
    }

    /// The caller if they are an administrator; else 403, naming the action.
    @discardableResult
    func administrator(_ call: Call, _ action: String) throws(IdentityError) -> TokenInfo {
        let caller = try authenticated(call)
        guard caller.hasRole("admin") else { throw .forbidden(action: "identity:\(action)") }
        return caller
    }

    /// The caller if they are the user in question or an administrator.
    func own(_ call: Call, userID: String, _ action: String) throws(IdentityError) {
        let caller = try authenticated(call)
        guard caller.user.id == userID || caller.hasRole("admin") else {
            throw .forbidden(action: "identity:\(action)")
        }
    }

    /// The domain of what the caller makes when they name none: that of their scope.
    func domain(of caller: TokenInfo, _ fields: Fields) throws(IdentityError) -> DomainReference {
        if let id = try fields.optionalString("domain_id") { return .id(id) }
        return switch caller.scope {
        case .project(_, let domain), .domain(let domain): .id(domain.id)
        case .unscoped, .system: .standard
        }
    }
}
