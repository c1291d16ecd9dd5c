import BlockDevices
import Primitives
import SCSI
import Testing

/// READ and WRITE in all their forms: code, how to make one, and the forms' limits.
private struct Form: Sendable, CustomStringConvertible {
    let read: UInt8
    let write: UInt8
    let make: @Sendable (UInt8, UInt64, UInt32) -> [UInt8]
    var description: String { String(read, radix: 16) }

    static let all = [
        Form(read: 0x08, write: 0x0A) { code, lba, blocks in
            [code, UInt8(lba >> 16 & 0x1F), UInt8(lba >> 8 & 0xFF), UInt8(lba & 0xFF), UInt8(blocks & 0xFF), 0]
        },
        Form(read: 0x28, write: 0x2A) { Make.ten($0, UInt32($1), UInt16($2)) },
        Form(read: 0xA8, write: 0xAA) { Make.twelve($0, UInt32($1), $2) },
        Form(read: 0x88, write: 0x8A) { Make.sixteen($0, $1, $2) },
    ]
}

@Suite struct TransferTests {
    @Test(arguments: Form.all, [512, 4096] as [UInt32])
    private func whatWasWrittenIsRead(_ form: Form, _ blockBytes: UInt32) throws {
        let rig = try Rig(BlockGeometry(byteCount: 4 << 20, logicalBlockBytes: blockBytes))
        let session = rig.session()
        let data = (0..<3 * Int(blockBytes)).map { UInt8(truncatingIfNeeded: $0 % 253) }
        let written = session.run(form.make(form.write, 5, 3), data)
        #expect(written.isGood && written.response.dataOutCount == data.count && written.data.isEmpty)
        #expect(session.run(form.make(form.read, 5, 3)).data == data)
        #expect(session.run(form.make(form.read, 4, 1)).data == filled(0, Int(blockBytes)))
        #expect(session.run(form.make(form.read, 8, 1)).data == filled(0, Int(blockBytes)))
    }

    @Test(arguments: Form.all) private func aReadBeyondTheEndIsRefused(_ form: Form) throws {
        let rig = try Rig()
        let session = rig.session()
        let blocks: UInt64 = 8192
        #expect(session.run(form.make(form.read, blocks - 1, 1)).isGood)
        #expect(session.run(form.make(form.read, blocks - 1, 2)).failed(5, 0x2100))
        #expect(session.run(form.make(form.read, blocks + 1, 1)).failed(5, 0x2100))
        #expect(session.run(form.make(form.write, blocks - 1, 2), filled(1, 1024)).failed(5, 0x2100))
        #expect(rig.device.counts.writes == 0)
    }

