private import Codecs

/// The JSON part of a ring file.
struct RingMetadata {
    var byteOrder = RingFile.ByteOrder.little
    var partPower = 0
    var rowCount = 0
    var version: Int?
    var nextPartPower: Int?
    var devices: [Device?] = []

    init(_ ring: Ring, byteOrder: RingFile.ByteOrder) {
        self.byteOrder = byteOrder
        partPower = ring.partPower
        rowCount = ring.rowCount
        version = ring.version
        nextPartPower = ring.nextPartPower
        devices = ring.devices
    }

    /// Reads and checks ranges; fields that are not known here are skipped.
    init(_ reader: inout JSONReader) throws(RingError) {
        var partShift: Int?
        var rows: Int?
        var devices: [Device?]?
        try reader.object { (reader, key) throws(RingError) in
            switch key {
            case "byteorder":
                guard let order = RingFile.ByteOrder(rawValue: try reader.string()) else {
                    throw .invalidField(key)
                }
                byteOrder = order
            case "devs":
                var list = [Device?]()
                try reader.array { (reader) throws(RingError) in
                    guard list.count < RingLimits.devicesMax else { throw .invalidField(key) }
                    list.append(reader.null() ? nil : try Device(&reader))
                }
                devices = list
            case "part_shift": partShift = try reader.integer()
            case "replica_count": rows = try reader.integer()
            case "version": version = reader.null() ? nil : try reader.integer()
            case "next_part_power": nextPartPower = reader.null() ? nil : try reader.integer()
            default: try reader.skip()
            }
        }
        try reader.end()
        guard let partShift else { throw .missingField("part_shift") }
        guard 32 - RingLimits.partPowerMax...32 ~= partShift else { throw .invalidField("part_shift") }
        guard let rows else { throw .missingField("replica_count") }
        guard 1...RingLimits.rowsMax ~= rows else { throw .invalidField("replica_count") }
        guard let devices else { throw .missingField("devs") }
        partPower = 32 - partShift
        rowCount = rows
        self.devices = devices
    }

    /// Keys in order and a space after each comma and colon: byte for byte what other tools write.
    var json: [UInt8] {
        var text = [UInt8]()
        text += #"{"byteorder": "\#(byteOrder.rawValue)", "devs": ["#.utf8
        for (index, device) in devices.enumerated() {
            if index > 0 { text += ", ".utf8 }
            if let device { device.write(to: &text) } else { text += "null".utf8 }
        }
        text += "]".utf8
        if let nextPartPower { text += #", "next_part_power": \#(nextPartPower)"#.utf8 }
        text += #", "part_shift": \#(32 - partPower), "replica_count": \#(rowCount)"#.utf8
        if let version { text += #", "version": \#(version)"#.utf8 }
        text += "}".utf8
        return text
    }
}

extension Device {
    /// Reads a device record. Old rings lack some fields, which have defaults.
    fileprivate init(_ reader: inout JSONReader) throws(RingError) {
        var id: Int?, region = 1, zone: Int?, ip: String?, port: Int?
        var replicationIP: String?, replicationPort: Int?, name: String?, weight: Double?, meta = ""
        try reader.object { (reader, key) throws(RingError) in
            if reader.null() { return }
            switch key {
            case "id": id = try reader.integer()
            case "region": region = try reader.integer()
            case "zone": zone = try reader.integer()
            case "ip": ip = try reader.string()
            case "port": port = try reader.integer()
            case "replication_ip": replicationIP = try reader.string()
            case "replication_port": replicationPort = try reader.integer()
            case "device": name = try reader.string()
            case "weight": weight = try reader.double()
            case "meta": meta = try reader.string()
            default: try reader.skip()
            }
        }
        guard let id else { throw .missingField("id") }
        guard let number = UInt16(exactly: id) else { throw .invalidField("id") }
        guard let zone else { throw .missingField("zone") }
        guard let ip else { throw .missingField("ip") }
        guard let port else { throw .missingField("port") }
        guard let name else { throw .missingField("device") }
        guard let weight else { throw .missingField("weight") }
        self.init(
            id: ID(number), region: region, zone: zone, ip: ip, port: port, replicationIP: replicationIP ?? ip,
            replicationPort: replicationPort ?? port, name: name, weight: weight, meta: meta)
    }

    fileprivate func write(to text: inout [UInt8]) {
        text += #"{"device": "#.utf8
        Self.write(name, to: &text)
        text += #", "id": \#(id.number), "ip": "#.utf8
        Self.write(ip, to: &text)
        text += #", "meta": "#.utf8
        Self.write(meta, to: &text)
        text += #", "port": \#(port), "region": \#(region), "replication_ip": "#.utf8
        Self.write(replicationIP, to: &text)
        text += #", "replication_port": \#(replicationPort), "weight": \#(weight), "zone": \#(zone)}"#.utf8
    }

    /// A JSON string of ASCII only.
    private static func write(_ string: String, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for unit in string.utf16 {
            switch unit {
            case 0x22: text += #"\""#.utf8
            case 0x5c: text += #"\\"#.utf8
            case 0x08: text += #"\b"#.utf8
            case 0x09: text += #"\t"#.utf8
            case 0x0a: text += #"\n"#.utf8
            case 0x0c: text += #"\f"#.utf8
            case 0x0d: text += #"\r"#.utf8
            case 0x20..<0x80: text.append(UInt8(unit))
            default: text += "\\u\(Hex.encode([UInt8(unit >> 8), UInt8(unit & 255)]))".utf8
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
