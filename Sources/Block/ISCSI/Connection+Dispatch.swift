import SCSI

// Which request is whose, and whether its number lets it in.

extension Connection {
    func handle(_ frame: PDUFrame) {
        guard phase == .fullFeature else { return handleLogin(frame) }
        let header = frame.header
        guard frame.isDataIntact else {
            counted.digestErrors += 1
            return rejectAndEnd(header, .dataDigestError)
        }
        // No command that is served needs more header: extended CDBs and bidirectional lengths would.
        guard header.additionalBytes == 0 else {
            if header.opcode != Opcode.dataOut, header.opcode != Opcode.snack { _ = admits(header) }
            return reject(header, .invalidField)
        }
        switch header.opcode {
        case Opcode.scsiCommand, Opcode.taskManagement:
            guard !isDiscovery else { return rejectAndEnd(header) }
            guard admits(header) else { return }
            // Whoever has asked to be logged out starts nothing more: nobody would wait for its end.
            guard pendingLogout == nil else { return reject(header, .waitingForLogout) }
            if header.opcode == Opcode.scsiCommand { startCommand(frame) } else { manageTasks(header) }
        case Opcode.dataOut: takeData(frame)
        case Opcode.nopOut: answerNop(frame)
        case Opcode.textRequest:
            if admits(header) { answerText(frame) }
        case Opcode.logoutRequest:
            if admits(header) { logOut(header) }
        // RFC 7143 11.16: without error recovery there is nothing to ask for again.
        case Opcode.snack: reject(header, .snackRejected)
        case Opcode.loginRequest: rejectAndEnd(header)
        default:
            _ = admits(header)
            reject(header, .commandNotSupported)
        }
    }

    /// Whether a request is to be acted on (RFC 7143 4.2.2.1). Immediate ones always are; others if they are next. One outside
    /// of the window is ignored without a word.
    func admits(_ header: BasicHeader) -> Bool {
        if header.isImmediate { return true }
        let number = header.commandNumber
        if number == expectedCommand {
            guard !SerialNumber.isBefore(maximumCommand, number) else { return false }
            expectedCommand &+= 1
            return true
        }
        guard !SerialNumber.isBefore(number, expectedCommand), !SerialNumber.isBefore(maximumCommand, number) else {
            return false
        }
        // A gap: on the only connection of a session, in the order of TCP, what is missing will never come.
        rejectAndEnd(header)
        return false
    }

    /// The unit at a LUN (SAM-5 4.7): peripheral or flat addressing of a single level.
    func unit(_ lun: UInt64) -> AttachedUnit? {
        guard let number = Self.unitNumber(lun), number < units.count else { return nil }
        return units[number]
    }

    static func unitNumber(_ lun: UInt64) -> Int? {
        guard lun & 0x0000_ffff_ffff_ffff == 0 else { return nil }
        let first = Int(lun >> 48)
        switch first >> 14 {
        case 0: return first & 0x3f00 == 0 ? first & 0xff : nil
        case 1: return first & 0x3fff
        default: return nil
        }
    }
}
