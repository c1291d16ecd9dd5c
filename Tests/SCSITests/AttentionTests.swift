import BlockDevices
import Primitives
import SCSI
import Testing

@Suite struct AttentionTests {
    @Test func aNewSessionIsToldOfPowerOnOnce() throws {
        let rig = try Rig()
        let session = rig.newSession()
        #expect(session.run(Make.read(0, 1)).failed(6, 0x2900))
        #expect(session.run(Make.read(0, 1)).isGood)
    }

    @Test func inquiryAndReportLUNsGoOnAndLeaveItPending() throws {
        let session = try Rig().newSession()
        #expect(session.run(Make.inquiry()).isGood)
        #expect(session.run([0xA0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]).isGood)
        #expect(session.run(Make.ready).failed(6, 0x2900))
    }

    @Test func requestSenseTakesItAway() throws {
        let session = try Rig().newSession()
        let fixed = session.run([0x03, 0, 0, 0, 252, 0]).data
        #expect(fixed[0] == 0x70 && fixed[2] == 6 && fixed[12] == 0x29)
        #expect(session.run(Make.ready).isGood)
        let none = session.run([0x03, 1, 0, 0, 252, 0]).data
        #expect(none[0] == 0x72 && none[1] == 0)
        #expect(session.run([0x03, 0, 0, 0, 4, 0]).data.count == 4)
    }

    @Test func aNewSizeIsToldToEverybodyAndHoldsAtOnce() throws {
        let rig = try Rig()
        let sessions = [rig.session(1), rig.session(2)]
        rig.device.resize(to: 8 << 20)
        for session in sessions {
            #expect(session.run(Make.read(16_383, 1)).failed(6, 0x2A09))
            #expect(session.run(Make.read(16_383, 1)).isGood)
            #expect(session.run([0x25] + filled(0, 9)).data.prefix(4).elementsEqual(be(UInt32(16_383))))
        }
        // Twice before anybody looks is still one condition.
        rig.device.resize(to: 16 << 20)
        rig.device.resize(to: 8 << 20)
        #expect(sessions[0].run(Make.ready).failed(6, 0x2A09))
        #expect(sessions[0].run(Make.ready).isGood)
    }

    @Test func aResetIsToldToAllAndTakesModesAndOldReservationsAway() throws {
        let rig = try Rig()
        let one = rig.session(1)
        let two = rig.session(2)
        var page = Array(one.run([0x1A, 8, 0x0A, 0, 255, 0]).data.dropFirst(4))
        page[4] = 0x08
        #expect(one.run([0x15, 0x10, 0, 0, 16, 0], filled(0, 4) + page).isGood)
        #expect(one.run([0x16, 0, 0, 0, 0, 0]).isGood)
        two.nexus.resetLogicalUnit()
        // The reset takes the place of what was pending before.
        for session in [one, two] {
            #expect(session.run(Make.ready).failed(6, 0x2903))
            #expect(session.run(Make.ready).isGood)
        }
        #expect(two.run(Make.write(0, 1), filled(1, 512)).isGood)
    }

    @Test func aClearedTaskSetIsToldToTheOthers() throws {
        let rig = try Rig()
        let one = rig.session(1)
        let two = rig.session(2)
        one.nexus.clearedTaskSet()
        #expect(one.run(Make.ready).isGood)
        #expect(two.run(Make.ready).failed(6, 0x2F00))
    }

    @Test func aDetachedSessionIsForgotten() throws {
        let rig = try Rig()
        let one = rig.session(1)
        let two = rig.session(2)
        #expect(rig.unit.nexusCount == 2)
        #expect(one.run([0x16, 0, 0, 0, 0, 0]).isGood)
        #expect(two.run(Make.ready).status == .reservationConflict)
        one.nexus.detach()
        #expect(rig.unit.nexusCount == 1)
        #expect(two.run(Make.ready).isGood)
    }

    @Test func attentionsOfManyKindsComeOneByOne() throws {
        let rig = try Rig()
        let one = rig.session(1)
        let two = rig.newSession(2)
        rig.device.resize(to: 8 << 20)
        one.nexus.clearedTaskSet()
        #expect(two.run(Make.ready).failed(6, 0x2900))
        #expect(two.run(Make.ready).failed(6, 0x2A09))
        #expect(two.run(Make.ready).failed(6, 0x2F00))
        #expect(two.run(Make.ready).isGood)
    }
}
