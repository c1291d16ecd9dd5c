import Primitives
import Testing

@testable import Identity

@Suite("Application credentials and trusts") struct DelegationTests {
    private func signIn(
        _ fixture: Fixture, _ reference: ApplicationCredentialReference, _ secret: Secret,
        _ scope: Authentication.Scope = .standard
    ) throws(IdentityError) -> IssuedToken {
        var authentication = Authentication(password: nil, token: nil, scope: scope)
        authentication.applicationCredential = (reference, secret)
        return try fixture.service.issue(authentication)
    }

    private func make(
        _ fixture: Fixture, _ change: (inout NewApplicationCredential) -> Void = { _ in }
    ) throws(IdentityError) -> (credential: ApplicationCredential, secret: Secret) {
        var new = NewApplicationCredential(name: "robot")
        change(&new)
        let token = try fixture.signIn("ann", "pass", .project(.name("work", .standard)))
        return try fixture.service.createApplicationCredential(new, for: token.info)
    }

    @Test("its token is for its project, with its roles, and says so through the token's own text")
    func credentialToken() throws {
        let fixture = try Fixture()
        let (ann, project) = try fixture.makeAnn()
        let made = try make(fixture) { $0.roles = [.name("reader")] }
        for reference: ApplicationCredentialReference in [
            .id(made.credential.id), .name("robot", .id(ann.id)), .name("robot", .name("ann", .standard)),
        ] {
            let token = try signIn(fixture, reference, made.secret)
            #expect(token.token.utf8.count <= Limits.tokenBytesMax)
            #expect(token.info.roles.map(\.name) == ["reader"])
            #expect(token.info.methods == ["application_credential"])
            let info = try fixture.service.validate(token.token)
            #expect(info == token.info)
            #expect(info.caller.project?.id == project.id)
            #expect(info.applicationCredential?.name == "robot")
        }
        for (reference, secret): (ApplicationCredentialReference, Secret) in [
            (.id(made.credential.id), Secret("wrong")), (.id("none"), made.secret),
            (.name("robot", .name("bob", .standard)), made.secret), (.id(made.credential.id), Secret("")),
        ] {
            #expect(throws: IdentityError.unauthorized) { try signIn(fixture, reference, secret) }
        }
        #expect(throws: IdentityError.unauthorized) {
            try signIn(fixture, .id(made.credential.id), made.secret, .project(.id(project.id)))
        }
    }

    @Test("its token buys no other, and makes no credential unless it is unrestricted")
    func restriction() throws {
        let fixture = try Fixture()
        _ = try fixture.makeAnn()
        let made = try make(fixture)
        let token = try signIn(fixture, .id(made.credential.id), made.secret)
        #expect(throws: IdentityError.forbidden(action: "identity:rescope_token")) {
            try fixture.service.issue(Authentication(password: nil, token: token.token, scope: .unscoped))
        }
        #expect(throws: IdentityError.forbidden(action: "identity:create_application_credential")) {
            try fixture.service.createApplicationCredential(NewApplicationCredential(name: "x"), for: token.info)
        }
        let free = try make(fixture) {
            $0.name = "free"
            $0.isUnrestricted = true
        }
        let freeToken = try signIn(fixture, .id(free.credential.id), free.secret)
        _ = try fixture.service.createApplicationCredential(
            NewApplicationCredential(name: "x"), for: freeToken.info)
        #expect(throws: IdentityError.self) { try make(fixture) }
        #expect(throws: IdentityError.self) { try make(fixture) { $0.roles = [.name("admin")] } }
    }

    @Test("it ends by its date, its deletion, its role's withdrawal, and its user's disabling")
    func endings() throws {
        let fixture = try Fixture()
        let (ann, project) = try fixture.makeAnn()
        let service = fixture.service
        let now = fixture.clock.now
        let short = try make(fixture) {
            $0.name = "short"
            $0.expiresAt = now + 60
        }
        let shortToken = try signIn(fixture, .id(short.credential.id), short.secret)
        #expect(shortToken.info.expiresAt == now + 60)
        #expect(throws: IdentityError.self) { try make(fixture) { $0.expiresAt = now } }
        let kept = try make(fixture)
        let keptToken = try signIn(fixture, .id(kept.credential.id), kept.secret)
        fixture.clock.advance(60)
        #expect(throws: IdentityError.unauthorized) { try service.validate(shortToken.token) }
        #expect(throws: IdentityError.unauthorized) { try signIn(fixture, .id(short.credential.id), short.secret) }
        _ = try service.validate(keptToken.token)
        try service.deleteApplicationCredential(id: kept.credential.id, userID: ann.id)
        #expect(throws: IdentityError.unauthorized) { try service.validate(keptToken.token) }
        let again = try make(fixture)
        let member = try service.role(name: "member")
        try service.withdraw(RoleAssignment(userID: ann.id, roleID: member.id, target: .project(project.id)))
        #expect(throws: IdentityError.unauthorized) { try signIn(fixture, .id(again.credential.id), again.secret) }
        #expect(try service.applicationCredentials(ofUser: ann.id, name: "robot").items.isEmpty)
    }

    @Test("rules are shared, kept while they are used, and reach the services")
    func rules() throws {
        let fixture = try Fixture()
        let (ann, _) = try fixture.makeAnn()
        let rule = AccessRule(service: "object-store", method: "GET", path: "/v1/*/c/**")
        let first = try make(fixture) { $0.rules = [.new(rule), .new(rule)] }
        let second = try make(fixture) {
            $0.name = "second"
            $0.rules = [.existing(first.credential.rules?.first?.id ?? "")]
        }
        #expect(first.credential.rules?.count == 1)
        #expect(second.credential.rules == first.credential.rules)
        let ruleID = try #require(first.credential.rules?.first?.id)
        let caller = try #require(
            try fixture.service.caller(token: try signIn(fixture, .id(first.credential.id), first.secret).token))
        #expect(caller.permits(services: ["object-store"], method: "GET", path: "/v1/AUTH_x/c/a/b"))
        #expect(!caller.permits(services: ["object-store"], method: "PUT", path: "/v1/AUTH_x/c/a/b"))
        #expect(!caller.permits(services: ["image"], method: "GET", path: "/v1/AUTH_x/c/a/b"))
        for id in [first.credential.id, second.credential.id] {
            #expect(throws: IdentityError.forbidden(action: "identity:delete_access_rule")) {
                try fixture.service.deleteAccessRule(id: ruleID, userID: ann.id)
            }
            try fixture.service.deleteApplicationCredential(id: id, userID: ann.id)
        }
        try fixture.service.deleteAccessRule(id: ruleID, userID: ann.id)
        let none = try make(fixture) { $0.rules = [] }
        let token = try signIn(fixture, .id(none.credential.id), none.secret)
        #expect(!token.info.caller.permits(services: ["image"], method: "GET", path: "/"))
        for bad in [
            AccessRule(service: "", method: "GET", path: "/"), AccessRule(service: "s", method: "BREW", path: "/"),
            AccessRule(service: "s", method: "GET", path: "x"),
            AccessRule(service: "s", method: "GET", path: "/" + String(repeating: "x", count: AccessRule.pathBytesMax)),
        ] {
            #expect(throws: IdentityError.self) {
                try make(fixture) {
                    $0.name = "bad"
                    $0.rules = [.new(bad)]
                }
            }
        }
    }

    // MARK: Trusts.

    private struct Pair {
        var ann: User
        var bob: User
        var project: Project
        var annInfo: TokenInfo
    }

    private func pair(_ fixture: Fixture) throws -> Pair {
        let (ann, project) = try fixture.makeAnn()
        let bob = try fixture.service.createUser(
            named: "bob", password: Secret("word"), project: nil, role: "member"
        ).user
        let token = try fixture.signIn("ann", "pass", .project(.id(project.id)))
        return Pair(ann: ann, bob: bob, project: project, annInfo: token.info)
    }

    private func trust(
        _ fixture: Fixture, _ pair: Pair, impersonates: Bool, _ change: (inout NewTrust) -> Void = { _ in }
    ) throws(IdentityError) -> Trust {
        var new = NewTrust(trustorID: pair.ann.id, trusteeID: pair.bob.id, impersonates: impersonates)
        new.projectID = pair.project.id
        new.roles = [.name("reader")]
        change(&new)
        return try fixture.service.createTrust(new, for: pair.annInfo)
    }

    @Test("a trust's token is the trustee's or the trustor's, with the trusted roles", arguments: [true, false])
    func trustToken(_ impersonates: Bool) throws {
        let fixture = try Fixture()
        let pair = try pair(fixture)
        let trust = try trust(fixture, pair, impersonates: impersonates)
        let token = try fixture.signIn("bob", "word", .trust(trust.id))
        #expect(token.info.user.id == (impersonates ? pair.ann.id : pair.bob.id))
        #expect(token.info.roles.map(\.name) == ["reader"])
        #expect(token.info.trust?.id == trust.id)
        #expect(try fixture.service.validate(token.token) == token.info)
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", "pass", .trust(trust.id)) }
        #expect(throws: IdentityError.forbidden(action: "identity:rescope_token")) {
            try fixture.service.issue(Authentication(password: nil, token: token.token, scope: .unscoped))
        }
        #expect(throws: IdentityError.forbidden(action: "identity:create_application_credential")) {
            try fixture.service.createApplicationCredential(NewApplicationCredential(name: "x"), for: token.info)
        }
        var off = UserChange()
        off.enabled = false
        _ = try fixture.service.updateUser(id: pair.ann.id, off)
        #expect(throws: IdentityError.unauthorized) { try fixture.service.validate(token.token) }
    }

    @Test("a trust ends with its uses, its date, its deletion and its roles")
    func trustEndings() throws {
        let fixture = try Fixture()
        let pair = try pair(fixture)
        let twice = try trust(fixture, pair, impersonates: true) { $0.remainingUses = 2 }
        for _ in 0..<2 { _ = try fixture.signIn("bob", "word", .trust(twice.id)) }
        #expect(throws: IdentityError.forbidden(action: "identity:use_trust")) {
            try fixture.signIn("bob", "word", .trust(twice.id))
        }
        let now = fixture.clock.now
        let short = try trust(fixture, pair, impersonates: false) { $0.expiresAt = now + 60 }
        let token = try fixture.signIn("bob", "word", .trust(short.id))
        #expect(token.info.expiresAt == now + 60)
        let long = try trust(fixture, pair, impersonates: false)
        let longToken = try fixture.signIn("bob", "word", .trust(long.id))
        fixture.clock.advance(60)
        #expect(throws: IdentityError.notFound(kind: "trust", id: short.id)) { try fixture.service.trust(id: short.id) }
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("bob", "word", .trust(short.id)) }
        let member = try fixture.service.role(name: "member")
        let grant = RoleAssignment(userID: pair.ann.id, roleID: member.id, target: .project(pair.project.id))
        try fixture.service.withdraw(grant)
        #expect(throws: IdentityError.unauthorized) { try fixture.service.validate(longToken.token) }
        try fixture.service.grant(grant)
        let last = try fixture.signIn("bob", "word", .trust(long.id))
        try fixture.service.deleteTrust(id: long.id)
        #expect(throws: IdentityError.unauthorized) { try fixture.service.validate(last.token) }
    }

    @Test("nobody trusts away what isn't theirs, and what was trusted goes on only as agreed")
    func redelegation() throws {
        let fixture = try Fixture()
        let pair = try pair(fixture)
        #expect(throws: IdentityError.notFound(kind: "role", id: "admin")) {
            try trust(fixture, pair, impersonates: true) { $0.roles = [.name("admin")] }
        }
        #expect(throws: IdentityError.forbidden(action: "identity:create_trust")) {
            try trust(fixture, pair, impersonates: true) { $0.trustorID = pair.bob.id }
        }
        #expect(throws: IdentityError.forbidden(action: "identity:create_trust")) {
            try trust(fixture, pair, impersonates: true) { $0.roles = [] }
        }
        let closed = try trust(fixture, pair, impersonates: true)
        let open = try trust(fixture, pair, impersonates: true) { $0.redelegations = 1 }
        func passOn(_ trust: Trust, _ redelegations: Int, _ role: String) throws(IdentityError) -> Trust {
            let token = try fixture.signIn("bob", "word", .trust(trust.id))
            var new = NewTrust(trustorID: pair.ann.id, trusteeID: pair.bob.id, impersonates: true)
            new.projectID = pair.project.id
            new.roles = [.name(role)]
            new.redelegations = redelegations
            return try fixture.service.createTrust(new, for: token.info)
        }
        for (trust, count, role) in [(closed, 0, "reader"), (open, 1, "reader"), (open, 0, "member")] {
            #expect(throws: IdentityError.forbidden(action: "identity:create_trust")) {
                try passOn(trust, count, role)
            }
        }
        let passed = try passOn(open, 0, "reader")
        try fixture.service.deleteTrust(id: open.id)
        #expect(throws: IdentityError.notFound(kind: "trust", id: passed.id)) {
            try fixture.service.trust(id: passed.id)
        }
    }
}
