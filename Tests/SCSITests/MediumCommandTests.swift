import BlockDevices
import Primitives
import SCSI
import Testing

@Suite struct VerificationTests {
    private static let codes: [UInt8] = [0x2F, 0xAF, 0x8F]

    private func make(_ code: UInt8, _ lba: UInt64, _ blocks: UInt32, _ flags: UInt8) -> [UInt8] {
        switch code {
        case 0x2E, 0x2F: Make.ten(code, UInt32(lba), UInt16(blocks), flags: flags)
        case 0xAE, 0xAF: Make.twelve(code, UInt32(lba), blocks, flags: flags)
        default: Make.sixteen(code, lba, blocks, flags: flags)
        }
    }

    @Test(arguments: codes) func verifyComparesOnlyWhenAskedTo(_ code: UInt8) throws {
        let session = try Rig().session()
        var data = filled(7, 4 * 512)
        #expect(session.run(Make.write(0, 4), data).isGood)
        #expect(session.run(make(code, 0, 4, 0x02), data).isGood)
        data[1300] = 8
        let outcome = session.run(make(code, 0, 4, 0x02), data)
        #expect(outcome.failed(0xE, 0x1D00))
        #expect(outcome.response.sense[3...6].elementsEqual(be(UInt32(1300))))
        let unchecked = session.run(make(code, 0, 4, 0x00), data)
        #expect(unchecked.isGood && unchecked.response.dataOutCount == 0)
    }

    @Test(arguments: codes) func oneBlockIsComparedWithAll(_ code: UInt8) throws {
        let session = try Rig().session()
        #expect(session.run(Make.write(0, 4), filled(7, 4 * 512)).isGood)
        #expect(session.run(make(code, 0, 4, 0x06), filled(7, 512)).isGood)
        #expect(session.run(make(code, 0, 5, 0x06), filled(7, 512)).failed(0xE, 0x1D00))
        #expect(session.run(make(code, 0, 4, 0x04), filled(7, 512)).failed(5, 0x2400))
    }

    @Test(arguments: codes) func verifyLooksAtTheAddress(_ code: UInt8) throws {
        let session = try Rig().session()
        #expect(session.run(make(code, 8193, 0, 0x02)).failed(5, 0x2100))
        #expect(session.run(make(code, 8191, 2, 0x02), filled(0, 1024)).failed(5, 0x2100))
        #expect(session.run(make(code, 0, 1, 0x22), filled(0, 512)).failed(5, 0x2400))
        #expect(session.run(make(code, 0, 2, 0x02), filled(0, 512)).failed(5, 0x0E03))
    }

    @Test func longComparisonsGoByStepsAndFindTheLastByte() throws {
        let session = try Rig(BlockGeometry(byteCount: 16 << 20)).session()
        var data = (0..<3 << 20).map { UInt8(truncatingIfNeeded: $0 % 249) }
        #expect(session.run(Make.write(1, 6144), data).isGood)
        #expect(session.run(Make.sixteen(0x8F, 1, 6144, flags: 2), data).isGood)
        data[data.count - 1] ^= 1
        #expect(session.run(Make.sixteen(0x8F, 1, 6144, flags: 2), data).failed(0xE, 0x1D00))
    }

    @Test(arguments: [0x2E, 0xAE, 0x8E] as [UInt8], [0x00, 0x02] as [UInt8])
    func writeAndVerifyWritesThroughAndReadsBack(_ code: UInt8, _ flags: UInt8) throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(session.run(make(code, 3, 2, flags), filled(9, 1024)).isGood)
        #expect(rig.device.counts.throughWrites == 1 && rig.device.counts.reads == 1)
        #expect(session.run(Make.read(2, 4)).data == filled(0, 512) + filled(9, 1024) + filled(0, 512))
        #expect(session.run(make(code, 8191, 2, flags), filled(9, 1024)).failed(5, 0x2100))
        let short = session.run(make(code, 3, 2, flags), filled(8, 512))
        #expect(short.isGood && short.response.dataOutCount == 1024)
        #expect(session.run(make(code, 3, 1, flags), filled(8, 200)).failed(5, 0x0E03))
        #expect(session.run(make(code, 3, 1, 0x06), filled(8, 512)).failed(5, 0x2400))
    }

    @Test func aWriteThatCannotBeReadBackIsTold() throws {
        let rig = try Rig()
        let session = rig.session()
        rig.device.failAlways(.read, with: .unreadable(offset: 1536))
        let outcome = session.run(Make.ten(0x2E, 3, 2), filled(9, 1024))
        #expect(outcome.failed(3, 0x1100) && outcome.response.dataOutCount == 1024)
    }
}

