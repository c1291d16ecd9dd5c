/// The version of the API that a request asks for: `3.{minor}`.
struct Microversion: Sendable, Comparable, CustomStringConvertible {
    let minor: Int

    static let oldest = Microversion(minor: 0)
    static let newest = Microversion(minor: 71)

    var description: String { "3.\(minor)" }
    static func < (a: Microversion, b: Microversion) -> Bool { a.minor < b.minor }

    enum Refusal: Error {
        /// 400
        case malformed(String)
        /// 406
        case unsupported(String)
    }

    /// From the values of `OpenStack-API-Version`, which name one or several services, comma separated. Without one for
    /// this service it is the oldest.
    static func requested(_ headers: [String]) throws(Refusal) -> Microversion {
        for item in headers.flatMap({ $0.split(separator: ",") }) {
            let words = item.split(separator: " ")
            guard words.first.map({ $0.lowercased() }) == "volume" else { continue }
            guard words.count == 2 else { throw .malformed(String(item)) }
            if words[1] == "latest" { return newest }
            let numbers = words[1].split(separator: ".", omittingEmptySubsequences: false)
            guard numbers.count == 2, let major = number(numbers[0]), let minor = number(numbers[1]) else {
                throw .malformed(String(words[1]))
            }
            guard major == 3, minor <= newest.minor else { throw .unsupported(String(words[1])) }
            return Microversion(minor: minor)
        }
        return oldest
    }

    private static func number(_ text: Substring) -> Int? {
        guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int(text)
    }
}
