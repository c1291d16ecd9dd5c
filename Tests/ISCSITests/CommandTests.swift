import Primitives
import SCSI
import Testing

@testable import ISCSI

/// SCSI commands and their data, in all the ways that it may travel.
@Suite struct CommandTests {
    /// Made once: in a debug build a loop over millions of bytes takes longer than all that is tested.
    private static let disk: [UInt8] = (0..<(4 << 20) + 64).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

    private static func pattern(_ count: Int, _ seed: Int = 1) -> [UInt8] { Array(disk[seed..<seed + count]) }

    private static func fill(_ bench: Bench) -> [UInt8] {
        let bytes = Array(disk[..<(4 << 20)])
        bench.unit.state.withLock { $0.bytes = bytes }
        return bytes
    }

    @Test(
        arguments: [1, 8, 127, 128, 129, 512, 2048, 4096],
        ["512", "8192", "65536", "262144", "1000"])
    func aReadComesInPiecesThatTheInitiatorTakes(_ blocks: Int, _ segment: String) throws {
        let bench = Bench()
        let bytes = Self.fill(bench)
        let initiator = try bench.loggedIn([
            ("MaxRecvDataSegmentLength", segment), ("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C"),
        ])
        let done = try initiator.read(block: 3, count: blocks)
        #expect(done.status == 0 && done.flags == 0 && done.residual == 0)
        #expect(done.data == Array(bytes[1536..<1536 + blocks * 512]))
        #expect(done.dataPDUs >= (blocks * 512 + Int(segment)! - 1) / Int(segment)!)
    }

    @Test func dataInKeepsToTheBurst() throws {
        let bench = Bench()
        let bytes = Self.fill(bench)
        let initiator = try bench.loggedIn([("MaxRecvDataSegmentLength", "8192"), ("MaxBurstLength", "12288")])
        let pdu = initiator.command(TestInitiator.cdb(0x28, block: 0, count: 64), read: 32768)
        initiator.send(pdu)
        // 8192 and 4096 a burst; F at each burst's end; the status in the last.
        var shapes: [String] = []
        var data: [UInt8] = []
        while data.count < 32768 {
            let answer = try #require(initiator.receive())
            data += answer.data
            shapes.append(
                "\(answer.data.count)\(answer.flags & 0x80 != 0 ? "F" : "")\(answer.flags & 1 != 0 ? "S" : "")")
        }
        #expect(shapes == ["8192", "4096F", "8192", "4096F", "8192FS"])
        #expect(data == Array(bytes[..<32768]))
    }

    @Test(
        arguments: [
            // expected, flags, residual, data
            (512, UInt8(0), UInt32(0), 512), (1024, 0x02, 512, 512), (256, 0x04, 256, 256), (0, 0x04, 512, 0),
            (513, 0x02, 1, 512), (511, 0x04, 1, 511),
        ] as [(Int, UInt8, UInt32, Int)])
    func aReadTellsItsResidual(_ expected: Int, _ flags: UInt8, _ residual: UInt32, _ count: Int) throws {
        let done = try Bench().loggedIn().read(block: 0, count: 1, expected: expected)
        #expect(done.status == 0 && done.flags == flags && done.residual == residual && done.data.count == count)
    }

    @Test func aReadWithoutADirectionOverflows() throws {
        let initiator = try Bench().loggedIn()
        let pdu = initiator.command(TestInitiator.cdb(0x28, block: 0, count: 1))
        initiator.send(pdu)
        let done = try initiator.finish(pdu.tag)
        #expect(done.flags == 0x04 && done.residual == 512 && done.data.isEmpty)
    }

    @Test(arguments: [(1024, UInt8(0x02), UInt32(512)), (512, 0, 0), (256, 0x04, 256)] as [(Int, UInt8, UInt32)])
    func aWriteTellsItsResidual(_ expected: Int, _ flags: UInt8, _ residual: UInt32) throws {
        let initiator = try Bench().loggedIn()
        let pdu = initiator.command(
            TestInitiator.cdb(0x2a, block: 0, count: 1), write: expected, data: Self.pattern(expected))
        initiator.send(pdu)
        let done = try initiator.finish(pdu.tag)
        #expect(done.status == 0 && done.flags == flags && done.residual == residual)
    }

