import Glibc
import Primitives
import SCSI
import Testing

@testable import ISCSI

/// Random and mutated PDUs at a connection's state machine: whatever comes, it answers well-formed PDUs or ends, its books
/// balance, and the target goes on serving others.
///
/// `SEED=n` replays, `APUS_TORTURE=n` runs n times as many.
@Suite struct FuzzTests {
    private struct Generator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
            return z ^ z >> 31
        }
        mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
        mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
        mutating func pick<T>(_ values: [T]) -> T { values[below(values.count)] }
        mutating func bytes(_ count: Int) -> [UInt8] {
            // What long data holds is looked at by nobody, and costs much to make.
            if count > 128 { return [UInt8](repeating: UInt8(truncatingIfNeeded: next()), count: count) }
            return (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
        }
    }

    private static func environment(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    @Test func noInputBreaksTheTarget() throws {
        let seed = Self.environment("SEED") ?? SystemRandomNumberGenerator().pick()
        let inputs = 20_000 * Int(Self.environment("APUS_TORTURE") ?? 1)
        print("iSCSI fuzzer: SEED=\(seed), \(inputs) inputs")
        var random = Generator(state: seed)
        let bench = Bench { $0.keepaliveMilliseconds = 1 << 40 }
        let guarded = Bench(account: Names.account)
        var session: TestInitiator?
        var rejects: UInt64 = 0
        var sessions = 0
        for input in 0..<inputs {
            if random.chance(15) {
                // Before the login: a connection for each input.
                let victim = (random.chance(50) ? bench : guarded).connect(from: "192.0.2.\(input % 251)")
                for _ in 0...random.below(4) { Self.feedLogin(victim, &random) }
                victim.memory.connection.abandon()
                _ = victim.memory.connection.leave()
                bench.wires.removeAll { $0.isEnded && $0 !== session?.memory }
                guarded.wires.removeAll { $0.isEnded }
                continue
            }
            let victim: TestInitiator
            if let known = session, !known.memory.isEnded {
                victim = known
            } else {
                bench.unit.release()
                bench.settle()
                bench.wires.removeAll { $0.isEnded && $0.connection.executingCount == 0 }
                victim = bench.connect(from: "10.0.0.\(input % 251)")
                victim.isid = UInt64(sessions)
                sessions += 1
                try victim.logIn([
                    ("InitialR2T", random.pick(["Yes", "No"])), ("ImmediateData", random.pick(["Yes", "No"])),
                    ("MaxBurstLength", random.pick(["512", "8192", "262144"])),
                    ("FirstBurstLength", random.pick(["512", "8192", "65536"])),
                    ("MaxRecvDataSegmentLength", random.pick(["512", "8192", "262144"])),
                    ("HeaderDigest", random.pick(["None", "None", "CRC32C"])),
                    ("DataDigest", random.pick(["None", "None", "CRC32C"])),
                ])
                session = victim
            }
            Self.feed(victim, &random)
            if random.chance(10) { bench.unit.state.withLock { $0.holds.toggle() } }
            if random.chance(20) {
                bench.unit.release()
                bench.settle()
            }
            Self.check(victim, bench, seed, input)
            rejects = bench.context.counters.withLock { $0.rejects }
        }
        bench.unit.release()
        for wire in bench.wires { wire.connection.abandon() }
        bench.settle()
        #expect(bench.wires.allSatisfy { $0.connection.executingCount == 0 }, "SEED=\(seed)")
        #expect(bench.context.sessions.count == 0, "SEED=\(seed)")
        #expect(guarded.context.sessions.count == 0 && guarded.unit.executedCount == 0, "SEED=\(seed)")
        #expect(!bench.unit.isAttached, "SEED=\(seed)")
        // It reached the depths, and still serves.
        #expect(rejects > 100 && bench.unit.executedCount > 500 && sessions > 10)
        print("iSCSI fuzzer: \(sessions) sessions, \(rejects) rejects, \(bench.unit.executedCount) commands")
        bench.unit.state.withLock { $0.holds = false }
        let good = bench.connect(from: "10.9.9.9")
        good.isid = 1 << 40
        try good.logIn()
        #expect(try good.read(block: 0, count: 8).status == 0)
    }

    private static func check(_ victim: TestInitiator, _ bench: Bench, _ seed: UInt64, _ input: Int) {
        let place = Comment(rawValue: "SEED=\(seed) input \(input)")
        // All that came back is whole PDUs of the target's.
        while let header = victim.wire.receive(48) {
            #expect(header[0] & 0x60 == 0x20, place)
            if victim.headerDigest { #expect(victim.wire.receive(4) == RawPDU.digest(header), place) }
            let count = Int(header[5]) << 16 | Int(header[6]) << 8 | Int(header[7])
            guard count > 0 else { continue }
            guard let segment = victim.wire.receive(padded(count)) else {
                Issue.record(place)
                return
            }
            if victim.dataDigest { #expect(victim.wire.receive(4) == RawPDU.digest(segment), place) }
        }
        let connection = victim.memory.connection
        let tasks = connection.tasks.values
        #expect(Int(connection.windowed) == tasks.count { !$0.isImmediate }, place)
        #expect(connection.immediates == tasks.count { $0.isImmediate }, place)
        #expect(connection.windowed <= ISCSILimits.commandsMax, place)
        #expect(connection.solicitedBytes == tasks.filter(\.isGranted).reduce(0) { $0 + $1.expected }, place)
        #expect(connection.executingCount == tasks.count { $0.state == .executing }, place)
        // Where the numbers went is the target's to say.
        if connection.phase == .fullFeature { victim.commandNumber = connection.expectedCommand }
    }

    private static func feedLogin(_ victim: TestInitiator, _ random: inout Generator) {
        var keys = victim.openingKeys
        for _ in 0..<random.below(6) {
            keys.append(
                (
                    random.pick([
                        "AuthMethod", "CHAP_A", "CHAP_N", "CHAP_R", "CHAP_C", "CHAP_I", "HeaderDigest",
                        "MaxBurstLength",
                        "SessionType", "X-\(random.below(9))", "MaxRecvDataSegmentLength", "TargetName", "SendTargets",
                    ]),
                    random.pick([
                        "", "CHAP", "None", "CHAP,None", "5", "7", "0x", "0x00ff", "0bAAAA", "Yes", "CRC32C",
                        "Discovery",
                        String(repeating: "9", count: random.below(300)), "All", "16777215",
                    ])
                ))
        }
        if random.chance(40) { keys.swapAt(0, random.below(keys.count)) }
        let stage = UInt8(random.chance(80) ? random.below(2) : random.below(4))
        var bytes = victim.loginPDU(
            stage, random.chance(60) ? UInt8(random.below(4)) : nil, keys, continues: random.chance(10)
        ).encoded()
        mutate(&bytes, &random, percent: 40)
        victim.wire.send(bytes)
    }

    private static func feed(_ victim: TestInitiator, _ random: inout Generator) {
        for _ in 0...random.below(3) {
            guard !victim.memory.isEnded else { return }
            var pdu = request(victim, &random)
            // Some fields that are often looked at.
            if random.chance(15) {
                pdu.put(
                    random.pick([0, 1, reservedTag, 0x7fff_ffff, UInt32(random.below(1 << 16))]),
                    random.pick([16, 20, 24, 36, 40, 44]))
            }
            if random.chance(5) { pdu.header[1] = UInt8(random.below(256)) }
            if random.chance(2) { pdu.header[0] = UInt8(random.below(256)) }
            if random.chance(1) { pdu.header[4] = UInt8(random.below(256)) }
            var bytes = pdu.encoded(headerDigest: victim.headerDigest, dataDigest: victim.dataDigest)
            mutate(&bytes, &random, percent: 4)
            victim.memory.pieceMax = random.chance(20) ? 1 + random.below(600) : Int.max
            victim.wire.send(bytes)
        }
    }

    private static func request(_ victim: TestInitiator, _ random: inout Generator) -> RawPDU {
        let connection = victim.memory.connection
        switch random.below(12) {
        case 0...3:
            let blocks = random.pick([0, 1, 2, 8, 64, 200])
            let expected = random.chance(80) ? blocks * 512 : random.pick([0, 1, 511, 4097, 0x7fff_ffff])
            let isRead = random.chance(50)
            let count = isRead || random.chance(50) ? 0 : min(expected, random.pick([512, 4096, 65_536]))
            return victim.command(
                TestInitiator.cdb(
                    random.pick([0x28, 0x2a, 0x00, 0x12, 0xa0]), block: random.below(9000), count: blocks),
                read: isRead ? expected : nil, write: isRead ? nil : expected, data: random.bytes(count),
                final: random.chance(80), lun: random.chance(90) ? 0 : UInt8(random.below(256)),
                immediate: random.chance(10))
        case 4...7:
            // Data for a command that waits, as a rule.
            guard let task = connection.tasks.values.min(by: { $0.tag < $1.tag }) else { return victim.command([0]) }
            let room = max(0, task.burstEnd - task.received)
            let count = random.chance(85) ? min(room, random.pick([512, 8192, 262_144])) : random.below(70_000)
            return victim.dataOut(
                task.tag, transferTag: task.transferTag, number: task.nextDataNumber, offset: task.received,
                random.bytes(count), final: random.chance(90) ? count == room : random.chance(50))
        case 8:
            let tags = Array(connection.tasks.keys.sorted())
            return victim.management(
                UInt8(random.chance(95) ? 1 + random.below(6) : random.below(128)),
                referenced: tags.isEmpty ? 7 : random.pick(tags), refNumber: victim.commandNumber)
        case 9:
            return victim.textPDU(
                [
                    (
                        random.pick(["SendTargets", "X-a", "MaxRecvDataSegmentLength"]),
                        random.pick(["", "All", "512", "0"])
                    )
                ],
                flags: random.pick([0x80, 0x80, 0x40, 0x00, 0xc0]),
                transferTag: random.chance(70) ? reservedTag : connection.lastTransferTag)
        case 10:
            var nop = RawPDU(
                random.chance(70) ? 0x40 : 0x00, flags: 0x80, tag: random.chance(70) ? victim.nextTag() : reservedTag,
                data: random.bytes(random.below(600)))
            victim.number(&nop)
            return nop
        default:
            if random.chance(20) { return victim.logout(reason: UInt8(random.below(4))) }
            return RawPDU(header: random.bytes(5) + [0, 0] + random.bytes(41), data: [])
        }
    }

    private static func mutate(_ bytes: inout [UInt8], _ random: inout Generator, percent: Int) {
        guard random.chance(percent), !bytes.isEmpty else { return }
        switch random.below(4) {
        case 0: for _ in 0...random.below(4) { bytes[random.below(bytes.count)] = UInt8(random.below(256)) }
        case 1: bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
        case 2: bytes.removeLast(random.below(bytes.count))
        default: bytes += random.bytes(random.below(100))
        }
    }
}

extension SystemRandomNumberGenerator {
    fileprivate func pick() -> UInt64 {
        var generator = self
        return generator.next() >> 1
    }
}
