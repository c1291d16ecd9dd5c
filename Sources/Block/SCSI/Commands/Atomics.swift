import BlockDevices
private import Glibc
import Primitives

// What reads, decides and writes in one piece: COMPARE AND WRITE and ORWRITE.
extension Exchange {
    /// COMPARE AND WRITE (SBC-3 5.2): the first half of the data is compared, the second half written.
    func compareAndWrite(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard cdb[1] >> 5 == 0 else { throw .field(1, bit: 7) }
        let geometry = device.geometry
        try refuseWhereProtected(geometry)
        let extent = Extent(lba: cdb.uint64(2), blocks: UInt64(cdb[13]), lengthByte: 13)
        let range = try geometry.range(of: extent)
        guard range.count <= UInt64(geometry.compareAndWriteMax) else { throw .field(13) }
        guard range.count > 0 else {
            // 256 blocks look like none in eight bits: data for no blocks is a mistake, too.
            guard dataOut.isEmpty else { throw .field(13) }
            return good()
        }
        let half = Int(range.count)
        // Any other amount of data means that somebody is mistaken about what is compared with what.
        guard dataOut.count == 2 * half else { return fail(.dataTooShort, dataOut: 2 * half) }
        let expected = [UInt8](dataOut.prefix(half))
        let replacement = [UInt8](dataOut.suffix(half))
        let mismatch = PosixLocked<Int?>(nil)
        device.update(range, durability: cdb.bit(1, 3) ? .medium : .device, sink: sink) { current in
            if let offset = firstDifference(expected, UnsafeRawBufferPointer(current)) {
                mismatch.withLock { $0 = offset }
                return false
            }
            replacement.withUnsafeBytes { current.copyMemory(from: $0) }
            return true
        } completion: { result in
            if case .success = result, let offset = mismatch.withLock({ $0 }) {
                completion(fail(.miscompare(at: offset), dataOut: 2 * half))
            } else {
                completion(done(result, dataOut: 2 * half))
            }
        }
        return nil
    }

    /// ORWRITE(16) (SBC-3 5.6): each block is changed in one piece; long ones are not one piece as a whole.
    func orWrite(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard cdb[1] >> 5 == 0 else { throw .field(1, bit: 7) }
        let geometry = device.geometry
        try refuseWhereProtected(geometry)
        let range = try geometry.transfer(of: Extent(cdb))
        let whole = Int(range.count)
        guard whole > 0 else { return good() }
        guard dataOut.count >= whole else { return fail(.dataTooShort, dataOut: whole) }
        let bits = [UInt8](dataOut.prefix(whole))
        let durability: Durability = cdb.bit(1, 3) ? .medium : .device
        inSteps(range, of: Int(geometry.atomicBytesMax)) { piece, next in
            device.update(piece, durability: durability, sink: sink) { current in
                let start = Int(piece.offset - range.offset)
                for index in 0..<current.count { current[index] |= bits[start + index] }
                return true
            } completion: {
                next($0)
            }
        } last: { result in
            completion(done(result, dataOut: whole))
        }
        return nil
    }
}

extension BlockGeometry {
    /// MAXIMUM COMPARE AND WRITE LENGTH is one byte of blocks.
    var compareAndWriteMax: UInt32 { min(atomicBytesMax, 255 * logicalBlockBytes) }
}

/// Where two stretches of the same length differ first.
func firstDifference(_ expected: [UInt8], _ found: UnsafeRawBufferPointer) -> Int? {
    expected.withUnsafeBytes { firstDifference($0, found) }
}

func firstDifference(_ expected: UnsafeRawBufferPointer, _ found: UnsafeRawBufferPointer) -> Int? {
    let count = min(expected.count, found.count)
    guard count > 0, let left = expected.baseAddress, let right = found.baseAddress else { return nil }
    guard memcmp(left, right, count) != 0 else { return nil }
    return (0..<count).first { expected[$0] != found[$0] }
}
