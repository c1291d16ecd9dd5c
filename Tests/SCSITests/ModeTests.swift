import BlockDevices
import SCSI
import Testing

@Suite struct ModeTests {
    private func sense(
        _ session: Session, _ page: UInt8, control: UInt8 = 0, flags: UInt8 = 0x08, _ allocation: UInt8 = 255
    )
        -> Outcome
    {
        session.run([0x1A, flags, control << 6 | page, 0, allocation, 0])
    }

    private func select(_ session: Session, _ pages: [UInt8], header: [UInt8] = [0, 0, 0, 0], flags: UInt8 = 0x10)
        -> Outcome
    {
        let list = header + pages
        return session.run([0x15, flags, 0, 0, UInt8(list.count), 0], list)
    }

    private func control(_ session: Session) -> [UInt8] { Array(sense(session, 0x0A).data.dropFirst(4)) }

    @Test func allPagesAreThoseOneByOne() throws {
        let session = try Rig().session()
        let all = sense(session, 0x3F).data
        let each = [0x01, 0x02, 0x08, 0x0A, 0x1C].flatMap { Array(sense(session, $0).data.dropFirst(4)) }
        #expect(Array(all.dropFirst(4)) == each)
        #expect(Int(all[0]) == all.count - 1 && all[2] == 0x10 && all[3] == 0)
        #expect(sense(session, 0x05).failed(5, 0x2400))
        #expect(sense(session, 0x0A, control: 3).failed(5, 0x3900))
        #expect(session.run([0x1A, 8, 0x0A, 1, 255, 0]).failed(5, 0x2400))
        #expect(sense(session, 0x3F, 4).data == Array(all.prefix(4)))
    }