@Suite struct ProvisioningTests {
    @Test(arguments: [0x41, 0x93] as [UInt8]) func writeSameFillsItsRange(_ code: UInt8) throws {
        let rig = try Rig(BlockGeometry(byteCount: 32 << 20))
        let session = rig.session()
        func cdb(_ lba: UInt32, _ blocks: UInt16, _ flags: UInt8 = 0) -> [UInt8] {
            code == 0x41
                ? Make.ten(code, lba, blocks, flags: flags)
                : Make.sixteen(code, UInt64(lba), UInt32(blocks), flags: flags)
        }
        let block = (0..<512).map { UInt8(truncatingIfNeeded: $0) }
        let outcome = session.run(cdb(3, 5000), block)
        #expect(outcome.isGood && outcome.response.dataOutCount == 512)
        let all = session.run(Make.read(0, 5010)).data
        #expect(Array(all[..<1536]) == filled(0, 1536) && Array(all[(5003 * 512)...]) == filled(0, 7 * 512))
        #expect((3..<5003).allSatisfy { Array(all[$0 * 512..<($0 + 1) * 512]) == block })
    }

    @Test func writeSameOfZerosIsZeroingAndUnmapGivesSpaceBack() throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(session.run(Make.write(0, 64), filled(1, 64 * 512)).isGood)
        #expect(session.run(Make.sixteen(0x93, 0, 8), filled(0, 512)).isGood)
        #expect(rig.device.space?.used == 64 * 512)
        #expect(session.run(Make.sixteen(0x93, 0, 8, flags: 0x08), filled(0, 512)).isGood)
        #expect(rig.device.space?.used == 56 * 512)
        #expect(session.run(Make.sixteen(0x93, 8, 8, flags: 0x09)).isGood)
        #expect(rig.device.space?.used == 48 * 512)
        // Data that is not zeros is written, whatever UNMAP says.
        #expect(session.run(Make.sixteen(0x93, 0, 8, flags: 0x08), filled(3, 512)).isGood)
        #expect(session.run(Make.read(0, 1)).data == filled(3, 512))
    }

    @Test func writeSameOfZeroBlocksAndOfTooManyIsRefused() throws {
        let session = try Rig(BlockGeometry(byteCount: 64 << 20)).session()
        #expect(session.run(Make.inquiry(0xB0)).data[4] == 1)
        #expect(session.run(Make.sixteen(0x93, 0, 0), filled(0, 512)).failed(5, 0x2400))
        #expect(session.run(Make.ten(0x41, 0, 0, flags: 0x08), filled(0, 512)).failed(5, 0x2400))
        #expect(session.run(Make.sixteen(0x93, 0, 32_768), filled(0, 512)).isGood)
        #expect(session.run(Make.sixteen(0x93, 0, 32_769), filled(0, 512)).failed(5, 0x2400))
        #expect(session.run(Make.sixteen(0x93, 131_073, 1), filled(0, 512)).failed(5, 0x2100))
    }

    @Test func writeSameRefusesWhatItCannotDo() throws {
        let session = try Rig().session()
        #expect(session.run(Make.ten(0x41, 8191, 2), filled(0, 512)).failed(5, 0x2100))
        #expect(session.run(Make.ten(0x41, 0, 1, flags: 0x10), filled(0, 512)).failed(5, 0x2400))
        #expect(session.run(Make.ten(0x41, 0, 1, flags: 0x18), filled(0, 512)).failed(5, 0x2400))
        #expect(session.run(Make.ten(0x41, 0, 1, flags: 0x20), filled(0, 512)).failed(5, 0x2400))
        #expect(session.run(Make.ten(0x41, 0, 1, flags: 0x04), filled(0, 512)).failed(5, 0x2400))
        for count in [0, 256, 1024] {
            #expect(session.run(Make.ten(0x41, 0, 1, flags: 0x08), filled(0, count)).failed(5, 0x0E03))
        }
    }

    @Test func unmappedBlocksReadAsZeros() throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(session.run(Make.write(0, 64), filled(1, 64 * 512)).isGood)
        let (cdb, list) = Make.unmap([(1, 1), (8, 16), (63, 1), (5, 0)])
        let outcome = session.run(cdb, list)
        #expect(outcome.isGood && outcome.response.dataOutCount == list.count)
        let data = session.run(Make.read(0, 64)).data
        for block in 0..<64 {
            let expected: UInt8 = block == 1 || (8..<24).contains(block) || block == 63 ? 0 : 1
            #expect(data[block * 512..<(block + 1) * 512].allSatisfy { $0 == expected })
        }
        #expect(rig.device.space?.used == 6 * 4096)
    }

    @Test func anUnmapListIsCheckedBeforeAnythingIsDone() throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(session.run(Make.write(0, 8), filled(1, 4096)).isGood)
        func run(_ ranges: [(UInt64, UInt32)]) -> Outcome {
            let (cdb, list) = Make.unmap(ranges)
            return session.run(cdb, list)
        }
        #expect(run([(0, 8), (8191, 2)]).failed(5, 0x2100))
        #expect(run([(0, 8), (.max, 1)]).failed(5, 0x2100))
        #expect(run([(8193, 0)]).failed(5, 0x2100))
        #expect(run((0...256).map { ($0, 1) }).failed(5, 0x2600))
        #expect(rig.device.counts.unmaps == 0)
        #expect(run([(8192, 0)]).isGood)
        #expect(run([]).isGood)
        #expect(run((0..<256).map { ($0, 1) }).isGood)
    }

    @Test func aMalformedUnmapListIsRefused() throws {
        let session = try Rig().session()
        let (_, list) = Make.unmap([(0, 1)])
        func cdb(_ length: UInt16, _ flags: UInt8 = 0) -> [UInt8] { [0x42, flags, 0, 0, 0, 0, 0] + be(length) + [0] }
        #expect(session.run(cdb(0)).isGood)
        #expect(session.run(cdb(4), list).failed(5, 0x1A00))
        #expect(session.run(cdb(12), list).failed(5, 0x1A00))
        #expect(session.run(cdb(24), Array(list.prefix(10))).failed(5, 0x0E03))
        #expect(session.run(cdb(24, 1), list).failed(5, 0x2400))
        var partial = list
        partial[3] = 15
        #expect(session.run(cdb(24), partial).isGood)
    }

    @Test func aThickDeviceHasNoUnmap() throws {
        let session = try Rig(BlockGeometry(byteCount: 4 << 20, isThin: false)).session()
        let (cdb, list) = Make.unmap([(0, 1)])
        #expect(session.run(cdb, list).failed(5, 0x2000))
        #expect(session.run(Make.ten(0x41, 0, 1, flags: 0x08), filled(0, 512)).failed(5, 0x2400))
        #expect(session.run(Make.inquiry(0xB2)).failed(5, 0x2400))
        #expect(session.run([0x9E, 0x10] + filled(0, 8) + be(UInt32(32)) + [0, 0]).data[14] == 0)
        #expect(session.run(Make.allocationStatus(0)).data[20] == 0)
    }

    @Test(arguments: [512, 4096] as [UInt32]) func allocationIsToldInRuns(_ blockBytes: UInt32) throws {
        let rig = try Rig(BlockGeometry(byteCount: 4 << 20, logicalBlockBytes: blockBytes))
        let session = rig.session()
        let perGranule = UInt64(4096 / blockBytes)
        #expect(session.run(Make.write(2 * perGranule, 2 * UInt32(perGranule)), filled(1, 8192)).isGood)
        let all = session.run(Make.allocationStatus(0, 1024)).data
        #expect(all.count == 8 + 3 * 16 && all[3] == UInt8(4 + 3 * 16))
        let total = (4 << 20) / UInt64(blockBytes)
        let expected: [(UInt64, UInt64, UInt8)] = [
            (0, 2 * perGranule, 1), (2 * perGranule, 2 * perGranule, 0), (4 * perGranule, total - 4 * perGranule, 1),
        ]
        let outcome = Outcome(response: SCSIResponse(status: .good), data: all)
        for (index, run) in expected.enumerated() {
            #expect(outcome.number(8 + 16 * index, 8) == run.0)
            #expect(outcome.number(16 + 16 * index, 4) == run.1)
            #expect(all[20 + 16 * index] == run.2)
        }
        let one = session.run(Make.allocationStatus(2 * perGranule + 1)).data
        #expect(one.count == 24 && one[15] == UInt8(2 * perGranule + 1) && one[20] == 0 || blockBytes == 4096)
        #expect(session.run(Make.allocationStatus(total)).failed(5, 0x2100))
        #expect(session.run(Make.allocationStatus(.max)).failed(5, 0x2100))
        #expect(session.run(Make.allocationStatus(0, 0)).isGood)
        #expect(session.run(Make.allocationStatus(0, 4)).data.count == 4)
    }

    @Test func aHugeHoleIsToldInPartsThatFit() throws {
        let rig = try Rig(BlockGeometry(byteCount: 10 << 40))
        let session = rig.session()
        let data = session.run(Make.allocationStatus(0, 8 + 16 * 8)).data
        let outcome = Outcome(response: SCSIResponse(status: .good), data: data)
        var next: UInt64 = 0
        for at in stride(from: 8, to: data.count, by: 16) {
            #expect(outcome.number(at, 8) == next)
            next += outcome.number(at + 8, 4)
        }
        #expect(next == (10 << 40) / 512)
    }
}

