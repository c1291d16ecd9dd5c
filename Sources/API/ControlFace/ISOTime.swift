/// Times as requests write them (ISO 8601, always UTC), in microseconds since 1970.
package enum ISOTime {
    /// `YYYY-MM-DD`, with a time behind `T` or a blank, fractions and `Z` if there are any; nil for anything else.
    package static func microseconds(_ text: String) -> Int64? {
        var rest = Array(text.utf8)[...]
        func number(_ digits: Int) -> Int64? {
            guard rest.count >= digits else { return nil }
            var value: Int64 = 0
            for _ in 0..<digits {
                guard let byte = rest.popFirst(), (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        func mark(_ byte: UInt8) -> Bool {
            guard rest.first == byte else { return false }
            rest.removeFirst()
            return true
        }
        guard let year = number(4), mark(0x2D), let month = number(2), mark(0x2D), let day = number(2),
            (1...12).contains(month), (1...31).contains(day), year >= 1
        else { return nil }
        var total = days(year, month, day) * 86_400
        var fraction: Int64 = 0
        if mark(0x54) || mark(0x20) {
            guard let hour = number(2), mark(0x3A), let minute = number(2), hour < 24, minute < 60 else { return nil }
            total += hour * 3_600 + minute * 60
            if mark(0x3A) {
                guard let second = number(2), second <= 60 else { return nil }
                total += second
                if mark(0x2E) {
                    var unit: Int64 = 100_000
                    while let byte = rest.first, (0x30...0x39).contains(byte) {
                        fraction += Int64(byte - 0x30) * unit
                        unit /= 10
                        rest.removeFirst()
                    }
                }
            }
            _ = mark(0x5A)
        }
        return rest.isEmpty ? total * 1_000_000 + fraction : nil
    }

    /// Since 1970, in eras of 400 years from 1 March of year 0.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
