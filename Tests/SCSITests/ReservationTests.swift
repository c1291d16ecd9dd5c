import BlockDevices
import Glibc
import Primitives
import SCSI
import Testing

private let types: [UInt8] = [1, 3, 5, 6, 7, 8]
private let (k1, k2, k3) = (UInt64(0x1111), UInt64(0x2222), UInt64(0x3333))

extension Session {
    fileprivate func out(_ action: UInt8, _ key: UInt64, _ newKey: UInt64 = 0, type: UInt8 = 0, flags: UInt8 = 0)
        -> Outcome
    {
        run(Make.reserveOut(action, type: type), Make.reserveList(key, newKey, flags: flags))
    }
    fileprivate func register(_ key: UInt64) -> Outcome { out(0x06, 0, key) }
    fileprivate var keys: [UInt64] {
        let outcome = run(Make.reserveIn(0))
        return stride(from: 8, to: outcome.data.count, by: 8).map { outcome.number($0, 8) }
    }
    fileprivate var generation: UInt64 { run(Make.reserveIn(0)).number(0, 4) }
    /// Key and type; nil without a reservation.
    fileprivate var reservation: [UInt64]? {
        let outcome = run(Make.reserveIn(1))
        return outcome.data.count == 8 ? nil : [outcome.number(8, 8), UInt64(outcome.data[21])]
    }
}

@Suite struct ReservationTests {
    /// A command of each class, and whether Write Exclusive or Exclusive Access of another keeps it away.
    private static let commands: [(name: String, cdb: [UInt8], data: [UInt8], writeExclusive: Bool, exclusive: Bool)] =
        {
            let unmap = Make.unmap([(0, 1)])
            return [
                ("TEST UNIT READY", Make.ready, [], false, false),
                ("INQUIRY", Make.inquiry(), [], false, false),
                ("REQUEST SENSE", [0x03, 0, 0, 0, 252, 0], [], false, false),
                ("REPORT LUNS", [0xA0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], [], false, false),
                ("READ CAPACITY(10)", [0x25] + filled(0, 9), [], false, false),
                ("READ CAPACITY(16)", [0x9E, 0x10] + filled(0, 14), [], false, false),
                ("MODE SENSE", [0x1A, 0, 0x3F, 0, 255, 0], [], false, false),
                ("LOG SENSE", [0x4D, 0, 0x40, 0, 0, 0, 0, 1, 0, 0], [], false, false),
                ("REPORT SUPPORTED OPERATION CODES", [0xA3, 0x0C] + filled(0, 10), [], false, false),
                ("PERSISTENT RESERVE IN", Make.reserveIn(0), [], false, false),
                ("START", [0x1B, 0, 0, 0, 1, 0], [], false, false),
                ("READ(6)", [0x08, 0, 0, 0, 1, 0], [], false, true),
                ("READ(10)", Make.ten(0x28, 0, 1), [], false, true),
                ("READ(16)", Make.read(0, 1), [], false, true),
                ("VERIFY", Make.ten(0x2F, 0, 1), [], false, true),
                ("PRE-FETCH", Make.ten(0x34, 0, 1), [], false, true),
                ("GET LBA STATUS", Make.allocationStatus(0), [], false, true),
                ("RECEIVE COPY RESULTS", [0x84, 0x03] + filled(0, 8) + be(UInt32(100)) + [0, 0], [], false, true),
                ("WRITE(10)", Make.ten(0x2A, 0, 1), filled(0, 512), true, true),
                ("WRITE(16)", Make.write(0, 1), filled(0, 512), true, true),
                ("WRITE AND VERIFY", Make.ten(0x2E, 0, 1), filled(0, 512), true, true),
                ("WRITE SAME", Make.ten(0x41, 0, 1), filled(0, 512), true, true),
                ("UNMAP", unmap.cdb, unmap.list, true, true),
                ("COMPARE AND WRITE", Make.compareAndWrite(0, 1), filled(0, 1024), true, true),
                ("ORWRITE", Make.sixteen(0x8B, 0, 1), filled(0, 512), true, true),
                ("SYNCHRONIZE CACHE", Make.ten(0x35, 0, 0), [], true, true),
                ("MODE SELECT", [0x15, 0x10, 0, 0, 0, 0], [], true, true),
                ("EXTENDED COPY", [0x83] + filled(0, 15), [], true, true),
                ("STOP", [0x1B, 0, 0, 0, 0, 0], [], true, true),
            ]
        }()

