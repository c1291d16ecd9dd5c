import Primitives
import Testing

@testable import Identity

@Suite("Rules about passwords") struct PasswordRulesTests {
    private func rules(_ change: (inout PasswordRules) -> Void) -> PasswordRules {
        var rules = PasswordRules()
        change(&rules)
        return rules
    }

    @Test("too many wrong passwords in a row lock a user out, right password or not, for a while")
    func lockout() throws {
        let fixture = try Fixture(
            rules: rules {
                $0.lockoutFailures = 3
                $0.lockoutSeconds = 60
            })
        _ = try fixture.makeAnn()
        func fail() { #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", "wrong") } }
        fail()
        fail()
        _ = try fixture.signIn("ann", "pass")
        // The row starts afresh after a right one.
        fail()
        fail()
        _ = try fixture.signIn("ann", "pass")
        for _ in 0..<3 { fail() }
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", "pass") }
        fixture.clock.advance(59)
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", "pass") }
        fixture.clock.advance(1)
        fail()
        _ = try fixture.signIn("ann", "pass")
        _ = try fixture.admin()
    }

    @Test("a user who is exempt isn't locked out")
    func exemption() throws {
        let fixture = try Fixture(rules: rules { $0.lockoutFailures = 1 })
        let (ann, _) = try fixture.makeAnn()
        var change = UserChange()
        change.extra = #"{"options":{"ignore_lockout_failure_attempts":true}}"#
        _ = try fixture.service.updateUser(id: ann.id, change)
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", "wrong") }
        _ = try fixture.signIn("ann", "pass")
    }

    @Test("an old password signs nobody in, and can still be changed")
    func expiry() throws {
        let fixture = try Fixture(rules: rules { $0.daysMax = 2 })
        let (ann, _) = try fixture.makeAnn()
        let token = try fixture.signIn("ann", "pass")
        #expect(token.info.passwordExpiresAt == fixture.clock.now + 172_800)
        fixture.clock.advance(172_800)
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("ann", "pass") }
        try fixture.service.changePassword(userID: ann.id, from: Secret("pass"), to: Secret("next"))
        _ = try fixture.signIn("ann", "next")
        fixture.clock.advance(172_800)
        var change = UserChange()
        change.extra = #"{"options":{"ignore_password_expiry":true}}"#
        _ = try fixture.service.updateUser(id: ann.id, change)
        _ = try fixture.signIn("ann", "next")
    }

    @Test("the last passwords can't be chosen again; an operator may set them")
    func history() throws {
        let fixture = try Fixture(rules: rules { $0.history = 3 })
        let (ann, _) = try fixture.makeAnn()
        func change(_ old: String, _ new: String) throws(IdentityError) {
            try fixture.service.changePassword(userID: ann.id, from: Secret(old), to: Secret(new))
        }
        try change("pass", "one")
        try change("one", "two")
        for used in ["pass", "one", "two"] {
            #expect { try change("two", used) } throws: { error in
                if case .invalid? = error as? IdentityError { true } else { false }
            }
        }
        try change("two", "three")
        try change("three", "pass")
        try fixture.service.setPassword(Secret("pass"), of: .id(ann.id))
    }

    @Test("a short password is refused wherever one is set")
    func length() throws {
        let fixture = try Fixture(rules: rules { $0.lengthMin = 4 })
        let (ann, _) = try fixture.makeAnn()
        #expect(throws: IdentityError.self) {
            try fixture.service.createUser(named: "x", password: Secret("abc"), project: nil, role: "member")
        }
        #expect(throws: IdentityError.self) {
            try fixture.service.changePassword(userID: ann.id, from: Secret("pass"), to: Secret("abc"))
        }
        #expect(throws: IdentityError.self) { try fixture.service.setPassword(Secret("abc"), of: .id(ann.id)) }
        try fixture.service.setPassword(Secret("äöüß"), of: .id(ann.id))
    }

    @Test("a password that is locked can't be changed by its user")
    func lockedPassword() throws {
        let fixture = try Fixture()
        let (ann, _) = try fixture.makeAnn()
        var change = UserChange()
        change.extra = #"{"options":{"lock_password":true}}"#
        _ = try fixture.service.updateUser(id: ann.id, change)
        #expect(throws: IdentityError.self) {
            try fixture.service.changePassword(userID: ann.id, from: Secret("pass"), to: Secret("next"))
        }
        _ = try fixture.signIn("ann", "pass")
    }
}
