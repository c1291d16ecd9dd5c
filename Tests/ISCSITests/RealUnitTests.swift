import BlockDevices
import Primitives
import SCSI
import Testing

@testable import ISCSI

/// The target over sockets in front of the real SCSI layer and a device in memory.
@Suite(.serialized) struct RealUnitTests {
    final class Rig {
        let device: MemoryBlockDevice
        let threads = WorkThreads(name: "scsi", count: 2, queueMax: 64)
        let unit: LogicalUnit
        let provider = FakeProvider()
        let server: ISCSIServer

        init(announces: Bool = true, lun: UInt16 = 0) throws {
            device = MemoryBlockDevice(BlockGeometry(byteCount: 64 << 20), announces: announces)
            unit = try LogicalUnit(
                device: device,
                identity: LogicalUnitIdentity(vendor: "APUS", product: "VOLUME", revision: "1", serial: "serial-1"),
                store: MemoryReservationStore(), threads: threads)
            provider.add(ISCSITarget(name: Names.target, account: nil, units: [lun: unit]))
            server = try ISCSIServer(
                configuration: ISCSIConfiguration(
                    portals: [ISCSIPortal(address: "127.0.0.1", port: 0)], now: { 1_700_000_000 }),
                provider: provider)
            try server.start()
        }

        deinit {
            server.stop(graceMilliseconds: 0)
            device.stop()
            threads.stop()
        }

        /// Logged in, and past the unit attention of a new nexus.
        func loggedIn(isid: UInt64 = 1, lun: UInt8 = 0) throws -> TestInitiator {
            let initiator = TestInitiator(SocketWire(port: server.boundPortals[0].port))
            initiator.isid = isid
            try initiator.logIn([("InitialR2T", "No"), ("MaxRecvDataSegmentLength", "262144")])
            let pdu = initiator.command([0], lun: lun)
            initiator.send(pdu)
            let done = try initiator.finish(pdu.tag)
            #expect(done.status == 2 && done.sense[2] & 0x0f == 6 && done.sense[12] == 0x29)
            return initiator
        }
    }

    @Test(arguments: [false, true])
    func whatIsWrittenIsRead(_ announces: Bool) throws {
        let rig = try Rig(announces: announces)
        let initiator = try rig.loggedIn()
        let data = (0..<262_144).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ $0 >> 10) }
        let (done, _) = try initiator.write(block: 64, data, immediate: 8192, unsolicited: 65_536, piece: 32_768)
        #expect(done.status == 0 && done.flags == 0)
        let read = try initiator.read(block: 64, count: 512)
        #expect(read.status == 0 && read.data == data)
        // Never written: zeros.
        #expect(try initiator.read(block: 4096, count: 8).data == [UInt8](repeating: 0, count: 4096))
    }

    @Test func manyWritesAtOnceAllEnd() throws {
        let rig = try Rig()
        let initiator = try rig.loggedIn()
        for round in 0..<10 {
            var bytes: [UInt8] = []
            var tags: Set<UInt32> = []
            for index in 0..<32 {
                let pdu = initiator.command(
                    TestInitiator.cdb(0x2a, block: index * 8, count: 8), write: 4096,
                    data: [UInt8](repeating: UInt8(round * 7 + index), count: 4096))
                tags.insert(pdu.tag)
                bytes += pdu.encoded()
            }
            initiator.wire.send(bytes)
            while !tags.isEmpty {
                let answer = try #require(initiator.receive())
                #expect(answer.opcode == 0x21 && answer.header[3] == 0)
                #expect(tags.remove(answer.tag) != nil)
            }
            for index in 0..<32 {
                let read = try initiator.read(block: index * 8, count: 8)
                #expect(read.data == [UInt8](repeating: UInt8(round * 7 + index), count: 4096))
            }
        }
    }

    @Test func aReservationKeepsOthersOut() throws {
        let rig = try Rig()
        let one = try rig.loggedIn(isid: 1)
        let two = try rig.loggedIn(isid: 2)
        // RESERVE(6).
        let pdu = one.command([0x16, 0, 0, 0, 0, 0])
        one.send(pdu)
        #expect(try one.finish(pdu.tag).status == 0)
        #expect(try two.read(block: 0, count: 1).status == 0x18)
        // The holder's session ends, and its reservation with it.
        one.send(one.logout())
        #expect(one.receive()?.opcode == 0x26)
        #expect(ServerTests.eventually { rig.unit.nexusCount == 1 })
        #expect(try two.read(block: 0, count: 1).status == 0)
    }

    @Test func aResetIsToldToEverybody() throws {
        let rig = try Rig()
        let one = try rig.loggedIn(isid: 1)
        let two = try rig.loggedIn(isid: 2)
        one.send(one.management(5))
        #expect(one.receive()?.header[2] == 0)
        for initiator in [one, two] {
            let pdu = initiator.command([0])
            initiator.send(pdu)
            let done = try initiator.finish(pdu.tag)
            #expect(done.status == 2 && done.sense[12] == 0x29)
            #expect(initiator.testUnitReady()?.header[3] == 0)
        }
    }

    @Test func aUnitServesAtAnyLUNOfItsTarget() throws {
        let rig = try Rig(lun: 3)
        let initiator = try rig.loggedIn(lun: 3)
        var pdu = initiator.command(TestInitiator.cdb(0x28, block: 0, count: 1), read: 512, lun: 3)
        initiator.send(pdu)
        #expect(try initiator.finish(pdu.tag).data.count == 512)
        for lun in [UInt8(0), 3] {
            pdu = initiator.command([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0], read: 64, lun: lun)
            initiator.send(pdu)
            #expect(try initiator.finish(pdu.tag).data == [0, 0, 0, 8, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0])
        }
    }

    @Test func anUnknownCommandIsRefusedAndTheSessionGoesOn() throws {
        let rig = try Rig()
        let initiator = try rig.loggedIn()
        let pdu = initiator.command([0xff, 1, 2, 3, 4, 5], read: 512)
        initiator.send(pdu)
        let done = try initiator.finish(pdu.tag)
        #expect(done.status == 2 && done.sense[2] & 0x0f == 5 && done.sense[12] == 0x20)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }
}
