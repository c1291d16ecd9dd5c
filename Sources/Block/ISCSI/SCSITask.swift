private import Glibc
import SCSI
private import Synchronization

/// One SCSI command of a connection, from its PDU to its status. Used again for later ones.
final class SCSITask: DataInBuffer, @unchecked Sendable {
    // SAFETY: only the connection's thread touches a task, with two exceptions: `reserve` on another thread writes
    // `foreignData`, once, before that thread announces the completion through the inbox's mutex; `isAborted` is an atomic.

    enum State {
        /// Waits for data from the initiator.
        case receiving
        /// With the SCSI layer, which can't be stopped.
        case executing
    }

    unowned let connection: Connection
    var state = State.executing
    var tag: UInt32 = 0
    var number: UInt32 = 0
    var isImmediate = false
    var reads = false
    var writes = false
    /// The expected data transfer length.
    var expected = 0
    /// As the initiator wrote it; the SCSI layer gets 0, since a nexus leads to one unit wherever that lies.
    var lun: UInt64 = 0
    var command = SCSICommand(cdb: [], lun: 0, attribute: .simple, dataOutExpected: 0, dataInExpected: 0)
    /// The initiator had the answers to all before it when it sent this.
    var isAlone = false
    /// It is in the connection's table.
    var isListed = false
    /// Nobody waits for its answer any more.
    var isAborted: Bool {
        get { abortion.load(ordering: .relaxed) }
        set { abortion.store(newValue, ordering: .relaxed) }
    }
    private let abortion = Atomic(false)
    var isGivenUp: Bool { isAborted }

    // Data from the initiator.

    var dataOut: Buffer?
    /// In order from the start.
    var received = 0
    /// Where the data that was announced or asked for ends.
    var burstEnd = 0
    var nextDataNumber: UInt32 = 0
    /// The R2T that the data has to answer; `reservedTag` while it is unsolicited.
    var transferTag = reservedTag
    var nextR2TNumber: UInt32 = 0
    /// A Data-Out came with a number that wasn't next: nothing more is stored.
    var isOutOfSequence = false
    /// Its bytes count among those that were asked for.
    var isGranted = false

    // Data to the initiator.

    /// Where the data lies in the send block, if it does: behind room for its header.
    var inlineHeader: UnsafeMutableRawPointer?
    var inlineBytes = 0
    /// The block, once the room was taken out of the send queue's order.
    var inlineOwner: Buffer?
    var foreignData: Buffer?
    var reserved: UnsafeMutableRawPointer?

    /// Made once: a closure for every command would be an allocation for every command.
    private(set) var completion: @Sendable (SCSIResponse) -> Void = { _ in }

    init(connection: Connection) {
        self.connection = connection
        completion = { [unowned self] response in self.connection.completed(self, response) }
    }

    func reset() {
        isAborted = false
        dataOut = nil
        received = 0
        burstEnd = 0
        nextDataNumber = 0
        transferTag = reservedTag
        nextR2TNumber = 0
        isOutOfSequence = false
        isGranted = false
        inlineHeader = nil
        inlineBytes = 0
        inlineOwner = nil
        foreignData = nil
        reserved = nil
    }

    func reserve(_ count: Int) -> UnsafeMutableRawBufferPointer {
        precondition(count >= 0 && count <= SCSILimits.dataInBytesMax && reserved == nil)
        let place: UnsafeMutableRawPointer
        if connection.isExecuting(self), let room = connection.reserveInline(count, for: self) {
            place = room
        } else {
            let buffer = connection.takeBuffer(count)
            foreignData = buffer
            place = buffer.base
        }
        reserved = place
        return UnsafeMutableRawBufferPointer(start: place, count: count)
    }
}
