import Codecs
import SCSI

/// Sense data in fixed format (SPC-4 4.5.3).
enum Sense {
    static func fixed(key: UInt8, _ code: UInt8, _ qualifier: UInt8) -> [UInt8] {
        [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0]
    }
}

enum Checksum {
    static func of(_ bytes: UnsafeRawBufferPointer, after seed: UInt32 = 0) -> UInt32 {
        CRC32C.checksum(bytes, seed: seed)
    }
}

/// What answers at a LUN where there is no logical unit, and which units there are (SAM-5 5.9.4, SPC-4 6.4, 6.33, 6.39).
enum AbsentUnit {
    private static let requestSense: UInt8 = 0x03
    private static let inquiry: UInt8 = 0x12
    static let reportLUNs: UInt8 = 0xa0
    /// LOGICAL UNIT NOT SUPPORTED.
    private static let notSupported = Sense.fixed(key: 0x05, 0x25, 0x00)
    /// INVALID FIELD IN CDB.
    private static let invalidField = Sense.fixed(key: 0x05, 0x24, 0x00)

    /// - Parameter units: the numbers of those that are there.
    static func answer(_ command: SCSICommand, units: [Int], dataIn: any DataInBuffer) -> SCSIResponse {
        let cdb = command.cdb
        switch cdb.first {
        case inquiry where cdb.count >= 6:
            guard cdb[1] & 0x03 == 0, cdb[2] == 0 else {
                return SCSIResponse(status: .checkCondition, sense: invalidField)
            }
            // Qualifier 011b, type 1Fh: no unit can be here.
            var data = [UInt8](repeating: 0, count: 36)
            data[0] = 0x7f
            data[2] = 0x06
            data[3] = 0x02
            data[4] = UInt8(data.count - 5)
            for index in 8..<36 { data[index] = UInt8(ascii: " ") }
            return give(data, max: Int(cdb[3]) << 8 | Int(cdb[4]), dataIn)
        case requestSense where cdb.count >= 6:
            return give(notSupported, max: Int(cdb[4]), dataIn)
        case reportLUNs where cdb.count >= 12:
            let length = cdb[6..<10].reduce(0) { $0 << 8 | Int($1) }
            // Well-known units there are none; all others are in the plain and the whole list.
            guard length >= 16, cdb[2] <= 2 else { return SCSIResponse(status: .checkCondition, sense: invalidField) }
            var list: [UInt8] = []
            for number in units where cdb[2] != 1 {
                list += number < 256 ? [0, UInt8(number)] : [0x40 | UInt8(number >> 8), UInt8(number & 0xff)]
                list += [0, 0, 0, 0, 0, 0]
            }
            let count = UInt32(list.count)
            let head = (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * UInt32($0))) }
            return give(head + [0, 0, 0, 0] + list, max: length, dataIn)
        default:
            return SCSIResponse(status: .checkCondition, sense: notSupported)
        }
    }

    private static func give(_ data: [UInt8], max: Int, _ dataIn: any DataInBuffer) -> SCSIResponse {
        let count = min(data.count, max)
        data.withUnsafeBytes { data in
            dataIn.reserve(count).copyMemory(from: UnsafeRawBufferPointer(rebasing: data[..<count]))
        }
        return SCSIResponse(status: .good, dataInCount: count)
    }
}