@Suite struct AtomicTests {
    @Test func compareAndWriteWritesOnlyOverWhatItExpects() throws {
        let session = try Rig().session()
        #expect(session.run(Make.write(10, 2), filled(1, 1024)).isGood)
        #expect(session.run(Make.compareAndWrite(10, 2), filled(1, 1024) + filled(2, 1024)).isGood)
        #expect(session.run(Make.read(10, 2)).data == filled(2, 1024))
        let outcome = session.run(Make.compareAndWrite(10, 2), filled(1, 1024) + filled(3, 1024))
        #expect(outcome.failed(0xE, 0x1D00) && outcome.response.dataOutCount == 2048)
        #expect(session.run(Make.read(10, 2)).data == filled(2, 1024))
    }

    @Test(arguments: [0, 1, 255, 511, 512, 1000]) func aMiscompareSaysWhere(_ offset: Int) throws {
        let session = try Rig().session()
        var expected = filled(0, 1024)
        expected[offset] = 1
        let outcome = session.run(Make.compareAndWrite(0, 2), expected + filled(9, 1024))
        #expect(outcome.failed(0xE, 0x1D00) && outcome.response.sense[0] == 0xF0)
        #expect(outcome.response.sense[3...6].elementsEqual(be(UInt32(offset))))
    }

