import BlockDevices
import SCSI
import Testing

/// Parameter lists of EXTENDED COPY.
private struct List {
    var identifier: UInt8 = 1
    var usage: UInt8 = 0
    var targets: [[UInt8]]
    var segments: [[UInt8]]

    var bytes: [UInt8] {
        let targets = targets.flatMap { $0 }
        let segments = segments.flatMap { $0 }
        return [identifier, usage << 3] + be(UInt16(targets.count)) + filled(0, 4) + be(UInt32(segments.count))
            + filled(0, 4) + targets + segments
    }

    static func blocks(_ source: UInt64, _ target: UInt64, _ count: UInt16, from: UInt16 = 0, to: UInt16 = 0) -> [UInt8]
    {
        [0x02, 0] + be(UInt16(24)) + be(from) + be(to) + [0, 0] + be(count) + be(source) + be(target)
    }

    static func bytes(_ source: UInt64, _ target: UInt64, _ count: UInt32, offset: UInt16 = 0) -> [UInt8] {
        [0x0A, 0] + be(UInt16(28)) + be(UInt16(0)) + be(UInt16(0)) + be(count) + be(source) + be(target) + be(offset)
            + be(UInt16(0))
    }
}

extension Session {
    fileprivate func copy(_ list: List, cut: Int? = nil) -> Outcome {
        let bytes = Array(list.bytes.prefix(cut ?? .max))
        return run([0x83] + filled(0, 9) + be(UInt32(bytes.count)) + [0, 0], bytes)
    }

    fileprivate func status(_ identifier: UInt8, _ allocation: UInt32 = 100) -> Outcome {
        run([0x84, 0x00, identifier] + filled(0, 7) + be(allocation) + [0, 0])
    }

    /// The CSCD descriptor that names this disk, made of what VPD page 83h says.
    fileprivate var itself: [UInt8] {
        let page = run(Make.inquiry(0x83)).data
        let designator = Array(page[4..<8 + Int(page[7])])
        return [0xE4, 0, 0, 0] + designator + filled(0, 24 - designator.count) + [0, 0, 2, 0]
    }
}

@Suite struct CopyTests {
    /// An abort, a reset, a detach wait for the end of what runs: a copy of gibibytes must not keep them for minutes.
    @Test func whatWasGivenUpDoesNotGoOn() throws {
        let rig = try Rig(BlockGeometry(byteCount: 16 << 20))
        let session = rig.session()
        #expect(session.run(Make.write(0, 8), filled(7, 4096)).isGood)
        let list = List(targets: [session.itself], segments: [List.blocks(0, 20_000, 8)])
        let cdb = [0x83] + filled(0, 9) + be(UInt32(list.bytes.count)) + [0, 0]
        #expect(!session.start(cdb, list.bytes, isGivenUp: true).wait().isGood)
        #expect(session.run(Make.read(20_000, 8)).data == filled(0, 4096))
        // WRITE SAME of two mebibytes ends behind its first step.
        _ = session.start(Make.sixteen(0x93, 8192, 4096), filled(7, 512), isGivenUp: true).wait()
        #expect(session.run(Make.read(8192 + 2047, 1)).data == filled(7, 512))
        #expect(session.run(Make.read(8192 + 2048, 1)).data == filled(0, 512))
    }

    @Test func blocksAreCopied() throws {
        let rig = try Rig(BlockGeometry(byteCount: 16 << 20))
        let session = rig.session()
        let data = (0..<3000 * 512).map { UInt8(truncatingIfNeeded: $0 % 241) }
        #expect(session.run(Make.write(5, 3000), data).isGood)
        let list = List(
            targets: [session.itself], segments: [List.blocks(5, 20_000, 3000), List.blocks(20_000, 10_000, 7)])
        let outcome = session.copy(list)
        #expect(outcome.isGood && outcome.response.dataOutCount == list.bytes.count)
        #expect(session.run(Make.read(20_000, 3000)).data == data)
        #expect(session.run(Make.read(10_000, 8)).data == Array(data.prefix(3584)) + filled(0, 512))
        let status = session.status(1)
        #expect(status.data == be(UInt32(8)) + [1] + be(UInt16(2)) + [0] + be(UInt32(3007 * 512)))
        // Told once.
        #expect(session.status(1).failed(5, 0x2400))
    }

