import BlockDevices

// INQUIRY and its VPD pages (SPC-4 6.6 and 7.8, SBC-3 6.6): what the disk is, always the same for the same volume.
extension Exchange {
    func inquiry(isPresent: Bool = true) throws(Sense) -> SCSIResponse {
        // CMDDT is long obsolete.
        guard !cdb.bit(1, 1) else { throw .field(1, bit: 1) }
        let allocation = Int(cdb.uint16(3))
        guard cdb.bit(1, 0) else {
            guard cdb[2] == 0 else { throw .field(2) }
            return reply(standardData(isPresent: isPresent), allocation: allocation)
        }
        guard isPresent, let page = vitalPage(cdb[2]) else { throw .field(2) }
        var bytes: [UInt8] = [0x00, cdb[2]]
        bytes.put16(UInt16(truncatingIfNeeded: page.count))
        return reply(bytes + page, allocation: allocation)
    }

    private func standardData(isPresent: Bool) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 96)
        // No device there, and none can be: qualifier 011b, type 1Fh.
        bytes[0] = isPresent ? 0x00 : 0x7F
        bytes[2] = 0x06  // SPC-4
        bytes[3] = 0x12  // HISUP, response data format 2
        bytes[4] = UInt8(bytes.count - 5)
        bytes[5] = 0x08  // 3PC: EXTENDED COPY. TPGS 0: all paths are alike.
        bytes[6] = 0x10  // MULTIP
        bytes[7] = 0x02  // CMDQUE
        bytes.replaceSubrange(8..<16, with: unit.identity.vendorBytes)
        bytes.replaceSubrange(16..<32, with: unit.identity.productBytes)
        bytes.replaceSubrange(32..<36, with: unit.identity.revisionBytes)
        // SAM-5, iSCSI, SPC-4, SBC-3, none with a version claimed.
        for (index, version) in [0x00A0, 0x0960, 0x0460, 0x04C0].enumerated() {
            bytes.set16(58 + 2 * index, UInt16(version))
        }
        return bytes
    }

    private var vitalPages: [UInt8] {
        [0x00, 0x80, 0x83, 0x8F, 0xB0, 0xB1] + (device.geometry.isThin ? [0xB2] : [])
    }

    /// A page from its fifth byte on.
    private func vitalPage(_ code: UInt8) -> [UInt8]? {
        guard vitalPages.contains(code) else { return nil }
        switch code {
        case 0x00: return vitalPages
        case 0x80: return unit.identity.serialBytes
        case 0x83: return deviceIdentification
        case 0x8F: return Self.thirdPartyCopy
        case 0xB0: return device.geometry.blockLimits
        case 0xB1: return Self.blockCharacteristics
        default: return provisioning
        }
    }

    /// Device Identification. The NAA designator comes first: it is what fits into a CSCD descriptor, and what hosts make
    /// their persistent names from.
    private var deviceIdentification: [UInt8] {
        let naa = designator(codeSet: 1, association: 0, type: 3, unit.identity.naa)
        let vendor = designator(
            codeSet: 2, association: 0, type: 1, unit.identity.vendorBytes + unit.identity.serialBytes)
        var relative: [UInt8] = [0, 0]
        relative.put16(nexus.target.relativeID)
        let port = designator(codeSet: 1, association: 1, type: 4, relative)
        let digits = String(nexus.target.portalGroupTag, radix: 16, uppercase: true)
        let tag = ",t,0x" + String(repeating: "0", count: 4 - digits.count) + digits
        return naa + vendor + port
            + designator(codeSet: 3, association: 1, type: 8, Self.name(nexus.target.name + tag))
            + designator(codeSet: 3, association: 2, type: 8, Self.name(nexus.target.name))
    }

    /// SPC-4 7.8.6.1. PIV and iSCSI's protocol identifier for what belongs to ports and devices.
    private func designator(codeSet: UInt8, association: UInt8, type: UInt8, _ value: [UInt8]) -> [UInt8] {
        let isTransport = association != 0
        return [
            (isTransport ? 0x50 : 0x00) | codeSet, (isTransport ? 0x80 : 0x00) | association << 4 | type, 0,
            UInt8(truncatingIfNeeded: value.count),
        ] + value
    }

    /// A SCSI name string: null-terminated UTF-8, padded to a multiple of four, at most 252 bytes.
    private static func name(_ text: String) -> [UInt8] {
        var bytes = [UInt8](text.utf8.prefix(251))
        bytes.append(0)
        while bytes.count % 4 != 0 { bytes.append(0) }
        return bytes
    }

    /// Block Device Characteristics: no rotation, and FUAB: SYNCHRONIZE CACHE and FUA mean the medium.
    private static let blockCharacteristics: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 60)
        bytes.set16(0, 0x0001)
        bytes[4] = 0x02
        return bytes
    }()

    /// Logical Block Provisioning: thin, unmapped blocks read as zeros, UNMAP and both forms of WRITE SAME unmap.
    private var provisioning: [UInt8] {
        let exponent = device.space == nil ? 0 : device.geometry.thresholdExponent
        return [exponent, 0xE4, 0x02, 0x00]
    }
}

extension BlockGeometry {
    /// Block Limits (SBC-3 6.6.3), in blocks.
    fileprivate var blockLimits: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 60)
        let granularity = granularityBytes / logicalBlockBytes
        bytes[0] = 0x01  // WSNZ: WRITE SAME of zero blocks is refused.
        bytes[1] = UInt8(truncatingIfNeeded: compareAndWriteMax / logicalBlockBytes)
        bytes.set16(2, UInt16(clamping: granularity))
        let transfer = UInt32(truncatingIfNeeded: transferMax) / logicalBlockBytes
        bytes.set32(4, transfer)
        bytes.set32(8, min(transfer, UInt32(SCSILimits.stepBytes) / logicalBlockBytes))
        if isThin {
            bytes.set32(16, UInt32.max)
            bytes.set32(20, UInt32(clamping: unmapRangesMax))
            bytes.set32(24, granularity)
            bytes.set32(28, 0x8000_0000)  // UGAVALID, alignment 0
        }
        bytes.set64(32, writeSameMax)
        // No alignment, no granularity, no boundaries.
        bytes.set32(40, atomicBytesMax / logicalBlockBytes)
        return bytes
    }

    /// Sets of a mebibyte are what the log page on provisioning counts.
    var thresholdExponent: UInt8 { UInt8(((1 << 20) / Int(logicalBlockBytes)).trailingZeroBitCount) }
}
