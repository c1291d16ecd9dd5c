import BlockDevices

// READ and WRITE (SBC-3 5.11 to 5.14, 5.35 to 5.38): what everything else stands around.
extension Exchange {
    /// READ or WRITE, if the CDB is one of them and whole.
    func transfer(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> Done? {
        let reads: Bool
        switch cdb.operationCode {
        case 0x28, 0x88, 0x08, 0xA8: reads = true
        case 0x2A, 0x8A, 0x0A, 0xAA: reads = false
        default: return nil
        }
        guard let length = CDB.length(of: cdb.operationCode), cdb.bytes.count >= length, !cdb.bit(length - 1, 2) else {
            return nil
        }
        // The 6-byte forms have neither protection nor FUA: address bits stand there.
        let flags = length == 6 ? 0 : cdb[1]
        guard flags >> 5 == 0 else { throw .field(1, bit: 7) }
        let forcesUnit = flags & 0x08 != 0
        return Done(response: reads ? try read(forcesUnit: forcesUnit) : try write(dataOut, forcesUnit: forcesUnit))
    }

    private func read(forcesUnit: Bool) throws(Sense) -> SCSIResponse? {
        let geometry = device.geometry
        let range = try geometry.transfer(of: Extent(cdb))
        guard range.count > 0 else { return good() }
        let memory = SharedMemory(bytes: dataIn.reserve(Int(range.count)))
        // FUA: from the medium, so what is only in a cache has to get there first.
        if forcesUnit, geometry.hasWriteCache {
            device.flush(sink: sink) { result in
                guard case .success = result else { return completion(done(result, dataOut: 0)) }
                resume { fill(memory, range) }
            }
            return nil
        }
        do throws(BlockError) {
            if try device.readCached(at: range.offset, into: memory.bytes) {
                return SCSIResponse(status: .good, dataInCount: memory.bytes.count)
            }
        } catch {
            return fail(error)
        }
        return offload { fill(memory, range) }
    }

    private func fill(_ memory: SharedMemory, _ range: BlockRange) -> SCSIResponse {
        do throws(BlockError) {
            try device.read(at: range.offset, into: memory.bytes)
        } catch {
            return fail(error)
        }
        return SCSIResponse(status: .good, dataInCount: memory.bytes.count)
    }

    private func write(_ dataOut: UnsafeRawBufferPointer, forcesUnit: Bool) throws(Sense) -> SCSIResponse? {
        let geometry = device.geometry
        try refuseWhereProtected(geometry)
        let range = try geometry.transfer(of: Extent(cdb))
        let whole = Int(range.count)
        guard let bytes = arrived(dataOut, of: whole, geometry) else { return fail(.dataTooShort, dataOut: whole) }
        guard bytes.count > 0 else { return good(dataOut: whole) }
        let durability: Durability = forcesUnit ? .medium : .device
        device.write(bytes, at: range.offset, durability: durability, sink: sink) { [unit, completion] result in
            completion(unit.answer(result, dataOut: whole))
        }
        return nil
    }

    /// What a write can use of the data that came. An initiator may announce less than its CDB asks for: then the whole
    /// blocks of that are written and the rest is a residual overflow; parts of blocks are refused (FCP-4 9.4.2).
    func arrived(_ dataOut: UnsafeRawBufferPointer, of whole: Int, _ geometry: BlockGeometry) -> UnsafeRawBufferPointer?
    {
        let count = min(dataOut.count, whole)
        guard count % Int(geometry.logicalBlockBytes) == 0 else { return nil }
        return UnsafeRawBufferPointer(rebasing: dataOut[..<count])
    }

    func refuseWhereProtected(_ geometry: BlockGeometry) throws(Sense) {
        if geometry.isReadOnly || nexus.isReadOnly { throw .writeProtected }
        if unit.mode.contains(.writeProtected) { throw .softwareWriteProtected }
    }

    /// WRITE ATOMIC(16) (SBC-3 5.37): all of it or, after a loss of power, nothing.
    func writeAtomic(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard cdb[1] >> 5 == 0 else { throw .field(1, bit: 7) }
        let geometry = device.geometry
        try refuseWhereProtected(geometry)
        let extent = Extent(lba: cdb.uint64(2), blocks: UInt64(cdb.uint16(12)), lengthByte: 12)
        let range = try geometry.range(of: extent)
        // VPD page B0h says that there are no boundaries.
        guard cdb.uint16(10) == 0 else { throw .field(10) }
        let whole = Int(range.count)
        guard range.count <= UInt64(geometry.atomicBytesMax) else { throw .field(12) }
        guard whole > 0 else { return good() }
        guard dataOut.count >= whole else { return fail(.dataTooShort, dataOut: whole) }
        let durability: Durability = cdb.bit(1, 3) ? .medium : .device
        let bytes = UnsafeRawBufferPointer(rebasing: dataOut[..<whole])
        device.write(bytes, at: range.offset, durability: durability, sink: sink) { [unit, completion] result in
            completion(unit.answer(result, dataOut: whole))
        }
        return nil
    }
}