    @Test func bytesAreCopiedInWholeBlocks() throws {
        let session = try Rig().session()
        #expect(session.run(Make.write(0, 4), filled(6, 2048)).isGood)
        #expect(session.copy(List(targets: [session.itself], segments: [List.bytes(0, 100, 2048)])).isGood)
        #expect(session.run(Make.read(100, 4)).data == filled(6, 2048))
        #expect(session.copy(List(targets: [session.itself], segments: [List.bytes(0, 100, 100)])).failed(0xA, 0))
        #expect(
            session.copy(List(targets: [session.itself], segments: [List.bytes(0, 100, 512, offset: 8)])).failed(0xA, 0)
        )
    }

    @Test(arguments: [(0, 700), (700, 0), (0, 1), (1, 0), (9, 9)] as [(UInt64, UInt64)])
    func aCopyOntoItselfArrivesAsItWas(_ from: UInt64, _ to: UInt64) throws {
        let session = try Rig(BlockGeometry(byteCount: 16 << 20)).session()
        let data = (0..<5000 * 512).map { UInt8(truncatingIfNeeded: $0 % 239 + 1) }
        #expect(session.run(Make.write(from, 5000), data).isGood)
        #expect(session.copy(List(targets: [session.itself], segments: [List.blocks(from, to, 5000)])).isGood)
        #expect(session.run(Make.read(to, 5000)).data == data)
    }

    @Test func holesStayHoles() throws {
        let rig = try Rig(BlockGeometry(byteCount: 16 << 20))
        let session = rig.session()
        #expect(session.copy(List(targets: [session.itself], segments: [List.blocks(0, 16_384, 16_384)])).isGood)
        #expect(rig.device.space?.used == 0)
    }

    @Test func aListIsCheckedInTheOrderClientsExpect() throws {
        let rig = try Rig()
        let session = rig.session()
        let itself = session.itself
        let segment = List.blocks(0, 4096, 1)
        let whole = List(targets: [itself], segments: [segment])
        #expect(session.run([0x83] + filled(0, 15)).isGood)
        #expect(session.copy(whole, cut: 15).failed(5, 0x1A00))
        #expect(session.copy(whole, cut: 16 + 31).failed(5, 0x1A00))
        #expect(session.copy(whole, cut: 16 + 32 + 27).failed(5, 0x1A00))
        #expect(session.copy(List(targets: Array(repeating: itself, count: 9), segments: [segment])).failed(5, 0x2606))
        #expect(session.copy(List(targets: [itself], segments: Array(repeating: segment, count: 17))).failed(5, 0x2608))
        #expect(
            session.copy(
                List(targets: Array(repeating: itself, count: 9), segments: Array(repeating: segment, count: 27))
            )
            .failed(5, 0x1A00))
        var foreign = itself
        foreign[0] = 0xE0
        #expect(session.copy(List(targets: [foreign], segments: [segment])).failed(5, 0x2607))
        #expect(session.copy(List(targets: [itself], segments: [[0x03, 0, 0, 4, 0, 0, 0, 0]])).failed(5, 0x2609))
        var inline = whole.bytes
        inline[15] = 1
        #expect(session.run([0x83] + filled(0, 9) + be(UInt32(inline.count)) + [0, 0], inline).failed(5, 0x260B))
        #expect(session.run([0x83] + filled(0, 9) + be(UInt32.max) + [0, 0], inline).failed(5, 0x1A00))
        #expect(session.copy(List(usage: 1, targets: [itself], segments: [segment])).failed(5, 0x2600))
        #expect(session.copy(List(usage: 3, targets: [itself], segments: [segment])).failed(5, 0x2600))
        #expect(session.copy(List(identifier: 0, usage: 3, targets: [itself], segments: [segment])).isGood)
        #expect(rig.device.counts.writes == 0)
        // What SPC-4 ignores: the LU ID TYPE.
        var typed = itself
        typed[1] = 0xC0
        #expect(session.copy(List(targets: [typed], segments: [segment])).isGood)
    }

    @Test func whatCannotBeReachedAbortsTheCopy() throws {
        let rig = try Rig()
        let session = rig.session()
        let itself = session.itself
        #expect(session.copy(List(targets: [itself], segments: [List.blocks(0, 8, 1, to: 1)])).failed(0xA, 0x0804))
        var other = itself
        other[12] ^= 1
        #expect(
            session.copy(List(targets: [itself, other], segments: [List.blocks(0, 8, 1, to: 1)])).failed(0xA, 0x0804))
        #expect(session.copy(List(targets: [itself], segments: [List.blocks(0, 8191, 2)])).failed(0xA, 0))
        #expect(session.copy(List(targets: [itself], segments: [List.blocks(.max, 0, 2)])).failed(0xA, 0))
        #expect(session.status(1).data[4] == 2)
        rig.device.spoil(0)
        #expect(session.copy(List(targets: [itself], segments: [List.blocks(0, 8, 1)])).failed(0xA, 0))
        rig.device.limit(to: 4096)
        #expect(session.run(Make.write(0, 8), filled(1, 4096)).isGood)
        #expect(session.copy(List(targets: [itself], segments: [List.blocks(0, 80, 8)])).failed(7, 0x2707))
    }

    @Test func resultsAreKeptAsTheListSaysAndForTheNexusThatAsked() throws {
        let rig = try Rig()
        let (one, two) = (rig.session(1), rig.session(2))
        let itself = one.itself
        let segments = [List.blocks(0, 8, 1)]
        #expect(one.status(1).failed(5, 0x2400))
        #expect(one.copy(List(identifier: 1, usage: 2, targets: [itself], segments: segments)).isGood)
        #expect(one.status(1).failed(5, 0x2400))
        #expect(one.copy(List(identifier: 7, usage: 0, targets: [itself], segments: segments)).isGood)
        #expect(two.status(7).failed(5, 0x2400))
        #expect(one.status(7, 4).data.count == 4)
        #expect(one.status(7).isGood)
        for identifier in UInt8(1)...40 {
            #expect(one.copy(List(identifier: identifier, targets: [itself], segments: segments)).isGood)
        }
        #expect((1...40).filter { one.status($0).isGood }.count == 16)
    }

    @Test func theLimitsThatAreToldAreThoseThatHold() throws {
        let session = try Rig().session()
        let outcome = session.run([0x84, 0x03] + filled(0, 8) + be(UInt32(1024)) + [0, 0])
        #expect(outcome.number(0, 4) == UInt64(outcome.data.count - 4))
        #expect(outcome.number(8, 2) == 8 && outcome.number(10, 2) == 16 && outcome.number(12, 4) == 1024)
        #expect(outcome.data[43] == 3 && outcome.data[44...].elementsEqual([0x02, 0x0A, 0xE4]))
        let page = session.run(Make.inquiry(0x8F, 1024)).data
        var at = 4
        var codes: [UInt16] = []
        while at < page.count {
            codes.append(UInt16(page[at]) << 8 | UInt16(page[at + 1]))
            let length = Int(page[at + 2]) << 8 | Int(page[at + 3])
            #expect(length % 4 == 0)
            at += 4 + length
        }
        #expect(at == page.count && codes == [0x0001, 0x0004, 0x0008, 0x8001])
        // RECEIVE COPY RESULTS with COPY STATUS among the supported commands.
        #expect(page[8..<16].elementsEqual([0x07, 0x83, 0x01, 0x00, 0x84, 0x02, 0x00, 0x03]))
    }

    @Test func aLongCopyLeavesThePoolFreeWhileItWaits() throws {
        let rig = try Rig(BlockGeometry(byteCount: 16 << 20))
        let session = rig.session()
        #expect(session.run(Make.write(0, 8192), filled(3, 4 << 20)).isGood)
        rig.device.complete(.heldBack)
        let list = List(targets: [session.itself], segments: [List.blocks(0, 16_384, 8192)])
        let copies = (0..<4).map { _ in
            session.start([0x83] + filled(0, 9) + be(UInt32(list.bytes.count)) + [0, 0], list.bytes)
        }
        rig.device.cache(false)
        #expect(session.run(Make.read(0, 1)).data == filled(3, 512))
        while !copies.allSatisfy(\.isDone) { rig.device.release() }
        #expect(copies.allSatisfy { $0.wait().isGood })
        #expect(session.run(Make.read(16_384, 8192)).data == filled(3, 4 << 20))
    }
}
