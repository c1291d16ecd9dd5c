import Primitives
import Testing

@testable import Identity

@Suite struct TokenTests {
    enum Wrong: CaseIterable {
        case password, user, emptyPassword, longPassword, project, projectOfOthers, domain, system
        case disabledUser, disabledProject
    }

    @Test(arguments: Wrong.allCases)
    func whateverIsWrongTheAnswerIsTheSame(_ wrong: Wrong) throws {
        let fixture = try Fixture()
        let (user, project) = try fixture.makeAnn()
        var name = "ann"
        var password = "pass"
        var scope = Authentication.Scope.project(.id(project.id))
        _ = try fixture.signIn(name, password, scope)
        switch wrong {
        case .password: password = "Pass"
        case .user: name = "nobody"
        case .emptyPassword: password = ""
        case .longPassword: password = String(repeating: "x", count: Limits.passwordBytesMax + 1)
        case .project: scope = .project(.id("nowhere"))
        case .projectOfOthers: scope = .project(.name("admin", .standard))
        case .domain: scope = .domain(.standard)
        case .system: scope = .system
        case .disabledUser:
            var change = UserChange()
            change.enabled = false
            _ = try fixture.service.updateUser(id: user.id, change)
        case .disabledProject:
            _ = try fixture.service.updateProject(
                id: project.id, ProjectChange(name: nil, description: nil, enabled: false))
        }
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn(name, password, scope) }
    }

    @Test func theScopeIsTheDefaultProjectWhereThereIsOne() throws {
        let fixture = try Fixture()
        let (user, project) = try fixture.makeAnn()
        #expect(try fixture.signIn("ann", "pass", .standard).info.caller.project?.id == project.id)
        try fixture.service.withdraw(role: "member", user: "ann", project: "work")
        #expect(try fixture.signIn("ann", "pass", .standard).info.scope == .unscoped)
        #expect(try fixture.service.projects(ofUser: user.id).isEmpty)
    }

    @Test func rolesAreExpandedWithWhatTheyImply() throws {
        let fixture = try Fixture()
        _ = try fixture.makeAnn()
        let roles = try fixture.signIn("ann", "pass", .standard).info.caller.roles
        #expect(roles == ["member", "reader"])
    }

    @Test func aRescopedTokenKeepsExpiryAndChainAndNamesBothMethods() throws {
        let fixture = try Fixture()
        let (_, project) = try fixture.makeAnn()
        let parent = try fixture.signIn("ann", "pass")
        fixture.clock.advance(100)
        let child = try fixture.service.issue(
            Authentication(password: nil, token: parent.token, scope: .project(.id(project.id))))
        #expect(child.info.expiresAt == parent.info.expiresAt)
        #expect(child.info.methods == ["password", "token"])
        #expect(child.info.auditIDs.count == 2)
        #expect(child.info.auditIDs[1] == parent.info.auditIDs[0])
        #expect(child.info.auditIDs[0].count == 22)
        let grandchild = try fixture.service.issue(
            Authentication(password: nil, token: child.token, scope: .unscoped))
        #expect(grandchild.info.auditIDs[1] == parent.info.auditIDs[0])
        #expect(throws: IdentityError.unauthorized) {
            try fixture.service.issue(
                Authentication(password: nil, token: parent.token, scope: .project(.name("admin", .standard))))
        }
    }

    @Test func anExpiredTokenEndsOnTheSecondEvenIfItIsRemembered() throws {
        let fixture = try Fixture()
        let token = try fixture.admin().token
        fixture.clock.advance(3598)
        #expect(try fixture.service.caller(token: token) != nil)
        fixture.clock.advance(1)
        #expect(fixture.service.cachedCaller(token: token) != nil)
        fixture.clock.advance(1)
        #expect(fixture.service.cachedCaller(token: token) == nil)
        #expect(try fixture.service.caller(token: token) == nil)
        #expect(try fixture.service.validateAllowingExpired(token).user.name == "admin")
        fixture.clock.advance(Limits.expiredWindowSeconds)
        #expect(throws: IdentityError.unauthorized) { try fixture.service.validateAllowingExpired(token) }
    }

    @Test func aRememberedTokenIsLookedUpAgainAfterFiveSecondsAndWhenTheClockIsSetBack() throws {
        let fixture = try Fixture()
        let token = try fixture.admin().token
        #expect(fixture.service.cachedCaller(token: token) == nil)
        let caller = try #require(try fixture.service.caller(token: token))
        #expect(fixture.service.cachedCaller(token: token) == caller)
        fixture.clock.advance(4)
        #expect(fixture.service.cachedCaller(token: token) != nil)
        fixture.clock.advance(1)
        #expect(fixture.service.cachedCaller(token: token) == nil)
        _ = try fixture.service.caller(token: token)
        fixture.clock.advance(-1)
        #expect(fixture.service.cachedCaller(token: token) == nil)
    }

    @Test func everyWriteEmptiesTheCache() throws {
        let fixture = try Fixture()
        let token = try fixture.admin().token
        _ = try fixture.service.caller(token: token)
        _ = try fixture.service.createProject(named: "other", description: "")
        #expect(fixture.service.cachedCaller(token: token) == nil)
    }

    @Test func aValidationThatAWriteOvertookIsNotRemembered() throws {
        let fixture = try Fixture()
        let issued = try fixture.admin()
        let cache = TokenCache()
        let before = cache.generation
        cache.drop()
        cache.store(issued.token, issued.info, generation: before, now: fixture.clock.now)
        #expect(cache.caller(issued.token, now: fixture.clock.now) == nil)
        cache.store(issued.token, issued.info, generation: cache.generation, now: fixture.clock.now)
        #expect(cache.caller(issued.token, now: fixture.clock.now) != nil)
    }

    @Test func theCacheHoldsNoMoreThanItsLimit() throws {
        let fixture = try Fixture()
        let info = try fixture.admin().info
        let cache = TokenCache()
        for index in 0...Limits.cachedTokensMax {
            cache.store("token-\(index)", info, generation: cache.generation, now: fixture.clock.now)
        }
        #expect(cache.caller("token-0", now: fixture.clock.now) == nil)
        #expect(cache.caller("token-\(Limits.cachedTokensMax)", now: fixture.clock.now) != nil)
    }

    @Test func aDeletedTokenIsDeadAtOnceAndItsSiblingsLive() throws {
        let fixture = try Fixture()
        let first = try fixture.admin()
        let second = try fixture.admin()
        let child = try fixture.service.issue(
            Authentication(password: nil, token: first.token, scope: .system))
        _ = try fixture.service.caller(token: first.token)
        try fixture.service.revoke(first.token, wholeChain: false)
        #expect(fixture.service.cachedCaller(token: first.token) == nil)
        #expect(try fixture.service.caller(token: first.token) == nil)
        #expect(try fixture.service.caller(token: second.token) != nil)
        #expect(try fixture.service.caller(token: child.token) != nil)
        try fixture.service.revoke(child.token, wholeChain: true)
        #expect(try fixture.service.caller(token: child.token) == nil)
        #expect(try fixture.service.caller(token: second.token) != nil)
        #expect(throws: IdentityError.unauthorized) {
            try fixture.service.issue(Authentication(password: nil, token: first.token, scope: .unscoped))
        }
    }

    /// All within one second of the clock: what came before each change is dead, what comes after lives.
    @Test func aNewPasswordEndsEveryEarlierTokenAndNoLaterOne() throws {
        let fixture = try Fixture()
        let (user, _) = try fixture.makeAnn()
        var earlier: [String] = []
        for round in 0..<5 {
            let password = round == 0 ? "pass" : "pass\(round)"
            let token = try fixture.signIn("ann", password, .standard).token
            for old in earlier { #expect(try fixture.service.caller(token: old) == nil) }
            #expect(try fixture.service.caller(token: token) != nil)
            earlier.append(token)
            if round == 2 {
                // A revocation of another kind between must not let an earlier token through.
                try fixture.service.withdraw(role: "member", user: "ann", project: "work")
                #expect(try fixture.service.caller(token: token) == nil)
                try fixture.service.grant(role: "member", user: "ann", project: "work")
                #expect(try fixture.service.caller(token: token) == nil)
                let again = try fixture.signIn("ann", password, .standard).token
                #expect(try fixture.service.caller(token: again) != nil)
                earlier.append(again)
            }
            try fixture.service.changePassword(
                userID: user.id, from: Secret(password), to: Secret("pass\(round + 1)"))
            #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", password) }
        }
    }

    @Test func aWrongOldPasswordChangesNothing() throws {
        let fixture = try Fixture()
        let (user, _) = try fixture.makeAnn()
        let token = try fixture.signIn("ann", "pass").token
        #expect(throws: IdentityError.unauthorized) {
            try fixture.service.changePassword(userID: user.id, from: Secret("wrong"), to: Secret("new"))
        }
        #expect(try fixture.service.caller(token: token) != nil)
        _ = try fixture.signIn("ann", "pass")
    }

    enum Closing: CaseIterable { case disableUser, deleteUser, disableProject, deleteProject, withdrawRole }

    @Test(arguments: Closing.allCases)
    func aProjectTokenEndsWithWhatItStandsOn(_ closing: Closing) throws {
        let fixture = try Fixture()
        let (user, project) = try fixture.makeAnn()
        let token = try fixture.signIn("ann", "pass", .standard).token
        _ = try #require(try fixture.service.caller(token: token))
        switch closing {
        case .disableUser:
            var change = UserChange()
            change.enabled = false
            _ = try fixture.service.updateUser(id: user.id, change)
        case .deleteUser: try fixture.service.deleteUser(id: user.id)
        case .disableProject:
            _ = try fixture.service.updateProject(
                id: project.id, ProjectChange(name: nil, description: nil, enabled: false))
        case .deleteProject: try fixture.service.deleteProject(id: project.id)
        case .withdrawRole: try fixture.service.withdraw(role: "member", user: "ann", project: "work")
        }
        #expect(fixture.service.cachedCaller(token: token) == nil)
        #expect(try fixture.service.caller(token: token) == nil)
    }

    @Test func revocationsAreRemovedWhenNoTokenCanMeetThem() throws {
        let fixture = try Fixture()
        try fixture.service.revoke(try fixture.admin().token, wholeChain: false)
        #expect(try fixture.service.maintain().revocationsRemoved == 0)
        fixture.clock.advance(3600 + Limits.expiredWindowSeconds + 1)
        #expect(try fixture.service.maintain().revocationsRemoved == 0)
        fixture.clock.advance(Limits.tokenSecondsMax - 3600)
        #expect(try fixture.service.maintain().revocationsRemoved == 1)
    }

    @Test func aRevocationOutlivesATokenThatWasMadeWhenLifetimesWereLonger() throws {
        let fixture = try Fixture()
        let generous = try Fixture.makeService(
            records: fixture.records, folder: fixture.folder, clock: fixture.clock,
            tokenSeconds: Limits.tokenSecondsMax)
        defer { generous.stop() }
        func long() throws -> String {
            try generous.issue(
                Authentication(
                    password: (.name("admin", .standard), Secret(fixture.adminPassword)), token: nil, scope: .unscoped)
            ).token
        }
        let revoked = try long()
        let sound = try long()
        try fixture.service.revoke(revoked, wholeChain: false)
        fixture.clock.advance(3600 + Limits.expiredWindowSeconds + 1)
        _ = try fixture.service.maintain()
        #expect(try fixture.service.caller(token: revoked) == nil)
        #expect(try fixture.service.caller(token: sound) != nil)
    }

    @Test func aSignInThatAPasswordChangeOvertookGivesNoToken() throws {
        let fixture = try Fixture()
        let (user, _) = try fixture.makeAnn()
        let service = fixture.service
        fixture.atRandomness.set {
            do {
                try service.setPassword(Secret("new"), of: .id(user.id))
            } catch {
                Issue.record("\(error)")
            }
        }
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", "pass") }
        #expect(!fixture.atRandomness.isSet)
        _ = try fixture.signIn("ann", "new")
    }

    @Test func aPasswordChangeThatAResetOvertookChangesNothing() throws {
        let fixture = try Fixture()
        let (user, _) = try fixture.makeAnn()
        let service = fixture.service
        fixture.atRandomness.set {
            do {
                try service.setPassword(Secret("reset"), of: .id(user.id))
            } catch {
                Issue.record("\(error)")
            }
        }
        #expect(throws: IdentityError.unauthorized) {
            try service.changePassword(userID: user.id, from: Secret("pass"), to: Secret("mine"))
        }
        #expect(!fixture.atRandomness.isSet)
        _ = try fixture.signIn("ann", "reset")
    }

    enum TakenBack: CaseIterable { case token, chain, password, role }

    @Test(arguments: TakenBack.allCases)
    func aParentThatIsTakenBackWhileAChildIsMadeHasNone(_ what: TakenBack) throws {
        let fixture = try Fixture()
        let (user, _) = try fixture.makeAnn()
        let parent = try fixture.signIn("ann", "pass", .standard).token
        let service = fixture.service
        fixture.atRandomness.set {
            do {
                switch what {
                case .token: try service.revoke(parent, wholeChain: false)
                case .chain: try service.revoke(parent, wholeChain: true)
                case .password: try service.setPassword(Secret("new"), of: .id(user.id))
                case .role: try service.withdraw(role: "member", user: "ann", project: "work")
                }
            } catch {
                Issue.record("\(error)")
            }
        }
        #expect(throws: IdentityError.unauthorized) {
            try service.issue(Authentication(password: nil, token: parent, scope: .unscoped))
        }
        #expect(!fixture.atRandomness.isSet)
    }

    @Test func aProjectsTokensStayDeadWhenItIsEnabledAgain() throws {
        let fixture = try Fixture()
        let (_, project) = try fixture.makeAnn()
        let token = try fixture.signIn("ann", "pass", .standard).token
        let unscoped = try fixture.signIn("ann", "pass").token
        for enabled in [false, true] {
            _ = try fixture.service.updateProject(
                id: project.id, ProjectChange(name: nil, description: nil, enabled: enabled))
            #expect(try fixture.service.caller(token: token) == nil)
        }
        #expect(try fixture.service.caller(token: unscoped) != nil)
        let later = try fixture.signIn("ann", "pass", .standard).token
        #expect(try fixture.service.caller(token: later)?.project?.id == project.id)
        // A change of anything else ends none.
        _ = try fixture.service.updateProject(
            id: project.id, ProjectChange(name: "works", description: "d", enabled: true))
        #expect(try fixture.service.caller(token: later)?.project?.name == "works")
    }

    @Test(arguments: ["", "x", "gAAAAA", String(repeating: "A", count: 5000), "é", "gAAAAAB="])
    func nonsenseIsNoToken(_ text: String) throws {
        let fixture = try Fixture()
        #expect(fixture.service.cachedCaller(token: text) == nil)
        #expect(try fixture.service.caller(token: text) == nil)
    }

    @Test(arguments: [
        ("work:ann", "pass", true), ("ann", "pass", true), ("work:ann", "no", false), ("admin:ann", "pass", false),
        (":ann", "pass", false), ("work:", "pass", false), ("", "", false), ("work:ann:x", "pass", false),
    ])
    func v1SignInAnswersWithTheProjectsAccount(_ name: String, _ key: String, _ works: Bool) throws {
        let fixture = try Fixture()
        let (_, project) = try fixture.makeAnn()
        let grant = try fixture.service.signIn(v1User: name, key: Secret(key))
        #expect((grant != nil) == works)
        guard let grant else { return }
        #expect(grant.account == "AUTH_\(project.id)")
        #expect(grant.expiresIn == 3600)
        #expect(try fixture.service.caller(token: grant.token)?.roles == ["member", "reader"])
    }
}
