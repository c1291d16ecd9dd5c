import ControlFace
import HTTPTypes
import Volumes

/// One request, as far as its handler may see it.
struct Call: Sendable {
    var asker: Asker
    var roles: Set<String>
    var version: Microversion
    /// The parts of the address that its pattern left open, in order.
    var arguments: [String]
    var query: [(name: String, value: String)]
    var body: JSON?
    /// `If-Match`, for metadata.
    var matches: String?
    /// `scheme://host[:port][/prefix]`, for links; no slash at the end.
    var base: String
    /// The address without its query, as it came.
    var path: String

    /// The last value of that name.
    func parameter(_ name: String) -> String? { query.last { $0.name == name }?.value }

    /// A truth value as clients write them in queries; nil if the name isn't there.
    func flag(_ name: String) throws(VolumeError) -> Bool? {
        guard let text = parameter(name) else { return nil }
        guard let flag = Shape.truth(text) else {
            throw .invalid("Invalid value '\(text)' for '\(name)': it must be a boolean.")
        }
        return flag
    }

    /// Whether an administrator asks for all projects.
    var wantsAllProjects: Bool { parameter("all_tenants").map { Shape.truth($0) ?? true } ?? false }

    /// The one object in the body, under its name.
    ///
    /// - Parameter others: names that may stand beside it.
    func fields(_ name: String, beside others: Set<String> = []) throws(VolumeError) -> Shape {
        guard let body, let members = body.members else {
            throw .invalid("Missing required element '\(name)' in request body.")
        }
        guard let value = body[name] else { throw .invalid("Invalid input: '\(name)' is a required property") }
        if let extra = members.first(where: { $0.key != name && !others.contains($0.key) }) {
            throw .invalid("Additional properties are not allowed ('\(extra.key)' was unexpected)")
        }
        return try Shape(value, name)
    }
}
