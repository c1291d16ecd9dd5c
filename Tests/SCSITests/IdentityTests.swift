import BlockDevices
import SCSI
import Testing

@Suite struct IdentityTests {
    @Test func standardInquiryIsThatOfADisk() throws {
        let data = try Rig().session().run(Make.inquiry()).data
        #expect(data.count == 96 && data[4] == 91)
        #expect(data[0] == 0 && data[1] == 0 && data[2] == 6 && data[3] == 0x12)
        #expect(String(decoding: data[8..<36], as: UTF8.self) == "APUS    VOLUME          1   ")
        let versions = stride(from: 58, to: 74, by: 2).map { UInt16(data[$0]) << 8 | UInt16(data[$0 + 1]) }
        #expect(versions == [0x00A0, 0x0960, 0x0460, 0x04C0, 0, 0, 0, 0])
    }

    @Test func theAllocationLengthCutsAndIsNoError() throws {
        let session = try Rig().session()
        let whole = session.run(Make.inquiry(nil, 512)).data
        for allocation in [0, 1, 4, 5, 36, 95, 96, 97, 255, 511, 65_535] {
            let outcome = session.run(Make.inquiry(nil, UInt16(allocation)))
            #expect(outcome.isGood && outcome.data == Array(whole.prefix(allocation)))
        }
        for allocation in 0...32 {
            let outcome = session.run([0x9E, 0x10] + filled(0, 8) + be(UInt32(allocation)) + [0, 0])
            #expect(outcome.isGood && outcome.data.count == allocation)
        }
        #expect(session.run([0x9E, 0x10] + filled(0, 8) + be(UInt32.max) + [0, 0]).data.count == 32)
    }

    @Test func aPageWithoutTheVitalBitIsRefused() throws {
        let session = try Rig().session()
        #expect(session.run([0x12, 0, 0x80, 0, 255, 0]).failed(5, 0x2400))
        #expect(session.run([0x12, 2, 0, 0, 255, 0]).failed(5, 0x2400))
        #expect(session.run(Make.inquiry(0xC0)).failed(5, 0x2400))
    }

    @Test func everyPageThatIsListedIsThereInOrderAndSaysItsLength() throws {
        let session = try Rig().session()
        let pages = Array(session.run(Make.inquiry(0x00)).data.dropFirst(4))
        #expect(pages == [0x00, 0x80, 0x83, 0x8F, 0xB0, 0xB1, 0xB2])
        for page in pages {
            let outcome = session.run(Make.inquiry(page, 4096))
            #expect(outcome.isGood && outcome.data[1] == page)
            #expect(Int(outcome.number(2, 2)) == outcome.data.count - 4)
        }
    }

