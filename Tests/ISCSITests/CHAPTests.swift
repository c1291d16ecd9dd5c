import Codecs
import Primitives
import Testing

@testable import ISCSI

@Suite struct CHAPTests {
    @Test(arguments: [("5", "5"), ("7", "7"), ("5,7", "7"), ("7,5", "7"), ("6,5,8", "5")])
    func theRightSecretLetsIn(_ offered: String, _ chosen: String) throws {
        let initiator = Bench(account: Names.account).connect()
        let (status, _) = try initiator.logInByCHAP(algorithms: offered)
        #expect(status == 0)
        #expect(initiator.agreed["CHAP_A"] == chosen)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test(arguments: [
        ("joe", "wrong-secret-0000"), ("jim", "sixteen-or-more-1"), ("", "sixteen-or-more-1"), ("joe", ""),
    ])
    func aWrongNameOrSecretIsRefusedAlike(_ name: String, _ secret: String) throws {
        let bench = Bench(account: Names.account)
        let initiator = bench.connect()
        #expect(try initiator.logInByCHAP(name: name, secret: secret).status == 0x0201)
        #expect(initiator.memory.isEnded)
        #expect(!bench.unit.isAttached)
        #expect(bench.context.counters.withLock { $0.failedLogins } == 1)
    }

    @Test func whoMustProveCannotSkipIt() throws {
        let bench = Bench(account: Names.account)
        #expect(try bench.connect().tryLogIn() == 0x0201)
        let none = bench.connect()
        #expect(try none.loginStep(0, 1, none.openingKeys + [("AuthMethod", "None")]).half(36) == 0x0201)
        let silent = bench.connect()
        #expect(try silent.loginStep(0, 3, silent.openingKeys).half(36) == 0x0201)
        let early = bench.connect()
        _ = try early.loginStep(0, nil, early.openingKeys + [("AuthMethod", "CHAP")])
        #expect(try early.loginStep(0, nil, [("CHAP_N", "joe"), ("CHAP_R", "0x00")]).half(36) == 0x0201)
    }

    @Test func leavingInTheMiddleDoesNotLetIn() throws {
        let initiator = Bench(account: Names.account).connect()
        _ = try initiator.loginStep(0, 1, initiator.openingKeys + [("AuthMethod", "CHAP")])
        _ = try initiator.loginStep(0, nil, [("CHAP_A", "5")])
        // The target does not follow to the next stage, and acting as if it had is an error.
        #expect(try initiator.loginStep(0, 1, []).flags & 0x80 == 0)
        #expect(try initiator.loginStep(1, 3, []).half(36) == 0x020b)
    }

    @Test func md5CanBeSwitchedOff() throws {
        let bench = Bench(account: Names.account) { $0.allowsMD5 = false }
        #expect(try bench.connect().logInByCHAP(algorithms: "5").status == 0x0201)
        #expect(try bench.connect().logInByCHAP(algorithms: "5,7").status == 0)
    }

    @Test(arguments: ["5", "7"])
    func theTargetProvesItselfToo(_ algorithm: String) throws {
        let initiator = Bench(account: Names.account).connect()
        let challenge = (0..<24).map { UInt8($0) }
        let (status, proof) = try initiator.logInByCHAP(algorithms: algorithm, mutual: challenge)
        #expect(status == 0)
        #expect(proof.text["CHAP_N"] == "apus")
        let expected = try #require(CHAP.Algorithm(rawValue: UInt8(algorithm)!)).respond(
            9, Secret("another-sixteen-2"), challenge)
        #expect(proof.text["CHAP_R"] == "0x" + Hex.encode(expected))
    }

    @Test func ourOwnChallengeIsNotAnswered() throws {
        let (status, last) = try Bench(account: Names.account).connect().logInByCHAP(reflect: true)
        #expect(status == 0x0201)
        #expect(last.text["CHAP_R"] == nil)
    }

    @Test func oneSecretForBothDirectionsIsRefused() throws {
        let secret = Secret("sixteen-or-more-1")
        let account = CHAPAccount(name: "joe", secret: secret, mutual: .init(name: "apus", secret: secret))
        let challenge = [UInt8](repeating: 3, count: 16)
        #expect(try Bench(account: account).connect().logInByCHAP(mutual: challenge).status == 0x0201)
        // And so is proof that the account has none of.
        let plain = CHAPAccount(name: "joe", secret: secret)
        #expect(try Bench(account: plain).connect().logInByCHAP(mutual: challenge).status == 0x0201)
        #expect(try Bench(account: plain).connect().logInByCHAP().status == 0)
    }

    @Test(arguments: [0, 15, 1025])
    func aChallengeOfImpossibleLengthIsRefused(_ count: Int) throws {
        let challenge = [UInt8](repeating: 3, count: count)
        // The longest of them is no text value any more.
        let status: UInt16 = count > 1024 ? 0x0200 : 0x0201
        #expect(try Bench(account: Names.account).connect().logInByCHAP(mutual: challenge).status == status)
    }

    @Test func challengesAreLongAndNeverTheSame() throws {
        let bench = Bench(account: Names.account)
        var seen: Set<String> = []
        for _ in 0..<50 {
            let initiator = bench.connect()
            _ = try initiator.loginStep(0, nil, initiator.openingKeys + [("AuthMethod", "CHAP")])
            let challenge = try #require(try initiator.loginStep(0, nil, [("CHAP_A", "5")]).text["CHAP_C"])
            #expect(TextPairs.binary(challenge)?.count == 32)
            #expect(seen.insert(challenge).inserted)
        }
    }

    @Test func base64IsUnderstood() throws {
        // "0b" and the Base64 of sixteen zeros, a well-formed and wrong response.
        let initiator = Bench(account: Names.account).connect()
        _ = try initiator.loginStep(0, nil, initiator.openingKeys + [("AuthMethod", "CHAP")])
        _ = try initiator.loginStep(0, nil, [("CHAP_A", "5")])
        #expect(TextPairs.binary("0bAAAAAAAAAAAAAAAAAAAAAA==") == [UInt8](repeating: 0, count: 16))
        #expect(
            try initiator.loginStep(0, 1, [("CHAP_N", "joe"), ("CHAP_R", "0bAAAAAAAAAAAAAAAAAAAAAA==")]).half(36)
                == 0x0201)
    }

    @Test func whoFailsTooOftenHasToWait() throws {
        let bench = Bench(account: Names.account)
        for _ in 0..<Int(ISCSILimits.failureBurst) {
            #expect(try bench.connect().logInByCHAP(secret: "wrong-secret-0000").status == 0x0201)
        }
        // Even with the right secret, and without a word on whether it was right.
        #expect(try bench.connect().logInByCHAP().status == 0x0301)
        #expect(try bench.connect(from: "192.0.2.10").logInByCHAP().status == 0)
        let later = bench.connect()
        later.isid = 2
        later.memory.advance(ISCSILimits.failureMilliseconds)
        #expect(try later.logInByCHAP().status == 0)
    }

    /// A hypervisor has one address: its volume with an old secret must not keep its others away.
    @Test func whoFailsTooOftenAtOneTargetIsHeardAtAnother() throws {
        let bench = Bench(account: Names.account)
        let other = "iqn.2024-01.org.apus:two"
        bench.provider.add(ISCSITarget(name: other, account: Names.account, units: [0: bench.unit]))
        for _ in 0...Int(ISCSILimits.failureBurst) { _ = try bench.connect().logInByCHAP(secret: "wrong-secret-0000") }
        #expect(try bench.connect().logInByCHAP().status == 0x0301)
        let initiator = bench.connect()
        initiator.target = other
        #expect(try initiator.logInByCHAP().status == 0)
    }

    @Test func secretsArePrintedByNobody() {
        let text = "\(Names.account) \(ISCSITarget(name: "t", account: Names.account, units: [:]))"
        #expect(!text.contains("sixteen"))
    }
}
