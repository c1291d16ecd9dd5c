import ControlFace
import HTTPTypes
import Images

/// One request, as far as its handler may see it.
struct Call: Sendable {
    var asker: ImageAsker
    /// The parts of the address that its pattern left open, in order.
    var arguments: [String]
    var query: [(name: String, value: String)]
    var headers: HTTPFields
    /// nil if there was none.
    var body: JSON?
    /// `scheme://host[:port][/prefix]`, for links; no slash at the end.
    var base: String

    /// The last value of that name.
    func parameter(_ name: String) -> String? { query.last { $0.name == name }?.value }

    /// The body as an object.
    func object() throws(ImageError) -> [JSON.Member] {
        guard let body else { throw .invalid("Body expected in request.") }
        guard let members = body.members else { throw .invalid("The body must be a JSON object.") }
        return members
    }
}
