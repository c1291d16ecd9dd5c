extension Ring {
    /// A device that a partition's replica belongs on.
    package struct Primary: Sendable, Hashable {
        package let id: Device.ID
        /// The replica's number: its place among the partition's distinct devices. So two rows with one device
        /// make the later rows' devices move up, as OpenStack's own ring counts them.
        package let index: Int

        package init(id: Device.ID, index: Int) {
            self.id = id
            self.index = index
        }
    }

    package func partition(of hash: PathHash) -> Int { hash.partition(partPower: partPower) }

    /// The device of the partition's first replica. One array read: no allocation, no search.
    @inline(__always)
    package func primaryDevice(of partition: Int) -> Device.ID {
        precondition(0..<partitionCount ~= partition, "the ring has no such partition")
        let id = Device.ID(table[partition])
        return id == .none ? laterPrimary(of: partition) : id
    }

    /// Calls `body` with each device of the partition in the order of the replicas, each once. No allocation.
    package func forEachPrimary(of partition: Int, _ body: (Primary) -> Void) {
        precondition(0..<partitionCount ~= partition, "the ring has no such partition")
        var count = 0
        var index = partition
        while index < table.count {
            let id = table[index]
            if id != Device.ID.none.number && !isNamed(id, of: partition, before: index) {
                body(Primary(id: Device.ID(id), index: count))
                count += 1
            }
            index += partitionCount
        }
    }

    /// The devices of the partition in the order of the replicas, each once.
    package func primaries(of partition: Int) -> [Primary] {
        var all = [Primary]()
        all.reserveCapacity(rowCount)
        forEachPrimary(of: partition) { all.append($0) }
        return all
    }

    /// Where to turn when primaries fail, best first: see `Handoffs`.
    package func handoffs(of partition: Int) -> Handoffs { Handoffs(ring: self, partition: partition) }

    /// Whether an earlier row names the device for the partition.
    private func isNamed(_ id: UInt16, of partition: Int, before end: Int) -> Bool {
        var index = partition
        while index < end {
            if table[index] == id { return true }
            index += partitionCount
        }
        return false
    }

    private func laterPrimary(of partition: Int) -> Device.ID {
        var index = partition + partitionCount
        while index < table.count {
            if table[index] != Device.ID.none.number { return Device.ID(table[index]) }
            index += partitionCount
        }
        preconditionFailure("a ring without a device for partition \(partition) was let in")
    }
}