    @Test(arguments: types, [false, true]) func aReservationKeepsOthersAway(_ type: UInt8, _ isRegistered: Bool) throws
    {
        let rig = try Rig()
        let holder = rig.session(1)
        let other = rig.session(2)
        #expect(holder.register(k1).isGood)
        if isRegistered { #expect(other.register(k2).isGood) }
        #expect(holder.out(0x01, k1, type: type).isGood)
        let exclusive = [3, 6, 8].contains(type)
        let admitted = isRegistered && type >= 5
        for command in Self.commands {
            let refused = !admitted && (exclusive ? command.exclusive : command.writeExclusive)
            let outcome = other.run(command.cdb, command.data)
            #expect(outcome.status == (refused ? .reservationConflict : .good), "\(command.name)")
            #expect(holder.run(command.cdb, command.data).isGood, "\(command.name) of the holder")
        }
        #expect(holder.out(0x02, k1, type: type).isGood)
        for command in Self.commands where !(isRegistered && type >= 5) {
            #expect(other.run(command.cdb, command.data).isGood, "\(command.name) after the release")
        }
    }

    @Test(arguments: types) func aReservationIsReportedAndReleased(_ type: UInt8) throws {
        let session = try Rig().session()
        #expect(session.register(k1).isGood)
        #expect(session.reservation == nil)
        #expect(session.out(0x01, k1, type: type).isGood)
        #expect(session.reservation == [type >= 7 ? 0 : k1, UInt64(type)])
        #expect(session.out(0x01, k1, type: type).isGood)
        #expect(session.out(0x01, k1, type: type == 1 ? 3 : 1).status == .reservationConflict)
        #expect(session.out(0x02, k1, type: type == 1 ? 3 : 1).failed(5, 0x2604))
        #expect(session.out(0x02, k2, type: type).status == .reservationConflict)
        #expect(session.out(0x02, k1, type: type).isGood)
        #expect(session.reservation == nil)
        #expect(session.out(0x02, k1, type: type).isGood)
    }

    @Test func registrationsNeedTheirKey() throws {
        let session = try Rig().session()
        #expect(session.out(0x00, k1, k2).status == .reservationConflict)
        #expect(session.out(0x00, 0, 0).isGood && session.generation == 0)
        #expect(session.out(0x00, 0, k1).isGood && session.keys == [k1] && session.generation == 1)
        #expect(session.out(0x00, 0, k2).status == .reservationConflict)
        #expect(session.out(0x00, k1, k2).isGood && session.keys == [k2] && session.generation == 2)
        #expect(session.out(0x06, 9, k3).isGood && session.keys == [k3])
        #expect(session.out(0x01, k1, type: 1).status == .reservationConflict)
        #expect(session.out(0x03, k1).status == .reservationConflict)
        #expect(session.out(0x00, k3, 0).isGood && session.keys.isEmpty)
        #expect(session.out(0x01, 0, type: 1).status == .reservationConflict)
    }

    @Test(arguments: types) func aReservationGoesWithItsHolder(_ type: UInt8) throws {
        let rig = try Rig()
        let holder = rig.session(1)
        let other = rig.session(2)
        #expect(holder.register(k1).isGood && other.register(k2).isGood)
        #expect(holder.out(0x01, k1, type: type).isGood)
        #expect(holder.out(0x00, k1, 0).isGood)
        if type >= 7 {
            #expect(holder.reservation == [0, UInt64(type)])
            #expect(other.out(0x02, k2, type: type).isGood)
        } else {
            #expect(holder.reservation == nil)
            // Registrants-only types are missed by those who were let in.
            #expect(other.run(Make.ready).failed(6, 0x2A04) == (type >= 5))
        }
        #expect(other.run(Make.write(0, 1), filled(1, 512)).isGood)
    }

    @Test(arguments: types) func aReleaseOfASharedReservationIsToldToTheOthers(_ type: UInt8) throws {
        let rig = try Rig()
        let holder = rig.session(1)
        let other = rig.session(2)
        let stranger = rig.session(3)
        #expect(holder.register(k1).isGood && other.register(k2).isGood)
        #expect(holder.out(0x01, k1, type: type).isGood)
        #expect(holder.out(0x02, k1, type: type).isGood)
        #expect(other.run(Make.ready).failed(6, 0x2A04) == (type >= 5))
        #expect(holder.run(Make.ready).isGood && stranger.run(Make.ready).isGood)
    }

    @Test func clearTakesEverythingAndTellsTheOthers() throws {
        let rig = try Rig()
        let one = rig.session(1)
        let two = rig.session(2)
        #expect(one.register(k1).isGood && two.register(k2).isGood)
        #expect(one.out(0x01, k1, type: 3).isGood)
        let generation = one.generation
        #expect(two.out(0x03, k2).isGood)
        #expect(two.keys.isEmpty && two.reservation == nil && two.generation == generation + 1)
        #expect(one.run(Make.ready).failed(6, 0x2A03))
        #expect(two.run(Make.ready).isGood)
    }

    @Test func preemptTakesTheHoldersPlace() throws {
        let rig = try Rig()
        let (one, two, three) = (rig.session(1), rig.session(2), rig.session(3))
        #expect(one.register(k1).isGood && two.register(k2).isGood && three.register(k3).isGood)
        #expect(one.out(0x01, k1, type: 1).isGood)
        let generation = two.generation
        #expect(two.out(0x04, k2, k1, type: 3).isGood)
        #expect(two.reservation == [k2, 3] && two.keys == [k2, k3] && two.generation == generation + 1)
        #expect(one.run(Make.ready).failed(6, 0x2A05))
        #expect(three.run(Make.ready).failed(6, 0x2A04))
        #expect(one.run(Make.read(0, 1)).status == .reservationConflict)
        #expect(two.run(Make.write(0, 1), filled(1, 512)).isGood)
    }

    @Test func preemptWithoutAHolderTakesRegistrationsAway() throws {
        let rig = try Rig()
        let (one, two, three) = (rig.session(1), rig.session(2), rig.session(3))
        #expect(one.register(k1).isGood && two.register(k2).isGood && three.register(k1).isGood)
        #expect(two.out(0x04, k2, 0, type: 3).failed(5, 0x2600))
        #expect(two.out(0x04, k2, k3, type: 3).status == .reservationConflict)
        #expect(two.out(0x04, k2, k1, type: 3).isGood)
        #expect(two.keys == [k2] && two.reservation == nil)
        #expect(one.run(Make.ready).failed(6, 0x2A05) && three.run(Make.ready).failed(6, 0x2A05))
    }

    @Test func preemptOfAllRegistrantsWithKeyZeroTakesAll() throws {
        let rig = try Rig()
        let (one, two, three) = (rig.session(1), rig.session(2), rig.session(3))
        #expect(one.register(k1).isGood && two.register(k2).isGood && three.register(k3).isGood)
        #expect(one.out(0x01, k1, type: 8).isGood)
        #expect(two.out(0x04, k2, k3, type: 3).isGood)
        #expect(two.reservation == [0, 8] && two.keys == [k1, k2])
        #expect(two.out(0x04, k2, 0, type: 3).isGood)
        #expect(two.reservation == [k2, 3] && two.keys == [k2])
        #expect(two.out(0x04, k2, k2, type: 1).isGood)
        #expect(two.reservation == [k2, 1] && two.keys == [k2])
    }

    @Test func preemptAndAbortEndsWhatTheVictimHasUnderWay() throws {
        let rig = try Rig()
        let aborted = PosixLocked<[Int]>([])
        func session(_ number: Int) -> Session {
            rig.session(UInt64(number)) { done in
                aborted.withLock { $0.append(number) }
                done()
            }
        }
        let (one, two, three) = (session(1), session(2), session(3))
        #expect(one.register(k1).isGood && two.register(k2).isGood && three.register(k3).isGood)
        #expect(one.out(0x01, k1, type: 3).isGood)
        #expect(two.out(0x05, k2, k1, type: 3).isGood)
        #expect(aborted.withLock { $0 } == [1])
        #expect(two.out(0x04, k2, k3, type: 3).isGood)
        #expect(aborted.withLock { $0 } == [1])
    }

    /// Whoever fences a host writes when it is told that it has: what the other has under way must have ended by then.
    @Test(arguments: [UInt8(0), 1]) func preemptAndAbortIsDoneWhenTheVictimsTasksAre(_ flags: UInt8) throws {
        let rig = try Rig()
        let ends = PosixLocked<[@Sendable () -> Void]>([])
        func victim(_ number: UInt64) -> Session {
            rig.session(number) { done in ends.withLock { $0.append(done) } }
        }
        let (one, two) = (victim(1), victim(2))
        let three = rig.session(3)
        #expect(one.out(0x06, 0, k1, flags: flags).isGood && two.out(0x06, 0, k1, flags: flags).isGood)
        #expect(three.out(0x06, 0, k3, flags: flags).isGood)
        let preempt = three.start(Make.reserveOut(0x05, type: 5), Make.reserveList(k3, k1))
        // With APTPL the change is saved on another thread first.
        while ends.withLock({ $0.count }) < 2 { sched_yield() }
        #expect(!preempt.isDone)
        ends.withLock { $0[0] }()
        #expect(!preempt.isDone)
        ends.withLock { $0[1] }()
        #expect(preempt.wait().isGood)
        #expect(three.keys == [k3])
    }

    @Test func registerAndMoveHandsTheReservationOver() throws {
        let rig = try Rig()
        let one = rig.session(1)
        let two = rig.session(2, port: 2)
        #expect(one.register(k1).isGood)
        #expect(one.out(0x01, k1, type: 3).isGood)
        let text = Array("iqn.2026-01.test:host2,i,0x800000000002".utf8) + [0]
        let id: [UInt8] = [0x45, 0] + be(UInt16(text.count)) + text
        #expect(text.count % 4 == 0)
        func list(_ key: UInt64, _ newKey: UInt64, port: UInt16, _ flags: UInt8) -> [UInt8] {
            be(key) + be(newKey) + [0, flags] + be(port) + be(UInt32(id.count)) + id
        }
        let cdb = Make.reserveOut(0x07, type: 3, length: UInt32(24 + id.count))
        #expect(one.run(cdb, list(k1, 0, port: 2, 0)).failed(5, 0x2600))
        #expect(one.run(cdb, list(k1, k2, port: 9, 0)).failed(5, 0x2600))
        #expect(two.run(cdb, list(k2, k3, port: 2, 0)).status == .reservationConflict)
        #expect(one.run(cdb, list(k1, k2, port: 2, 0x02)).isGood)
        #expect(two.reservation == [k2, 3] && two.keys == [k2])
        #expect(two.run(Make.write(0, 1), filled(1, 512)).isGood)
        #expect(one.run(Make.read(0, 1)).status == .reservationConflict)
    }

    @Test func otherInitiatorsAndAllPortsCanBeRegisteredAlong() throws {
        let rig = try Rig()
        let one = rig.session(1)
        _ = rig.session(1, port: 2)
        let two = rig.session(2, port: 2)
        let text = Array("iqn.2026-01.Test:HOST2".utf8) + [0, 0]
        let id: [UInt8] = [0x05, 0] + be(UInt16(text.count)) + text
        let list = Make.reserveList(0, k1, flags: 0x08 | 0x04) + be(UInt32(id.count)) + id
        #expect(one.run(Make.reserveOut(0x06, length: UInt32(list.count)), list).failed(5, 0x2600))
        #expect(one.run(Make.reserveOut(0x00, length: UInt32(list.count)), list).isGood)
        #expect(one.keys == [k1, k1, k1, k1] && one.generation == 1)
        #expect(one.out(0x01, k1, type: 6).isGood)
        #expect(two.run(Make.write(0, 1), filled(1, 512)).isGood)
        #expect(
            one.run(
                Make.reserveOut(0x00, length: UInt32(list.count)), Make.reserveList(k1, k1, flags: 0x08) + list[24...]
            ).failed(5, 0x2600))
    }

