import Glibc
import Primitives
import SCSI
import Testing

@testable import ISCSI

/// The target over real sockets on loopback, each on a free port.
@Suite(.serialized) struct ServerTests {
    final class Rig {
        let unit = FakeUnit()
        let provider = FakeProvider()
        let server: ISCSIServer

        init(account: CHAPAccount? = nil, _ change: (inout ISCSIConfiguration) -> Void = { _ in }) throws {
            provider.add(ISCSITarget(name: Names.target, account: account, units: [0: unit]))
            provider.state.withLock { $0.visible[""] = [Names.target] }
            var configuration = ISCSIConfiguration(
                portals: [ISCSIPortal(address: "127.0.0.1", port: 0)], now: { 1_700_000_000 })
            change(&configuration)
            server = try ISCSIServer(configuration: configuration, provider: provider)
            try server.start()
        }

        deinit {
            unit.release()
            server.stop(graceMilliseconds: 0)
        }

        func connect() -> TestInitiator { TestInitiator(SocketWire(port: server.boundPortals[0].port)) }

        func loggedIn(isid: UInt64 = 1, _ offers: [(String, String)] = []) throws -> TestInitiator {
            let initiator = connect()
            initiator.isid = isid
            try initiator.logIn(offers)
            return initiator
        }
    }

    /// Waits for something that another thread is about to do.
    static func eventually(_ condition: () -> Bool) -> Bool {
        let deadline = MonotonicClock.now() + 10_000_000_000
        while !condition() {
            guard MonotonicClock.now() < deadline else { return false }
            sched_yield()
        }
        return true
    }

