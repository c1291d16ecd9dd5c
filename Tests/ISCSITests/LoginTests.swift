import Codecs
import Primitives
import SCSI
import Testing

@testable import ISCSI

@Suite struct LoginTests {
    @Test func inOneStepWithoutAuthentication() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn([("MaxRecvDataSegmentLength", "65536"), ("InitialR2T", "No")])
        #expect(initiator.agreed["TargetPortalGroupTag"] == "1")
        #expect(initiator.agreed["InitialR2T"] == "No")
        #expect(initiator.agreed["MaxRecvDataSegmentLength"] == "262144")
        #expect(initiator.testUnitReady()?.header[3] == 0)
        #expect(bench.unit.state.withLock { $0.attached } == [InitiatorPort(name: Names.initiator, isid: 1)])
    }

    @Test func throughAllStagesWithNoMethod() throws {
        let initiator = Bench().connect()
        var answer = try initiator.loginStep(0, 1, initiator.openingKeys + [("AuthMethod", "None")])
        #expect(answer.half(36) == 0 && answer.flags & 0x83 == 0x81 && answer.text["AuthMethod"] == "None")
        answer = try initiator.loginStep(1, nil, [("MaxBurstLength", "262144")])
        #expect(answer.flags & 0x80 == 0 && answer.text["MaxBurstLength"] == "262144")
        answer = try initiator.loginStep(1, 3, [])
        initiator.entered(answer)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func fromSecurityStraightToFullFeature() throws {
        let initiator = Bench().connect()
        let answer = try initiator.loginStep(0, 3, initiator.openingKeys + [("AuthMethod", "None")])
        initiator.entered(answer)
        #expect(initiator.testUnitReady()?.header[3] == 0)
        // Nothing was declared, so the default holds.
        #expect(initiator.memory.connection.inputRules.dataBytesMax == 8192)
    }

    @Test func namesAreComparedInLowerCase() throws {
        let initiator = Bench().connect()
        initiator.target = Names.target.uppercased()
        try initiator.logIn()
    }

    @Test func aTextThatGoesOnInTheNextRequestIsOne() throws {
        let initiator = Bench().connect()
        var text: [UInt8] = []
        for (key, value) in initiator.openingKeys { TextPairs.append(key, value, to: &text) }
        // Cut in the middle of a key.
        initiator.send(initiator.loginPDU(1, nil, text: Array(text[..<20]), continues: true))
        let empty = try #require(initiator.receive())
        #expect(empty.half(36) == 0 && empty.data.isEmpty && empty.flags & 0xc0 == 0)
        initiator.send(initiator.loginPDU(1, 3, text: Array(text[20...])))
        initiator.entered(try #require(initiator.receive()))
    }

    @Test(
        arguments: [
            ("InitiatorName", 0x0207), ("TargetName", 0x0207),
        ] as [(String, UInt16)])
    func withoutANameItIsMissing(_ left: String, _ status: UInt16) throws {
        let initiator = Bench().connect()
        let keys = initiator.openingKeys.filter { $0.0 != left }
        #expect(try initiator.loginStep(1, 3, keys).half(36) == status)
        #expect(initiator.memory.isEnded)
    }

    @Test func anUnknownTargetIsNotFound() throws {
        let initiator = Bench().connect()
        initiator.target = "iqn.2024-01.org.apus:other"
        #expect(try initiator.tryLogIn() == 0x0203)
        #expect(initiator.memory.isEnded)
    }

    @Test func anInitiatorThatIsNotAllowedIsTold() throws {
        let bench = Bench()
        bench.provider.add(
            ISCSITarget(name: Names.target, account: nil, allowedInitiators: ["iqn.other"], units: [0: bench.unit]))
        #expect(try bench.connect().tryLogIn() == 0x0202)
    }

    @Test func anUnknownSessionTypeIsNotSupported() throws {
        #expect(try Bench().connect().tryLogIn([("SessionType", "Other")]) == 0x0209)
    }

    @Test func aNewerVersionOnlyIsUnsupported() throws {
        let initiator = Bench().connect()
        var pdu = initiator.loginPDU(1, 3, initiator.openingKeys)
        pdu.header[2] = 2
        pdu.header[3] = 1
        initiator.send(pdu)
        #expect(try #require(initiator.receive()).half(36) == 0x0205)
    }

    @Test func aKeyTwiceIsAnError() throws {
        #expect(try Bench().connect().tryLogIn([("InitialR2T", "No"), ("InitialR2T", "Yes")]) == 0x0200)
        let initiator = Bench().connect()
        _ = try initiator.loginStep(1, nil, initiator.openingKeys + [("MaxBurstLength", "4096")])
        #expect(try initiator.loginStep(1, 3, [("MaxBurstLength", "4096")]).half(36) == 0x0200)
    }

    @Test(
        arguments: [
            // Stage 2 does not exist, nor a step back, nor F with C.
            0x86, 0x85, 0x84, 0xc7, 0x08, 0x0c,
        ] as [UInt8])
    func impossibleStagesAreErrors(_ flags: UInt8) throws {
        let initiator = Bench().connect()
        var pdu = initiator.loginPDU(1, 3, initiator.openingKeys)
        pdu.header[1] = flags
        initiator.send(pdu)
        #expect(try #require(initiator.receive()).header[36] == 2)
        #expect(initiator.memory.isEnded)
    }

    @Test func goingBackAStageIsInvalid() throws {
        let initiator = Bench().connect()
        _ = try initiator.loginStep(0, 1, initiator.openingKeys + [("AuthMethod", "None")])
        #expect(try initiator.loginStep(0, 1, []).half(36) == 0x020b)
    }

    @Test func anotherTaskTagOrSessionMidwayIsInvalid() throws {
        let initiator = Bench().connect()
        _ = try initiator.loginStep(1, nil, initiator.openingKeys)
        initiator.isid = 99
        #expect(try initiator.loginStep(1, 3, []).half(36) == 0x020b)
    }

    @Test func aFirstPDUThatIsNoLoginEndsTheConnectionWithoutAWord() throws {
        let initiator = Bench().connect()
        initiator.send(RawPDU(0x00))
        #expect(initiator.receive() == nil)
        #expect(initiator.memory.isEnded)
    }

    @Test func tooManyRequestsEndIt() throws {
        let initiator = Bench().connect()
        for round in 0..<ISCSILimits.loginRequestsMax {
            let answer = try initiator.loginStep(1, nil, round == 0 ? initiator.openingKeys : [])
            #expect(answer.half(36) == 0)
        }
        #expect(try initiator.loginStep(1, nil, []).half(36) == 0x0200)
    }

    @Test func tooMuchTextEndsIt() throws {
        let initiator = Bench().connect()
        var answer: RawPDU?
        for _ in 0..<9 {
            initiator.send(initiator.loginPDU(1, nil, text: [UInt8](repeating: 0x41, count: 8192), continues: true))
            answer = initiator.receive()
            if answer?.half(36) != 0 { break }
        }
        #expect(answer?.half(36) == 0x0200)
    }

    @Test func aSegmentBeyond8192EndsIt() throws {
        let initiator = Bench().connect()
        initiator.send(initiator.loginPDU(1, 3, text: [UInt8](repeating: 0x41, count: 8193)))
        #expect(initiator.receive() == nil)
        #expect(initiator.memory.isEnded)
    }

    @Test func fifteenSecondsAreEnough() throws {
        let initiator = Bench().connect()
        _ = try initiator.loginStep(1, nil, initiator.openingKeys)
        initiator.memory.advance(14_000)
        #expect(!initiator.memory.isEnded)
        initiator.memory.advance(2_000)
        #expect(initiator.memory.isEnded)
    }

    @Test func operationalKeysBeforeProofAreErrors() throws {
        let initiator = Bench(account: Names.account).connect()
        #expect(try initiator.loginStep(0, nil, initiator.openingKeys + [("MaxBurstLength", "512")]).half(36) == 0x0200)
    }

    @Test func aSecondConnectionForASessionIsTooMany() throws {
        let bench = Bench()
        let first = try bench.loggedIn()
        let tsih = try #require(first.memory.connection.ticket).tsih
        let second = bench.connect()
        second.tsih = tsih
        second.connectionID = 1
        #expect(try second.tryLogIn() == 0x0206)
        let third = bench.connect()
        third.tsih = tsih &+ 1
        #expect(try third.tryLogIn() == 0x020a)
        #expect(first.testUnitReady()?.header[3] == 0)
    }

    @Test func theSameInitiatorPortReplacesItsSession() throws {
        let bench = Bench()
        let first = try bench.loggedIn()
        bench.unit.state.withLock { $0.holds = true }
        first.send(first.command([0]))
        let second = bench.connect()
        second.send(second.loginPDU(1, 3, second.openingKeys))
        // The first has a command that can't be stopped: the second has to wait.
        bench.settle()
        #expect(second.receive() == nil)
        #expect(first.memory.isEnded && bench.context.sessions.count == 2)
        bench.unit.release()
        bench.settle()
        second.entered(try #require(second.receive()))
        #expect(bench.context.sessions.count == 1)
        #expect(second.testUnitReady()?.header[3] == 0)
        // Another ISID is another session.
        let third = try bench.loggedIn(isid: 2)
        #expect(third.testUnitReady()?.header[3] == 0)
        #expect(second.testUnitReady()?.header[3] == 0)
    }

    @Test func aTargetThatIsTakenAwayDuringTheLoginIsNotFound() throws {
        let bench = Bench()
        let initiator = bench.connect()
        _ = try initiator.loginStep(1, nil, initiator.openingKeys)
        bench.provider.remove(Names.target)
        #expect(try initiator.loginStep(1, 3, []).half(36) == 0x0203)
        #expect(bench.context.sessions.count == 0)
        #expect(!bench.unit.isAttached)
    }

    @Test func aTargetWhoseSecretChangedDuringTheLoginIsNotFound() throws {
        let bench = Bench()
        let initiator = bench.connect()
        _ = try initiator.loginStep(1, nil, initiator.openingKeys)
        bench.provider.add(ISCSITarget(name: Names.target, account: Names.account, units: [0: bench.unit]))
        #expect(try initiator.loginStep(1, 3, []).half(36) == 0x0203)
    }

    @Test func aTargetThatIsNotOpenYetIsUnavailableAndNotUnknown() throws {
        let bench = Bench()
        bench.provider.state.withLock { $0.knowsAllTargets = false }
        let early = bench.connect()
        early.target = "iqn.2024-01.org.apus:later"
        // Initiators try again after this one, and give up after "not found".
        #expect(try early.tryLogIn() == 0x0301)
        bench.provider.state.withLock { $0.knowsAllTargets = true }
        let late = bench.connect()
        late.target = "iqn.2024-01.org.apus:later"
        #expect(try late.tryLogIn() == 0x0203)
    }

    @Test func aTargetForReadersAttachesThemAsSuch() throws {
        let bench = Bench()
        bench.provider.add(ISCSITarget(name: Names.target, account: nil, isReadOnly: true, units: [0: bench.unit]))
        _ = try bench.loggedIn()
        #expect(bench.unit.state.withLock { $0.readers } == 1)
    }
}
