/// Every bound of the iSCSI target, in one place.
package enum ISCSILimits {
    // Wire.

    /// A basic header segment (RFC 7143 11.2.1).
    package static let headerBytes = 48
    package static let digestBytes = 4
    /// The data segment that may come before the full feature phase (RFC 7143 13.12: the default of the key).
    package static let loginDataSegmentBytesMax = 8192
    /// What this target declares as its own MaxRecvDataSegmentLength: half a receive buffer, so that a whole PDU always
    /// fits beside the rest of another one.
    package static let dataSegmentBytesMax = 262_144
    /// The longest burst of Data-Out that one R2T asks for, and of Data-In between two F bits.
    package static let burstBytesMax = 1 << 20
    /// Data that may come without being asked for: times the command window, the memory that an initiator can claim.
    package static let firstBurstBytesMax = 262_144
    /// A whole command's data in one direction; a longer one is refused before any memory is taken.
    package static let transferBytesMax = 16 << 20

    // Login.

    package static let loginRequestsMax = 16
    package static let loginTextBytesMax = 65_536
    package static let loginKeysMax = 128
    package static let loginMilliseconds: UInt64 = 15_000
    package static let keyBytesMax = 63
    /// RFC 7143 6.1: text values; longer ones are only the binary ones of CHAP.
    package static let textValueBytesMax = 255
    package static let binaryValueBytesMax = 1024
    /// RFC 7143 4.2.7.1.
    package static let nameBytesMax = 223
    package static let challengeBytes = 32
    /// The longest challenge that this target hashes for an initiator (RFC 7143 12.1.3).
    package static let peerChallengeBytesMax = 1024
    package static let peerChallengeBytesMin = 16

    // A session.

    /// Commands that may be under way: the CmdSN window.
    package static let commandsMax: UInt32 = 128
    /// Immediate requests (they have no place in the window) that may be under way.
    package static let immediateMax = 16
    /// Data-Out that R2Ts have asked for and that is not in yet; one transfer may always go on.
    package static let solicitedBytesMax = 16 << 20
    /// Tags of aborted commands whose late Data-Out is dropped without a word.
    package static let abortedTagsMax = 128
    /// Text that one exchange of Text Requests may gather.
    package static let textBytesMax = 65_536
    /// Targets in one answer to SendTargets.
    package static let discoveredTargetsMax = 65_536
    package static let unitsMax = 256
    package static let taskManagementMax = 16

    // A connection's memory.

    package static let receiveBufferBytes = 524_288
    package static let sendBlockBytes = 1 << 20
    /// Data of a command that is laid down in the send block itself, right behind its header.
    package static let inlineDataBytesMax = 65_536
    /// Beyond this much unsent nothing more is read from the initiator.
    package static let unsentBytesMax = 4 << 20
    /// Sent before the rest of the receive buffer is worked on, so that the initiator has something to do.
    package static let batchBytes = 524_288
    /// Spare buffers that a busy connection keeps.
    package static let spareBytesMax = 8 << 20
    package static let vectorsMax = 256
    /// Without traffic for this long a connection gives its buffers back.
    package static let idleMilliseconds: UInt64 = 2_000
    /// An initiator that takes nothing for this long is gone.
    package static let sendStallMilliseconds: UInt64 = 60_000
    /// After the last answer (a refusal, a logout) the initiator has this long to take it.
    package static let closeMilliseconds: UInt64 = 2_000
    /// And so long to close its end after that.
    package static let lingerMilliseconds: UInt64 = 500
    /// Deep enough for the engine's reads and commits below; only touched pages count.
    package static let threadStackBytes = 512 << 10

    /// Commands of one kind before a connection's thread commits its own writes.
    static let commitAfterCommands = 32
    /// How often it looks for more before each commit: others may wait for it, too.
    static let looksBeforeCommit = 8

    // The server.

    package static let portalsMax = 16
    package static let listenBacklog: Int32 = 512
    /// Failed logins at one target that one address may have at once, and the milliseconds after which one is forgotten.
    package static let failureBurst: UInt64 = 10
    package static let failureMilliseconds: UInt64 = 2_000
    package static let failureWaitMax: UInt64 = 30
    package static let failureAddressesMax = 16_384
    /// Failed logins that the operator is told of at once, and the milliseconds until one more may be.
    package static let failureReportBurst: UInt64 = 20
    package static let failureReportMilliseconds: UInt64 = 1_000
}