    @Test func aSixByteTransferOfZeroBlocksIsOne256() throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(session.run([0x08, 0, 0, 0, 0, 0]).data.count == 256 * 512)
        #expect(session.run([0x0A, 0, 0, 0, 0, 0], filled(3, 256 * 512)).isGood)
        #expect(session.run([0x08, 0, 0, 255, 1, 0]).data == filled(3, 512))
    }

    @Test func addressesThatWrapAreRefused() throws {
        let session = try Rig().session()
        for lba: UInt64 in [.max, .max - 1, 1 << 63, 1 << 55, 8192] {
            #expect(session.run(Make.read(lba, 1)).failed(5, 0x2100))
            #expect(session.run(Make.read(lba, .max)).failed(5, 0x2100))
            #expect(session.run(Make.write(lba, 1), filled(0, 512)).failed(5, 0x2100))
        }
    }

    @Test func nothingIsTransferredForZeroBlocksButTheAddressCounts() throws {
        let session = try Rig().session()
        for make in [Make.read, Make.write] {
            #expect(session.run(make(0, 0, 0)).isGood)
            #expect(session.run(make(8193, 0, 0)).failed(5, 0x2100))
            #expect(session.run(make(1 << 63, 0, 0)).failed(5, 0x2100))
        }
    }

    @Test func moreThanTheLargestTransferIsAnInvalidField() throws {
        let rig = try Rig(BlockGeometry(byteCount: 64 << 20, transferBytesMax: 1 << 20))
        let session = rig.session()
        #expect(session.run(Make.read(0, 2048)).isGood)
        #expect(session.run(Make.read(0, 2049)).failed(5, 0x2400))
        #expect(session.run(Make.write(0, 2049), filled(0, 2049 * 512)).failed(5, 0x2400))
    }

    @Test(arguments: [0x08, 0x10, 0x18, 0x02] as [UInt8]) func cacheFlagsAreTaken(_ flags: UInt8) throws {
        let rig = try Rig(BlockGeometry(byteCount: 4 << 20, hasWriteCache: true))
        let session = rig.session()
        #expect(session.run(Make.write(0, 1, flags: flags), filled(4, 512)).isGood)
        #expect(rig.device.counts.throughWrites == (flags & 0x08 != 0 ? 1 : 0))
        #expect(session.run(Make.read(0, 1, flags: flags)).data == filled(4, 512))
        #expect(rig.device.counts.flushes == (flags & 0x08 != 0 ? 1 : 0))
    }

    @Test func protectionInformationIsRefused() throws {
        let session = try Rig().session()
        for protect in 1...7 {
            let flags = UInt8(protect << 5)
            #expect(session.run(Make.read(0, 1, flags: flags)).failed(5, 0x2400))
            #expect(session.run(Make.write(0, 1, flags: flags), filled(0, 512)).failed(5, 0x2400))
            #expect(session.run(Make.ten(0x28, 0, 1, flags: flags)).failed(5, 0x2400))
        }
    }

    @Test func aReadIsAnsweredWholeWhateverWasExpected() throws {
        // The transport sends what fits and works out the residual.
        let session = try Rig().session()
        for expects in [0, 200, 512, 10_000] {
            let outcome = session.run(Make.read(0, 2), expects: expects)
            #expect(outcome.isGood && outcome.response.dataInCount == 1024)
        }
    }

    @Test func ofAWriteThatIsTooShortTheWholeBlocksAreWritten() throws {
        let session = try Rig().session()
        #expect(session.run(Make.write(0, 2), filled(0x61, 1024)).isGood)
        let one = session.run(Make.write(0, 2), filled(0x62, 512))
        #expect(one.isGood && one.response.dataOutCount == 1024)
        #expect(session.run(Make.read(0, 2)).data == filled(0x62, 512) + filled(0x61, 512))
        let none = session.run(Make.write(0, 1), [])
        #expect(none.isGood && none.response.dataOutCount == 512)
        let part = session.run(Make.write(0, 1), filled(0x63, 200))
        #expect(part.failed(5, 0x0E03) && part.response.dataOutCount == 512)
        #expect(session.run(Make.read(0, 2)).data == filled(0x62, 512) + filled(0x61, 512))
    }

    @Test func ofAWriteThatIsTooLongOnlyWhatTheCommandNamesIsWritten() throws {
        let session = try Rig().session()
        let outcome = session.run(Make.write(0, 1), filled(0x62, 10_000))
        #expect(outcome.isGood && outcome.response.dataOutCount == 512)
        #expect(session.run(Make.read(0, 2)).data == filled(0x62, 512) + filled(0, 512))
    }

    @Test func aReadWithDataOutIsStillARead() throws {
        let session = try Rig().session()
        let outcome = session.run(Make.ten(0x28, 0, 1), filled(0xA6, 512), expects: 0)
        #expect(outcome.isGood && outcome.response.dataInCount == 512)
    }

    @Test func aCachedReadIsAnsweredAtOnceOnTheCallingThread() throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(session.start(Make.read(0, 8)).isDone)
        #expect(rig.device.counts.cachedReads == 1 && rig.device.counts.reads == 0)
        rig.device.cache(false)
        #expect(session.run(Make.read(0, 8)).data == filled(0, 4096))
        #expect(rig.device.counts.reads == 1)
    }

    @Test func aWriteEndsWhenTheDeviceSaysSo() throws {
        let rig = try Rig()
        let session = rig.session()
        rig.device.complete(.heldBack)
        let pending = session.start(Make.write(0, 1), filled(1, 512))
        #expect(!pending.isDone)
        rig.device.release()
        #expect(pending.wait().isGood)
    }

    @Test func anAtomicWriteIsWholeOrRefused() throws {
        let rig = try Rig()
        let session = rig.session()
        func cdb(_ lba: UInt64, _ blocks: UInt16, boundary: UInt16 = 0) -> [UInt8] {
            [0x9C, 0] + be(lba) + be(boundary) + be(blocks) + [0, 0]
        }
        #expect(session.run(cdb(0, 256), filled(5, 256 * 512)).isGood)
        #expect(session.run(Make.read(255, 1)).data == filled(5, 512))
        #expect(session.run(cdb(0, 257), filled(5, 257 * 512)).failed(5, 0x2400))
        #expect(session.run(cdb(8192 - 256, 512), filled(5, 512 * 512)).failed(5, 0x2100))
        #expect(session.run(cdb(0, 1, boundary: 1), filled(5, 512)).failed(5, 0x2400))
        #expect(session.run(cdb(0, 2), filled(5, 512)).failed(5, 0x0E03))
        #expect(session.run(cdb(0, 0)).isGood)
        #expect(session.run(cdb(8193, 0)).failed(5, 0x2100))
    }
}

@Suite struct DeviceErrorTests {
    private static let writes: [(BlockError, UInt8, UInt16)] = [
        (.writeFailed, 3, 0x0C00), (.noSpace, 7, 0x2707), (.readOnly, 7, 0x2700), (.outOfRange, 5, 0x2100),
        (.gone, 5, 0x2500),
    ]

    @Test(arguments: 0..<5) func aFailedWriteIsTold(_ index: Int) throws {
        let (error, key, code) = Self.writes[index]
        let rig = try Rig()
        let session = rig.session()
        rig.device.failNext(.write, with: error)
        #expect(session.run(Make.write(0, 1), filled(1, 512)).failed(key, code))
        #expect(session.run(Make.write(0, 1), filled(1, 512)).isGood)
    }

