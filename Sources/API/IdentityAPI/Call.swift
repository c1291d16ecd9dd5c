package import ControlFace
package import HTTPTypes
import Identity
import Primitives

/// One request, as far as its handler may see it. Of the headers only the two tokens are here: what a client claims
/// about itself elsewhere (`X-User-Id`, `X-Roles`) is never read.
package struct Call: Sendable {
    package var route: Route
    /// HEAD arrives as GET.
    package var method: HTTPRequest.Method
    package var isHead = false
    package var query: [String: String]
    /// With percent escapes undone; nil if they are broken.
    package var path: String?
    package var authToken: String?
    package var subjectToken: String?
    package var body: JSON?
    /// `scheme://host[:port][/prefix]`, for links; no slash at the end.
    package var base: String

    /// The longest body that is read; a longer one is a 413.
    package static let bodyBytesMax = 114_688

    /// Whether the handler will hash a password.
    var hashesPassword: Bool {
        switch (route, method) {
        case (.authTokens, .post):
            body?["auth"]?["identity"]?["password"] != nil
                || body?["auth"]?["identity"]?["application_credential"] != nil
        case (.applicationCredentials, .post): true
        case (.users, .post), (.user, .patch): body?["user"]?["password"] != nil
        case (.userPassword, _): true
        default: false
        }
    }

    /// The object under that name in the body, which is where each request keeps its fields.
    func fields(_ name: String) throws(IdentityError) -> Fields {
        guard let body else { throw .invalid(ErrorText.malformed) }
        guard let value = body[name] else { throw .invalid("'\(name)' is a required property") }
        guard value.members != nil else { throw .invalid("Invalid input for field '\(name)': it must be an object.") }
        return Fields(value, path: name)
    }

    /// `name=value` pairs, decoded once; the last of a name counts.
    static func query(_ text: Substring) -> [String: String] {
        var query: [String: String] = [:]
        for pair in QueryText.pairs(text) { query[pair.name] = pair.value }
        return query
    }

    /// The conditions that a list's query puts on texts (`name`, `name__contains` and the like) and truth values.
    func filters(_ texts: [StaticString], flags: [StaticString] = []) -> [ListFilter] {
        var filters: [ListFilter] = []
        for column in texts {
            if let value = query["\(column)"] { filters.append(.equals(column, value)) }
            for comparison in ListFilter.Comparison.allCases {
                guard let value = query["\(column)__\(comparison.rawValue)"] else { continue }
                filters.append(.compares(column, comparison, value))
            }
        }
        for column in flags {
            if let value = flag("\(column)") { filters.append(.equals(column, value)) }
        }
        return filters
    }

    /// A truth value as clients write them in queries; nil if the name isn't there.
    func flag(_ name: String) -> Bool? {
        query[name].map { !["0", "false", "off", "no"].contains($0.lowercased()) }
    }
}

/// One object of a request's body; a field of the wrong type is a 400 that names it.
struct Fields {
    let value: JSON
    let path: String

    init(_ value: JSON, path: String) {
        self.value = value
        self.path = path
    }

    func has(_ name: String) -> Bool { value[name] != nil }

    func string(_ name: String) throws(IdentityError) -> String {
        guard let text = try optionalString(name) else { throw .invalid("'\(name)' is a required property") }
        return text
    }

    /// nil if the field is absent or null.
    func optionalString(_ name: String) throws(IdentityError) -> String? {
        switch value[name] {
        case nil, .null?: return nil
        case .string(let text)?: return text
        default: throw .invalid("Invalid input for field '\(name)': it must be a string.")
        }
    }

    /// nil if the field is absent, `.some(nil)` if it is null.
    func change(_ name: String) throws(IdentityError) -> String?? {
        guard has(name) else { return nil }
        return .some(try optionalString(name))
    }

    func optionalBool(_ name: String) throws(IdentityError) -> Bool? {
        switch value[name] {
        case nil: return nil
        case .bool(let flag)?: return flag
        default: throw .invalid("Invalid input for field '\(name)': it must be a boolean.")
        }
    }

    func optionalNumber(_ name: String) throws(IdentityError) -> Int? {
        switch value[name] {
        case nil, .null?: return nil
        case .number(let text)?:
            guard let number = Int(text) else { throw .invalid("Invalid input for field '\(name)': it is no integer.") }
            return number
        default: throw .invalid("Invalid input for field '\(name)': it must be an integer.")
        }
    }

    /// nil if the field is absent.
    func optionalStrings(_ name: String) throws(IdentityError) -> [String]? {
        guard let field = value[name] else { return nil }
        let texts = field.array?.map(\.string)
        guard let texts, let strings = texts as? [String] else {
            throw .invalid("Invalid input for field '\(name)': it must be a list of strings.")
        }
        return strings
    }

    /// The moment a field names, in Unix seconds, with how answers write it: six digits of fractions, and no zone.
    func optionalTime(_ name: String) throws(IdentityError) -> (seconds: Int64, text: String)? {
        guard let text = try optionalString(name) else { return nil }
        guard let microseconds = ISOTime.microseconds(text) else {
            throw .invalid("Invalid input for field '\(name)': it is not a time as 2026-08-01T10:00:00.000000Z is.")
        }
        let seconds = microseconds >= 0 ? microseconds / 1_000_000 : -1
        let fraction = String(1_000_000 + (microseconds - seconds * 1_000_000) % 1_000_000).dropFirst()
        let date = CivilDate(unixSeconds: seconds).text(dateSeparator: "-", timeSeparator: ":")
        return (seconds, "\(date).\(fraction)")
    }

    /// The members that aren't ours, as a JSON object: clients store what they like beside it. `options` is among them,
    /// and has to consist of those given.
    func extra(besides known: Set<String>, options: Set<String> = []) throws(IdentityError) -> String {
        var extra: [JSON.Member] = []
        for member in value.members ?? [] {
            guard !known.contains(member.key), member.key != "id", member.key != "links" else { continue }
            if member.key == "options" { try check(member.value, options) }
            extra.append(member)
        }
        return String(decoding: JSON.object(extra).utf8, as: UTF8.self)
    }

    private func check(_ value: JSON, _ known: Set<String>) throws(IdentityError) {
        guard let options = value.members else {
            throw .invalid("Invalid input for field 'options': it must be an object.")
        }
        for option in options {
            guard known.contains(option.key) else {
                throw .invalid("Invalid input for field 'options': \(option.key) is not known.")
            }
            switch option.value {
            case .bool, .null: break
            default: throw .invalid("Invalid input for field 'options': \(option.key) must be a boolean.")
            }
        }
    }

    func object(_ name: String) throws(IdentityError) -> Fields {
        guard let inner = value[name] else { throw .invalid("'\(name)' is a required property") }
        guard inner.members != nil else { throw .invalid("Invalid input for field '\(name)': it must be an object.") }
        return Fields(inner, path: "\(path)/\(name)")
    }
}