    @Test func fullStatusNamesEverybody() throws {
        let rig = try Rig()
        let (one, two) = (rig.session(1), rig.session(2, port: 7))
        #expect(one.register(k1).isGood && two.register(k2).isGood && two.out(0x01, k2, type: 5).isGood)
        let outcome = one.run(Make.reserveIn(3))
        #expect(Int(outcome.number(4, 4)) == outcome.data.count - 8)
        var at = 8
        var seen: [(key: UInt64, holder: Bool, type: UInt8, port: UInt64, name: String)] = []
        while at < outcome.data.count {
            let length = Int(outcome.number(at + 20, 4))
            let name = outcome.data[at + 28..<at + 24 + length].prefix { $0 != 0 }
            seen.append(
                (
                    outcome.number(at, 8), outcome.data[at + 12] & 1 != 0, outcome.data[at + 13],
                    outcome.number(at + 18, 2),
                    String(decoding: name, as: UTF8.self)
                ))
            at += 24 + length
        }
        #expect(at == outcome.data.count && seen.count == 2)
        #expect(seen[0] == (k1, false, 0, 1, "iqn.2026-01.test:host1,i,0x800000000001"))
        #expect(seen[1] == (k2, true, 5, 7, "iqn.2026-01.test:host2,i,0x800000000002"))
    }

