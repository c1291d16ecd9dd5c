import NIOCore

/// The `Date` header of one event loop, made again when the second changes.
struct DateHeader {
    private var second: Int64 = -1
    private var line: [UInt8] = Array("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n".utf8)

    mutating func write(_ now: Int64, into buffer: inout ByteBuffer) {
        if now != second {
            second = now
            format(now)
        }
        buffer.writeBytes(line)
    }

    /// IMF-fixdate in place; the civil date by counting years from March in 400-year eras.
    private mutating func format(_ seconds: Int64) {
        let days = seconds / 86_400
        let inDay = Int(seconds % 86_400)
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = Int(shifted % 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        let year = yearOfEra + Int(era) * 400 + (month <= 2 ? 1 : 0)
        let names: StaticString = "SunMonTueWedThuFriSatJanFebMarAprMayJunJulAugSepOctNovDec"
        for i in 0..<3 {
            line[6 + i] = names.utf8Start[Int((days + 4) % 7) * 3 + i]
            line[14 + i] = names.utf8Start[21 + (month - 1) * 3 + i]
        }
        two(dayOfYear - (153 * part + 2) / 5 + 1, 11)
        two(year / 100 % 100, 18)
        two(year % 100, 20)
        two(inDay / 3600, 23)
        two(inDay / 60 % 60, 26)
        two(inDay % 60, 29)
    }

    private mutating func two(_ value: Int, _ at: Int) {
        line[at] = 0x30 + UInt8(truncatingIfNeeded: value / 10)
        line[at + 1] = 0x30 + UInt8(truncatingIfNeeded: value % 10)
    }
}
