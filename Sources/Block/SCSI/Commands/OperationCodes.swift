import BlockDevices

// REPORT SUPPORTED OPERATION CODES (SPC-4 6.35), from the same table that commands are found in.
extension Exchange {
    func reportOperationCodes() throws(Sense) -> SCSIResponse {
        let isThin = device.geometry.isThin
        let allocation = Int(cdb.uint32(6))
        let withTimeouts = cdb.bit(2, 7)
        let code = cdb[3]
        let action = cdb.uint16(4)
        let candidates = Command.named(code).filter { isThin || !$0.needsThin }
        let hasActions = candidates.first?.action != nil
        let found: Command?
        switch cdb[2] & 0x07 {
        case 0b000:
            return reply(allCommands(isThin: isThin, withTimeouts: withTimeouts), allocation: allocation)
        case 0b001:
            guard !hasActions else { throw .field(3) }
            found = candidates.first
        case 0b010:
            guard hasActions || candidates.isEmpty else { throw .field(4) }
            found = candidates.first { $0.action.map(UInt16.init) == action }
        case 0b011:
            found =
                hasActions
                ? candidates.first { $0.action.map(UInt16.init) == action } : action == 0 ? candidates.first : nil
        default: throw .field(2, bit: 2)
        }
        return reply(oneCommand(found, withTimeouts: withTimeouts), allocation: allocation)
    }

    private func allCommands(isThin: Bool, withTimeouts: Bool) -> [UInt8] {
        var list: [UInt8] = []
        for command in Command.all where isThin || !command.needsThin {
            list += [command.code, 0]
            list.put16(UInt16(command.action ?? 0))
            list += [0, (withTimeouts ? 0x02 : 0) | (command.action == nil ? 0 : 0x01)]
            list.put16(UInt16(command.usage.count))
            if withTimeouts { list += timeouts(command) }
        }
        var bytes: [UInt8] = []
        bytes.put32(UInt32(list.count))
        return bytes + list
    }

    private func oneCommand(_ command: Command?, withTimeouts: Bool) -> [UInt8] {
        // SUPPORT 001b: not supported.
        guard let command else { return [0, 0x01, 0, 0] }
        var bytes: [UInt8] = [0, (withTimeouts ? 0x80 : 0) | 0x03]
        bytes.put16(UInt16(command.usage.count))
        return bytes + command.usage + (withTimeouts ? timeouts(command) : [])
    }

    /// SPC-4 table 225, in seconds.
    private func timeouts(_ command: Command) -> [UInt8] {
        var bytes: [UInt8] = [0, 0x0A, 0, 0]
        bytes.put32(command.nominalSeconds)
        bytes.put32(command.recommendedSeconds)
        return bytes
    }
}
