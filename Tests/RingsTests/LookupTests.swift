import Rings
import Testing

struct LookupTests {
    @Test("The golden ring's primaries are its columns, its handoffs the reference's")
    func golden() throws {
        let ring = try GoldenRing.ring()
        for partition in 0..<16 {
            let column = GoldenRing.rows.map { $0[partition] }
            #expect(ring.primaries(of: partition).map(\.id.number) == column)
            #expect(ring.primaries(of: partition).map(\.index) == [0, 1, 2])
            #expect(ring.primaryDevice(of: partition).number == column[0])
            let handoffs = ring.handoffs(of: partition).map(\.number)
            #expect(handoffs == (Set(column) == [0, 2, 4] ? [3, 1, 5] : [2, 0, 4]))
        }
    }

    @Test("The last row may be short: 2.5 replicas are 16, 16 and 8 entries")
    func fractional() throws {
        let table = GoldenRing.rows[0] + GoldenRing.rows[1] + GoldenRing.rows[2].prefix(8)
        let ring = try Ring(
            devices: GoldenRing.devices, partPower: 4, table: table, version: nil, nextPartPower: nil)
        #expect(ring.replicaCount == 2.5)
        #expect(ring.rowCount == 3)
        #expect((0..<3).map { ring.row($0).count } == [16, 16, 8])
        #expect(ring.primaries(of: 7).count == 3 && ring.primaries(of: 8).count == 2)
        #expect(try RingFile.decode(RingFile.encode(ring)).row(2) == ring.row(2))
    }

    @Test("A device that holds two replicas is named once, by the first, and the others are counted without gaps")
    func repeated() throws {
        let ring = try Ring(
            devices: GoldenRing.devices, partPower: 1, table: [2, 65535, 2, 5, 0, 5], version: nil, nextPartPower: nil)
        #expect(ring.primaries(of: 0) == [.init(id: .init(2), index: 0), .init(id: .init(0), index: 1)])
        #expect(ring.primaries(of: 1) == [.init(id: .init(5), index: 0)])
        #expect(ring.primaryDevice(of: 1) == Device.ID(5))
        // The walk begins at 1 and, its stride being 1, does not come round to 0: upstream's oddity, kept.
        #expect(Array(ring.handoffs(of: 1)).isEmpty)
    }

    /// The digests are those of OpenStack's own code (2.38.3) for the same rings: a line for every partition that
    /// was asked, "partition id:index ... | handoff ...".
    @Test(
        "Primaries and handoffs of random rings are upstream's",
        arguments: [
            (
                RandomRing(seed: 1, partPower: 4, rows: 3, lastRow: 16, devices: 9), 1,
                "b522e28046b75c0d0fb91843b5da8553"
            ),
            (
                RandomRing(seed: 2, partPower: 6, rows: 3, lastRow: 20, devices: 7), 1,
                "99ae1ae7c6a164fc1379631dcfeffc05"
            ),
            (
                RandomRing(seed: 3, partPower: 8, rows: 2, lastRow: 256, devices: 30), 1,
                "f76670ae13deda2bbaaf612916657f82"
            ),
            (
                RandomRing(seed: 4, partPower: 8, rows: 5, lastRow: 100, devices: 40), 3,
                "a8c6244ae9013a7edaa2a728c4fbf4d6"
            ),
            (RandomRing(seed: 5, partPower: 0, rows: 2, lastRow: 1, devices: 6), 1, "707cb132ffc89117129e8cbe5db46693"),
            (
                RandomRing(seed: 6, partPower: 10, rows: 3, lastRow: 1024, devices: 24), 7,
                "4b96ab90c15d19c855047543774f896f"
            ),
            (
                RandomRing(seed: 7, partPower: 17, rows: 3, lastRow: 131072, devices: 50), 4001,
                "2a81a4b18a8b6ba353251d4c3350b7b0"
            ),
            (
                RandomRing(seed: 8, partPower: 18, rows: 3, lastRow: 5000, devices: 33), 20011,
                "9190a5dd3f1d835ee8905fd8babcfbba"
            ),
        ])
    func upstream(_ random: RandomRing, _ step: Int, _ digest: String) throws {
        let ring = try random.ring()
        var text = ""
        for partition in stride(from: 0, to: ring.partitionCount, by: step) {
            let primaries = ring.primaries(of: partition).map { "\($0.id.number):\($0.index)" }
            let handoffs = ring.handoffs(of: partition).map { "\($0.number)" }
            text += "\(partition) \(primaries.joined(separator: " ")) | \(handoffs.joined(separator: " "))\n"
        }
        #expect(md5(text) == digest)
    }

