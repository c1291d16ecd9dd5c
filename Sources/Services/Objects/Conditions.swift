package import Codecs
package import Primitives

/// If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since of a GET, HEAD or copy (object-api.md section 7).
package struct Conditions: Sendable {
    package enum Verdict: Sendable, Hashable { case proceed, notModified, preconditionFailed }

    private enum Tags: Sendable {
        case any
        case some([String])
    }

    private var match: Tags?
    private var noneMatch: Tags?
    private var modifiedSince: Int64?
    private var unmodifiedSince: Int64?

    package init(_ headers: HeaderList) {
        for header in headers where header.name.startsWithLowercase("if-") {
            if header.name.matches("if-match") {
                match = Self.merge(match, header.value)
            } else if header.name.matches("if-none-match") {
                noneMatch = Self.merge(noneMatch, header.value)
            } else if header.name.matches("if-modified-since") {
                modifiedSince = HTTPDate.parse(header.value)
            } else if header.name.matches("if-unmodified-since") {
                unmodifiedSince = HTTPDate.parse(header.value)
            }
        }
    }

    package var isEmpty: Bool { match == nil && noneMatch == nil && modifiedSince == nil && unmodifiedSince == nil }

    /// `If-Match: *` (or any If-Match) on what is not there: 412 instead of 404.
    package var failsOnAbsent: Bool {
        if case .any? = match { return true }
        return false
    }

    /// The verdict for a resource that is there.
    package func evaluate(etag: MD5Digest, modified: Timestamp) -> Verdict {
        if isEmpty { return .proceed }
        let hex = etag.hex
        if let noneMatch, Self.contains(noneMatch, hex) { return .notModified }
        if let match, !Self.contains(match, hex) { return .preconditionFailed }
        let seconds = modified.secondsRoundedUp
        if let modifiedSince, modifiedSince >= seconds { return .notModified }
        if let unmodifiedSince, unmodifiedSince < seconds { return .preconditionFailed }
        return .proceed
    }

    private static func contains(_ tags: Tags, _ hex: String) -> Bool {
        switch tags {
        case .any: true
        case .some(let list): list.contains(hex)
        }
    }

    private static func merge(_ old: Tags?, _ value: String) -> Tags {
        var list: [String] = []
        if case .any? = old { return .any }
        if case .some(let before)? = old { list = before }
        for part in value.utf8.split(separator: UInt8(ascii: ",")) {
            let tag = bareTag(trimmed(part))
            if tag == "*" { return .any }
            if !tag.isEmpty { list.append(tag) }
        }
        return .some(list)
    }
}

/// An entity tag without its quotes and without a weak mark, as text.
func bareTag(_ text: Substring.UTF8View) -> String {
    var text = text
    if text.starts(with: "W/".utf8) { text = text.dropFirst(2) }
    if text.count >= 2, text.first == UInt8(ascii: "\""), text.last == UInt8(ascii: "\"") {
        text = text.dropFirst().dropLast()
    }
    return String(Substring(text))
}

/// Without spaces and tabs at either end.
func trimmed(_ text: Substring.UTF8View) -> Substring.UTF8View {
    var text = text
    while let byte = text.first, byte == 0x20 || byte == 0x09 { text = text.dropFirst() }
    while let byte = text.last, byte == 0x20 || byte == 0x09 { text = text.dropLast() }
    return text
}

func trimmed(_ text: String) -> String { String(Substring(trimmed(text[...].utf8))) }
