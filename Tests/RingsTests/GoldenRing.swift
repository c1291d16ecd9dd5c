import Rings
import Testing

/// The six devices and the table of the reference's section 12.2.
enum GoldenRing {
    static let rows: [[UInt16]] = [
        [2, 2, 2, 3, 3, 2, 2, 3, 3, 3, 3, 3, 2, 2, 2, 3],
        [0, 0, 4, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1],
        [4, 4, 0, 5, 5, 4, 4, 5, 5, 5, 5, 5, 4, 4, 4, 5],
    ]

    static let devices: [Device?] = [
        device(0, 1, 1, "10.0.0.1"), device(1, 1, 1, "10.0.0.2"), device(2, 1, 2, "10.0.0.3"),
        device(3, 1, 2, "10.0.0.4"), device(4, 2, 1, "10.0.1.1"), device(5, 2, 1, "10.0.1.2"),
    ]

    static func ring() throws -> Ring {
        try Ring(devices: devices, partPower: 4, table: rows.flatMap { $0 }, version: 7, nextPartPower: nil)
    }

    static func device(_ id: UInt16, _ region: Int, _ zone: Int, _ ip: String, name: String = "sda") -> Device {
        Device(
            id: Device.ID(id), region: region, zone: zone, ip: ip, port: 6200, replicationIP: ip, replicationPort: 6200,
            name: name, weight: 100, meta: "")
    }
}

/// SplitMix64: the same numbers for the same seed, on every machine.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

/// Random rings, with removed devices, several ids of a server, and devices twice in a partition.
struct RandomRing: Sendable, CustomTestStringConvertible {
    let seed: UInt64
    let partPower: Int
    let rows: Int
    let lastRow: Int
    let devices: Int

    var testDescription: String { "seed \(seed), part power \(partPower), \(rows) rows, last of \(lastRow)" }

    func ring() throws -> Ring {
        var generator = SeededGenerator(seed: seed)
        var devices: [Device?] = (0..<self.devices).map { id in
            let region = Int(generator.next() % 3) + 1
            let zone = Int(generator.next() % 3)
            let ip = "10.0.0.\(generator.next() % 4)"
            return GoldenRing.device(UInt16(id), region, zone, ip, name: "sdé\"\(id)")
        }
        devices[3] = nil
        let table = (0..<(rows - 1) << partPower + lastRow).map { _ in
            let id = UInt16(generator.next() % UInt64(self.devices))
            return id == 3 ? 4 : id
        }
        return try Ring(devices: devices, partPower: partPower, table: table, version: 5, nextPartPower: nil)
    }
}
