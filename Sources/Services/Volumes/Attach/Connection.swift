package import Primitives

/// How a host reaches a volume: what `connection_info` is written from.
package struct Connection: Sendable {
    package var volumeID: String
    /// nil for a host that attaches the older way.
    package var attachmentID: String?
    package var portals: [String]
    package var target: String
    package var unit: Int
    package var chapName: String
    package var chapSecret: Secret
    /// `rw` or `ro`.
    package var accessMode: String
    package var encrypted: Bool
    package var discards: Bool
    package var blockBytes: Int
    /// What the host is to enforce; nil if nothing.
    package var qos: [String: String]?
    package var multipath: Bool
    package var enforcesMultipath: Bool
}
