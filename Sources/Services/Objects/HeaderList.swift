extension Array where Element == (name: String, value: String) {
    /// The first value under the name, compared without ASCII case. `lowercase` must be lower-case.
    package func first(named lowercase: StaticString) -> String? {
        for header in self where header.name.matches(lowercase) { return header.value }
        return nil
    }
}

extension String {
    /// ASCII-case-insensitive equality with a lower-case name.
    func matches(_ lowercase: StaticString) -> Bool {
        guard utf8.count == lowercase.utf8CodeUnitCount else { return false }
        return startsWithLowercase(lowercase)
    }

    /// Whether it begins, without ASCII case, with a lower-case name.
    func startsWithLowercase(_ lowercase: StaticString) -> Bool {
        let count = lowercase.utf8CodeUnitCount
        guard utf8.count >= count else { return false }
        var index = 0
        for byte in utf8 {
            if index == count { return true }
            // SAFETY: index is below the static string's length.
            if asciiLowercase(byte) != (unsafe lowercase.utf8Start[index]) { return false }
            index += 1
        }
        return true
    }
}

@inline(__always)
func asciiLowercase(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

/// `a-b_c` as `A-B_C`: how header names are shown.
func titleCased(_ lowercase: some Sequence<UInt8>) -> String {
    var out: [UInt8] = []
    var upper = true
    for byte in lowercase {
        out.append(upper && byte &- 0x61 < 26 ? byte & 0xDF : byte)
        upper = byte == 0x2D
    }
    return String(decoding: out, as: UTF8.self)
}
