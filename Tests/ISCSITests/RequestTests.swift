import Primitives
import Testing

@testable import ISCSI

/// NOP, Text, Logout, and what is refused.
@Suite struct RequestTests {
    @Test func aPingComesBack() throws {
        let initiator = try Bench().loggedIn([("DataDigest", "CRC32C")])
        for immediate in [true, false] {
            var nop = RawPDU(immediate ? 0x40 : 0x00, flags: 0x80, tag: initiator.nextTag(), data: [1, 2, 3, 4, 5])
            initiator.number(&nop)
            nop.put(reservedTag, 20)
            initiator.send(nop)
            let answer = try #require(initiator.receive())
            #expect(answer.opcode == 0x20 && answer.tag == nop.tag && answer.transferTag == reservedTag)
            #expect(answer.data == [1, 2, 3, 4, 5])
            #expect(answer.expectedCommand == initiator.commandNumber)
        }
    }

    @Test func aPingIsNoLongerThanTheInitiatorTakes() throws {
        let initiator = try Bench().loggedIn([("MaxRecvDataSegmentLength", "512")])
        var nop = RawPDU(0x40, flags: 0x80, tag: 5, data: [UInt8](repeating: 9, count: 2000))
        initiator.number(&nop)
        initiator.send(nop)
        #expect(initiator.receive()?.data.count == 512)
    }

    @Test func aSilentInitiatorIsAskedAndThenDropped() throws {
        let bench = Bench { $0.keepaliveMilliseconds = 30_000 }
        let initiator = try bench.loggedIn()
        let status = initiator.expectedStatus
        initiator.memory.advance(29_000)
        #expect(initiator.receive() == nil)
        initiator.memory.advance(1_000)
        let ping = try #require(initiator.receive())
        #expect(ping.opcode == 0x20 && ping.tag == reservedTag && ping.transferTag != reservedTag)
        // It tells the next status number and does not use it up.
        #expect(ping.statusNumber == status)
        var answer = RawPDU(0x40, flags: 0x80)
        answer.put(ping.transferTag, 20)
        initiator.number(&answer)
        initiator.send(answer)
        #expect(initiator.receive() == nil)
        initiator.memory.advance(29_999)
        #expect(initiator.receive() == nil)
        initiator.memory.advance(1)
        #expect(initiator.receive()?.opcode == 0x20)
        initiator.memory.advance(30_000)
        #expect(initiator.memory.isEnded)
        #expect(!bench.unit.isAttached)
    }