    /// How data of a write travels: immediate, unsolicited, the rest asked for, in PDUs of `piece`.
    @Test(
        arguments: [
            // length, immediate, unsolicited, MaxBurst, FirstBurst, piece
            (512, 512, 512, 262_144, 65_536, 8192), (4096, 0, 0, 262_144, 65_536, 8192),
            (65_536, 8192, 65_536, 262_144, 65_536, 8192), (65_536, 0, 65_536, 262_144, 65_536, 1000),
            (262_144, 8192, 8192, 262_144, 65_536, 65_536), (262_144, 0, 16_384, 16_384, 16_384, 4096),
            (1_048_576, 65_536, 65_536, 1_048_576, 262_144, 262_144), (10_240, 1024, 3072, 512, 8192, 512),
            (1_048_576, 0, 0, 512, 512, 512), (131_072, 512, 1024, 1024, 1024, 300),
        ] as [(Int, Int, Int, Int, Int, Int)], [false, true])
    func aWriteArrivesWhole(_ shape: (Int, Int, Int, Int, Int, Int), _ digests: Bool) throws {
        let (length, _, _, maxBurst, firstBurst, piece) = shape
        // No more than a burst may come unasked.
        let unsolicited = min(shape.2, maxBurst, firstBurst)
        let immediate = min(shape.1, unsolicited)
        let bench = Bench()
        let digest = digests ? "CRC32C" : "None"
        let initiator = try bench.loggedIn([
            ("InitialR2T", "No"), ("ImmediateData", "Yes"), ("MaxBurstLength", String(maxBurst)),
            ("FirstBurstLength", String(firstBurst)), ("HeaderDigest", digest), ("DataDigest", digest),
        ])
        let data = Self.pattern(length, 7)
        let (done, r2ts) = try initiator.write(
            block: 8, data, immediate: immediate, unsolicited: unsolicited, piece: piece)
        #expect(done.status == 0 && done.flags == 0)
        #expect(r2ts.allSatisfy { $0 <= maxBurst })
        #expect(r2ts.reduce(0, +) == length - unsolicited)
        #expect(bench.unit.state.withLock { Array($0.bytes[4096..<4096 + length]) } == data)
        #expect(initiator.memory.connection.solicitedBytes == 0)
        #expect(initiator.memory.connection.tasks.isEmpty)
    }

