import BlockDevices
import Foundation
import Primitives
import SCSI
import Testing

/// Commands that no initiator would send: whatever comes, there is one answer, and it is well formed.
@Suite struct FuzzTests {
    private static let known: [UInt8] = [
        0x00, 0x03, 0x12, 0x1B, 0xA0, 0xA3, 0x25, 0x9E, 0x37, 0xB7, 0x08, 0x28, 0xA8, 0x88, 0x0A, 0x2A, 0xAA, 0x8A,
        0x9C,
        0x2E, 0xAE, 0x8E, 0x2F, 0xAF, 0x8F, 0x41, 0x93, 0x42, 0x89, 0x8B, 0x35, 0x91, 0x34, 0x90, 0x15, 0x55, 0x1A,
        0x5A,
        0x4D, 0x5E, 0x5F, 0x16, 0x17, 0x56, 0x57, 0x83, 0x84,
    ]

    @Test func noCommandTrapsAndEveryAnswerIsWellFormed() throws {
        let given = ProcessInfo.processInfo.environment["SEED"].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: 0...UInt64.max)
        print("fuzz seed \(seed)")
        var random = SplitMix64(seed: seed)
        let perRig = 2000
        for _ in 0..<10 * Rig.scale {
            let isLarge = random.below(2) == 0
            let rig = try Rig(
                BlockGeometry(
                    byteCount: isLarge ? 10 << 40 : 1 << 20, logicalBlockBytes: random.below(2) == 0 ? 512 : 4096,
                    transferBytesMax: 1 << 20, unmapRangesMax: 16, isThin: random.below(4) != 0,
                    hasWriteCache: random.below(2) == 0, isReadOnly: random.below(8) == 0))
            // A device without walls would let a few of these fill the machine.
            rig.device.limit(to: 16 << 20)
            let aborts = PosixLocked(0)
            let sessions = (1...3).map { number in
                rig.session(UInt64(number), port: UInt16(number)) { done in
                    aborts.withLock { $0 += 1 }
                    done()
                }
            }
            for _ in 0..<perRig { try one(rig, sessions[random.below(3)], &random, seed) }
            if random.below(2) == 0 { rig.device.resize(to: 1 << 20) }
        }
    }

    private func one(_ rig: Rig, _ session: Session, _ random: inout SplitMix64, _ seed: UInt64) throws {
        let cdb = command(&random)
        let data = parameters(cdb, &random)
        if random.below(64) == 0 { rig.device.failNext(.allCases[random.below(7)], with: .overloaded) }
        if random.below(256) == 0 { session.nexus.resetLogicalUnit() }
        rig.device.cache(random.below(4) != 0)
        let lun: UInt64 = random.below(32) == 0 ? random.next() : 0
        let outcome = session.run(cdb, data, expects: random.below(1 << 20), lun: lun)
        let text = "seed \(seed): \(cdb.map { String($0, radix: 16) }) with \(data.count) bytes: \(outcome.response)"
        switch outcome.status {
        case .checkCondition:
            let sense = outcome.response.sense
            let isFixed = sense.first.map { $0 & 0x7F } == 0x70
            try #require(sense.count >= 8 && (isFixed || sense[0] == 0x72), "\(text)")
            try #require(Int(sense[7]) == sense.count - 8 && outcome.sense?.key != 0, "\(text)")
            try #require(outcome.data.isEmpty, "\(text)")
        case .good, .busy, .reservationConflict:
            try #require(outcome.response.sense.isEmpty, "\(text)")
        default: Issue.record("\(text)")
        }
        try #require(outcome.response.dataInCount >= 0 && outcome.response.dataOutCount >= 0, "\(text)")
        try #require(outcome.response.dataOutCount <= 16 << 20, "\(text)")
        // Memory that is not written would show what another had there. Only data of the disk itself may look like it.
        if outcome.isGood, ![0x08, 0x28, 0x88, 0xA8].contains(cdb[0]) {
            try #require(!outcome.data.contains(0xDB) || outcome.data.contains { $0 != 0xDB }, "\(text)")
        }
    }

    private func command(_ random: inout SplitMix64) -> [UInt8] {
        let code =
            random.below(16) == 0
            ? UInt8(truncatingIfNeeded: random.next()) : Self.known[random.below(Self.known.count)]
        let length = random.below(64) == 0 ? random.below(17) : random.below(4) == 0 ? 16 : 6 + random.below(11)
        var cdb = (0..<max(1, length)).map { index -> UInt8 in
            // Mostly small values, so that many commands get far.
            switch random.below(8) {
            case 0: UInt8(truncatingIfNeeded: random.next())
            case 1: 0xFF
            case 2: UInt8(random.below(32))
            default: 0
            }
        }
        cdb[0] = code
        if random.below(2) == 0, cdb.count >= 2 { cdb[1] &= 0x1F }
        // The service actions that there are, and no NACA, more often than chance would have it.
        if [0x9E, 0xA3, 0x5E, 0x5F, 0x83, 0x84].contains(code), random.below(4) != 0, cdb.count >= 2 {
            let actions: [UInt8] = [0, 1, 2, 3, 4, 5, 6, 7, 0x0C, 0x0D, 0x10, 0x12]
            cdb[1] = actions[random.below(actions.count)]
        }
        if random.below(4) != 0, let last = cdb.indices.last, last > 0 { cdb[last] = 0 }
        return cdb
    }

    /// Data-out of a length that some command may want, of bytes that are often zero.
    private func parameters(_ cdb: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
        let lengths = [0, 0, 4, 8, 12, 16, 24, 24, 28, 32, 76, 108, 200, 255, 512, 1024, 4096, 8192, 65_536]
        let count = lengths[random.below(lengths.count)]
        guard count <= 256 else { return filled(UInt8(random.below(3)), count) }
        return (0..<count).map { _ in
            switch random.below(6) {
            case 0: UInt8(truncatingIfNeeded: random.next())
            case 1: [0x02, 0x0A, 0xE4, 0x45, 0x08, 0x10, 0x18, 0xFF][random.below(8)]
            default: 0
            }
        }
    }

    @Test func parameterListsThatAreAlmostRightAreTakenApartSafely() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("list fuzz seed \(seed)")
        var random = SplitMix64(seed: seed)
        let rig = try Rig()
        let sessions = [rig.session(1), rig.session(2, port: 2)]
        let text = Array("iqn.2026-01.test:host2,i,0x800000000002".utf8) + [0]
        let id: [UInt8] = [0x45, 0] + be(UInt16(text.count)) + text
        let page = sessions[0].run(Make.inquiry(0x83)).data
        let itself = [0xE4, 0, 0, 0] + page[4..<16] + filled(0, 12) + [0, 0, 2, 0]
        let segment = [0x02, 0] + be(UInt16(24)) + filled(0, 6) + be(UInt16(1)) + be(UInt64(0)) + be(UInt64(8))
        let copy =
            [1, 0] + be(UInt16(itself.count)) + filled(0, 4) + be(UInt32(segment.count)) + filled(0, 4) + itself
            + segment
        let mode = Array(sessions[0].run([0x1A, 8, 0x3F, 0, 255, 0]).data)
        let seeds: [(cdb: (Int) -> [UInt8], list: [UInt8])] = [
            (
                { Make.reserveOut(0x00, length: UInt32($0)) },
                Make.reserveList(0, 5, flags: 0x0D) + be(UInt32(id.count)) + id
            ),
            (
                { Make.reserveOut(0x07, length: UInt32($0)) },
                be(UInt64(5)) + be(UInt64(6)) + [0, 3, 0, 2] + be(UInt32(id.count)) + id
            ),
            ({ Make.reserveOut(0x06, length: UInt32($0)) }, Make.reserveList(0, 5)),
            ({ [0x42, 0, 0, 0, 0, 0, 0] + be(UInt16($0)) + [0] }, Make.unmap([(0, 8), (16, 8)]).list),
            ({ [0x15, 0x10, 0, 0, UInt8(truncatingIfNeeded: $0), 0] }, mode),
            ({ [0x83] + filled(0, 9) + be(UInt32($0)) + [0, 0] }, copy),
        ]
        for _ in 0..<4000 * Rig.scale {
            let (cdb, list) = seeds[random.below(seeds.count)]
            var changed = list
            for _ in 0..<random.below(4) {
                changed[random.below(changed.count)] = UInt8(
                    truncatingIfNeeded: random.next() >> UInt64(random.below(8)))
            }
            if random.below(4) == 0 { changed.removeLast(random.below(changed.count)) }
            if random.below(8) == 0 { changed += filled(0, random.below(64)) }
            let outcome = sessions[random.below(2)].run(cdb(changed.count), changed)
            #expect([.good, .checkCondition, .reservationConflict].contains(outcome.status))
        }
    }

    @Test func manySessionsAtOnceDoNotDisturbEachOther() throws {
        let rig = try Rig(BlockGeometry(byteCount: 8 << 20))
        let ends = (0..<4).map { _ in CompletionWaiter() }
        let faults = PosixLocked<[String]>([])
        for (index, end) in ends.enumerated() {
            startThread(name: "session-\(index)") {
                var random = SplitMix64(seed: UInt64(index))
                for round in 0..<100 {
                    let session = rig.session(UInt64(index), port: UInt16(index + 1))
                    let lba = UInt64(index * 4096 + random.below(4000))
                    let data = filled(UInt8(round + 1), 512 * 8)
                    _ = session.run(Make.reserveOut(0x06), Make.reserveList(0, UInt64(index + 1)))
                    // Another's reset or new size may come in between: once more, then.
                    while !session.run(Make.write(lba, 8), data).isGood {}
                    var read = session.run(Make.read(lba, 8))
                    while !read.isGood { read = session.run(Make.read(lba, 8)) }
                    if read.data != data { faults.withLock { $0.append("session \(index) round \(round)") } }
                    if round % 25 == 24 { session.nexus.resetLogicalUnit() }
                    session.nexus.detach()
                }
                end.completion(.success(()))
            }
        }
        for end in ends { _ = end.wait() }
        #expect(faults.withLock { $0 }.isEmpty)
        #expect(rig.unit.nexusCount == 0)
    }
}
