import Foundation
import Primitives
import Testing

@testable import Identity

@Suite struct PasswordTests {
    /// RFC 7914 section 12: ("pleaseletmein", "SodiumChloride", N = 16384, r = 8, p = 1).
    @Test func theHashIsScrypt() throws {
        let vector =
            "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$"
            + "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw"
        let hash = try #require(PasswordHash(text: vector))
        #expect(try hash.matches(Secret("pleaseletmein")))
        #expect(try !hash.matches(Secret("pleaseletmeout")))
        #expect(hash.text == vector)
    }

    @Test(arguments: [
        "", "$scrypt$", "$scrypt$ln=4,r=1,p=1$AAAAAAAAAAA", "$bcrypt$ln=4,r=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=64,r=8,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=4,r=1000,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$r=1,ln=4,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=4,r=1,p=1$AAAAAAAAAAA$AAAA", "$scrypt$ln=-4,r=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
    ])
    func textsThatAreNoHashesOfOursAreRefused(_ text: String) {
        #expect(PasswordHash(text: text) == nil)
    }

    @Test func eachHashHasASaltOfItsOwn() throws {
        let cost = PasswordCost(log2N: 4, r: 1, p: 1)
        let make = {
            try PasswordHash(
                password: Secret("same"), cost: cost, randomBytes: IdentityConfiguration.systemRandomBytes
            ).text
        }
        let (first, second) = (try make(), try make())
        #expect(first != second)
        #expect(try #require(PasswordHash(text: first)).matches(Secret("same")))
        #expect(!first.contains("same"))
    }

    @Test func aUserWithoutAPasswordCannotSignIn() throws {
        let fixture = try Fixture()
        _ = try fixture.service.createUser(
            NewUser(
                name: "robot", domain: .standard, password: nil, defaultProjectID: nil, email: nil, description: nil,
                enabled: true))
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("robot", "anything") }
    }

    @Test func aResetPasswordWorksAndTheOldOneDoesNot() throws {
        let fixture = try Fixture()
        let old = fixture.adminPassword
        let secret = try fixture.service.resetPassword(of: .name("admin", .standard))
        #expect(throws: IdentityError.unauthorized) { try fixture.signIn("admin", old) }
        _ = try fixture.signIn("admin", String(decoding: secret.bytes, as: UTF8.self))
        #expect("\(secret)" == "<secret>")
    }

    @Test func passwordThreadsRefuseWhatTheirQueueCannotHold() async throws {
        let fixture = try Fixture()
        let gate = DispatchSemaphore(value: 0)
        defer { for _ in 0..<Limits.passwordThreads { gate.signal() } }
        // Each thread has its work in hand before the next is given any, so that what follows is all in the queue.
        for _ in 0..<Limits.passwordThreads {
            await withCheckedContinuation { started in
                let isAdmitted = fixture.service.run(.password) {
                    started.resume()
                    gate.wait()
                }
                #expect(isAdmitted)
                if !isAdmitted { started.resume() }
            }
        }
        var admitted = 0
        while fixture.service.run(.password, {}) { admitted += 1 }
        #expect(admitted == Limits.passwordQueueMax)
        await #expect(throws: IdentityError.busy) {
            try await fixture.service.perform(.password) { () throws(IdentityError) in }
        }
    }
}