    @Test func blockDescriptorsTellTheSize() throws {
        let small = try Rig().session()
        let data = sense(small, 0x0A, flags: 0).data
        #expect(data[3] == 8 && Array(data[4..<12]) == be(UInt32(8192)) + be(UInt32(512)))
        let large = try Rig(BlockGeometry(byteCount: 10 << 40, logicalBlockBytes: 4096)).session()
        let short = large.run([0x5A, 0, 0x0A, 0, 0, 0, 0, 1, 0, 0]).data
        #expect(
            Int(short[1]) == short.count - 2 && Array(short[8..<16]) == be(UInt32((10 << 40) / 4096)) + be(UInt32(4096))
        )
        let long = large.run([0x5A, 0x10, 0x0A, 0, 0, 0, 0, 1, 0, 0]).data
        #expect(long[4] == 1 && long[7] == 16)
        #expect(Array(long[8..<24]) == be(UInt64((10 << 40) / 4096)) + filled(0, 4) + be(UInt32(4096)))
    }

    @Test func theCachingPageFollowsTheDevice() throws {
        for cached in [false, true] {
            let session = try Rig(BlockGeometry(byteCount: 4 << 20, hasWriteCache: cached)).session()
            let page = Array(sense(session, 0x08).data.dropFirst(4))
            #expect(page.count == 20 && page[2] == (cached ? 0x04 : 0))
            var other = page
            other[2] ^= 0x04
            #expect(select(session, page).isGood)
            #expect(select(session, other).failed(5, 0x2600))
        }
    }

    @Test func softwareWriteProtectKeepsWritesAway() throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(Array(sense(session, 0x0A, control: 1).data.dropFirst(4))[4] == 0x08)
        var page = control(session)
        page[4] |= 0x08
        #expect(select(session, page).isGood)
        #expect(control(session) == page && sense(session, 0x0A).data[2] == 0x90)
        #expect(session.run(Make.write(0, 1), filled(1, 512)).failed(7, 0x2702))
        #expect(session.run(Make.unmap([(0, 1)]).cdb, Make.unmap([(0, 1)]).list).failed(7, 0x2702))
        #expect(session.run(Make.read(0, 1)).isGood)
        page[4] = 0
        #expect(select(session, page).isGood)
        #expect(session.run(Make.write(0, 1), filled(1, 512)).isGood)
    }

    @Test func senseDataIsInTheFormatThatWasChosen() throws {
        let rig = try Rig(BlockGeometry(byteCount: 10 << 40))
        let session = rig.session()
        let fixed = session.run(Make.read(.max, 1)).response.sense
        #expect(fixed.count == 18 && fixed[0] == 0x70 && fixed[7] == 10 && fixed[12] == 0x21)
        var page = control(session)
        page[2] |= 0x04
        #expect(select(session, page).isGood)
        let described = session.run(Make.read(.max, 1)).response.sense
        #expect(described[0] == 0x72 && described[1] == 5 && described[2] == 0x21 && described[7] == 0)
        // An address beyond 32 bits fits into this format only.
        rig.device.spoil(5 << 40)
        let medium = session.run(Make.read((5 << 40) / 512, 1)).response.sense
        #expect(medium[7] == 12 && medium[8...11].elementsEqual([0, 0x0A, 0x80, 0]))
        #expect(Array(medium[12..<20]) == be(UInt64((5 << 40) / 512)))
        page[2] = 0
        #expect(select(session, page).isGood)
        #expect(session.run(Make.read((5 << 40) / 512, 1)).response.sense[0] == 0x70)
    }

    @Test func theOthersAreToldOfAChangeAndOnlyOfAChange() throws {
        let rig = try Rig()
        let session = rig.session(1)
        let other = rig.session(2)
        var page = control(session)
        #expect(select(session, page).isGood)
        #expect(other.run(Make.ready).isGood)
        page[4] |= 0x08
        #expect(select(session, page).isGood)
        #expect(session.run(Make.ready).isGood)
        #expect(other.run(Make.ready).failed(6, 0x2A01))
        #expect(other.run(Make.ready).isGood)
    }

    @Test func aMalformedSelectIsRefusedAndChangesNothing() throws {
        let session = try Rig().session()
        var page = control(session)
        page[4] |= 0x08
        #expect(select(session, page, flags: 0x00).failed(5, 0x2400))
        #expect(select(session, page, flags: 0x11).failed(5, 0x2400))
        #expect(select(session, Array(page.dropLast())).failed(5, 0x1A00))
        #expect(select(session, page + [0x0A]).failed(5, 0x1A00))
        #expect(select(session, page, header: [0, 1, 0, 0]).failed(5, 0x2600))
        #expect(select(session, page, header: [0, 0, 0, 8]).failed(5, 0x2600))
        #expect(select(session, page, header: [0, 0, 0, 40]).failed(5, 0x1A00))
        #expect(select(session, [0x33, 2, 0, 0] + page).failed(5, 0x2600))
        #expect(select(session, page + [0x08, 2, 0, 0]).failed(5, 0x2600))
        var foreign = page
        foreign[3] = 0
        #expect(select(session, foreign).failed(5, 0x2600))
        #expect(session.run([0x15, 0x10, 0, 0, 16, 0], Array(page.prefix(8))).failed(5, 0x0E03))
        #expect(control(session)[4] == 0)
        #expect(session.run([0x15, 0x10, 0, 0, 0, 0]).isGood)
    }

    @Test func selectTenTakesDescriptorsThatSayWhatIsSo() throws {
        let session = try Rig().session()
        let page = control(session)
        func select(_ descriptor: [UInt8], long: Bool) -> Outcome {
            let list = [0, 0, 0, 0, long ? 1 : 0, 0, 0, UInt8(descriptor.count)] + descriptor + page
            return session.run([0x55, 0x10, 0, 0, 0, 0, 0] + be(UInt16(list.count)) + [0], list)
        }
        #expect(select([], long: false).isGood)
        #expect(select(be(UInt32(8192)) + be(UInt32(512)), long: false).isGood)
        #expect(select(be(UInt32(0)) + be(UInt32(512)), long: false).isGood)
        #expect(select(be(UInt64(8192)) + filled(0, 4) + be(UInt32(512)), long: true).isGood)
        #expect(select(be(UInt32(8192)) + be(UInt32(4096)), long: false).failed(5, 0x2600))
        #expect(select(be(UInt32(4096)) + be(UInt32(512)), long: false).failed(5, 0x2600))
        #expect(select(be(UInt32(8192)), long: false).failed(5, 0x1A00))
    }
}
