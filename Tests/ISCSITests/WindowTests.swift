import Primitives
import Testing

@testable import ISCSI

/// CmdSN, ExpCmdSN, MaxCmdSN: RFC 7143 4.2.2.1.
@Suite struct WindowTests {
    @Test func aCommandOutsideTheWindowIsIgnored() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        let last = try #require(initiator.testUnitReady())
        #expect(last.expectedCommand == initiator.commandNumber)
        #expect(last.maximumCommand == initiator.commandNumber &+ ISCSILimits.commandsMax &- 1)
        for number in [last.maximumCommand &+ 1, last.expectedCommand &- 1, last.expectedCommand &+ 0x8000_0000] {
            var pdu = initiator.command([0])
            initiator.commandNumber &-= 1
            pdu.put(number, 24)
            initiator.send(pdu)
            #expect(initiator.receive() == nil)
        }
        #expect(!initiator.memory.isEnded)
        #expect(initiator.testUnitReady()?.header[3] == 0)
        #expect(bench.unit.executedCount == 2)
    }

    @Test func aGapWithinTheWindowEndsTheConnection() throws {
        let initiator = try Bench().loggedIn()
        initiator.commandNumber &+= 1
        initiator.send(initiator.command([0]))
        #expect(initiator.receive()?.opcode == 0x3f)
        #expect(initiator.memory.isEnded)
    }

    @Test func theWindowClosesAndOpensWithTheCommandsUnderWay() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        bench.unit.state.withLock { $0.holds = true }
        for _ in 0..<ISCSILimits.commandsMax { initiator.send(initiator.command([0])) }
        #expect(bench.unit.executedCount == Int(ISCSILimits.commandsMax))
        // Closed: the next one is ignored; a ping still goes through and tells.
        initiator.send(initiator.command([0]))
        initiator.commandNumber &-= 1
        #expect(bench.unit.executedCount == Int(ISCSILimits.commandsMax))
        var nop = RawPDU(0x40, flags: 0x80, tag: initiator.nextTag())
        initiator.number(&nop)
        initiator.send(nop)
        let pong = try #require(initiator.receive())
        #expect(pong.opcode == 0x20 && pong.maximumCommand == pong.expectedCommand &- 1)
        bench.unit.release()
        bench.settle()
        var maximum = pong.maximumCommand
        for _ in 0..<ISCSILimits.commandsMax {
            let answer = try #require(initiator.receive())
            // Never smaller than it was.
            #expect(!SerialNumber.isBefore(answer.maximumCommand, maximum))
            maximum = answer.maximumCommand
        }
        #expect(maximum == initiator.commandNumber &+ ISCSILimits.commandsMax &- 1)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func numbersWrap() throws {
        let initiator = Bench().connect()
        initiator.commandNumber = 0xffff_fffe
        try initiator.logIn()
        for _ in 0..<5 { #expect(initiator.testUnitReady()?.header[3] == 0) }
        #expect(initiator.commandNumber == 3)
    }

    @Test func immediateCommandsTakeNoNumberAndAreBounded() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        bench.unit.state.withLock { $0.holds = true }
        for _ in 0..<ISCSILimits.immediateMax { initiator.send(initiator.command([0], immediate: true)) }
        #expect(bench.unit.executedCount == ISCSILimits.immediateMax)
        initiator.send(initiator.command([0], immediate: true))
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x3f && answer.header[2] == 0x06)
        bench.unit.release()
        bench.settle()
        for _ in 0..<ISCSILimits.immediateMax { #expect(initiator.receive()?.opcode == 0x21) }
        #expect(initiator.testUnitReady()?.expectedCommand == initiator.commandNumber)
    }
}
