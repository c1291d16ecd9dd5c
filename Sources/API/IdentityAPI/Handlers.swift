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
        case .domains, .domain: return try answerDomains(call)
        case .projects, .project: return try answerProjects(call)
        case .projectTags(let id): return try answerTags(call, projectID: id)
        case .projectTag(let id, let tag): return try answerTag(call, projectID: id, tag)
        case .users, .user, .userPassword, .userProjects, .userGroups: return try answerUsers(call)
        case .groups, .group, .groupUsers: return try answerGroups(call)
        case .groupUser(let group, let user): return try answerMember(call, groupID: group, userID: user)
        case .roles, .role: return try answerRoles(call)
        case .impliedRoles, .impliedRole, .roleInferences: return try answerImplications(call)
        case .grants(let place): return try listGrants(call, place)
        case .grant(let place, let role): return try answerGrant(call, place, roleID: role)
        case .roleAssignments: return try listAssignments(call)
        case .applicationCredentials(let user): return try answerApplicationCredentials(call, userID: user)
        case .applicationCredential(let user, let id): return try answerApplicationCredential(call, userID: user, id)
        case .accessRules(let user): return try listAccessRules(call, userID: user)
        case .accessRule(let user, let id): return try answerAccessRule(call, userID: user, id)
        case .trusts, .trust, .trustRoles, .trustRole: return try answerTrusts(call)
        case .credentials, .credential: return try answerCredentials(call)
        case .keyPairs(let user): return try answerKeyPairs(call, userID: user)
        case .keyPair(let user, let access): return try answerKeyPair(call, userID: user, access)
        case .ec2Tokens: return try exchangeRequest(call)
        case .s3Tokens: return try exchangeStringToSign(call)
        case .policies, .policy: return try answerPolicies(call)
        case .consumers, .consumer: return try answerConsumers(call)
        case .endpointGroups, .endpointGroup: return try answerEndpointGroups(call)
        case .endpointGroupProjects, .endpointGroupEndpoints, .endpointProjects, .projectEndpoints,
            .projectEndpointGroups:
            return try listAssociations(call)
        case .endpointAssociation(let association, let project):
            return try answerAssociation(call, association, projectID: project)
        case .domainConfiguration(let domain, let section, let option):
            return try answerConfiguration(call, domain, section, option)
        case .defaultConfiguration(let section, let option): return try showDefaults(call, section, option)
        case .services, .service: return try answerServices(call)
        case .endpoints, .endpoint: return try answerEndpoints(call)
        case .regions, .region: return try answerRegions(call)
        }
    }

    // MARK: Who is asking.

    /// The caller's token, verified; 401 if there is none, or if it isn't good for this request.
    func authenticated(_ call: Call) throws(IdentityError) -> TokenInfo {
        guard let token = call.authToken else { throw .unauthorized }
        let info = try identity.validate(token)
        guard info.applicationCredential?.rules != nil else { return info }
        let method = call.isHead ? "HEAD" : call.method.rawValue
        guard let path = call.path, info.caller.permits(services: ["identity"], method: method, path: path) else {
            throw .unauthorized
        }
        return info
    }

    /// The caller if they are an administrator; else 403, naming the action.
    @discardableResult
    func administrator(_ call: Call, _ action: String) throws(IdentityError) -> TokenInfo {
        let caller = try authenticated(call)
        guard caller.hasRole("admin") else { throw .forbidden(action: "identity:\(action)") }
        return caller
    }

    /// The caller if they are an administrator or read the whole system.
    @discardableResult
    func systemReader(_ call: Call, _ action: String) throws(IdentityError) -> TokenInfo {
        let caller = try authenticated(call)
        guard caller.hasRole("admin") || caller.readsSystem else { throw .forbidden(action: "identity:\(action)") }
        return caller
    }

    /// The caller if they read the whole system, or the domain that the thing in question lies in.
    @discardableResult
    func reader(
        _ call: Call, _ action: String, of domainID: () throws(IdentityError) -> String?
    ) throws(IdentityError) -> TokenInfo {
        let caller = try authenticated(call)
        if caller.hasRole("admin") || caller.readsSystem { return caller }
        guard try holds("reader", caller, domainID) else { throw .forbidden(action: "identity:\(action)") }
        return caller
    }

    /// The caller if they are an administrator, or manage the domain that the thing in question lies in.
    @discardableResult
    func manager(
        _ call: Call, _ action: String, of domainID: () throws(IdentityError) -> String?
    ) throws(IdentityError) -> TokenInfo {
        let caller = try authenticated(call)
        if caller.hasRole("admin") { return caller }
        guard try holds("manager", caller, domainID) else { throw .forbidden(action: "identity:\(action)") }
        return caller
    }

    /// The caller if they are the user in question, or read what that user's domain has.
    @discardableResult
    func own(_ call: Call, userID: String, _ action: String) throws(IdentityError) -> TokenInfo {
        let caller = try authenticated(call)
        if caller.user.id == userID { return caller }
        return try reader(call, action) { () throws(IdentityError) in try identity.user(.id(userID)).domainID }
    }

    /// Whether the caller's token is of just that domain, with the role. What isn't there is in no domain.
    private func holds(
        _ role: String, _ caller: TokenInfo, _ domainID: () throws(IdentityError) -> String?
    ) throws(IdentityError) -> Bool {
        guard case .domain(let own) = caller.scope, caller.hasRole(role) else { return false }
        do throws(IdentityError) {
            return try domainID() == own.id
        } catch .notFound {
            return false
        }
    }

    /// The filter for a list that the caller may see of one domain only; nil for those who see all.
    func domainFilter(_ call: Call, _ action: String) throws(IdentityError) -> ListFilter? {
        let caller = try authenticated(call)
        if caller.hasRole("admin") || caller.readsSystem { return nil }
        guard case .domain(let own) = caller.scope, caller.hasRole("reader") else {
            throw .forbidden(action: "identity:\(action)")
        }
        return .equals("domain_id", own.id)
    }

    /// The domain of what the caller makes when they name none: that of their scope.
    func domain(of caller: TokenInfo, _ fields: Fields) throws(IdentityError) -> DomainReference {
        if let id = try fields.optionalString("domain_id") { return .id(id) }
        return switch caller.scope {
        case .project(_, let domain), .domain(let domain): .id(domain.id)
        case .unscoped, .system: .standard
        }
    }

    /// The same, as the id that a rule about domains goes by.
    func domainID(of call: Call, _ fields: Fields) throws(IdentityError) -> String? {
        switch try domain(of: try authenticated(call), fields) {
        case .id(let id): id
        case .name: nil
        }
    }
}

extension TokenInfo {
    /// Whether the caller may see everything, wherever it lies.
    var readsSystem: Bool { scope == .system && hasRole("reader") }
}