    @Test func manyWritesAskInTurnWhenMemoryIsShort() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        // Three of 8 MiB: two fit at once.
        let length = 8 << 20
        let tags = (0..<3).map { _ in
            let pdu = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 1), write: length)
            initiator.send(pdu)
            return pdu.tag
        }
        let r2ts = (0..<2).compactMap { _ in initiator.receive() }
        #expect(r2ts.map(\.tag) == Array(tags[..<2]))
        #expect(initiator.receive() == nil)
        // The first is aborted: the third is asked.
        initiator.send(initiator.management(1, referenced: tags[0]))
        let answers = (0..<2).compactMap { _ in initiator.receive() }
        #expect(Set(answers.map(\.opcode)) == [0x31, 0x22])
        #expect(answers.first { $0.opcode == 0x31 }?.tag == tags[2])
    }

    @Test func unexpectedAndOverlongDataEndTheCommandOnly() throws {
        let initiator = try Bench().loggedIn([("ImmediateData", "No"), ("FirstBurstLength", "512")])
        var pdu = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 1), write: 512, data: Self.pattern(512))
        initiator.send(pdu)
        #expect(try initiator.finish(pdu.tag).sense[12...13] == [0x0c, 0x0c])
        pdu = initiator.command([0], data: [1, 2, 3, 4])
        initiator.send(pdu)
        #expect(try initiator.finish(pdu.tag).sense[12...13] == [0x0c, 0x0c])

        let other = try Bench().loggedIn([("FirstBurstLength", "512")])
        pdu = other.command(TestInitiator.cdb(0x2a, block: 0, count: 2), write: 1024, data: Self.pattern(1024))
        other.send(pdu)
        #expect(try other.finish(pdu.tag).sense[12...13] == [0x0c, 0x0d])
        #expect(other.testUnitReady()?.header[3] == 0)
    }

    @Test func aWriteLongerThanAnyIsRefusedBeforeMemoryIsTaken() throws {
        let initiator = try Bench().loggedIn()
        let pdu = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 1), write: 0xffff_fff0)
        initiator.send(pdu)
        #expect(try initiator.finish(pdu.tag).sense[12...13] == [0x24, 0x00])
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    enum Wrong: CaseIterable { case offset, transferTag, tooLong, noFinal, gapped, unknownTask, tooEarly }

    @Test(arguments: Wrong.allCases)
    func wrongDataOutEndsTheConnectionWithAReject(_ wrong: Wrong) throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        let pdu = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 4), write: 2048)
        initiator.send(pdu)
        let r2t = try #require(initiator.receive())
        var data = initiator.dataOut(
            pdu.tag, transferTag: r2t.transferTag, number: 0, offset: 0, Self.pattern(1024), final: false)
        switch wrong {
        case .offset: data.put(512, 40)
        case .gapped: data.put(0xffff_fe00, 40)
        case .transferTag: data.put(r2t.transferTag &+ 1, 20)
        case .tooLong: data.data = Self.pattern(2049)
        case .noFinal: data.data = Self.pattern(2048)
        case .unknownTask: data.put(0x999, 16)
        case .tooEarly: data.put(reservedTag, 20)
        }
        initiator.send(data)
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x3f && answer.header[2] == 0x04)
        #expect(answer.data.count == 48 && answer.data[0] == 0x05)
        #expect(initiator.memory.isEnded)
        #expect(!bench.unit.isAttached)
        #expect(bench.unit.executedCount == 0)
    }

    /// As libiscsi's test suite asks: the command fails, its data is nowhere, and the session goes on.
    @Test(arguments: [[0, 0], [27, 1], [0xffff_ffff, 1], [1, 0]] as [[UInt32]], [false, true])
    func wrongDataNumbersFailTheCommand(_ numbers: [UInt32], _ isUnsolicited: Bool) throws {
        let bench = Bench()
        let initiator = try bench.loggedIn([("InitialR2T", "No")])
        let pdu = initiator.command(
            TestInitiator.cdb(0x2a, block: 0, count: 2), write: 1024, final: !isUnsolicited)
        initiator.send(pdu)
        let transferTag = isUnsolicited ? reservedTag : try #require(initiator.receive()).transferTag
        for (index, number) in numbers.enumerated() {
            initiator.send(
                initiator.dataOut(
                    pdu.tag, transferTag: transferTag, number: number, offset: index * 512, Self.pattern(512),
                    final: index == 1))
        }
        let done = try initiator.finish(pdu.tag)
        #expect(done.status == 2 && done.sense[2] == 0x0b && Array(done.sense[12...13]) == [0x47, 0x05])
        #expect(bench.unit.executedCount == 0 && initiator.memory.connection.solicitedBytes == 0)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test func unsolicitedDataWithoutLeaveEndsTheConnection() throws {
        let initiator = try Bench().loggedIn([("InitialR2T", "Yes")])
        initiator.send(initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 4), write: 2048, final: false))
        #expect(initiator.receive()?.opcode == 0x3f)
        #expect(initiator.memory.isEnded)
    }

    @Test func aSequenceThatEndsEarlyIsAskedToGoOn() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn()
        let bytes = Self.pattern(2048)
        let pdu = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 4), write: 2048)
        initiator.send(pdu)
        let first = try #require(initiator.receive())
        initiator.send(
            initiator.dataOut(pdu.tag, transferTag: first.transferTag, number: 0, offset: 0, bytes[..<700], final: true)
        )
        let second = try #require(initiator.receive())
        #expect(second.opcode == 0x31 && second.offset == 700 && second.residual == 1348 && second.number == 1)
        initiator.send(
            initiator.dataOut(
                pdu.tag, transferTag: second.transferTag, number: 0, offset: 700, bytes[700...], final: true))
        #expect(try initiator.finish(pdu.tag).status == 0)
        #expect(bench.unit.state.withLock { Array($0.bytes[..<2048]) } == bytes)
    }

    @Test(arguments: [false, true])
    func commandsThatTakeTheirTimeAnswerInTheirOwnOrder(_ reservesLate: Bool) throws {
        let bench = Bench()
        let bytes = Self.fill(bench)
        let initiator = try bench.loggedIn([("MaxRecvDataSegmentLength", "65536")])
        bench.unit.state.withLock {
            $0.holds = true
            $0.reservesLate = reservesLate
        }
        let slow = (0..<3).map { index in
            let pdu = initiator.command(TestInitiator.cdb(0x28, block: index * 8, count: 8), read: 4096)
            initiator.send(pdu)
            return pdu.tag
        }
        bench.unit.state.withLock { $0.holds = false }
        // Others overtake, and lay their data where it disturbs nobody's.
        for index in 0..<5 {
            let done = try initiator.read(block: 100 + index, count: 16)
            #expect(done.data == Array(bytes[(100 + index) * 512..<(116 + index) * 512]))
        }
        bench.unit.release()
        bench.settle()
        for (index, tag) in slow.enumerated() {
            let done = try initiator.finish(tag)
            #expect(done.status == 0)
            #expect(done.data == Array(bytes[index * 4096..<index * 4096 + 4096]))
        }
        #expect(initiator.memory.connection.executingCount == 0)
    }

    @Test func checkConditionCarriesItsSense() throws {
        let initiator = try Bench().loggedIn()
        let pdu = initiator.command([0xee], read: 512)
        initiator.send(pdu)
        let done = try initiator.finish(pdu.tag)
        #expect(done.status == 2 && done.flags == 0x02 && done.residual == 512)
        #expect(done.sense == Sense.fixed(key: 5, 0x20, 0))
    }

    @Test func statusNumbersHaveNoGap() throws {
        let initiator = try Bench().loggedIn([("MaxRecvDataSegmentLength", "512")])
        var expected = initiator.expectedStatus
        for round in 0..<6 {
            if round % 2 == 0 {
                #expect(initiator.testUnitReady()?.statusNumber == expected)
            } else {
                let pdu = initiator.command(TestInitiator.cdb(0x28, block: 0, count: 2), read: 1024)
                initiator.send(pdu)
                #expect(initiator.receive()?.flags == 0x00)
                #expect(initiator.receive()?.statusNumber == expected)
            }
            expected &+= 1
        }
    }

    @Test func whereNoUnitIsStandardAnswersCome() throws {
        let initiator = try Bench().loggedIn()
        var pdu = initiator.command([0x12, 0, 0, 0, 96, 0], read: 96, lun: 5)
        initiator.send(pdu)
        var done = try initiator.finish(pdu.tag)
        #expect(done.data.first == 0x7f && done.data.count == 36 && done.residual == 60)
        pdu = initiator.command([0], lun: 5)
        initiator.send(pdu)
        done = try initiator.finish(pdu.tag)
        #expect(done.status == 2 && Array(done.sense[12...13]) == [0x25, 0])
        pdu = initiator.command([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0], read: 64, lun: 5)
        initiator.send(pdu)
        done = try initiator.finish(pdu.tag)
        #expect(done.data == [0, 0, 0, 8, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8))
        pdu = initiator.command([0x03, 0, 0, 0, 18, 0], read: 18, lun: 5)
        initiator.send(pdu)
        done = try initiator.finish(pdu.tag)
        #expect(done.status == 0 && Array(done.data[12...13]) == [0x25, 0])
    }

    @Test(
        arguments: [
            (UInt64(0), 0), (0x0005_0000_0000_0000, 5), (0x4005_0000_0000_0000, 5), (0x4105_0000_0000_0000, 0x105),
            (0x0105_0000_0000_0000, nil), (0xc101_0000_0000_0000, nil), (0x0005_0000_0000_0001, nil),
        ] as [(UInt64, Int?)])
    func lunsAreOfOneLevel(_ lun: UInt64, _ number: Int?) {
        #expect(Connection.unitNumber(lun) == number)
    }

    @Test func aTagThatIsInUseIsRefused() throws {
        let initiator = try Bench().loggedIn()
        let pdu = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 1), write: 512)
        initiator.send(pdu)
        #expect(initiator.receive()?.opcode == 0x31)
        var again = initiator.command([0])
        again.put(pdu.tag, 16)
        initiator.send(again)
        let answer = try #require(initiator.receive())
        #expect(answer.opcode == 0x3f && answer.header[2] == 0x07)
        #expect(initiator.testUnitReady()?.header[3] == 0)
    }

    @Test(arguments: [1, 7, 48, 53, 1000])
    func pdusThatArriveInPiecesAreTheSame(_ piece: Int) throws {
        let bench = Bench()
        let initiator = try bench.loggedIn([("HeaderDigest", "CRC32C"), ("DataDigest", "CRC32C")])
        initiator.memory.pieceMax = piece
        let data = Self.pattern(8192)
        let (done, _) = try initiator.write(block: 0, data, immediate: 1024, unsolicited: 1024, piece: 1000)
        #expect(done.status == 0)
        #expect(try initiator.read(block: 0, count: 16).data == data)
    }

    @Test func longPDUsInABufferThatIsNearlyFullFit() throws {
        let bench = Bench()
        let initiator = try bench.loggedIn([("MaxBurstLength", "1048576"), ("FirstBurstLength", "262144")])
        for round in 0..<6 {
            let data = Self.pattern(262_144, round)
            // The command's own length shifts each PDU within the buffer.
            let pdu = initiator.command(TestInitiator.cdb(0x2a, block: 0, count: 512), write: data.count, data: data)
            let small = initiator.command([0])
            initiator.wire.send(pdu.encoded() + small.encoded())
            #expect(try initiator.finish(pdu.tag).status == 0)
            #expect(initiator.receive()?.header[3] == 0)
            #expect(bench.unit.state.withLock { $0.bytes[..<262_144].elementsEqual(data) })
        }
    }
}
