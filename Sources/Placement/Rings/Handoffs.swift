private import Codecs

/// The devices that take a partition's place when its primaries cannot, in the order that every member of a
/// cluster computes alike.
///
/// The ring is walked from a partition that the asked one's number picks. Four passes: a device in a region that
/// has not been used yet, then in an unused zone, then on an unused server, then any unused device. Lazy: each
/// step costs as much of the walk as it needs.
package struct Handoffs: Sequence, IteratorProtocol, Sendable {
    private let ring: Ring
    private let walk: Walk
    private var step = 0
    private var row = 0
    private var tier = 0
    /// For each tier, by place: whether a primary or an earlier handoff is there.
    private var used: [[Bool]]
    private var usedCounts: [Int]

    init(ring: Ring, partition: Int) {
        precondition(0..<ring.partitionCount ~= partition, "the ring has no such partition")
        self.ring = ring
        walk = Walk(partition: partition, partPower: ring.partPower)
        // A place's number is below the number of devices in every tier.
        used = Array(repeating: Array(repeating: false, count: ring.devices.count), count: RingTiers.count)
        usedCounts = Array(repeating: 0, count: RingTiers.count)
        for primary in ring.primaries(of: partition) { use(Int(primary.id.number)) }
    }

    package mutating func next() -> Device.ID? {
        while tier < RingTiers.count {
            while usedCounts[tier] < ring.tiers.assignedCounts[tier], step < walk.count {
                let partition = walk[step]
                while row << ring.partPower + partition < ring.table.count {
                    let id = ring.table[row << ring.partPower + partition]
                    row += 1
                    guard id != Device.ID.none.number, !used[tier][place(Int(id), tier)] else { continue }
                    use(Int(id))
                    return Device.ID(id)
                }
                row = 0
                step += 1
            }
            tier += 1
            row = 0
            step = 0
        }
        return nil
    }

    private func place(_ id: Int, _ tier: Int) -> Int { Int(ring.tiers.places[tier][id]) }

    private mutating func use(_ id: Int) {
        for tier in 0..<RingTiers.count where !used[tier][place(id, tier)] {
            used[tier][place(id, tier)] = true
            usedCounts[tier] += 1
        }
    }

    /// The partitions in the order of the walk. On large rings it takes strides, to end in reasonable time.
    private struct Walk: Sendable {
        private static let stepsMax = 65536

        let count: Int
        private let start: Int
        private let stride: Int
        private let stepsToEnd: Int
        private let second: Int

        init(partition: Int, partPower: Int) {
            let decimal = Array(String(partition).utf8)
            let hash = PathHash(unsafe decimal.withUnsafeBytes { unsafe MD5.hash($0) }.bytes)
            let partitions = 1 << partPower
            start = hash.partition(partPower: partPower)
            stride = Swift.max(partitions / Self.stepsMax, 1)
            stepsToEnd = (partitions - start + stride - 1) / stride
            // Not always where the stride would come round to: with a stride of 1 it leaves out partition 0. Every
            // member of a cluster does, so it stays.
            second = stride - (partitions - start) % stride
            count = stepsToEnd + (second < start ? (start - second + stride - 1) / stride : 0)
        }

        subscript(step: Int) -> Int {
            step < stepsToEnd ? start + step * stride : second + (step - stepsToEnd) * stride
        }
    }
}
