package import ControlFace
package import HTTPTypes
import Identity

/// One request, as far as its handler may see it. Of the headers only the two tokens are here: what a client claims
/// about itself elsewhere (`X-User-Id`, `X-Roles`) is never read.
package struct Call: Sendable {
    package var route: Route
    /// HEAD arrives as GET.
    package var method: HTTPRequest.Method
    package var query: [String: String]
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
        case (.authTokens, .post): body?["auth"]?["identity"]?["password"] != nil
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

    func object(_ name: String) throws(IdentityError) -> Fields {
        guard let inner = value[name] else { throw .invalid("'\(name)' is a required property") }
        guard inner.members != nil else { throw .invalid("Invalid input for field '\(name)': it must be an object.") }
        return Fields(inner, path: "\(path)/\(name)")
    }
}
