import BlockDevices

// MODE SENSE and MODE SELECT, 6 and 10 (SPC-4 6.11 to 6.14).
extension Exchange {
    private var isLong: Bool { cdb.operationCode == 0x5A || cdb.operationCode == 0x55 }

    func modeSense() throws(Sense) -> SCSIResponse {
        let geometry = device.geometry
        let pages = ModePages(hasWriteCache: geometry.hasWriteCache, mode: unit.mode)
        guard let values = ModePages.Values(rawValue: cdb[2] >> 6) else { throw .field(2, bit: 7) }
        guard values != .saved else { throw .savingNotSupported }
        let code = cdb[2] & 0x3F
        // There are no subpages, so all of them are page zero alone.
        guard cdb[3] == 0x00 || cdb[3] == 0xFF else { throw .field(3) }
        let wanted = code == 0x3F ? ModePages.codes : [code]
        var content: [UInt8] = []
        for code in wanted {
            guard let page = pages.page(code, values) else { throw .field(2, bit: 5) }
            content += page
        }
        let isProtected = geometry.isReadOnly || nexus.isReadOnly || pages.mode.contains(.writeProtected)
        // WP and DPOFUA.
        let specific: UInt8 = (isProtected ? 0x80 : 0) | 0x10
        let blocks = cdb.bit(1, 3) ? [] : blockDescriptor(geometry, isLong: isLong && cdb.bit(1, 4))
        var header: [UInt8] = []
        if isLong {
            header.put16(UInt16(6 + blocks.count + content.count))
            header += [0, specific, blocks.count == 16 ? 1 : 0, 0]
            header.put16(UInt16(blocks.count))
            return reply(header + blocks + content, allocation: Int(cdb.uint16(7)))
        }
        header = [UInt8(3 + blocks.count + content.count), 0, specific, UInt8(blocks.count)]
        return reply(header + blocks + content, allocation: Int(cdb[4]))
    }

    /// SBC-3 6.5.2: short, or long where LLBAA asks for it.
    private func blockDescriptor(_ geometry: BlockGeometry, isLong: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        if isLong {
            bytes.put64(geometry.blockCount)
            bytes.put32(0)
        } else {
            bytes.put32(UInt32(clamping: geometry.blockCount))
        }
        bytes.put32(geometry.logicalBlockBytes)
        return bytes
    }

    func modeSelect(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse {
        // PF: pages as the standard has them. SP: nothing is saved.
        guard cdb.bit(1, 4) else { throw .field(1, bit: 4) }
        guard !cdb.bit(1, 0) else { throw .field(1, bit: 0) }
        let length = isLong ? Int(cdb.uint16(7)) : Int(cdb[4])
        guard length > 0 else { return good() }
        let list = try parameters(dataOut, length: length)
        let headerCount = isLong ? 8 : 4
        guard length >= headerCount else { throw .parameterListLength }
        guard list[isLong ? 2 : 1] == 0 else { throw .parameter(isLong ? 2 : 1) }
        let descriptorCount = isLong ? Int(list.get16(6)) : Int(list[3])
        guard headerCount + descriptorCount <= length else { throw .parameterListLength }
        let geometry = device.geometry
        let longBlocks = isLong && list[4] & 1 != 0
        try check(
            Array(list[headerCount..<headerCount + descriptorCount]), geometry, isLong: longBlocks, at: headerCount)
        var mode = unit.mode
        var position = headerCount + descriptorCount
        while position < length {
            guard position + 2 <= length else { throw .parameterListLength }
            let end = position + 2 + Int(list[position + 1])
            guard end <= length else { throw .parameterListLength }
            let pages = ModePages(hasWriteCache: geometry.hasWriteCache, mode: mode)
            mode = try pages.applying(Array(list[position..<end]), at: position)
            position = end
        }
        // What all nexuses share is not for one to change that may only read.
        guard mode == unit.mode || !nexus.isReadOnly else { throw .writeProtected }
        unit.set(mode: mode, by: nexus)
        return good(dataOut: length)
    }

    /// A block descriptor may say only what is so: the same block length, and the same number or "all".
    private func check(_ descriptor: [UInt8], _ geometry: BlockGeometry, isLong: Bool, at position: Int) throws(Sense) {
        guard !descriptor.isEmpty else { return }
        guard descriptor.count == (isLong ? 16 : 8) else { throw .parameterListLength }
        let blocks = isLong ? descriptor.get64(0) : UInt64(descriptor.get32(0))
        let all = isLong ? UInt64.max : UInt64(UInt32.max)
        guard blocks == 0 || blocks == all || blocks == geometry.blockCount else { throw .parameter(position) }
        let blockBytes = descriptor.get32(isLong ? 12 : 4) & (isLong ? UInt32.max : 0x00FF_FFFF)
        guard blockBytes == geometry.logicalBlockBytes else { throw .parameter(position + (isLong ? 12 : 5)) }
    }
}
