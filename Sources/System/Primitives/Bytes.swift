private import CLinux
private import Glibc

/// An immutable byte string ordered bytewise, as object, container and account names are.
///
/// Names differ by case and by Unicode normalisation, so they are never compared as `String`.
package struct Bytes: Sendable, Hashable, Comparable, ExpressibleByStringLiteral, CustomStringConvertible {
    package let storage: [UInt8]

    package init(_ storage: [UInt8]) { self.storage = storage }
    package init(_ slice: some Sequence<UInt8>) { self.storage = Array(slice) }
    /// The same without the cost of the generic case, which other modules call unspecialized.
    package init(_ slice: ArraySlice<UInt8>) { self.storage = Array(slice) }
    package init(_ string: String) { self.storage = Array(string.utf8) }
    package init(stringLiteral value: String) { self.init(value) }

    package var count: Int { storage.count }
    package var isEmpty: Bool { storage.isEmpty }

    /// The bytes as text; ill-formed UTF-8 is repaired with U+FFFD (names were validated at the door).
    package var string: String { String(decoding: storage, as: UTF8.self) }
    package var description: String { string }

    package func hasPrefix(_ prefix: Bytes) -> Bool { storage.starts(with: prefix.storage) }

    /// Where `needle`, which is not empty, first begins at or behind `start`; in time linear in both, since names and
    /// delimiters are clients' to choose.
    package func firstRange(of needle: Bytes, from start: Int) -> Range<Int>? {
        guard start >= 0, start <= count else { return nil }
        let found = unsafe storage.withUnsafeBytes { own in
            unsafe needle.storage.withUnsafeBytes { needle in
                unsafe apus_find(
                    own.baseAddress.map { unsafe $0 + start }, own.count - start, needle.baseAddress, needle.count)
            }
        }
        return found < 0 ? nil : start + Int(found)..<start + Int(found) + needle.count
    }

    /// Whether these are the bytes of `prefix` and those of `text` behind them.
    package func isJoined(_ prefix: [UInt8], _ text: String) -> Bool {
        var text = text
        return text.withUTF8 { text in
            unsafe storage.withUnsafeBytes { own in
                guard own.count == prefix.count + text.count else { return false }
                return unsafe prefix.withUnsafeBytes { prefix in
                    unsafe (prefix.isEmpty || memcmp(own.baseAddress!, prefix.baseAddress!, prefix.count) == 0)
                        && (text.isEmpty || memcmp(own.baseAddress! + prefix.count, text.baseAddress!, text.count) == 0)
                }
            }
        }
    }

    // The array's own hashing feeds one element at a time; this feeds all of them at once.
    package func hash(into hasher: inout Hasher) {
        unsafe storage.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
    }

    package static func == (a: Bytes, b: Bytes) -> Bool {
        a.storage.count == b.storage.count && compare(a.storage, b.storage) == 0
    }

    package static func < (a: Bytes, b: Bytes) -> Bool {
        compare(a.storage, b.storage) < 0
    }

    /// `memcmp` order; a proper prefix sorts first. Negative, zero or positive.
    @inline(__always)
    package static func compare(_ a: [UInt8], _ b: [UInt8]) -> Int {
        unsafe a.withUnsafeBytes { x in
            unsafe b.withUnsafeBytes { y in
                let n = min(x.count, y.count)
                if n > 0 {
                    let order = unsafe memcmp(x.baseAddress!, y.baseAddress!, n)
                    if order != 0 { return Int(order) }
                }
                return x.count - y.count
            }
        }
    }
}
