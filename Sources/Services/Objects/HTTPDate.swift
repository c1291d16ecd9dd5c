package import Primitives

/// Dates as HTTP headers and listings show them: civil time from seconds, with no locale and no time zone table.
package enum HTTPDate {
    /// IMF-fixdate, e.g. `Thu, 29 May 2014 16:10:43 GMT`.
    package static func format(seconds: Int64) -> String {
        let date = CivilDate(unixSeconds: seconds)
        let (year, month, day, second) = (date.year, date.month, date.day, date.secondOfDay)
        let days = (seconds - Int64(second)) / 86_400
        let weekday = Int(((days % 7) + 11) % 7)  // 1970-01-01 was a Thursday.
        // Every GET shows one: written in place.
        return unsafe String(unsafeUninitializedCapacity: 29) { out in
            func put(_ text: StaticString, from: Int = 0, count: Int, at: Int) {
                for i in 0..<count { unsafe out[at + i] = text.utf8Start[from + i] }
            }
            func put(_ number: Int, digits: Int, at: Int) {
                var rest = number
                for i in stride(from: digits - 1, through: 0, by: -1) {
                    unsafe out[at + i] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                    rest /= 10
                }
            }
            put("Www, dd Mmm yyyy hh:mm:ss GMT", count: 29, at: 0)
            put("SunMonTueWedThuFriSat", from: 3 * weekday, count: 3, at: 0)
            put(day, digits: 2, at: 5)
            put("JanFebMarAprMayJunJulAugSepOctNovDec", from: 3 * (month - 1), count: 3, at: 8)
            put(max(0, year), digits: 4, at: 12)
            put(second / 3600, digits: 2, at: 17)
            put(second / 60 % 60, digits: 2, at: 20)
            put(second % 60, digits: 2, at: 23)
            return 29
        }
    }

    /// `Last-Modified`: the timestamp rounded up to a second.
    package static func lastModified(_ timestamp: Timestamp) -> String { format(seconds: timestamp.secondsRoundedUp) }

    /// `2014-05-29T16:10:42.146430`, as listings show it.
    package static func listing(_ timestamp: Timestamp) -> String {
        let date = CivilDate(unixSeconds: timestamp.wholeSeconds)
        let (year, month, day, second) = (date.year, date.month, date.day, date.secondOfDay)
        var out: [UInt8] = []
        out.reserveCapacity(26)
        pad(year, 4, &out)
        out.append(UInt8(ascii: "-"))
        pad(month, 2, &out)
        out.append(UInt8(ascii: "-"))
        pad(day, 2, &out)
        out.append(UInt8(ascii: "T"))
        time(second, &out)
        out.append(UInt8(ascii: "."))
        pad(Int(timestamp.ticks % Timestamp.ticksPerSecond) * 10, 6, &out)
        return String(decoding: out, as: UTF8.self)
    }

    /// Unix seconds of an IMF-fixdate, an RFC 850 date or an asctime date; nil for anything else.
    package static func parse(_ text: String) -> Int64? {
        let words = text.utf8.split(whereSeparator: { $0 == 0x20 || $0 == 0x2C || $0 == 0x2D }).map { Array($0) }
        // "Thu, 29 May 2014 16:10:43 GMT", "Thursday, 29-May-14 16:10:43 GMT", "Thu May 29 16:10:43 2014".
        guard words.count >= 5 else { return nil }
        var day: Int?
        var month: Int?
        var year: Int?
        var clock: [UInt8]
        if let first = number(words[1]) {
            guard words.count == 6, String(decoding: words[5], as: UTF8.self).lowercased() == "gmt" else { return nil }
            day = first
            month = monthNumber(words[2])
            year = number(words[3])
            if words[3].count == 2, let short = year { year = short + (short < 70 ? 2000 : 1900) }
            clock = words[4]
        } else {
            guard words.count == 5 else { return nil }
            month = monthNumber(words[1])
            day = number(words[2])
            clock = words[3]
            year = number(words[4])
        }
        let parts = clock.split(separator: UInt8(ascii: ":"))
        guard parts.count == 3, let hour = number(Array(parts[0])), let minute = number(Array(parts[1])),
            let second = number(Array(parts[2])), hour < 24, minute < 60, second < 61,
            let day, let month, let year, (1...31).contains(day), (1600...9999).contains(year)
        else { return nil }
        return days(year: year, month: month, day: day) * 86_400 + Int64(hour * 3600 + minute * 60 + second)
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    private static func monthNumber(_ word: [UInt8]) -> Int? {
        let name = String(decoding: word, as: UTF8.self)
        guard let index = months.firstIndex(where: { $0.lowercased() == name.lowercased() }) else { return nil }
        return index + 1
    }

    private static func number(_ digits: [UInt8]) -> Int? {
        guard (1...4).contains(digits.count), digits.allSatisfy({ $0 &- 0x30 < 10 }) else { return nil }
        return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }

    private static func pad(_ value: Int, _ width: Int, _ out: inout [UInt8]) {
        var divisor = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
            out.append(UInt8(0x30 + value / divisor % 10))
            divisor /= 10
        }
    }

    private static func time(_ second: Int, _ out: inout [UInt8]) {
        pad(second / 3600, 2, &out)
        out.append(UInt8(ascii: ":"))
        pad(second / 60 % 60, 2, &out)
        out.append(UInt8(ascii: ":"))
        pad(second % 60, 2, &out)
    }

    /// The day number of a date, 0 being 1970-01-01: years counted from March, in 400-year eras.
    private static func days(year: Int, month: Int, day: Int) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return Int64(era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468)
    }
}
