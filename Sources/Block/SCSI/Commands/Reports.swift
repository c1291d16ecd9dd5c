import BlockDevices

// What an initiator asks to find out what there is: capacity, LUNs, commands, defects, logs, sense.
extension Exchange {
    /// REQUEST SENSE (SPC-4 6.39): a pending unit attention is told here, and so is told.
    func requestSense() -> SCSIResponse {
        let sense = unit.takeAttention(of: nexus)?.sense ?? .none
        return reply(sense.bytes(descriptor: cdb.bit(1, 0)), allocation: Int(cdb[4]))
    }

    /// READ CAPACITY(10) (SBC-3 5.15). The obsolete PMI may be set only with the LBA that goes with it.
    func readCapacity10() throws(Sense) -> SCSIResponse {
        guard cdb.bit(8, 0) || cdb.uint32(2) == 0 else { throw .field(2) }
        let geometry = device.geometry
        var bytes: [UInt8] = []
        bytes.put32(UInt32(clamping: geometry.lastBlock))
        bytes.put32(geometry.logicalBlockBytes)
        return reply(bytes, allocation: bytes.count)
    }

    /// READ CAPACITY(16) (SBC-3 5.16): no protection, one logical block a physical one; LBPME and LBPRZ where thin.
    func readCapacity16() -> SCSIResponse {
        let geometry = device.geometry
        var bytes: [UInt8] = []
        bytes.put64(geometry.lastBlock)
        bytes.put32(geometry.logicalBlockBytes)
        bytes += [0, 0, geometry.isThin ? 0xC0 : 0, 0]
        bytes += [UInt8](repeating: 0, count: 16)
        return reply(bytes, allocation: Int(cdb.uint32(10)))
    }

    /// REPORT LUNS (SPC-4 6.33): LUN 0, and no well-known ones.
    func reportLogicalUnits() throws(Sense) -> SCSIResponse {
        let allocation = Int(cdb.uint32(6))
        guard allocation >= 16 else { throw .field(6) }
        let luns: [UInt64]
        switch cdb[2] {
        case 0x00, 0x02: luns = [0]
        case 0x01: luns = []
        default: throw .field(2)
        }
        var bytes: [UInt8] = []
        bytes.put32(UInt32(8 * luns.count))
        bytes.put32(0)
        for lun in luns { bytes.put64(lun) }
        return reply(bytes, allocation: allocation)
    }

    /// READ DEFECT DATA(10) and (12) (SBC-3 5.17): a list of none, of the kinds that were asked for.
    func readDefects() -> SCSIResponse {
        if cdb.operationCode == 0x37 {
            return reply([0, cdb[2] & 0x1F, 0, 0], allocation: Int(cdb.uint16(7)))
        }
        return reply([0, cdb[1] & 0x1F, 0, 0, 0, 0, 0, 0], allocation: Int(cdb.uint32(6)))
    }

    /// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 6.36): those that every iSCSI target has (RFC 7143 11.5.1).
    func reportTaskManagement() throws(Sense) -> SCSIResponse {
        let allocation = Int(cdb.uint32(6))
        guard allocation >= 4 else { throw .field(6) }
        // ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET.
        let functions: [UInt8] = [0xD8, 0, 0, 0]
        guard cdb.bit(2, 7) else { return reply(functions, allocation: allocation) }
        // REPD: with time-outs, in tenths of a second; none are given.
        var bytes = [UInt8](repeating: 0, count: 16)
        bytes[0] = functions[0]
        bytes[3] = 0x0C
        return reply(bytes, allocation: allocation)
    }

    /// LOG SENSE (SPC-4 6.8). Of pages there are the list of them, and logical block provisioning where the device counts.
    func logSense() throws(Sense) -> SCSIResponse {
        // SP: nothing is saved.
        guard !cdb.bit(1, 0) else { throw .field(1, bit: 0) }
        let page = cdb[2] & 0x3F
        let subpage = cdb[3]
        let space = device.space
        let pages: [UInt8] = space == nil ? [0x00] : [0x00, 0x0C]
        let content: [UInt8]
        switch (page, subpage, space) {
        case (0x00, 0x00, _): content = pages
        case (0x00, 0xFF, _): content = pages.flatMap { $0 == 0 ? [$0, 0x00, $0, 0xFF] : [$0, 0x00] }
        case (0x0C, 0x00, .some(let space)): content = provisioningLog(space, from: cdb.uint16(5))
        default: throw .field(2, bit: 5)
        }
        var bytes: [UInt8] = [page | (subpage == 0 ? 0 : 0x40), subpage]
        bytes.put16(UInt16(truncatingIfNeeded: content.count))
        return reply(bytes + content, allocation: Int(cdb.uint16(7)))
    }

    /// SBC-3 6.4.4: threshold sets in use, and left. Each parameter: code, control (binary list), length, count, scope.
    private func provisioningLog(_ space: BlockSpace, from pointer: UInt16) -> [UInt8] {
        let setBytes = UInt64(device.geometry.logicalBlockBytes) << UInt64(device.geometry.thresholdExponent)
        var parameters: [(UInt16, UInt64)] = [(0x0002, space.used)]
        if let available = space.available { parameters.insert((0x0001, available), at: 0) }
        var bytes: [UInt8] = []
        for (code, amount) in parameters where code >= pointer {
            bytes.put16(code)
            bytes += [0x03, 0x08]
            // Sets that are used in part count as used, and sets that are free in part don't count as free.
            bytes.put32(UInt32(clamping: code == 0x0002 ? (amount + setBytes - 1) / setBytes : amount / setBytes))
            bytes += [0x01, 0, 0, 0]
        }
        return bytes
    }
}

extension BlockGeometry {
    /// RETURNED LOGICAL BLOCK ADDRESS; a disk without blocks can't be told from one of one block, so it has none that work.
    fileprivate var lastBlock: UInt64 { blockCount == 0 ? 0 : blockCount - 1 }
}