    @Test(
        "Handoffs are all assigned devices but the primaries, without repeats, and the first goes farthest away",
        arguments: 1...40 as ClosedRange<UInt64>)
    func handoffProperties(_ seed: UInt64) throws {
        let partPower = Int(seed % 5) + 6
        let random = RandomRing(
            seed: seed, partPower: partPower, rows: Int(seed % 3) + 2, lastRow: (1 << partPower) / (Int(seed % 2) + 1),
            devices: Int(seed % 17) + 5)
        let ring = try random.ring()
        let assigned = Set((0..<ring.rowCount).flatMap { ring.row($0) })
        for partition in stride(from: 0, to: ring.partitionCount, by: 5) {
            let primaries = Set(ring.primaries(of: partition).map(\.id))
            let handoffs = Array(ring.handoffs(of: partition))
            #expect(Set(handoffs).count == handoffs.count, "seed \(seed)")
            #expect(Set(handoffs) == assigned.subtracting(primaries), "seed \(seed), partition \(partition)")
            guard let first = handoffs.first else { continue }
            for tier in 0..<3 {
                let used = Set(primaries.map { key(ring, $0, tier) })
                if Set(assigned.map { key(ring, $0, tier) }).isSubset(of: used) { continue }
                #expect(!used.contains(key(ring, first, tier)), "seed \(seed), partition \(partition), tier \(tier)")
                break
            }
        }
    }

    private func key(_ ring: Ring, _ id: Device.ID, _ tier: Int) -> [String] {
        let device = ring.device(id)!
        return Array(["\(device.region)", "\(device.zone)", device.ip].prefix(tier + 1))
    }

    @Test("The made-up ring has one device everywhere, and nobody to hand off to")
    func local() {
        let ring = Ring.local(deviceName: "disk")
        #expect(ring.partitionCount == 16384 && ring.replicaCount == 1 && ring.rowCount == 1)
        #expect((0..<ring.partitionCount).allSatisfy { ring.primaryDevice(of: $0) == Device.ID(0) })
        #expect(ring.primaries(of: 77) == [.init(id: Device.ID(0), index: 0)])
        #expect(Array(ring.handoffs(of: 77)).isEmpty)
        #expect(ring.device(Device.ID(0))?.name == "disk" && ring.device(Device.ID(1)) == nil)
    }

    @Test("A ring with an impossible part is refused by name")
    func refused() throws {
        let devices = GoldenRing.devices
        func refusal(
            _ devices: [Device?], _ partPower: Int, _ table: [UInt16], next: Int? = nil
        ) -> RingError? {
            do throws(RingError) {
                _ = try Ring(devices: devices, partPower: partPower, table: table, version: nil, nextPartPower: next)
                return nil
            } catch {
                return error
            }
        }
        #expect(refusal(devices, 1, [0, 5], next: 2) == nil)
        #expect(refusal(devices, 1, [0, 5], next: 3) == .invalidField("next_part_power"))
        #expect(refusal(devices, -1, [0]) == .invalidField("part_shift"))
        #expect(refusal(devices, 25, [0]) == .invalidField("part_shift"))
        #expect(refusal(devices, 1, [0]) == .wrongTableSize(entries: 1))
        #expect(refusal(devices, 0, Array(repeating: 0, count: 65)) == .wrongTableSize(entries: 65))
        #expect(refusal(devices, 1, [0, 1, 2, 6]) == .unknownDevice(id: 6, partition: 1))
        #expect(refusal([devices[0], nil], 1, [0, 1]) == .unknownDevice(id: 1, partition: 1))
        #expect(refusal(devices, 1, [0, 65535, 1]) == .unassignedPartition(1))
        #expect(refusal([devices[1]], 0, [0]) == .invalidField("id"))
        var device = GoldenRing.device(0, 1, 1, "h")
        device.weight = -1
        #expect(refusal([device], 0, [0]) == .invalidField("weight"))
        device.weight = .nan
        #expect(refusal([device], 0, [0]) == .invalidField("weight"))
        device.weight = 0
        device.port = 65536
        #expect(refusal([device], 0, [0]) == .invalidField("port"))
    }
}
