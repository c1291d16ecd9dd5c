package import Primitives

// What a transport and the SCSI layer say to each other. A transport (iSCSI) turns wire units into `SCSICommand`s of a
// `Nexus`; the SCSI layer knows no wire.

/// One command of one initiator, as a transport received it.
package struct SCSICommand: Sendable {
    /// 6, 10, 12, 16 or, for variable-length ones, up to `SCSILimits.cdbBytesMax` bytes; transports that always carry 16 pass 16.
    package var cdb: [UInt8]
    /// The eight bytes of the LUN field (SAM-5 4.7).
    package var lun: UInt64
    package var attribute: TaskAttribute
    /// What the initiator said it will send and take at most, in bytes. The transport works out the residuals.
    package var dataOutExpected: Int
    package var dataInExpected: Int

    package init(cdb: [UInt8], lun: UInt64, attribute: TaskAttribute, dataOutExpected: Int, dataInExpected: Int) {
        self.cdb = cdb
        self.lun = lun
        self.attribute = attribute
        self.dataOutExpected = dataOutExpected
        self.dataInExpected = dataInExpected
    }
}

package enum TaskAttribute: UInt8, Sendable {
    case untagged = 0
    case simple = 1
    case ordered = 2
    case headOfQueue = 3
    case aca = 4
}

/// Memory of the transport's, for what goes to the initiator.
package protocol DataInBuffer: AnyObject, Sendable {
    /// Memory for exactly `count` bytes (at most `SCSILimits.dataInBytesMax`), uninitialised, valid until the command has completed and
    /// its data was sent. Asked for at most once for a command, on any thread.
    func reserve(_ count: Int) -> UnsafeMutableRawBufferPointer
    /// Nobody waits for the command's answer any more: of one that takes many steps, those that have not begun may be left
    /// out. Asked on any thread.
    var isGivenUp: Bool { get }
}

/// How a command ended.
package struct SCSIResponse: Sendable {
    package var status: SCSIStatus
    /// Fixed or descriptor format, as the initiator chose by its control mode page; empty unless `status` is `.checkCondition`.
    package var sense: [UInt8]
    /// How many bytes from the start of the reserved memory are data for the initiator.
    package var dataInCount: Int
    /// How many bytes of data-out the command asked for by its CDB: with what the initiator expected, the residual.
    package var dataOutCount: Int

    package init(status: SCSIStatus, sense: [UInt8] = [], dataInCount: Int = 0, dataOutCount: Int = 0) {
        self.status = status
        self.sense = sense
        self.dataInCount = dataInCount
        self.dataOutCount = dataOutCount
    }
}

/// SAM-5 table 32.
package enum SCSIStatus: UInt8, Sendable {
    case good = 0x00
    case checkCondition = 0x02
    case conditionMet = 0x04
    case busy = 0x08
    case reservationConflict = 0x18
    case taskSetFull = 0x28
    case acaActive = 0x30
    case taskAborted = 0x40
}

package enum SCSILimits {
    package static let cdbBytesMax = 260
    package static let dataInBytesMax = 16 << 20
    package static let dataOutBytesMax = 16 << 20
}

/// Who an initiator is to the logical unit: what reservations are kept for (SPC-4 7.6.4, iSCSI TransportID).
package struct InitiatorPort: Sendable, Hashable {
    package var name: String
    /// The iSCSI ISID, six bytes in the low bits.
    package var isid: UInt64

    package init(name: String, isid: UInt64) {
        self.name = name
        self.isid = isid
    }
}

/// The target's end of a nexus.
package struct TargetPort: Sendable, Hashable {
    package var name: String
    package var portalGroupTag: UInt16
    /// What INQUIRY's device identification and REPORT TARGET PORT GROUPS call it; starts at 1.
    package var relativeID: UInt16

    package init(name: String, portalGroupTag: UInt16, relativeID: UInt16) {
        self.name = name
        self.portalGroupTag = portalGroupTag
        self.relativeID = relativeID
    }
}

/// Aborts the tasks of one nexus; calls what it is given, on any thread, when none of them runs any more.
package typealias TaskAbort = @Sendable (_ done: @escaping @Sendable () -> Void) -> Void

/// One initiator port's way to one logical unit: the unit of unit attentions, reservations and task sets.
///
/// A transport makes one for each session from `LogicalUnit.attach`, calls it from any thread, and ends it with `detach`.
package protocol Nexus: AnyObject, Sendable {
    /// Runs a command. The response, if it is ready now (then `completion` is dropped uncalled); nil, if it comes
    /// later, once, through `sink`. `dataOut` holds what the initiator sent, and need not outlive the call.
    func execute(
        _ command: SCSICommand, dataOut: UnsafeRawBufferPointer, dataIn: any DataInBuffer, sink: any CompletionSink,
        completion: @escaping @Sendable (SCSIResponse) -> Void
    ) -> SCSIResponse?

    /// LOGICAL UNIT RESET; the unit attention that the other nexuses get comes from here. (ABORT TASK and its relatives are the
    /// transport's: it knows the tasks, and waits for those that can't be stopped any more.)
    func resetLogicalUnit()

    /// CLEAR TASK SET by this nexus: others whose tasks the transport aborted get their unit attention.
    func clearedTaskSet()

    /// The session is over.
    func detach()
}
