/// A device of the ring: one disk of one server.
package struct Device: Sendable, Hashable {
    /// The device's number: its place in the ring's device list.
    package struct ID: Sendable, Hashable, Comparable, CustomStringConvertible {
        package let number: UInt16
        package init(_ number: UInt16) { self.number = number }
        package var description: String { "d\(number)" }
        package static func < (a: ID, b: ID) -> Bool { a.number < b.number }
        /// The table's entry for "no device".
        static let none = ID(.max)
    }

    package let id: ID
    package var region: Int
    package var zone: Int
    package var ip: String
    package var port: Int
    package var replicationIP: String
    package var replicationPort: Int
    /// The name under which the server mounts it, such as `sda`.
    package var name: String
    package var weight: Double
    package var meta: String

    package init(
        id: ID, region: Int, zone: Int, ip: String, port: Int, replicationIP: String, replicationPort: Int,
        name: String,
        weight: Double, meta: String
    ) {
        self.id = id
        self.region = region
        self.zone = zone
        self.ip = ip
        self.port = port
        self.replicationIP = replicationIP
        self.replicationPort = replicationPort
        self.name = name
        self.weight = weight
        self.meta = meta
    }

    /// Refuses what no ring may hold.
    func validate() throws(RingError) {
        guard id != .none else { throw .invalidField("id") }
        guard region >= 0 else { throw .invalidField("region") }
        guard zone >= 0 else { throw .invalidField("zone") }
        guard 0...65535 ~= port else { throw .invalidField("port") }
        guard 0...65535 ~= replicationPort else { throw .invalidField("replication_port") }
        guard weight.isFinite, weight >= 0 else { throw .invalidField("weight") }
    }
}