    @Test func compareAndWriteHasItsLimits() throws {
        let session = try Rig().session()
        #expect(session.run(Make.compareAndWrite(0, 255), filled(0, 2 * 255 * 512)).isGood)
        #expect(session.run(Make.compareAndWrite(0, 0)).isGood)
        // 256 blocks, as the eight bits of the CDB have them.
        #expect(session.run(Make.compareAndWrite(0, 0), filled(0, 2 * 256 * 512)).failed(5, 0x2400))
        #expect(session.run(Make.compareAndWrite(8191, 2), filled(0, 2048)).failed(5, 0x2100))
        #expect(session.run(Make.compareAndWrite(0, 1), filled(0, 2048)).failed(5, 0x0E03))
        #expect(session.run(Make.compareAndWrite(0, 3), filled(0, 2048)).failed(5, 0x0E03))
        let small = try Rig(BlockGeometry(byteCount: 4 << 20, atomicBytesMax: 4096)).session()
        #expect(small.run(Make.compareAndWrite(0, 8), filled(0, 8192)).isGood)
        #expect(small.run(Make.compareAndWrite(0, 9), filled(0, 9216)).failed(5, 0x2400))
        #expect(small.run(Make.inquiry(0xB0)).data[5] == 8)
    }

    @Test func compareAndWriteFromManySessionsLosesNothing() throws {
        let rig = try Rig()
        let sessions = (1...4).map { rig.session(UInt64($0)) }
        let ends = sessions.map { _ in CompletionWaiter() }
        for (session, end) in zip(sessions, ends) {
            startThread(name: "caw") {
                for _ in 0..<25 {
                    while true {
                        let old = session.run(Make.read(0, 1)).data
                        var new = old
                        new.withUnsafeMutableBytes {
                            $0.storeBytes(of: $0.loadUnaligned(as: UInt32.self) + 1, as: UInt32.self)
                        }
                        if session.run(Make.compareAndWrite(0, 1), old + new).isGood { break }
                    }
                }
                end.completion(.success(()))
            }
        }
        for end in ends { _ = end.wait() }
        let data = sessions[0].run(Make.read(0, 1)).data
        #expect(data.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) } == 100)
    }

