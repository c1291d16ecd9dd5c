package import Primitives

/// How hosts reach volumes: the iSCSI target, as the service sees it.
///
/// Each attachment has a target of its own with credentials made for it alone and never used again. All targets of one
/// volume stand in front of one logical unit. Calls may be repeated.
package protocol VolumeExporter: Sendable {
    /// Opens the volume's target for the attachment, or leaves it open if it is; answers where it is reached. The
    /// service calls it again for every export after a restart, with the same credentials, so that initiators that
    /// were logged in find their target again.
    func export(_ export: VolumeExport) async throws(DriverError) -> [ExportPortal]
    /// Closes the target and ends its sessions before it returns: nobody reads or writes through it any more.
    /// An absent one is no failure.
    func unexport(_ id: String) async throws(DriverError)
    /// Tells every open session that the volume has another size.
    func resized(_ volume: String, to bytes: UInt64) async
    /// The ids of the open exports, and whether anybody is logged in.
    func exports() async -> [String: Bool]
}

/// One target.
package struct VolumeExport: Sendable {
    /// Its attachment's id, or one of its own for a host that attaches the older way.
    package var id: String
    package var volumeID: String
    package var target: String
    package var chapName: String
    package var chapSecret: Secret
    package var isReadOnly: Bool
    /// The initiator's name as it gave it; told in listings, proves nothing.
    package var initiator: String?

    package init(
        id: String, volumeID: String, target: String, chapName: String, chapSecret: Secret, isReadOnly: Bool,
        initiator: String?
    ) {
        self.id = id
        self.volumeID = volumeID
        self.target = target
        self.chapName = chapName
        self.chapSecret = chapSecret
        self.isReadOnly = isReadOnly
        self.initiator = initiator
    }
}

package struct ExportPortal: Sendable, Equatable {
    /// An IP address without brackets.
    package var address: String
    package var port: Int

    package init(address: String, port: Int) {
        self.address = address
        self.port = port
    }

    /// `10.0.0.1:3260`, `[fd00::1]:3260`.
    package var text: String { address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)" }
}