    @Test func capabilitiesAreReportedAndAnswersAreCut() throws {
        let session = try Rig().session()
        #expect(session.run(Make.reserveIn(2)).data == [0, 8, 0x1D, 0x90, 0xEA, 0x01, 0, 0])
        #expect(session.register(k1).isGood)
        let cut = session.run(Make.reserveIn(0, 8))
        #expect(cut.data.count == 8 && cut.number(4, 4) == 8)
        for action in UInt8(4)...0x1F { #expect(session.run(Make.reserveIn(action)).failed(5, 0x2400)) }
    }

    @Test func aMalformedListIsRefusedAndChangesNothing() throws {
        let session = try Rig().session()
        let list = Make.reserveList(0, k1)
        #expect(session.run(Make.reserveOut(0, length: 23), list).failed(5, 0x1A00))
        #expect(session.run(Make.reserveOut(0, length: 25), list + [0]).failed(5, 0x1A00))
        #expect(session.run(Make.reserveOut(0, length: .max), list).failed(5, 0x1A00))
        #expect(session.run(Make.reserveOut(0, length: 24), Array(list.prefix(20))).failed(5, 0x0E03))
        for bad: [UInt8] in [
            [], [0, 0, 0, 9], be(UInt32(4)) + [0x45, 0, 0, 0], be(UInt32(8)) + [0x40, 0, 0, 4, 65, 0, 0, 0],
        ] {
            let long = Make.reserveList(0, k1, flags: 0x08) + bad
            let outcome = session.run(Make.reserveOut(0, length: UInt32(long.count)), long)
            #expect(outcome.failed(5, 0x1A00) || outcome.failed(5, 0x2600))
        }
        #expect(session.keys.isEmpty)
        #expect(session.register(k1).isGood)
        for type in [0, 2, 4, 9, 0xF, 0x13] as [UInt8] { #expect(session.out(0x01, k1, type: type).failed(5, 0x2400)) }
        #expect(session.reservation == nil)
    }

    @Test func registrationsHaveABound() throws {
        let rig = try Rig()
        var sessions: [Session] = []
        for index in 0..<256 {
            sessions.append(rig.session(UInt64(index)))
            #expect(sessions[index].register(k1).isGood)
        }
        #expect(rig.session(1000).register(k1).failed(5, 0x5504))
    }
}

@Suite struct OldReservationTests {
    private let reserve: [UInt8] = [0x16, 0, 0, 0, 0, 0]
    private let release: [UInt8] = [0x17, 0, 0, 0, 0, 0]

    @Test func oneSessionHoldsAndTheOthersConflict() throws {
        let rig = try Rig()
        let (one, two) = (rig.session(1), rig.session(2))
        #expect(one.run(reserve).isGood && one.run(reserve).isGood)
        #expect(two.run(reserve).status == .reservationConflict)
        #expect(two.run(release).isGood)
        for cdb in [
            Make.ready, [0x1A, 0, 0x3F, 0, 255, 0], Make.read(0, 1), Make.reserveIn(0), [0xA3, 0x0C] + filled(0, 10),
        ] {
            #expect(two.run(cdb).status == .reservationConflict)
        }
        for cdb in [
            Make.inquiry(), [0x03, 0, 0, 0, 252, 0], [0x25] + filled(0, 9), [0xA0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        ] {
            #expect(two.run(cdb).isGood)
        }
        #expect(one.run([0x1A, 0, 0x3F, 0, 255, 0]).isGood && one.run(Make.write(0, 1), filled(1, 512)).isGood)
        // Both kinds at once are out of the question, even for the holder.
        #expect(one.run(Make.reserveIn(0)).status == .reservationConflict)
        #expect(one.run(Make.reserveOut(6), Make.reserveList(0, 1)).status == .reservationConflict)
        #expect(one.run([0x57] + filled(0, 9)).isGood)
        #expect(two.run([0x56] + filled(0, 9)).isGood)
        #expect(one.run(reserve).status == .reservationConflict)
    }

    @Test func withRegistrationsTheOldCommandsChangeNothing() throws {
        let rig = try Rig()
        let (one, two, three) = (rig.session(1), rig.session(2), rig.session(3))
        #expect(one.register(k1).isGood && two.register(k2).isGood)
        #expect(one.run(reserve).status == .reservationConflict)
        #expect(one.out(0x01, k1, type: 5).isGood)
        #expect(one.run(reserve).isGood && two.run(reserve).isGood && two.run(release).isGood)
        #expect(three.run(reserve).status == .reservationConflict)
        #expect(one.reservation == [k1, 5])
        #expect(three.run(Make.read(0, 1)).isGood)
    }

    @Test func reservationsForOthersAreRefused() throws {
        let session = try Rig().session()
        #expect(session.run([0x16, 0x10, 0, 0, 0, 0]).failed(5, 0x2400))
        #expect(session.run([0x16, 0x01, 0, 0, 0, 0]).failed(5, 0x2400))
    }
}

@Suite struct ReservationStoreTests {
    @Test(arguments: types) func reservationsSurviveALossOfPowerWhenAskedTo(_ type: UInt8) throws {
        let store = MemoryReservationStore()
        do {
            let rig = try Rig(store: store)
            let (one, two) = (rig.session(1), rig.session(2))
            #expect(one.out(0x06, 0, k1, flags: 1).isGood && two.out(0x06, 0, k2, flags: 1).isGood)
            #expect(one.out(0x01, k1, type: type).isGood)
            #expect(one.run(Make.reserveIn(2)).data[3] & 1 == 1)
        }
        let rig = try Rig(store: store)
        // Another relative port after the restart is still the same port.
        let (one, two, three) = (rig.session(1), rig.session(2), rig.session(3))
        #expect(one.keys == [k1, k2] && one.reservation == [type >= 7 ? 0 : k1, UInt64(type)])
        #expect(one.generation == 2)
        #expect(three.run(Make.write(0, 1), filled(1, 512)).status == .reservationConflict)
        #expect(one.run(Make.write(0, 1), filled(1, 512)).isGood)
        #expect(two.run(Make.write(0, 1), filled(1, 512)).isGood == (type >= 5))
        #expect(two.out(0x03, k2).isGood)
        #expect(store.blob == [])
    }

    @Test func withoutThatBitNothingIsKept() throws {
        let store = MemoryReservationStore()
        do {
            let session = try Rig(store: store).session()
            #expect(session.out(0x06, 0, k1).isGood && session.out(0x01, k1, type: 3).isGood)
            #expect(store.saves == 0)
            #expect(session.out(0x06, 0, k1, flags: 1).isGood)
            #expect(store.saves == 1)
            // Switched off again: what was kept is taken back.
            #expect(session.out(0x06, 0, k1).isGood)
            #expect(store.blob == [] && session.out(0x02, k1, type: 3).isGood && store.saves == 2)
        }
        let session = try Rig(store: store).session()
        #expect(session.keys.isEmpty)
    }

    @Test func whatCannotBeSavedDoesNotCount() throws {
        let store = MemoryReservationStore()
        let rig = try Rig(store: store)
        let (one, two) = (rig.session(1), rig.session(2))
        #expect(one.out(0x06, 0, k1, flags: 1).isGood)
        store.fail(with: ReservationStoreError("disk on fire"))
        #expect(one.out(0x01, k1, type: 3).failed(4, 0x4400))
        #expect(one.reservation == nil && two.run(Make.read(0, 1)).isGood)
        store.fail(with: nil)
        #expect(one.out(0x01, k1, type: 3).isGood)
    }

    @Test func everyTruncationAndEveryFlippedByteIsAnErrorOrAnotherState() throws {
        let store = MemoryReservationStore()
        do {
            let rig = try Rig(store: store)
            let (one, two) = (rig.session(1), rig.session(2))
            #expect(one.out(0x06, 0, k1, flags: 1).isGood && two.out(0x06, 0, k2, flags: 1).isGood)
            #expect(one.out(0x01, k1, type: 3).isGood)
        }
        let blob = try #require(store.blob)
        let threads = WorkThreads(name: "blobs", count: 1, queueMax: 16)
        defer { threads.stop() }
        func open(_ blob: [UInt8]) throws {
            _ = try LogicalUnit(
                device: MemoryBlockDevice(BlockGeometry(byteCount: 4 << 20)),
                identity: LogicalUnitIdentity(vendor: "A", product: "B", revision: "1", serial: "x"),
                store: MemoryReservationStore(blob: blob), threads: threads)
        }
        try open(blob)
        for count in 1..<blob.count {
            #expect(throws: ReservationStoreError.self) { try open(Array(blob.prefix(count))) }
        }
        #expect(throws: ReservationStoreError.self) { try open(blob + [0]) }
        for index in blob.indices {
            var changed = blob
            changed[index] ^= 0xFF
            do { try open(changed) } catch is ReservationStoreError {}
        }
    }
}
