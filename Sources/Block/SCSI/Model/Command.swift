/// One command that the logical unit knows: what REPORT SUPPORTED OPERATION CODES says of it, and whom a reservation
/// keeps from it. Everything that is not in `Command.all` ends with INVALID COMMAND OPERATION CODE.
struct Command: Sendable {
    /// What a reservation of another nexus means for a command (SPC-4 table 66, SBC-3 table 10, SPC-2 table 8).
    enum Access: Sendable {
        /// Goes on under every reservation.
        case free
        /// Goes on under persistent reservations, not under RESERVE(6) and RESERVE(10).
        case query
        /// Does not go on under Exclusive Access.
        case read
        /// Does not go on under Write Exclusive either.
        case write
    }

    var code: UInt8
    /// nil where the operation code has no service actions.
    var action: UInt8?
    var access: Access
    /// CDB USAGE DATA (SPC-4 6.35.3): the operation code itself, then a one for each bit that is looked at. Its length is
    /// the CDB's.
    var usage: [UInt8]
    /// Seconds: what a command takes as a rule, and when an initiator should give up on it.
    var nominalSeconds: UInt32 = 1
    var recommendedSeconds: UInt32 = 30
    /// Space has to be given back for the command to make sense.
    var needsThin = false
}

extension Command {
    static let all: [Command] = table.sorted { ($0.code, $0.action ?? 0) < ($1.code, $1.action ?? 0) }

    /// The access of each operation code, by the code; where service actions differ, `.free` and the action decides.
    private static let byCode: [[Command]] = {
        var lists = [[Command]](repeating: [], count: 256)
        for command in all { lists[Int(command.code)].append(command) }
        return lists
    }()

    static func named(_ code: UInt8) -> [Command] { byCode[Int(code)] }

    /// The command of a CDB; nil: there is none such.
    static func find(_ cdb: CDB, isThin: Bool) -> Command? {
        let candidates = byCode[Int(cdb.operationCode)]
        guard let first = candidates.first, isThin || !first.needsThin else { return nil }
        guard first.action != nil else { return first }
        return candidates.first { $0.action == cdb.serviceAction && (isThin || !$0.needsThin) }
    }

    private static func fixed(
        _ code: UInt8, _ access: Access, _ mask: [UInt8], seconds: UInt32 = 30, needsThin: Bool = false
    ) -> Command {
        Command(
            code: code, action: nil, access: access, usage: [code] + mask, recommendedSeconds: seconds,
            needsThin: needsThin)
    }

    private static func action(
        _ code: UInt8, _ action: UInt8, _ access: Access, _ mask: [UInt8], seconds: UInt32 = 30
    ) -> Command {
        // The service action is looked at whole, and shown as it is.
        Command(
            code: code, action: action, access: access, usage: [code, mask[0] | action] + mask.dropFirst(),
            recommendedSeconds: seconds)
    }