    @Test func orWriteSetsBitsAndClearsNone() throws {
        let session = try Rig().session()
        #expect(session.run(Make.write(0, 400), filled(0xA5, 400 * 512)).isGood)
        #expect(session.run(Make.sixteen(0x8B, 0, 300), filled(0x5A, 300 * 512)).isGood)
        #expect(session.run(Make.read(0, 400)).data == filled(0xFF, 300 * 512) + filled(0xA5, 100 * 512))
        #expect(session.run(Make.sixteen(0x8B, 8191, 2), filled(0, 1024)).failed(5, 0x2100))
        #expect(session.run(Make.sixteen(0x8B, 8193, 0)).failed(5, 0x2100))
        #expect(session.run(Make.sixteen(0x8B, 0, 0)).isGood)
        #expect(session.run(Make.sixteen(0x8B, 0, 2), filled(0, 512)).failed(5, 0x0E03))
        #expect(session.run(Make.sixteen(0x8B, 0, 1, flags: 0x20), filled(0, 512)).failed(5, 0x2400))
    }
}

@Suite struct CacheTests {
    @Test(arguments: [0x35, 0x91] as [UInt8]) func aFlushEndsWhenTheDeviceSaysSoUnlessItIsImmediate(_ code: UInt8)
        throws
    {
        let rig = try Rig()
        let session = rig.session()
        func cdb(_ lba: UInt32, _ blocks: UInt16, _ flags: UInt8 = 0) -> [UInt8] {
            code == 0x35
                ? Make.ten(code, lba, blocks, flags: flags)
                : Make.sixteen(code, UInt64(lba), UInt32(blocks), flags: flags)
        }
        rig.device.complete(.heldBack)
        let pending = session.start(cdb(0, 0))
        #expect(!pending.isDone)
        rig.device.release()
        #expect(pending.wait().isGood)
        #expect(session.start(cdb(0, 8, 0x02)).isDone)
        #expect(session.run(cdb(8193, 0)).failed(5, 0x2100))
        #expect(session.run(cdb(8191, 2)).failed(5, 0x2100))
        rig.device.complete(.atOnce)
        rig.device.failNext(.flush, with: .writeFailed)
        #expect(session.run(cdb(0, 0)).failed(3, 0x0C00))
    }

    @Test(arguments: [0x34, 0x90] as [UInt8]) func aPrefetchReadsAheadWithinTheDisk(_ code: UInt8) throws {
        let rig = try Rig()
        let session = rig.session()
        func cdb(_ lba: UInt32, _ blocks: UInt16, _ flags: UInt8 = 0) -> [UInt8] {
            code == 0x34
                ? Make.ten(code, lba, blocks, flags: flags)
                : Make.sixteen(code, UInt64(lba), UInt32(blocks), flags: flags)
        }
        #expect(session.run(cdb(0, 8)).isGood)
        #expect(rig.device.counts.reads == 1)
        #expect(session.run(cdb(0, 0)).isGood)
        #expect(session.run(cdb(0, 8, 0x02)).isGood)
        for (lba, blocks) in [(8193, 0), (8192, 1), (8191, 2), (0x8000_0000, 0), (UInt32.max, 1)] as [(UInt32, UInt16)]
        {
            #expect(session.run(cdb(lba, blocks)).failed(5, 0x2100))
        }
    }

    @Test func aStopFlushesAndTheUnitStaysReady() throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(session.run([0x1B, 0, 0, 0, 0x00, 0]).isGood)
        #expect(rig.device.counts.flushes == 1)
        #expect(session.run(Make.ready).isGood)
        #expect(session.run([0x1B, 0, 0, 0, 0x01, 0]).isGood)
        #expect(session.run([0x1B, 0, 0, 0, 0x04, 0]).isGood)
        #expect(rig.device.counts.flushes == 1)
        #expect(session.run([0x1B, 0, 0, 0, 0x02, 0]).failed(5, 0x2400))
        #expect(session.run([0x1B, 0, 0, 0, 0xF0, 0]).failed(5, 0x2400))
    }
}