    @Test func theDiskIsTheSameThroughEveryPort() throws {
        let rig = try Rig()
        func designators(_ port: UInt16) -> [[UInt8]] {
            let data = rig.session(1, port: port).run(Make.inquiry(0x83, 4096)).data
            var list: [[UInt8]] = []
            var at = 4
            while at < data.count {
                list.append(Array(data[at..<at + 4 + Int(data[at + 3])]))
                at += 4 + Int(data[at + 3])
            }
            #expect(at == data.count)
            return list
        }
        let one = designators(1)
        let two = designators(2)
        let units = one.filter { $0[1] & 0x30 == 0 }
        #expect(units == two.filter { $0[1] & 0x30 == 0 })
        // NAA 3h first, then vendor and serial.
        #expect(units[0][0...3].elementsEqual([1, 3, 0, 8]) && units[0][4] >> 4 == 3)
        #expect(
            units[1][1] == 1
                && String(decoding: units[1][4...], as: UTF8.self) == "APUS    6ba7b810-9dad-11d1-80b4-00c04fd430c8")
        #expect(one.contains { $0[1] == 0x94 && $0.suffix(2) == [0, 1] })
        #expect(two.contains { $0[1] == 0x94 && $0.suffix(2) == [0, 2] })
        #expect(
            one.contains {
                $0[1] == 0x98
                    && String(decoding: $0[4...], as: UTF8.self).hasPrefix("iqn.2026-01.test:target1,t,0x0001")
            })
        #expect(
            one.contains {
                $0[1] == 0xA8 && String(decoding: $0[4...], as: UTF8.self).hasPrefix("iqn.2026-01.test:target1\0")
            })
        #expect(one.allSatisfy { $0[1] & 0x08 == 0 || $0.count % 4 == 0 })
    }

    @Test func theLimitsAreTheDevices() throws {
        let geometry = BlockGeometry(
            byteCount: 1 << 30, granularityBytes: 8192, atomicBytesMax: 65_536, transferBytesMax: 8 << 20,
            unmapRangesMax: 100)
        let outcome = try Rig(geometry).session().run(Make.inquiry(0xB0))
        #expect(outcome.data.count == 64)
        #expect(outcome.data[5] == 128 && outcome.number(6, 2) == 16)
        #expect(outcome.number(8, 4) == 16_384 && outcome.number(12, 4) == 2048)
        #expect(outcome.number(20, 4) == 0xFFFF_FFFF && outcome.number(24, 4) == 100)
        #expect(outcome.number(28, 4) == 16 && outcome.number(32, 4) == 0x8000_0000)
        #expect(outcome.number(36, 8) == 16_384)
        #expect(outcome.number(44, 4) == 128)
    }

    @Test func capacityIsToldBothWays() throws {
        let small = try Rig().session()
        #expect(small.run([0x25] + filled(0, 9)).data == be(UInt32(8191)) + be(UInt32(512)))
        #expect(small.run([0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0]).failed(5, 0x2400))
        let large = try Rig(BlockGeometry(byteCount: 10 << 40)).session()
        #expect(large.run([0x25] + filled(0, 9)).data == be(UInt32.max) + be(UInt32(512)))
        let data = large.run([0x9E, 0x10] + filled(0, 8) + be(UInt32(32)) + [0, 0]).data
        #expect(Array(data[..<12]) == be(UInt64((10 << 40) / 512 - 1)) + be(UInt32(512)))
        #expect(data[13] == 0 && data[14] == 0xC0)
    }

    @Test func anotherLUNIsToldToBeAbsent() throws {
        let rig = try Rig()
        let session = rig.session()
        let lun: UInt64 = 0x0001_0000_0000_0000
        #expect(session.run(Make.inquiry(), lun: lun).data[0] == 0x7F)
        #expect(session.run(Make.inquiry(0x80), lun: lun).failed(5, 0x2400))
        #expect(session.run(Make.ready, lun: lun).failed(5, 0x2500))
        #expect(session.run(Make.read(0, 1), lun: lun).failed(5, 0x2500))
        #expect(session.run(Make.write(0, 1), filled(1, 512), lun: lun).failed(5, 0x2500))
        #expect(session.run([0x03, 0, 0, 0, 252, 0], lun: lun).data[12] == 0x25)
        #expect(session.run([0xA0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], lun: lun).isGood)
        #expect(session.run(Make.ready, lun: 0x4000_0000_0000_0000).isGood)
        #expect(rig.device.counts.writes == 0)
    }

    @Test func oneLUNIsReported() throws {
        let session = try Rig().session()
        func report(_ select: UInt8, _ allocation: UInt32) -> Outcome {
            session.run([0xA0, 0, select, 0, 0, 0] + be(allocation) + [0, 0])
        }
        #expect(report(0, 16).data == be(UInt32(8)) + filled(0, 12))
        #expect(report(2, 4096).data == be(UInt32(8)) + filled(0, 12))
        #expect(report(1, 16).data == filled(0, 8))
        #expect(report(0, 15).failed(5, 0x2400))
        #expect(report(9, 16).failed(5, 0x2400))
    }

    @Test func thereAreNoDefects() throws {
        let session = try Rig().session()
        #expect(session.run([0x37, 0, 0x1D, 0, 0, 0, 0, 0, 32, 0]).data == [0, 0x1D, 0, 0])
        #expect(
            session.run([0xB7, 0x1D] + filled(0, 4) + be(UInt32(32)) + [0, 0]).data == [0, 0x1D, 0, 0, 0, 0, 0, 0])
    }

    @Test func logsTellOfSpaceWhereTheDeviceCounts() throws {
        let rig = try Rig(BlockGeometry(byteCount: 64 << 20))
        let session = rig.session()
        func log(_ page: UInt8, _ subpage: UInt8 = 0) -> Outcome {
            session.run([0x4D, 0, 0x40 | page, subpage, 0, 0, 0, 0x10, 0, 0])
        }
        #expect(log(0).data == [0, 0, 0, 2, 0, 0x0C])
        #expect(log(0, 0xFF).data == [0x40, 0xFF, 0, 6, 0, 0, 0, 0xFF, 0x0C, 0])
        #expect(session.run(Make.write(0, 4096), filled(1, 2 << 20)).isGood)
        #expect(log(0x0C).data == [0x0C, 0, 0, 12, 0, 2, 3, 8, 0, 0, 0, 2, 1, 0, 0, 0])
        rig.device.limit(to: 10 << 20)
        #expect(log(0x0C).data.count == 4 + 24)
        #expect(log(0x0C).number(8, 4) == 8)
        #expect(log(0x0D).failed(5, 0x2400))
        #expect(session.run([0x4D, 1, 0x40, 0, 0, 0, 0, 0x10, 0, 0]).failed(5, 0x2400))
        let thick = try Rig(BlockGeometry(byteCount: 4 << 20, isThin: false)).session()
        #expect(thick.run([0x4D, 0, 0x40, 0, 0, 0, 0, 0x10, 0, 0]).data == [0, 0, 0, 1, 0])
    }
}