    private static let lba4: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]
    private static let lba8: [UInt8] = lba4 + lba4
    /// PROTECT, DPO and FUA of byte 1.
    private static let cached: UInt8 = 0xF8
    private static let group: UInt8 = 0x3F

    // The CONTROL byte at the end is not looked at but for NACA, which must be zero (SAM-5 5.2).
    private static let control: UInt8 = 0x04

    private static let table: [Command] =
        basicCommands + mediumCommands + parameterCommands + reservationCommands + copyCommands

    private static let basicCommands = [
        fixed(0x00, .query, [0, 0, 0, 0, control]),
        fixed(0x03, .free, [0x01, 0, 0, 0xFF, control]),
        fixed(0x12, .free, [0x01, 0xFF, 0xFF, 0xFF, control]),
        fixed(0x1B, .write, [0x01, 0, 0x0F, 0xF7, control], seconds: 60),
        fixed(0xA0, .free, [0, 0xFF, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, control]),
        action(0xA3, 0x0C, .query, [0, 0x87, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, control]),
        action(0xA3, 0x0D, .query, [0, 0x80, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, control]),
        fixed(0x25, .free, [0] + lba4 + [0, 0, 0x01, control]),
        action(0x9E, 0x10, .free, [0] + lba8 + lba4 + [0x01, control]),
        action(0x9E, 0x12, .read, [0] + lba8 + lba4 + [0, control]),
        fixed(0x37, .query, [0, 0x1F, 0, 0, 0, 0, 0xFF, 0xFF, control]),
        fixed(0xB7, .query, [0x1F] + lba4 + lba4 + [0, control]),
    ]

    private static let mediumCommands = [
        fixed(0x08, .read, [0x1F, 0xFF, 0xFF, 0xFF, control]),
        fixed(0x28, .read, [cached] + lba4 + [group, 0xFF, 0xFF, control]),
        fixed(0xA8, .read, [cached] + lba4 + lba4 + [group, control]),
        fixed(0x88, .read, [cached] + lba8 + lba4 + [group, control]),
        fixed(0x0A, .write, [0x1F, 0xFF, 0xFF, 0xFF, control]),
        fixed(0x2A, .write, [cached] + lba4 + [group, 0xFF, 0xFF, control]),
        fixed(0xAA, .write, [cached] + lba4 + lba4 + [group, control]),
        fixed(0x8A, .write, [cached] + lba8 + lba4 + [group, control]),
        fixed(0x9C, .write, [cached] + lba8 + [0xFF, 0xFF, 0xFF, 0xFF] + [group, control]),
        fixed(0x2E, .write, [0xF6] + lba4 + [group, 0xFF, 0xFF, control]),
        fixed(0xAE, .write, [0xF6] + lba4 + lba4 + [group, control]),
        fixed(0x8E, .write, [0xF6] + lba8 + lba4 + [group, control]),
        fixed(0x2F, .read, [0xF6] + lba4 + [group, 0xFF, 0xFF, control]),
        fixed(0xAF, .read, [0xF6] + lba4 + lba4 + [group, control]),
        fixed(0x8F, .read, [0xF6] + lba8 + lba4 + [group, control]),
        fixed(0x41, .write, [0xFE] + lba4 + [group, 0xFF, 0xFF, control], seconds: 60),
        fixed(0x93, .write, [0xFF] + lba8 + lba4 + [group, control], seconds: 60),
        fixed(0x42, .write, [0x01, 0, 0, 0, 0, group, 0xFF, 0xFF, control], seconds: 60, needsThin: true),
        fixed(0x89, .write, [cached] + lba8 + [0, 0, 0, 0xFF, group, control]),
        fixed(0x8B, .write, [cached] + lba8 + lba4 + [group, control]),
        fixed(0x35, .write, [0x06] + lba4 + [group, 0xFF, 0xFF, control], seconds: 60),
        fixed(0x91, .write, [0x06] + lba8 + lba4 + [group, control], seconds: 60),
        fixed(0x34, .read, [0x02] + lba4 + [group, 0xFF, 0xFF, control]),
        fixed(0x90, .read, [0x02] + lba8 + lba4 + [group, control]),
    ]

    private static let parameterCommands = [
        fixed(0x15, .write, [0x11, 0, 0, 0xFF, control]),
        fixed(0x55, .write, [0x11, 0, 0, 0, 0, 0, 0xFF, 0xFF, control]),
        fixed(0x1A, .query, [0x08, 0xFF, 0xFF, 0xFF, control]),
        fixed(0x5A, .query, [0x18, 0xFF, 0xFF, 0, 0, 0, 0xFF, 0xFF, control]),
        fixed(0x4D, .free, [0x01, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0xFF, control]),
    ]

    private static let reservationCommands =
        (0...3).map { action(0x5E, $0, .query, [0, 0, 0, 0, 0, 0, 0xFF, 0xFF, control]) }
        + (0...7).map { action(0x5F, $0, .query, [0, 0xFF, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, control]) }
        + [
            fixed(0x16, .free, [0, 0, 0, 0, control]),
            fixed(0x17, .free, [0, 0, 0, 0, control]),
            fixed(0x56, .free, [0x12, 0, 0, 0, 0, 0, 0xFF, 0xFF, control]),
            fixed(0x57, .free, [0x12, 0, 0, 0, 0, 0, 0xFF, 0xFF, control]),
        ]

    private static let copyCommands = [
        action(0x83, 0x00, .write, [0, 0, 0, 0, 0, 0, 0, 0, 0] + lba4 + [0, control], seconds: 300),
        action(0x84, 0x00, .read, [0, 0xFF, 0, 0, 0, 0, 0, 0, 0] + lba4 + [0, control]),
        action(0x84, 0x03, .read, [0, 0, 0, 0, 0, 0, 0, 0, 0] + lba4 + [0, control]),
    ]
}
