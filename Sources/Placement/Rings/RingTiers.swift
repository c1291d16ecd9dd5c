/// The regions, zones, servers and devices of a ring as small numbers, so that handoffs compare no strings.
struct RingTiers: Sendable {
    /// region, (region, zone), (region, zone, ip), device.
    static let count = 4

    /// For each tier the number of each device's place in it, by device id.
    let places: [[Int32]]
    /// For each tier how many places the assigned devices take.
    let assignedCounts: [Int]

    init(devices: [Device?], assigned: [Bool]) {
        struct Zone: Hashable { let region: Int, zone: Int }
        struct Server: Hashable { let zone: Zone, ip: String }
        var regions = [Int: Int32]()
        var zones = [Zone: Int32]()
        var servers = [Server: Int32]()
        var counts = [Int]()
        var places = [[Int32]](repeating: Array(repeating: 0, count: devices.count), count: Self.count)
        // Devices that hold nothing come last, so the assigned ones' places are numbered without gaps.
        for wanted in [true, false] {
            for (id, device) in devices.enumerated() where assigned[id] == wanted {
                guard let device else { continue }
                let zone = Zone(region: device.region, zone: device.zone)
                places[0][id] = Self.number(device.region, in: &regions)
                places[1][id] = Self.number(zone, in: &zones)
                places[2][id] = Self.number(Server(zone: zone, ip: device.ip), in: &servers)
                places[3][id] = Int32(id)
            }
            if wanted {
                counts = [regions.count, zones.count, servers.count, assigned.count { $0 }]
            }
        }
        self.places = places
        assignedCounts = counts
    }

    private static func number<Key: Hashable>(_ key: Key, in numbers: inout [Key: Int32]) -> Int32 {
        if let number = numbers[key] { return number }
        let next = Int32(numbers.count)
        numbers[key] = next
        return next
    }
}
