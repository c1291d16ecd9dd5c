private import Codecs

/// Which devices hold which partition: an immutable value that any thread may read.
///
/// The assignment is one contiguous array of 16-bit device ids, a row for each replica, row after row. The last
/// row may be short: then the replica count is fractional, and only the first partitions have that replica.
package struct Ring: Sendable {
    /// `2^partPower` partitions; 0 to `RingLimits.partPowerMax`.
    package let partPower: Int
    /// The builder's change count, if the ring came from one.
    package let version: Int?
    /// Set while a part power increase is under way.
    package let nextPartPower: Int?
    /// By id; nil where a device was removed.
    package let devices: [Device?]

    let table: [UInt16]
    let tiers: RingTiers

    /// Checks everything, so that no look-up can fail afterwards.
    ///
    /// - Parameters:
    ///   - devices: each at the index that is its id; nil for ids not in use.
    ///   - table: device ids, row after row; 65535 is "no device", allowed while another row has one.
    package init(
        devices: [Device?], partPower: Int, table: [UInt16], version: Int?, nextPartPower: Int?
    ) throws(RingError) {
        guard 0...RingLimits.partPowerMax ~= partPower else { throw .invalidField("part_shift") }
        guard devices.count <= RingLimits.devicesMax else { throw .invalidField("devs") }
        for (index, device) in devices.enumerated() {
            guard let device else { continue }
            guard Int(device.id.number) == index else { throw .invalidField("id") }
            try device.validate()
        }
        if let nextPartPower, nextPartPower != partPower, nextPartPower != partPower + 1 {
            throw .invalidField("next_part_power")
        }
        let partitions = 1 << partPower
        guard table.count >= partitions, table.count <= RingLimits.rowsMax * partitions else {
            throw .wrongTableSize(entries: table.count)
        }
        self.partPower = partPower
        self.version = version
        self.nextPartPower = nextPartPower
        self.devices = devices
        self.table = table
        tiers = RingTiers(devices: devices, assigned: try Self.assigned(table, devices, partitions: partitions))
    }

    /// The ring of a daemon with one device: every partition, once, is there.
    package init(only device: Device, partPower: Int) throws(RingError) {
        guard 0...RingLimits.partPowerMax ~= partPower else { throw .invalidField("part_shift") }
        var devices = [Device?](repeating: nil, count: Int(device.id.number))
        devices.append(device)
        try self.init(
            devices: devices, partPower: partPower, table: Array(repeating: device.id.number, count: 1 << partPower),
            version: 1, nextPartPower: nil)
    }

    /// The ring that is made up when none is configured: this server's one device, in region 1 and zone 1.
    ///
    /// 16,384 partitions leave more than 100 to each of 160 devices, should they come later.
    package static func local(deviceName: String) -> Ring {
        let device = Device(
            id: Device.ID(0), region: 1, zone: 1, ip: "127.0.0.1", port: 6200, replicationIP: "127.0.0.1",
            replicationPort: 6200, name: deviceName, weight: 100, meta: "")
        do {
            return try Ring(only: device, partPower: localPartPower)
        } catch {
            preconditionFailure("the made-up ring is within every limit: \(error)")
        }
    }

    package static let localPartPower = 14

    package var partitionCount: Int { 1 << partPower }

    /// Rows of the table: the replica count, rounded up.
    package var rowCount: Int { (table.count + partitionCount - 1) >> partPower }

    /// Entries of the table by partitions: fractional when the last row is short.
    package var replicaCount: Double { Double(table.count) / Double(partitionCount) }

    package func device(_ id: Device.ID) -> Device? {
        Int(id.number) < devices.count ? devices[Int(id.number)] : nil
    }

    /// One row of the table, for tools and tests.
    package func row(_ index: Int) -> [Device.ID] {
        precondition(0..<rowCount ~= index, "the ring has no such row")
        let start = index << partPower
        return table[start..<min(start + partitionCount, table.count)].map { Device.ID($0) }
    }

    /// The ids that occur in the table; refuses one without a device, and a partition without an id.
    private static func assigned(
        _ table: [UInt16], _ devices: [Device?], partitions: Int
    ) throws(RingError) -> [Bool] {
        let none = Device.ID.none.number
        var assigned = [Bool](repeating: false, count: devices.count)
        for (index, id) in table.enumerated() where id != none {
            guard Int(id) < devices.count else {
                throw .unknownDevice(id: Int(id), partition: index & (partitions - 1))
            }
            if assigned[Int(id)] { continue }
            guard devices[Int(id)] != nil else {
                throw .unknownDevice(id: Int(id), partition: index & (partitions - 1))
            }
            assigned[Int(id)] = true
        }
        for partition in 0..<partitions where table[partition] == none {
            guard stride(from: partition, to: table.count, by: partitions).contains(where: { table[$0] != none }) else {
                throw .unassignedPartition(partition)
            }
        }
        return assigned
    }
}