@Suite struct OperationCodeTests {
    private func report(_ session: Session, _ options: UInt8, _ code: UInt8 = 0, _ action: UInt16 = 0) -> Outcome {
        session.run([0xA3, 0x0C, options, code] + be(action) + be(UInt32(65_535)) + [0, 0])
    }

    @Test(arguments: [false, true]) func everyCommandOfTheListIsThereAndNoOther(_ withTimeouts: Bool) throws {
        let session = try Rig().session()
        let all = report(session, withTimeouts ? 0x80 : 0)
        let size = withTimeouts ? 20 : 8
        #expect(all.number(0, 4) == UInt64(all.data.count - 4) && (all.data.count - 4) % size == 0)
        var listed: Set<Int> = []
        for at in stride(from: 4, to: all.data.count, by: size) {
            let code = all.data[at]
            let action = UInt16(all.number(at + 2, 2))
            let hasActions = all.data[at + 5] & 1 != 0
            #expect(hasActions || action == 0)
            #expect((all.data[at + 5] & 2 != 0) == withTimeouts)
            if withTimeouts { #expect(all.number(at + 8, 2) == 10 && all.number(at + 16, 4) > 0) }
            listed.insert(Int(code) << 16 | Int(action))
            let one = report(session, (hasActions ? 2 : 1) | (withTimeouts ? 0x80 : 0), code, action)
            #expect(one.isGood && one.data[1] & 0x07 == 3 && one.data[4] == code)
            #expect(one.number(2, 2) == all.number(at + 6, 2) && one.number(2, 2) >= 6)
            let usage = 4 + Int(one.number(2, 2))
            #expect(one.data.count == usage + (withTimeouts ? 12 : 0))
            if hasActions { #expect(one.data[5] & 0x1F == UInt8(action)) }
            let wrong = report(session, hasActions ? 1 : 2, code, action)
            #expect(wrong.failed(5, 0x2400) && wrong.response.sense[15] & 0x80 != 0 && wrong.response.sense[17] > 1)
            #expect(report(session, 3, code, action).data[1] & 0x07 == 3)
        }
        for code in 0...255 where !listed.contains(where: { $0 >> 16 == code }) {
            #expect(report(session, 1, UInt8(code)).data[1] & 0x07 == 1)
            #expect(report(session, 3, UInt8(code)).data[1] & 0x07 == 1)
            let cdb = [UInt8(code)] + filled(0, 15)
            #expect(session.run(cdb).failed(5, 0x2000))
        }
    }

    @Test func anUnknownServiceActionIsAnInvalidField() throws {
        let session = try Rig().session()
        for (code, action) in [(0x9E, 0x11), (0xA3, 0x0F), (0x5E, 4), (0x5E, 0x1F), (0x5F, 8), (0x83, 1), (0x84, 9)] {
            #expect(session.run([UInt8(code), UInt8(action)] + filled(0, 14)).failed(5, 0x2400))
            #expect(report(session, 3, UInt8(code), UInt16(action)).data[1] & 0x07 == 1)
        }
    }

    @Test func theFlagsOfTheModePageAreInTheUsage() throws {
        let session = try Rig().session()
        for code in [0x28, 0x88, 0xA8, 0x2A, 0x8A, 0xAA, 0x9C, 0x89, 0x8B] as [UInt8] {
            #expect(report(session, 1, code).data[5] & 0x18 == 0x18)
        }
        for code in [0x2E, 0x8E, 0xAE, 0x2F, 0x8F, 0xAF] as [UInt8] {
            #expect(report(session, 1, code).data[5] & 0x10 == 0x10)
        }
    }

    @Test func taskManagementIsReported() throws {
        let session = try Rig().session()
        #expect(session.run([0xA3, 0x0D, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0]).data == [0xD8, 0, 0, 0])
        #expect(session.run([0xA3, 0x0D, 0x80, 0, 0, 0, 0, 0, 0, 16, 0, 0]).data.count == 16)
        #expect(session.run([0xA3, 0x0D, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0]).failed(5, 0x2400))
    }

    @Test func aCutCommandAndALinkedOneAreRefused() throws {
        let session = try Rig().session()
        #expect(session.run([]).failed(5, 0x2000) || session.run([]).failed(5, 0x2400))
        #expect(session.run([0x28, 0, 0, 0, 0, 0]).failed(5, 0x2400))
        #expect(session.run([0x12, 0, 0]).failed(5, 0x2400))
        #expect(session.run([0x00, 0, 0, 0, 0, 0x04]).failed(5, 0x2400))
        #expect(session.run(Array(Make.read(0, 1).dropLast()) + [0x04]).failed(5, 0x2400))
    }
}
