import Primitives
import Testing

@testable import ISCSI

@Suite struct FailedLoginTests {
    private let told = PosixLocked<[ISCSIFailedLogin]>([])

    private func bench(account: CHAPAccount? = Names.account) -> Bench {
        Bench(account: account) { configuration in
            configuration.onFailedLogin = { [told] failure in told.withLock { $0.append(failure) } }
        }
    }

    private func failure(_ target: String, _ reason: String, omitted: UInt64 = 0) -> ISCSIFailedLogin {
        ISCSIFailedLogin(
            initiator: Names.initiator, address: "192.0.2.9", target: target, reason: reason, omitted: omitted)
    }

    @Test func eachIsToldOnceWithItsReason() throws {
        let bench = bench()
        _ = try bench.connect().logInByCHAP(secret: "wrong-secret-0000")
        let lost = bench.connect()
        lost.target = "iqn.2024-01.org.apus:none"
        #expect(try lost.tryLogIn() == 0x0203)
        _ = try bench.connect().logInByCHAP(algorithms: "6")
        _ = try bench.connect().tryLogIn()
        let rude = bench.connect()
        _ = try rude.loginStep(0, nil, rude.openingKeys + [("AuthMethod", "CHAP")])
        rude.send(RawPDU(0x01, tag: 1))
        #expect(
            told.withLock { $0 } == [
                failure(Names.target, "wrong CHAP name or secret"),
                failure("iqn.2024-01.org.apus:none", "there is no such target"),
                failure(Names.target, "it offers no CHAP algorithm that is allowed here"),
                failure(Names.target, "it did not authenticate"), failure(Names.target, "what it sent is no login"),
            ])
        // One that works is not told of.
        #expect(try bench.connect().logInByCHAP().status == 0)
        #expect(told.withLock { $0.count } == 5)
    }

    @Test func oneThatIsTooSlowIsToldAndOneThatSaysNothingIsNot() throws {
        let bench = bench()
        bench.connect().memory.advance(ISCSILimits.loginMilliseconds)
        #expect(told.withLock { $0.isEmpty })
        let slow = bench.connect()
        _ = try slow.loginStep(0, nil, slow.openingKeys + [("AuthMethod", "CHAP")])
        slow.memory.advance(ISCSILimits.loginMilliseconds)
        #expect(told.withLock { $0 } == [failure(Names.target, "it did not finish in time")])
        _ = slow.memory.connection.tick(slow.memory.connection.now + 1)
        #expect(bench.context.counters.withLock { $0.failedLogins } == 1)
    }

    @Test func aFloodIsCountedAndNotTold() throws {
        let bench = bench(account: nil)
        func fail(at milliseconds: UInt64 = 0) throws {
            let initiator = bench.connect()
            initiator.target = "iqn.2024-01.org.apus:none"
            initiator.memory.connection.now += milliseconds
            #expect(try initiator.tryLogIn() == 0x0203)
        }
        let burst = Int(ISCSILimits.failureReportBurst)
        for _ in 0..<burst + 7 { try fail() }
        #expect(told.withLock { $0.count } == burst)
        try fail(at: ISCSILimits.failureReportMilliseconds)
        try fail(at: ISCSILimits.failureReportMilliseconds)
        let all = told.withLock { $0 }
        #expect(all.count == burst + 1 && all.last?.omitted == 7)
        #expect(bench.context.counters.withLock { $0.failedLogins } == UInt64(burst) + 9)
    }
}