    @Test func itServesOverASocket() throws {
        let rig = try Rig(account: Names.account)
        #expect(rig.server.boundPortals[0].port != 0)
        let initiator = rig.connect()
        #expect(try initiator.logInByCHAP(algorithms: "5,7").status == 0)
        let data = (0..<524_288).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }
        let (done, _) = try initiator.write(block: 16, data, immediate: 8192, unsolicited: 8192, piece: 8192)
        #expect(done.status == 0)
        #expect(try initiator.read(block: 16, count: 1024).data == data)
        initiator.send(initiator.logout())
        #expect(initiator.receive()?.opcode == 0x26)
        #expect(initiator.receive() == nil)
        #expect(Self.eventually { rig.server.sessions().isEmpty && !rig.unit.isAttached })
    }

    @Test func manyCommandsInOneWriteAreAllAnswered() throws {
        let rig = try Rig()
        let initiator = try rig.loggedIn()
        for _ in 0..<20 {
            var bytes: [UInt8] = []
            var tags: [UInt32] = []
            for index in 0..<64 {
                let pdu = initiator.command(TestInitiator.cdb(0x28, block: index, count: 8), read: 4096)
                tags.append(pdu.tag)
                bytes += pdu.encoded()
            }
            initiator.wire.send(bytes)
            for tag in tags { #expect(try initiator.finish(tag).data.count == 4096) }
        }
        #expect(rig.server.counters().commands >= 1_000)
    }

    @Test func completionsFromOtherThreadsWakeTheConnection() throws {
        let rig = try Rig()
        let initiator = try rig.loggedIn()
        for round in 0..<50 {
            rig.unit.state.withLock {
                $0.holds = true
                $0.reservesLate = round % 2 == 0
            }
            let pdu = initiator.command(TestInitiator.cdb(0x28, block: round, count: 8), read: 4096)
            initiator.send(pdu)
            #expect(Self.eventually { rig.unit.heldCount == 1 })
            rig.unit.release()
            #expect(try initiator.finish(pdu.tag).data.count == 4096)
        }
    }

    @Test func anInitiatorThatWaitsForItsWritesHasThemCommittedByItsConnection() throws {
        let rig = try Rig()
        let work = FakeWork(rig.unit)
        let initiator = try rig.loggedIn()
        rig.unit.state.withLock {
            $0.holds = true
            $0.work = work
        }
        for round in 0..<40 { #expect(try Self.write(initiator, round) == 0) }
        // Until it is known what kind of initiator this is, the engine's own thread does it.
        #expect(work.now.givenBack == ISCSILimits.commitAfterCommands - 1)
        #expect(work.now.performed == 41 - ISCSILimits.commitAfterCommands && work.now.performers.count == 1)
        #expect(work.now.performers.first != UInt(pthread_self()))
    }

    /// What arrives while two writes are being worked on, as it does from an initiator with many under way.
    @Test(arguments: [false, true])
    func aConnectionLooksForMoreBeforeItCommitsUnlessThatIsEnough(_ isAmple: Bool) throws {
        let rig = try Rig()
        let work = FakeWork(rig.unit)
        let initiator = try rig.loggedIn()
        rig.unit.state.withLock {
            $0.holds = true
            $0.work = work
        }
        for round in 0..<40 { #expect(try Self.write(initiator, round) == 0) }
        work.set(isAmple: isAmple)
        let before = work.now
        let writes = (0..<3).map { block in
            initiator.command(TestInitiator.cdb(0x2a, block: block, count: 1), write: 512, data: Self.block)
        }
        let (wire, third) = (initiator.wire as? SocketWire, writes[2].encoded())
        rig.unit.state.withLock { $0.whenExecuted = ($0.executed.count + 2, { wire?.send(third) }) }
        initiator.wire.send(writes[0].encoded() + writes[1].encoded())
        for write in writes { #expect(try initiator.finish(write.tag).status == 0) }
        #expect(work.now.performed - before.performed == (isAmple ? 2 : 1))
        #expect(work.now.givenBack == before.givenBack)
    }

    @Test func anInitiatorThatHangsUpWhileItsConnectionLooksForMoreLeavesNothingBehind() throws {
        let rig = try Rig()
        let work = FakeWork(rig.unit)
        for _ in 0..<5 {
            let initiator = try rig.loggedIn()
            rig.unit.state.withLock {
                $0.holds = true
                $0.work = work
            }
            for round in 0..<40 { #expect(try Self.write(initiator, round) == 0) }
            let before = work.now
            let wire = initiator.wire as? SocketWire
            rig.unit.state.withLock { $0.whenExecuted = ($0.executed.count + 2, { wire?.hangUp() }) }
            let writes = (0..<2).map { block in
                initiator.command(TestInitiator.cdb(0x2a, block: block, count: 1), write: 512, data: Self.block)
            }
            initiator.wire.send(writes[0].encoded() + writes[1].encoded())
            #expect(Self.eventually { rig.server.sessions().isEmpty && rig.server.connectionCounts().all == 0 })
            #expect(work.now.performed + work.now.givenBack == before.performed + before.givenBack + 1)
            #expect(rig.unit.heldCount == 0 && !rig.unit.isAttached)
            rig.unit.state.withLock { $0.holds = false }
        }
    }

    /// Reads that are answered at once leave nothing under way, and are no sign of an initiator that waits for each.
    @Test func anInitiatorWithManyReadsUnderWayIsHeardWhileItsWritesAreCommitted() throws {
        let rig = try Rig()
        let work = FakeWork(rig.unit)
        let initiator = try rig.loggedIn()
        rig.unit.state.withLock { $0.work = work }
        for round in 0..<20 {
            var bytes: [UInt8] = []
            var tags: [UInt32] = []
            for index in 0..<8 {
                let pdu = initiator.command(TestInitiator.cdb(0x28, block: index, count: 1), read: 512)
                tags.append(pdu.tag)
                bytes += pdu.encoded()
            }
            initiator.wire.send(bytes)
            for tag in tags { #expect(try initiator.finish(tag).status == 0) }
            rig.unit.state.withLock { $0.holds = true }
            #expect(try Self.write(initiator, round) == 0)
            rig.unit.state.withLock { $0.holds = false }
        }
        #expect(work.now.performed == 0 && work.now.givenBack == 20)
    }

    @Test func aDiskThatHangsLeavesTheConnectionToAnotherThread() throws {
        let rig = try Rig()
        let work = FakeWork(rig.unit)
        let initiator = try rig.loggedIn()
        rig.unit.state.withLock {
            $0.holds = true
            $0.work = work
        }
        for round in 0..<40 { #expect(try Self.write(initiator, round) == 0) }
        for round in 1...3 {
            work.set(hangs: true)
            let before = work.now.performed
            let pdu = initiator.command(
                TestInitiator.cdb(0x2a, block: 0, count: 1), write: 512, data: Self.block)
            initiator.send(pdu)
            #expect(Self.eventually { work.now.performed == before + 1 })
            // Somebody hears it: the ping is answered before the write is.
            var ping = RawPDU(0x40, flags: 0x80, tag: initiator.nextTag())
            initiator.number(&ping)
            ping.put(reservedTag, 20)
            initiator.send(ping)
            #expect(initiator.receive()?.opcode == 0x20)
            work.set(hangs: false)
            #expect(try initiator.finish(pdu.tag).status == 0)
            for block in 0..<40 { #expect(try Self.write(initiator, block) == 0) }
            #expect(work.now.performers.count >= 2, "round \(round)")
        }
        // An end while it hangs: the session is over when the disk is done.
        work.set(hangs: true)
        let before = work.now.performed
        initiator.send(
            initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 1), write: 512, data: Self.block))
        #expect(Self.eventually { work.now.performed == before + 1 })
        (initiator.wire as? SocketWire)?.hangUp()
        #expect(rig.server.sessions().count == 1)
        work.set(hangs: false)
        #expect(Self.eventually { rig.server.sessions().isEmpty && rig.server.connectionCounts().all == 0 })
        #expect(!rig.unit.isAttached)
    }

    private static let block = [UInt8](repeating: 0x5a, count: 512)

    private static func write(_ initiator: TestInitiator, _ block: Int) throws -> UInt8 {
        try initiator.write(block: block, Self.block, immediate: 512, unsolicited: 512, piece: 512).0.status
    }

    @Test func sessionsAreListedAndOneCanBeEnded() throws {
        let rig = try Rig()
        let first = try rig.loggedIn(isid: 1)
        let second = try rig.loggedIn(isid: 2)
        _ = first.testUnitReady()
        #expect(Self.eventually { rig.server.sessions().first?.traffic.commands == 1 })
        let sessions = rig.server.sessions()
        #expect(sessions.map(\.initiator) == [Names.initiator, Names.initiator])
        #expect(sessions.map(\.address) == ["127.0.0.1", "127.0.0.1"])
        #expect(sessions.allSatisfy { $0.target == Names.target && $0.since == 1_700_000_000 })
        #expect(sessions[0].traffic.bytesIn > 0 && sessions[0].traffic.bytesOut > 0)
        #expect(rig.server.endSession(id: sessions[0].id))
        #expect(!rig.server.endSession(id: sessions[0].id))
        #expect(first.receive()?.opcode == 0x32)
        #expect(first.receive() == nil)
        #expect(second.testUnitReady()?.header[3] == 0)
        #expect(rig.server.sessions().count == 1)
    }

    @Test func endingATargetsSessionsWaitsForTheirCommands() throws {
        let rig = try Rig()
        let initiator = try rig.loggedIn()
        rig.unit.state.withLock { $0.holds = true }
        initiator.send(initiator.command([0]))
        #expect(Self.eventually { rig.unit.heldCount == 1 })
        rig.provider.remove(Names.target)
        let isDone = PosixLocked(false)
        startThread(name: "ender") { [server = rig.server] in
            server.endSessions(target: Names.target)
            isDone.withLock { $0 = true }
        }
        // The initiator is told at once; the call stays as long as the command runs.
        #expect(initiator.receive()?.opcode == 0x32)
        #expect(initiator.receive() == nil)
        #expect(!isDone.withLock { $0 })
        #expect(rig.unit.isAttached)
        rig.unit.release()
        #expect(Self.eventually { isDone.withLock { $0 } })
        #expect(!rig.unit.isAttached && rig.server.sessions().isEmpty)
        #expect(try rig.connect().tryLogIn() == 0x0203)
    }

    @Test func aConnectionThatBreaksFreesItsSession() throws {
        let rig = try Rig()
        do {
            let initiator = try rig.loggedIn()
            rig.unit.state.withLock { $0.holds = true }
            initiator.send(initiator.command([0]))
            #expect(Self.eventually { rig.unit.heldCount == 1 })
            (initiator.wire as? SocketWire)?.hangUp()
        }
        rig.unit.release()
        #expect(Self.eventually { rig.server.sessions().isEmpty && rig.server.connectionCounts().all == 0 })
        #expect(!rig.unit.isAttached)
        _ = try rig.loggedIn()
    }

    @Test func halfOpenConnectionsFromOneAddressAreBounded() throws {
        let rig = try Rig { $0.halfOpenPerAddressMax = 3 }
        let kept = try rig.loggedIn(isid: 9)
        #expect(Self.eventually { rig.server.connectionCounts().halfOpen == 0 })
        let idle = (0..<3).map { _ in rig.connect() }
        #expect(Self.eventually { rig.server.connectionCounts().halfOpen == 3 })
        // The fourth is closed without a word.
        #expect(rig.connect().receive() == nil)
        #expect(rig.server.counters().refusedConnections == 1)
        #expect(kept.testUnitReady()?.header[3] == 0)
        // One that logs in makes room.
        try idle[0].logIn()
        #expect(Self.eventually { rig.server.connectionCounts().halfOpen == 2 })
        let next = rig.connect()
        next.isid = 4
        try next.logIn()
    }

    @Test func connectionsInAllAreBounded() throws {
        let rig = try Rig { $0.connectionsMax = 2 }
        let first = try rig.loggedIn(isid: 1)
        let second = try rig.loggedIn(isid: 2)
        #expect(rig.connect().receive() == nil)
        #expect(rig.server.counters().refusedConnections == 1)
        for initiator in [first, second] { #expect(initiator.testUnitReady()?.header[3] == 0) }
    }

    @Test func aRestartedInitiatorTakesItsSessionOver() throws {
        let rig = try Rig()
        let first = try rig.loggedIn()
        let second = try rig.loggedIn()
        #expect(first.receive() == nil)
        #expect(second.testUnitReady()?.header[3] == 0)
        #expect(rig.server.sessions().count == 1)
    }

    @Test func stoppingAsksFirstAndThenEnds() throws {
        let rig = try Rig()
        let polite = try rig.loggedIn(isid: 1)
        let deaf = try rig.loggedIn(isid: 2)
        let isDone = PosixLocked(false)
        startThread(name: "stopper") { [server = rig.server] in
            server.stop(graceMilliseconds: 300)
            isDone.withLock { $0 = true }
        }
        #expect(polite.receive()?.header[36] == 1)
        polite.send(polite.logout())
        #expect(polite.receive()?.opcode == 0x26)
        #expect(deaf.receive()?.header[36] == 1)
        #expect(deaf.receive()?.header[36] == 3)
        #expect(deaf.receive() == nil)
        #expect(Self.eventually { isDone.withLock { $0 } })
        #expect(!rig.unit.isAttached)
    }

    @Test func aPortThatIsTakenIsSaid() throws {
        let rig = try Rig()
        let taken = rig.server.boundPortals[0]
        let second = try ISCSIServer(
            configuration: ISCSIConfiguration(portals: [taken], now: { 0 }), provider: rig.provider)
        #expect(throws: ISCSIError.cannotListen("127.0.0.1:\(taken.port)", EADDRINUSE)) { try second.start() }
        let nowhere = try ISCSIServer(
            configuration: ISCSIConfiguration(portals: [.init(address: "example.org", port: 0)], now: { 0 }),
            provider: rig.provider)
        #expect(throws: ISCSIError.self) { try nowhere.start() }
        #expect(throws: ISCSIError.noPortal) {
            try ISCSIServer(configuration: ISCSIConfiguration(portals: [], now: { 0 }), provider: rig.provider)
        }
    }

    @Test func hundredsOfSessionsAreServed() throws {
        let rig = try Rig { $0.halfOpenPerAddressMax = 1000 }
        let initiators = try (1...200).map { try rig.loggedIn(isid: UInt64($0)) }
        #expect(rig.server.sessions().count == 200)
        for initiator in initiators { #expect(initiator.testUnitReady()?.header[3] == 0) }
    }
}