    @Test func anIdleConnectionHoldsNoBuffers() throws {
        let initiator = try Bench().loggedIn()
        _ = initiator.testUnitReady()
        #expect(initiator.memory.connection.input != nil)
        initiator.memory.advance(ISCSILimits.idleMilliseconds)
        #expect(initiator.memory.connection.input == nil && !initiator.memory.connection.output.hasMemory)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func logoutEndsTheSessionAfterItsAnswer() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        initiator.send(initiator.logout())
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x26 && answer.header[2] == 0)
        #expect(initiator.memory.isEnded)
        #expect(!bench.unit.isAttached && bench.context.sessions.count == 0)
    }

    @Test func nothingStartsBehindALogout() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        bench.unit.state.withLock { $0.holds = true }
        initiator.send(initiator.command([0]))
        initiator.send(initiator.logout())
        initiator.send(initiator.command([0]))
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x3f && answer.header[2] == 0x0c)
        #expect(bench.unit.executedCount == 1)
        bench.unit.release()
        bench.settle()
        #expect(initiator.receive()?.opcode == 0x26)
    }

    @Test func anInitiatorThatTakesItsDataSlowlyIsNotTakenForDead() throws {
        let bench = Bench { $0.keepaliveMilliseconds = 30_000 }
        let initiator = try bench.loggedIn([("MaxRecvDataSegmentLength", "262144")])
        let connection = initiator.memory.connection
        let bytes = initiator.command(TestInitiator.cdb(0x28, block: 0, count: 8192), read: 4 << 20).encoded()
        bytes.withUnsafeBytes { connection.receiveSpace().copyMemory(from: $0) }
        connection.received(bytes.count)
        _ = connection.process()
        // So much is unsent that nothing is read: there is no silence to speak of.
        #expect(!connection.wantsInput)
        for _ in 0..<4 {
            _ = connection.tick(connection.now + 25_000)
            connection.sent(1)
        }
        #expect(connection.phase == .fullFeature && connection.pingSentAt == nil)
    }

    @Test func logoutWaitsForCommandsThatRun() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        bench.unit.state.withLock { $0.holds = true }
        initiator.send(initiator.command([0]))
        initiator.send(initiator.logout(reason: 1))
        #expect(initiator.receive() == nil)
        bench.unit.release()
        bench.settle()
        #expect(initiator.receive()?.opcode == 0x26)
        #expect(initiator.memory.isEnded && !bench.unit.isAttached)
    }

    @Test(arguments: [(1, 7, 1), (2, 0, 2)] as [(UInt8, UInt16, UInt8)])
    func logoutOfWhatIsNotThereOrForRecoveryIsRefused(_ reason: UInt8, _ id: UInt16, _ response: UInt8) throws {
        let initiator = try Bench().loggedIn()
        initiator.send(initiator.logout(reason: reason, connection: id))
        #expect(initiator.receive()?.header[2] == response)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test(
        arguments: [
            (0x10, 0x03, false),  // SNACK
            (0x1f, 0x05, false), (0x3f, 0x05, false), (0x21, 0x05, false),  // unknown, or the target's own
            (0x43, 0x04, true),  // a login in a session
        ] as [(UInt8, UInt8, Bool)])
    func whatHasNoPlaceIsRejected(_ opcode: UInt8, _ reason: UInt8, _ ends: Bool) throws {
        let initiator = try Bench().loggedIn()
        var pdu = RawPDU(opcode, flags: 0x80, tag: 3)
        initiator.number(&pdu)
        pdu.header[0] |= 0x40
        initiator.send(pdu)
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x3f && answer.header[2] == reason && answer.tag == reservedTag)
        #expect(answer.data[0] == pdu.header[0])
        #expect(initiator.memory.isEnded == ends)
    }

    @Test func anAdditionalHeaderIsRejectedAndTheSessionGoesOn() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        var pdu = initiator.command([0])
        pdu.header[4] = 2
        initiator.wire.send(pdu.encoded() + [0, 5, 2, 0, 0, 0, 0, 0])
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x3f && answer.header[2] == 0x09)
        #expect(bench.unit.executedCount == 0)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func aCommandInBothDirectionsIsRejected() throws {
        let initiator = try Bench().loggedIn()
        initiator.send(initiator.command([0], read: 512, write: 512))
        #expect(initiator.receive()?.header[2] == 0x09)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func aDamagedHeaderEndsTheConnection() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn([("HeaderDigest", "CRC32C")])
        var bytes = initiator.command([0]).encoded(headerDigest: true)
        bytes[33] ^= 1
        initiator.wire.send(bytes)
        #expect(initiator.memory.isEnded && bench.unit.executedCount == 0)
        #expect(bench.context.counters.withLock { $0.digestErrors } == 1)
    }

    @Test func damagedDataIsRejectedAndNeverWritten() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn([("DataDigest", "CRC32C")])
        let data = [UInt8](repeating: 5, count: 512)
        var bytes = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 1), write: 512, data: data).encoded(
            dataDigest: true)
        bytes[100] ^= 1
        initiator.wire.send(bytes)
        #expect(initiator.receive()?.header[2] == 0x02)
        #expect(initiator.memory.isEnded && bench.unit.executedCount == 0)
    }

    @Test func anOversizedSegmentEndsTheConnectionWithAReject() throws {
        let initiator = try Bench().loggedIn()
        var pdu = initiator.command([0]).encoded()
        pdu[5] = 4
        pdu[7] = 4
        initiator.wire.send(pdu)
        #expect(initiator.receive()?.opcode == 0x3f)
        #expect(initiator.memory.isEnded)
    }

    @Test func textChangesTheSegmentLengthAndNothingElse() throws {
        let initiator = try Bench().loggedIn([("MaxRecvDataSegmentLength", "65536")])
        initiator.send(
            initiator.textPDU([("MaxRecvDataSegmentLength", "1024"), ("MaxBurstLength", "512"), ("X-a", "b")]))
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x24 && answer.flags == 0x80 && answer.transferTag == reservedTag)
        #expect(answer.text == ["MaxBurstLength": "Reject", "X-a": "NotUnderstood"])
        #expect(try initiator.read(block: 0, count: 4).dataPDUs == 2)
    }

    @Test func malformedTextIsRejected() throws {
        let initiator = try Bench().loggedIn()
        var pdu = initiator.textPDU([])
        pdu.data = Array("NoEquals\0".utf8)
        initiator.send(pdu)
        #expect(initiator.receive()?.header[2] == 0x04)
        initiator.send(initiator.textPDU([("A", "1"), ("A", "2")]))
        #expect(initiator.receive()?.header[2] == 0x04)
        initiator.send(initiator.textPDU([("A", "1")], transferTag: 99))
        #expect(initiator.receive()?.header[2] == 0x04)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func textMayComeInSeveralRequests() throws {
        let initiator = try Bench().loggedIn()
        let tag = initiator.nextTag()
        var first = initiator.textPDU([], flags: 0x40, tag: tag)
        first.data = Array("X-lo".utf8)
        initiator.send(first)
        let more = try #require(initiator.receive())
        #expect(more.flags == 0 && more.transferTag != reservedTag && more.data.isEmpty)
        var second = initiator.textPDU([], tag: tag, transferTag: more.transferTag)
        second.data = Array("ng=1\0".utf8)
        initiator.send(second)
        let answer = try #require(initiator.receive())
        #expect(answer.flags == 0x80 && answer.text == ["X-long": "NotUnderstood"])
    }

    @Test func aSessionThatIsEndedIsToldSo() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        bench.context.sessions.order(.end(.administrative)) { _, _ in true }
        bench.settle()
        let message = try #require(initiator.receive())
        #expect(message.opcode == 0x32 && message.header[36] == 3)
        #expect(initiator.memory.isEnded && bench.context.sessions.count == 0)
    }

    @Test func shuttingDownAsksForLogout() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        bench.context.sessions.order(.askLogout(seconds: 3)) { _, _ in true }
        bench.settle()
        let message = try #require(initiator.receive())
        #expect(message.opcode == 0x32 && message.header[36] == 1 && message.half(42) == 3)
        #expect(initiator.testUnitReady()?.header[3] == 0)
        initiator.send(initiator.logout())
        #expect(initiator.receive()?.opcode == 0x26)
    }
}
