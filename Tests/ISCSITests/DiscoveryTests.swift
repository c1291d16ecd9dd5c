import Primitives
import SCSI
import Testing

@testable import ISCSI

@Suite struct DiscoveryTests {
    private func discover(_ initiator: TestInitiator, _ value: String = "All") throws -> RawPDU {
        initiator.send(initiator.textPDU([("SendTargets", value)]))
        return try #require(initiator.receive())
    }

    @Test func allTargetsAreToldWithTheirPortals() throws {
        let bench = Bench {
            $0.portals = [
                ISCSIPortal(address: "0.0.0.0", port: 3260), ISCSIPortal(address: "2001:db8::1", port: 3261),
                ISCSIPortal(address: "10.0.0.1", port: 3262, publicHost: "storage.example.org"),
            ]
        }
        let initiator = bench.connect()
        initiator.isDiscovery = true
        try initiator.logIn()
        let answer = try discover(initiator)
        #expect(answer.opcode == 0x24 && answer.flags == 0x80)
        #expect(
            answer.texts.map { "\($0.0)=\($0.1)" } == [
                "TargetName=\(Names.target)", "TargetAddress=192.0.2.1:3260,1", "TargetAddress=[2001:db8::1]:3261,1",
                "TargetAddress=storage.example.org:3262,1",
            ])
        #expect(initiator.agreed["TargetPortalGroupTag"] == nil)
    }

    @Test func anInitiatorSeesOnlyWhatItsAccountMayUse() throws {
        let bench = Bench()
        bench.provider.state.withLock {
            $0.discoveryNeedsAuthentication = true
            $0.discoveryAccounts = ["joe": Names.account]
            $0.visible = ["joe": ["iqn.a", "iqn.b"], "jim": ["iqn.c"], "": ["iqn.d"]]
        }
        let stranger = bench.connect()
        stranger.isDiscovery = true
        #expect(try stranger.tryLogIn() == 0x0201)
        let joe = bench.connect()
        joe.isDiscovery = true
        #expect(try joe.logInByCHAP().status == 0)
        #expect(try discover(joe).texts.filter { $0.0 == "TargetName" }.map(\.1) == ["iqn.a", "iqn.b"])
        #expect(try discover(joe, "iqn.b").texts.first?.1 == "iqn.b")
        #expect(try discover(joe, "iqn.c").texts.isEmpty)
        let jim = bench.connect()
        jim.isDiscovery = true
        #expect(try jim.logInByCHAP(name: "jim").status == 0x0201)
    }

    @Test func aNormalSessionSeesItsOwnTarget() throws {
        let bench = Bench()
        bench.provider.state.withLock { $0.visible[""] = [Names.target, "iqn.other"] }
        let initiator = try bench.loggedIn()
        for value in ["", Names.target, Names.target.uppercased()] {
            #expect(try discover(initiator, value).texts.map(\.0) == ["TargetName", "TargetAddress"])
        }
        #expect(try discover(initiator, "All").texts.isEmpty)
        #expect(try discover(initiator, "iqn.other").texts.isEmpty)
    }

    @Test func aLongListComesInSeveralAnswers() throws {
        let bench = Bench()
        let names = (0..<300).map { "iqn.2024-01.org.apus:volume-\($0)" }
        bench.provider.state.withLock { $0.visible[""] = names }
        let initiator = bench.connect()
        initiator.isDiscovery = true
        try initiator.logIn([("MaxRecvDataSegmentLength", "1024")])
        let tag = initiator.nextTag()
        initiator.send(initiator.textPDU([("SendTargets", "All")], tag: tag))
        var whole: [UInt8] = []
        var rounds = 0
        while true {
            let answer = try #require(initiator.receive())
            #expect(answer.data.count <= 1024 && answer.tag == tag)
            whole += answer.data
            rounds += 1
            if answer.flags & 0x80 != 0 { break }
            #expect(answer.flags == 0x40)
            initiator.send(initiator.textPDU([], tag: tag, transferTag: answer.transferTag))
        }
        #expect(rounds == (whole.count + 1023) / 1024)
        #expect(
            String(decoding: whole, as: UTF8.self).split(separator: "\0").filter { $0.hasPrefix("TargetName=") }.count
                == 300)
    }

    @Test func commandsHaveNoPlaceInDiscovery() throws {
        let bench = Bench()
        let initiator = bench.connect()
        initiator.isDiscovery = true
        try initiator.logIn()
        initiator.send(initiator.command([0]))
        #expect(initiator.receive()?.opcode == 0x3f)
        #expect(initiator.memory.isEnded)
    }

    @Test func aForgottenDiscoverySessionEnds() throws {
        let bench = Bench()
        let initiator = bench.connect()
        initiator.isDiscovery = true
        try initiator.logIn()
        initiator.memory.advance(4 * 30_000)
        initiator.memory.advance(ISCSILimits.closeMilliseconds)
        #expect(initiator.memory.isEnded)
    }
}
