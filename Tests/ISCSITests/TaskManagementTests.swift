import Primitives
import Testing

@testable import ISCSI

@Suite struct TaskManagementTests {
    /// A session with one command that the unit holds.
    private func holding(_ bench: Bench, isid: UInt64 = 1) throws -> (TestInitiator, UInt32) {
        let initiator = try bench.loggedIn(isid: isid)
        bench.unit.state.withLock { $0.holds = true }
        let pdu = initiator.command([0])
        initiator.send(pdu)
        #expect(initiator.receive() == nil)
        return (initiator, pdu.tag)
    }

    @Test func anAbortedCommandThatRunsIsWaitedForAndNotAnswered() throws {
        let bench = Bench()
        let (initiator, tag) = try holding(bench)
        #expect(initiator.memory.connection.tasks[tag]?.isGivenUp == false)
        initiator.send(initiator.management(1, referenced: tag))
        #expect(initiator.receive() == nil)
        #expect(initiator.memory.connection.tasks[tag]?.isGivenUp == true)
        bench.unit.release()
        bench.settle()
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x22 && answer.header[2] == 0)
        #expect(initiator.receive() == nil)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func anAbortedWriteIsForgottenAndItsLateDataDropped() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        let pdu = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 1), write: 512)
        initiator.send(pdu)
        let r2t = try #require(initiator.receive())
        initiator.send(initiator.management(1, referenced: pdu.tag))
        #expect(initiator.receive()?.header[2] == 0)
        initiator.send(
            initiator.dataOut(
                pdu.tag, transferTag: r2t.transferTag, number: 0, offset: 0, [UInt8](repeating: 1, count: 512),
                final: true))
        #expect(initiator.receive() == nil)
        #expect(bench.unit.executedCount == 0)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func whatIsDoneOrNeverWasDoesNotExist() throws {
        let initiator = try Bench().loggedIn()
        let done = try #require(initiator.testUnitReady())
        initiator.send(
            initiator.management(1, referenced: done.tag, refNumber: initiator.commandNumber &- 1))
        #expect(initiator.receive()?.header[2] == 1)
    }

    @Test func aCommandThatWasSentAndHasNotComeCountsAsAborted() throws {
        let initiator = try Bench().loggedIn()
        // Its number is skipped: the request speaks for it.
        let missing = initiator.commandNumber
        initiator.commandNumber &+= 1
        initiator.send(initiator.management(1, referenced: 0x4711, refNumber: missing))
        #expect(initiator.receive()?.header[2] == 0)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test(arguments: [UInt8(2), 4, 5])
    func theCommandsOfAUnitEndTogether(_ function: UInt8) throws {
        let bench = Bench()
        let (initiator, _) = try holding(bench)
        initiator.send(initiator.command([0]))
        initiator.send(initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 1), write: 512))
        #expect(initiator.receive()?.opcode == 0x31)
        initiator.send(initiator.management(function))
        #expect(initiator.receive() == nil)
        bench.unit.release()
        bench.settle()
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x22 && answer.header[2] == 0)
        #expect(initiator.receive() == nil)
        let (resets, clears) = bench.unit.state.withLock { ($0.resets, $0.clears) }
        #expect(resets == (function == 5 ? 1 : 0))
        #expect(clears == (function == 4 ? 1 : 0))
        #expect(initiator.memory.connection.tasks.isEmpty)
    }

    @Test(arguments: [UInt8(2), 4, 5])
    func whereNoUnitIsThereIsNothingToEnd(_ function: UInt8) throws {
        let initiator = try Bench().loggedIn()
        initiator.send(initiator.management(function, lun: 9))
        #expect(initiator.receive()?.header[2] == 2)
    }

    @Test(arguments: [UInt8(4), 5, 6])
    func resetsReachTheCommandsOfOtherSessions(_ function: UInt8) throws {
        let bench = Bench()
        let (other, _) = try holding(bench)
        let initiator = try bench.loggedIn(isid: 2)
        initiator.send(initiator.management(function))
        bench.settle()
        // The other's command still runs.
        #expect(initiator.receive() == nil)
        bench.unit.release()
        bench.settle()
        #expect(initiator.receive()?.header[2] == 0)
        #expect(other.receive() == nil)
        #expect(other.testUnitReady()?.header[3] == 0)
    }

    @Test func abortTaskSetLeavesOthersAlone() throws {
        let bench = Bench()
        let (other, tag) = try holding(bench)
        let initiator = try bench.loggedIn(isid: 2)
        initiator.send(initiator.management(2))
        #expect(initiator.receive()?.header[2] == 0)
        bench.unit.release()
        bench.settle()
        #expect(try other.finish(tag).status == 0)
    }

    @Test func aColdResetEndsTheSessionsOfTheTarget() throws {
        let bench = Bench()
        let other = try bench.loggedIn(isid: 2)
        let initiator = try bench.loggedIn()
        initiator.send(initiator.management(7))
        bench.settle()
        #expect(initiator.receive()?.header[2] == 0)
        #expect(initiator.memory.isEnded && other.memory.isEnded)
        #expect(other.receive()?.opcode == 0x32)
        #expect(bench.context.sessions.count == 0)
        #expect(!bench.unit.isAttached)
    }

    @Test(arguments: [(8, 4), (3, 5), (99, 255)] as [(UInt8, UInt8)])
    func whatIsNotSupportedIsSaidSo(_ function: UInt8, _ response: UInt8) throws {
        let initiator = try Bench().loggedIn()
        initiator.send(initiator.management(function))
        #expect(initiator.receive()?.header[2] == response)
    }

    @Test func requestsThatWaitAreBounded() throws {
        let bench = Bench()
        let (initiator, tag) = try holding(bench)
        for _ in 0..<ISCSILimits.taskManagementMax { initiator.send(initiator.management(1, referenced: tag)) }
        initiator.send(initiator.management(1, referenced: tag))
        #expect(initiator.receive()?.opcode == 0x3f)
        bench.unit.release()
        bench.settle()
        for _ in 0..<ISCSILimits.taskManagementMax { #expect(initiator.receive()?.opcode == 0x22) }
    }

    @Test func anInitiatorThatIsPreemptedLosesItsCommands() throws {
        let bench = Bench()
        let (initiator, _) = try holding(bench)
        let ended = PosixLocked(0)
        for abort in bench.unit.state.withLock({ $0.aborts }) { abort { ended.withLock { $0 += 1 } } }
        bench.settle()
        // The other one is told only when nothing runs any more.
        #expect(ended.withLock { $0 } == 0)
        bench.unit.release()
        bench.settle()
        #expect(ended.withLock { $0 } == 1)
        #expect(initiator.receive() == nil)
        #expect(initiator.memory.connection.tasks.isEmpty)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func whoeverPreemptsASessionThatIsOverDoesNotWait() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        initiator.send(initiator.logout())
        #expect(initiator.receive()?.opcode == 0x26)
        let ended = PosixLocked(0)
        for abort in bench.unit.state.withLock({ $0.aborts }) { abort { ended.withLock { $0 += 1 } } }
        #expect(ended.withLock { $0 } == 1)
    }

    /// Two hosts that preempt each other: neither command may wait for the other one.
    @Test func aReservationCommandIsNotAmongWhatIsWaitedFor() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        bench.unit.state.withLock { $0.holds = true }
        let pdu = initiator.command(
            [0x5f, 5, 0, 0, 0, 0, 0, 0, 24, 0], write: 24, data: [UInt8](repeating: 0, count: 24))
        initiator.send(pdu)
        let ended = PosixLocked(0)
        for abort in bench.unit.state.withLock({ $0.aborts }) { abort { ended.withLock { $0 += 1 } } }
        bench.settle()
        #expect(ended.withLock { $0 } == 1)
        bench.unit.release()
        bench.settle()
        #expect(initiator.receive()?.tag == pdu.tag)
    }
}
