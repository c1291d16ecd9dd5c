import BlockDevices

// From an operation code to what it does: every command of `Command.all` is here, and only those.
extension Exchange {
    /// The command, once nothing stands in its way. An answer, or nil when it comes later.
    func perform(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        switch cdb.operationCode {
        case 0x00: good()
        case 0x03: requestSense()
        case 0x12: try inquiry()
        case 0x1B: try startStop()
        case 0xA0: try reportLogicalUnits()
        case 0xA3: cdb.serviceAction == 0x0C ? try reportOperationCodes() : try reportTaskManagement()
        case 0x25: try readCapacity10()
        case 0x9E: cdb.serviceAction == 0x10 ? readCapacity16() : try getAllocationStatus()
        case 0x37, 0xB7: readDefects()
        case 0x9C: try writeAtomic(dataOut)
        case 0x2E, 0xAE, 0x8E: try writeAndVerify(dataOut)
        case 0x2F, 0xAF, 0x8F: try verify(dataOut)
        case 0x41, 0x93: try writeSame(dataOut)
        case 0x42: try unmap(dataOut)
        case 0x89: try compareAndWrite(dataOut)
        case 0x8B: try orWrite(dataOut)
        case 0x35, 0x91: try synchronizeCache()
        case 0x34, 0x90: try prefetch()
        case 0x15, 0x55: try modeSelect(dataOut)
        case 0x1A, 0x5A: try modeSense()
        case 0x4D: try logSense()
        case 0x5E: try persistentReserveIn()
        case 0x5F: try persistentReserveOut(dataOut)
        case 0x16, 0x56: try reserve()
        case 0x17, 0x57: try release()
        case 0x83: try extendedCopy(dataOut)
        case 0x84: cdb.serviceAction == 0x03 ? copyOperatingParameters() : try copyStatus()
        default: throw .invalidOperationCode
        }
    }

    /// A LUN that isn't there still answers three commands (SPC-4 table 175, SAM-5 4.7).
    func withoutLogicalUnit() throws(Sense) -> SCSIResponse? {
        guard let length = CDB.length(of: cdb.operationCode), cdb.bytes.count >= length else {
            throw .logicalUnitNotSupported
        }
        switch cdb.operationCode {
        case 0x12: return try inquiry(isPresent: false)
        case 0xA0: return try reportLogicalUnits()
        case 0x03:
            return reply(
                Sense.logicalUnitNotSupported.bytes(descriptor: cdb.bit(1, 0)), allocation: Int(cdb[4]))
        default: throw .logicalUnitNotSupported
        }
    }
}
