import BlockDevices

// WRITE SAME, UNMAP and GET LBA STATUS (SBC-3 5.5, 5.30, 5.43): blocks that are alike, and blocks that have no space.
extension Exchange {
    func writeSame(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard cdb[1] >> 5 == 0 else { throw .field(1, bit: 7) }
        let geometry = device.geometry
        let unmaps = cdb.bit(1, 3)
        // ANCHOR without UNMAP means nothing, and anchored blocks are not offered (ANC_SUP in VPD page B2h).
        guard !cdb.bit(1, 4) else { throw .field(1, bit: 4) }
        guard !unmaps || geometry.isThin else { throw .field(1, bit: 3) }
        // LBDATA and PBDATA of old (SBC-2).
        guard cdb[1] & 0x06 == 0 else { throw .field(1, bit: 2) }
        try refuseWhereProtected(geometry)
        let hasNoData = cdb.operationCode == 0x93 && cdb.bit(1, 0)
        let extent = Extent(cdb)
        // Zero would mean all to the end (WSNZ in VPD page B0h says that it does not): a slip must not erase a disk.
        guard extent.blocks > 0 else { throw .field(extent.lengthByte) }
        let range = try geometry.range(of: extent)
        guard extent.blocks <= geometry.writeSameMax else { throw .field(extent.lengthByte) }
        let needed = hasNoData ? 0 : Int(geometry.logicalBlockBytes)
        guard hasNoData || dataOut.count == needed else { return fail(.dataTooShort, dataOut: needed) }
        // Zeros are what unmapped blocks read as (LBPRZ); anything else is written out even if UNMAP is set.
        if hasNoData || dataOut.allSatisfy({ $0 == 0 }) {
            device.writeZeroes(range, deallocates: unmaps, durability: .device, sink: sink) { result in
                completion(done(result, dataOut: needed))
            }
            return nil
        }
        fill(range, with: dataOut, dataOut: needed)
        return nil
    }

    private func fill(_ range: BlockRange, with block: UnsafeRawBufferPointer, dataOut: Int) {
        let step = Int(min(range.count, UInt64(SCSILimits.stepBytes)))
        var pattern: [UInt8] = []
        pattern.reserveCapacity(step)
        while pattern.count < step { pattern.append(contentsOf: block) }
        inSteps(range, of: step) { [pattern] piece, next in
            pattern.withUnsafeBytes {
                device.write(
                    UnsafeRawBufferPointer(rebasing: $0[..<Int(piece.count)]), at: piece.offset, durability: .device,
                    sink: sink, completion: next)
            }
        } last: { result in
            completion(done(result, dataOut: dataOut))
        }
    }

    func unmap(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard !cdb.bit(1, 0) else { throw .field(1, bit: 0) }
        let geometry = device.geometry
        try refuseWhereProtected(geometry)
        let length = Int(cdb.uint16(7))
        guard length > 0 else { return good() }
        guard length >= 8 else { throw .parameterListLength }
        let list = try parameters(dataOut, length: length)
        let descriptorBytes = Int(list.get16(2))
        guard 8 + descriptorBytes <= length else { throw .parameterListLength }
        // What is left of a descriptor at the end is no descriptor.
        let count = descriptorBytes / 16
        guard count <= geometry.unmapRangesMax else { throw .parameter(2) }
        var ranges: [BlockRange] = []
        ranges.reserveCapacity(count)
        for index in 0..<count {
            let at = 8 + 16 * index
            let extent = Extent(lba: list.get64(at), blocks: UInt64(list.get32(at + 8)), lengthByte: at + 8)
            let range = try geometry.range(of: extent)
            if range.count > 0 { ranges.append(range) }
        }
        guard !ranges.isEmpty else { return good(dataOut: length) }
        device.unmap(ranges, sink: sink) { result in completion(done(result, dataOut: length)) }
        return nil
    }

    func getAllocationStatus() throws(Sense) -> SCSIResponse? {
        let geometry = device.geometry
        let lba = cdb.uint64(2)
        guard lba < geometry.blockCount else { throw .outOfRange }
        let allocation = Int(cdb.uint32(10))
        let rest = try geometry.range(of: Extent(lba: lba, blocks: geometry.blockCount - lba, lengthByte: 2))
        // One at least, so that PARAMETER DATA LENGTH is what it would be.
        let max = Swift.max(1, min((allocation - min(8, allocation)) / 16, SCSILimits.allocationRunsMax))
        return offload { allocationStatus(rest, max, geometry.logicalBlockBytes, allocation) }
    }

    private func allocationStatus(_ range: BlockRange, _ max: Int, _ blockBytes: UInt32, _ allocation: Int)
        -> SCSIResponse
    {
        let runs: [BlockRun]
        do throws(BlockError) {
            runs = try device.allocation(of: range, max: max)
        } catch {
            return fail(error)
        }
        var bytes: [UInt8] = []
        for run in runs.prefix(max) {
            var lba = run.range.offset / UInt64(blockBytes)
            var blocks = run.range.count / UInt64(blockBytes)
            // NUMBER OF LOGICAL BLOCKS has 32 bits; the initiator asks again from where a long run was cut.
            while blocks > 0, bytes.count < 16 * max {
                let part = UInt32(min(blocks, UInt64(UInt32.max)))
                bytes.put64(lba)
                bytes.put32(part)
                bytes += [run.isMapped ? 0 : 1, 0, 0, 0]
                lba += UInt64(part)
                blocks -= UInt64(part)
            }
        }
        var header: [UInt8] = []
        header.put32(UInt32(4 + bytes.count))
        header.put32(0)
        return reply(header + bytes, allocation: allocation)
    }
}

extension BlockGeometry {
    /// MAXIMUM WRITE SAME LENGTH, in blocks.
    var writeSameMax: UInt64 { min(transferMax / UInt64(logicalBlockBytes), SCSILimits.writeSameBlocksMax) }
}
