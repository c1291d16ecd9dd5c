import BlockDevices
import Foundation
import SCSI
import Testing

/// Random commands on a disk and the same on an array: what is read must agree.
@Suite struct ModelTests {
    private struct Model {
        var bytes: [UInt8]
        let block: Int

        mutating func put(_ data: [UInt8], at lba: Int) {
            bytes.replaceSubrange(lba * block..<lba * block + data.count, with: data)
        }

        mutating func fill(_ data: [UInt8], _ lba: Int, _ blocks: Int) {
            for index in 0..<blocks { put(data, at: lba + index) }
        }

        func get(_ lba: Int, _ blocks: Int) -> [UInt8] { Array(bytes[lba * block..<(lba + blocks) * block]) }
    }

    @Test(arguments: [(512, 4096), (4096, 4096), (512, 512), (512, 65_536)] as [(UInt32, UInt32)])
    func randomCommandsAgreeWithAnArray(_ blockBytes: UInt32, _ granularity: UInt32) throws {
        let given = ProcessInfo.processInfo.environment["SEED"].flatMap { UInt64($0) }
        for round in 0..<Rig.scale {
            let seed = given ?? UInt64(blockBytes) &* 31 &+ UInt64(granularity) &+ UInt64(round) &* 7919
            print("model seed \(seed)")
            try run(seed, blockBytes, granularity)
        }
    }

    private func run(_ seed: UInt64, _ blockBytes: UInt32, _ granularity: UInt32) throws {
        let block = Int(blockBytes)
        let blocks = 512
        let rig = try Rig(
            BlockGeometry(
                byteCount: UInt64(blocks * block), logicalBlockBytes: blockBytes, granularityBytes: granularity,
                hasWriteCache: seed % 2 == 0))
        let session = rig.session()
        var random = SplitMix64(seed: seed)
        var model = Model(bytes: filled(0, blocks * block), block: block)
        for step in 0..<400 {
            let lba = random.below(blocks)
            let count = min(1 + random.below(random.below(4) == 0 ? 64 : 4), blocks - lba)
            rig.device.cache(random.below(2) == 0)
            let flags: UInt8 = random.below(4) == 0 ? 0x08 : 0
            switch random.below(10) {
            case 0...2:
                let data = noise(count * block, &random)
                let code: UInt8 = random.below(2) == 0 ? 0x8A : 0x8E
                #expect(
                    session.run(Make.sixteen(code, UInt64(lba), UInt32(count), flags: code == 0x8A ? flags : 2), data)
                        .isGood)
                model.put(data, at: lba)
            case 3, 4:
                let isZero = random.below(2) == 0
                let data = isZero ? filled(0, block) : noise(block, &random)
                let unmaps: UInt8 = random.below(2) == 0 ? 0x08 : 0
                #expect(session.run(Make.sixteen(0x93, UInt64(lba), UInt32(count), flags: unmaps), data).isGood)
                model.fill(data, lba, count)
            case 5:
                let ranges = (0..<1 + random.below(4)).map { _ -> (UInt64, UInt32) in
                    let start = random.below(blocks)
                    return (UInt64(start), UInt32(min(random.below(40), blocks - start)))
                }
                let (cdb, list) = Make.unmap(ranges)
                #expect(session.run(cdb, list).isGood)
                for (start, count) in ranges { model.fill(filled(0, block), Int(start), Int(count)) }
            case 6:
                let small = min(count, 31)
                var expected = model.get(lba, small)
                let new = noise(small * block, &random)
                let miss = random.below(2) == 0
                if miss { expected[random.below(expected.count)] ^= 0x10 }
                let outcome = session.run(Make.compareAndWrite(UInt64(lba), UInt8(small)), expected + new)
                #expect(miss ? outcome.failed(0xE, 0x1D00) : outcome.isGood)
                if !miss { model.put(new, at: lba) }
            case 7:
                let data = noise(count * block, &random)
                #expect(session.run(Make.sixteen(0x8B, UInt64(lba), UInt32(count)), data).isGood)
                model.put(zip(model.get(lba, count), data).map { $0 | $1 }, at: lba)
            case 8:
                #expect(
                    session.run(Make.sixteen(0x8F, UInt64(lba), UInt32(count), flags: 2), model.get(lba, count)).isGood)
            default: #expect(session.run(Make.sixteen(0x91, 0, 0)).isGood)
            }
            let at = random.below(blocks)
            let length = min(1 + random.below(32), blocks - at)
            let read = session.run(Make.read(UInt64(at), UInt32(length), flags: flags))
            try #require(read.data == model.get(at, length), "seed \(seed) step \(step)")
        }
        #expect(session.run(Make.read(0, UInt32(blocks))).data == model.bytes)
        try allocation(session, model, Int(granularity), blocks)
    }

    /// What is mapped may be zeros, but what is not must be; and the runs cover the disk.
    private func allocation(_ session: Session, _ model: Model, _ granularity: Int, _ blocks: Int) throws {
        var lba = 0
        while lba < blocks {
            let outcome = session.run(Make.allocationStatus(UInt64(lba)))
            try #require(outcome.isGood && outcome.data.count == 24)
            #expect(Int(outcome.number(8, 8)) == lba)
            let count = Int(outcome.number(16, 4))
            try #require(count > 0)
            if outcome.data[20] == 1 { #expect(model.get(lba, count).allSatisfy { $0 == 0 }) }
            lba += count
        }
        #expect(lba == blocks)
    }

    private func noise(_ count: Int, _ random: inout SplitMix64) -> [UInt8] {
        let word = random.next()
        return (0..<count).map { UInt8(truncatingIfNeeded: word >> UInt64($0 % 7 * 8) ^ UInt64($0 / 512)) }
    }
}