    @Test func anOverloadedDeviceIsBusy() throws {
        let rig = try Rig()
        let session = rig.session()
        rig.device.failNext(.write, with: .overloaded)
        #expect(session.run(Make.write(0, 1), filled(1, 512)).status == .busy)
        rig.device.failNext(.read, with: .overloaded)
        #expect(session.run(Make.read(0, 1)).status == .busy)
    }

    @Test func anUnreadableBlockIsNamed() throws {
        let rig = try Rig()
        let session = rig.session()
        rig.device.spoil(9 * 512)
        let outcome = session.run(Make.read(4, 16))
        #expect(outcome.failed(3, 0x1100))
        #expect(outcome.response.sense[0] == 0xF0 && outcome.response.sense[3...6].elementsEqual([0, 0, 0, 9]))
        #expect(outcome.data.isEmpty)
        #expect(session.run(Make.ten(0x2F, 4, 16)).failed(3, 0x1100))
    }

    @Test func aFullDeviceRefusesWritesAndGoesOnReading() throws {
        let rig = try Rig()
        let session = rig.session()
        #expect(session.run(Make.write(0, 8), filled(1, 4096)).isGood)
        rig.device.limit(to: 4096)
        #expect(session.run(Make.write(8, 8), filled(1, 4096)).failed(7, 0x2707))
        #expect(session.run(Make.read(0, 8)).data == filled(1, 4096))
        #expect(session.run(Make.unmap([(0, 8)]).cdb, Make.unmap([(0, 8)]).list).isGood)
        #expect(session.run(Make.write(8, 8), filled(1, 4096)).isGood)
    }

    @Test func aFullPoolIsBusy() throws {
        let threads = WorkThreads(name: "one", count: 1, queueMax: 1)
        let rig = try Rig(threads: threads)
        let session = rig.session()
        rig.device.cache(false)
        // The one thread and the one place in its queue are taken.
        let gate = PosixMutex()
        gate.lock()
        let started = CompletionWaiter()
        let admitted = threads.run {
            started.completion(.success(()))
            gate.withLock {}
        }
        #expect(admitted)
        _ = started.wait()
        let filler = threads.run {}
        #expect(filler)
        #expect(session.run(Make.read(0, 1)).status == .busy)
        gate.unlock()
    }

    @Test(arguments: [
        Make.write(0, 1), Make.ten(0x41, 0, 1), Make.sixteen(0x93, 0, 1, flags: 1), Make.compareAndWrite(0, 1),
        Make.sixteen(0x8B, 0, 1), Make.ten(0x2E, 0, 1), Make.unmap([(0, 1)]).cdb,
        [0x9C, 0] + be(UInt64(0)) + [0, 0, 0, 1, 0, 0],
    ])
    func aReadOnlyDeviceRefusesEveryWrite(_ cdb: [UInt8]) throws {
        let rig = try Rig(BlockGeometry(byteCount: 4 << 20, isReadOnly: true))
        let session = rig.session()
        #expect(session.run(cdb, filled(0, 512)).failed(7, 0x2700))
        #expect(session.run(Make.read(0, 1)).isGood)
        #expect(session.run([0x1A, 0, 0x3F, 0, 255, 0]).data[2] & 0x80 != 0)
    }

    @Test(arguments: [
        Make.write(0, 1), Make.ten(0x41, 0, 1), Make.sixteen(0x93, 0, 1, flags: 1), Make.compareAndWrite(0, 1),
        Make.sixteen(0x8B, 0, 1), Make.ten(0x2E, 0, 1), Make.unmap([(0, 1)]).cdb,
        [0x9C, 0] + be(UInt64(0)) + [0, 0, 0, 1, 0, 0],
    ])
    func aNexusThatMayOnlyReadIsRefusedEveryWriteAndOthersAreNot(_ cdb: [UInt8]) throws {
        let rig = try Rig()
        let reader = rig.session(1, isReadOnly: true)
        let writer = rig.session(2)
        #expect(reader.run(cdb, filled(0, 512)).failed(7, 0x2700))
        #expect(reader.run(Make.read(0, 1)).isGood)
        #expect(reader.run([0x1A, 0, 0x3F, 0, 255, 0]).data[2] & 0x80 != 0)
        #expect(writer.run([0x1A, 0, 0x3F, 0, 255, 0]).data[2] & 0x80 == 0)
        #expect(writer.run(Make.write(0, 1), filled(1, 512)).isGood)
        // The one unit that both stand before tells both of its new size.
        rig.device.resize(to: 8 << 20)
        #expect(reader.run(Make.ready).failed(6, 0x2A09) && writer.run(Make.ready).failed(6, 0x2A09))
    }

    @Test func aNexusThatMayOnlyReadDoesNotProtectTheDiskFromOthers() throws {
        let rig = try Rig()
        let reader = rig.session(1, isReadOnly: true)
        var page = reader.run([0x1A, 0x08, 0x0A, 0, 255, 0]).data
        page[0] = 0
        page[2] = 0
        page[8] |= 0x08
        #expect(reader.run([0x15, 0x10, 0, 0, UInt8(page.count), 0], page).failed(7, 0x2700))
        #expect(rig.session(2).run(Make.write(0, 1), filled(1, 512)).isGood)
    }
}
