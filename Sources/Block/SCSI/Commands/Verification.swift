import BlockDevices
import Primitives

// VERIFY and WRITE AND VERIFY (SBC-3 5.33, 5.40): the medium is read, and compared where BYTCHK says so.
extension Exchange {
    /// BYTCHK (SBC-3 table 107).
    private enum Check: UInt8 {
        case mediumOnly = 0
        case whole = 1
        /// One block of data, compared with each of the medium's.
        case oneBlock = 3
    }

    func verify(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard cdb[1] >> 5 == 0 else { throw .field(1, bit: 7) }
        guard let check = Check(rawValue: cdb[1] >> 1 & 0x03) else { throw .field(1, bit: 2) }
        let geometry = device.geometry
        let range = try geometry.transfer(of: Extent(cdb))
        guard range.count > 0 else { return good() }
        let needed: Int
        switch check {
        case .mediumOnly: needed = 0
        case .whole: needed = Int(range.count)
        case .oneBlock: needed = Int(geometry.logicalBlockBytes)
        }
        guard dataOut.count >= needed else { return fail(.dataTooShort, dataOut: needed) }
        let expected = needed == 0 ? nil : [UInt8](dataOut.prefix(needed))
        return offload { compare(range, with: expected, dataOut: needed) }
    }

    func writeAndVerify(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard cdb[1] >> 5 == 0 else { throw .field(1, bit: 7) }
        guard let check = Check(rawValue: cdb[1] >> 1 & 0x03), check != .oneBlock else { throw .field(1, bit: 2) }
        let geometry = device.geometry
        try refuseWhereProtected(geometry)
        let range = try geometry.transfer(of: Extent(cdb))
        let whole = Int(range.count)
        guard let bytes = arrived(dataOut, of: whole, geometry) else { return fail(.dataTooShort, dataOut: whole) }
        guard bytes.count > 0 else { return good(dataOut: whole) }
        let written = BlockRange(offset: range.offset, count: UInt64(bytes.count))
        let expected = check == .whole ? [UInt8](bytes) : nil
        device.write(bytes, at: range.offset, durability: .medium, sink: sink) { result in
            guard case .success = result else { return completion(done(result, dataOut: whole)) }
            resume { compare(written, with: expected, dataOut: whole) }
        }
        return nil
    }

    /// Reads a range step by step; `expected` is as long as the range, or a block that repeats in it. May wait for a disk.
    private func compare(_ range: BlockRange, with expected: [UInt8]?, dataOut: Int) -> SCSIResponse {
        let block = Int(device.geometry.logicalBlockBytes)
        var buffer = [UInt8](repeating: 0, count: Int(min(range.count, UInt64(SCSILimits.stepBytes))))
        var position = 0
        while position < Int(range.count) {
            let count = min(buffer.count, Int(range.count) - position)
            do throws(BlockError) {
                try device.read(at: range.offset + UInt64(position), count, into: &buffer)
            } catch {
                return fail(error, dataOut: dataOut)
            }
            if let expected {
                let difference = buffer.withUnsafeBytes { found in
                    let part = UnsafeRawBufferPointer(rebasing: found[..<count])
                    return expected.withUnsafeBytes {
                        $0.count == Int(range.count)
                            ? firstDifference(UnsafeRawBufferPointer(rebasing: $0[position...]), part)
                            : firstDifferingBlock($0, part, block)
                    }
                }
                if let difference { return fail(.miscompare(at: position + difference), dataOut: dataOut) }
            }
            position += count
        }
        return good(dataOut: dataOut)
    }

    private func firstDifferingBlock(_ expected: UnsafeRawBufferPointer, _ found: UnsafeRawBufferPointer, _ block: Int)
        -> Int?
    {
        for start in stride(from: 0, to: found.count, by: block) {
            let part = UnsafeRawBufferPointer(rebasing: found[start..<min(start + block, found.count)])
            if let offset = firstDifference(expected, part) { return start + offset }
        }
        return nil
    }
}
