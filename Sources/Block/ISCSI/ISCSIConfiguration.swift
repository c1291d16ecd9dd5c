import Primitives

/// What an operator decides about the target.
package struct ISCSIConfiguration: Sendable {
    /// Where to listen; numeric addresses, IPv6 without brackets; port 0 takes any free one.
    package var portals: [ISCSIPortal]
    /// All portals are one portal group: a session may come through any of them.
    package var portalGroupTag: UInt16 = 1
    /// RFC 1994's MD5 can be broken offline by whoever recorded one login, but is all that some initiators speak.
    package var allowsMD5 = true
    package var connectionsMax = 4096
    /// Connections that have not logged in yet: in all, and from one address. A hypervisor that restarts logs in to all of
    /// its volumes at once.
    package var halfOpenMax = 1024
    package var halfOpenPerAddressMax = 128
    /// An initiator that says nothing for so long is asked whether it is there, and has as long again to answer.
    package var keepaliveMilliseconds: UInt64 = 30_000
    /// Told of failed logins, on connections' threads; of a flood of them only some (`ISCSIFailedLogin.omitted`).
    package var onFailedLogin: @Sendable (ISCSIFailedLogin) -> Void = { _ in }
    /// Unix seconds, for `sessions()`.
    package var now: @Sendable () -> Int64
    /// From the system's generator.
    package var randomBytes: @Sendable (Int) -> [UInt8]

    package init(
        portals: [ISCSIPortal], now: @escaping @Sendable () -> Int64,
        randomBytes: @escaping @Sendable (Int) -> [UInt8] = ISCSIConfiguration.systemRandomBytes
    ) {
        self.portals = portals
        self.now = now
        self.randomBytes = randomBytes
    }

    /// From getrandom(2).
    package static func systemRandomBytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}

/// An address and port that the target listens on, and what discovery tells of it.
package struct ISCSIPortal: Sendable, Hashable {
    package var address: String
    package var port: UInt16
    /// What initiators are told instead of `address`: a name or address that they can reach it by.
    package var publicHost: String?

    package init(address: String, port: UInt16, publicHost: String? = nil) {
        self.address = address
        self.port = port
        self.publicHost = publicHost
    }

    /// The value of TargetAddress (RFC 7143 13.8).
    ///
    /// - Parameter local: the address that the asking connection came in by, told where this portal takes any.
    func targetAddress(local: String, tag: UInt16) -> String {
        let isWildcard = address == "0.0.0.0" || address == "::" || address.isEmpty
        let host = publicHost ?? (isWildcard ? local : address)
        let isBare = host.contains(":") && !host.hasPrefix("[")
        return "\(isBare ? "[\(host)]" : host):\(port),\(tag)"
    }
}

/// Why the server could not start.
package enum ISCSIError: Error, Sendable, Hashable {
    /// `address:port` is not one of this machine's, or taken; with the errno.
    case cannotListen(String, Int32)
    case tooManyPortals
    case noPortal
    /// The system gave no descriptor or thread.
    case outOfResources(Int32)
}

/// What the target is doing, for the operator's graphs.
package struct ISCSIMeasures: Sendable, Hashable {
    package var counters: ISCSICounters
    /// Those for discovery, too.
    package var sessions: Int
    package var connections: Int
    /// Connections that have not logged in.
    package var halfOpen: Int
}

/// Plain counts since the start.
package struct ISCSICounters: Sendable, Hashable {
    package var connections: UInt64 = 0
    package var refusedConnections: UInt64 = 0
    package var logins: UInt64 = 0
    package var failedLogins: UInt64 = 0
    package var commands: UInt64 = 0
    /// From initiators, and to them, whole PDUs.
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0
    /// Commands that ended in CHECK CONDITION.
    package var checkConditions: UInt64 = 0
    package var rejects: UInt64 = 0
    package var digestErrors: UInt64 = 0
    /// Connections that the target ended because of what the initiator sent.
    package var protocolErrors: UInt64 = 0
    package var taskManagement: UInt64 = 0

    package init() {}

    mutating func add(_ other: ISCSICounters) {
        connections += other.connections
        refusedConnections += other.refusedConnections
        logins += other.logins
        failedLogins += other.failedLogins
        commands += other.commands
        bytesIn += other.bytesIn
        bytesOut += other.bytesOut
        checkConditions += other.checkConditions
        rejects += other.rejects
        digestErrors += other.digestErrors
        protocolErrors += other.protocolErrors
        taskManagement += other.taskManagement
    }
}
