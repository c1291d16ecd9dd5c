import ControlFace
import Images

/// JSON patch in the two drafts that image clients speak.
enum ImagePatch {
    static let types = [
        "application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch",
    ]

    private enum Verb: String, CaseIterable {
        case add, replace, remove
    }

    static func changes(_ body: JSON?, type: String) throws(ImageError) -> [ImageChange] {
        guard let body else { throw .invalid("Body expected in request.") }
        guard let items = body.array else { throw .invalid("Request body must be a JSON array of operation objects.") }
        guard items.count <= Limits.changesMax else { throw .tooLarge("Too many operations in one request.") }
        let isOld = type == types[1]
        var changes: [ImageChange] = []
        for item in items {
            guard item.members != nil else { throw .invalid("Operations must be JSON objects.") }
            let (verb, path) = try isOld ? oldStep(item) : step(item)
            let name = try single(path)
            var value = item["value"]
            if verb != .remove, value == nil {
                throw .invalid("Operation \"\(verb.rawValue)\" requires a member named \"value\".")
            }
            if verb == .remove { value = nil }
            changes.append(try change(verb, name, value, isOld: isOld))
        }
        return changes
    }

    private static func step(_ item: JSON) throws(ImageError) -> (Verb, String) {
        guard let name = item["op"]?.string, let path = item["path"]?.string else {
            throw .invalid("Unable to find 'op' and 'path' in JSON Schema change.")
        }
        guard let verb = Verb(rawValue: name) else {
            throw .invalid("Invalid operation: `\(name)`. It must be one of the following: add, remove, replace.")
        }
        return (verb, path)
    }

    private static func oldStep(_ item: JSON) throws(ImageError) -> (Verb, String) {
        let found = Verb.allCases.filter { item[$0.rawValue] != nil }
        guard found.count == 1, let path = item[found[0].rawValue]?.string else {
            throw .invalid(
                "Operation objects must contain exactly one member named \"add\", \"remove\", or \"replace\".")
        }
        return (found[0], path)
    }

    /// A JSON pointer of one part.
    private static func single(_ path: String) throws(ImageError) -> String {
        guard path.hasPrefix("/") else { throw .invalid("Pointer `\(path)` does not start with \"/\".") }
        guard !path.contains("//") else { throw .invalid("Pointer `\(path)` contains adjacent \"/\".") }
        guard path.count > 1, !path.hasSuffix("/") else { throw .invalid("Pointer `\(path)` ends with \"/\".") }
        let rest = path.dropFirst()
        if rest == "locations" || rest.hasPrefix("locations/") { return "locations" }
        guard !rest.contains("/") else { throw .invalid("Pointer `\(path)` names something within a property.") }
        var name = ""
        var isEscaped = false
        for character in rest {
            if isEscaped {
                guard character == "0" || character == "1" else {
                    throw .invalid("Pointer `\(path)` contains \"~\" not part of a recognized escape sequence.")
                }
                name.append(character == "0" ? "~" : "/")
                isEscaped = false
            } else if character == "~" {
                isEscaped = true
            } else {
                name.append(character)
            }
        }
        guard !isEscaped else {
            throw .invalid("Pointer `\(path)` contains \"~\" not part of a recognized escape sequence.")
        }
        return name
    }

    private static func change(
        _ verb: Verb, _ name: String, _ value: JSON?, isOld: Bool
    ) throws(ImageError) -> ImageChange {
        try ImageFields.checkWritable(name)
        if name == "id" { throw .forbidden("Attribute 'id' is read-only.") }
        let isBase = ImageFields.base.contains(name)
        switch verb {
        case .remove:
            guard !isBase else { throw .forbidden("Property \(name) is part of the base and may not be removed.") }
            return .removedProperty(name)
        case .add:
            let change = try ImageFields.change(name, value ?? .null)
            if case .property(let name, let value) = change, isOld { return .newProperty(name, value) }
            return change
        case .replace:
            let change = try ImageFields.change(name, value ?? .null)
            if case .property(let name, let value) = change { return .replacedProperty(name, value) }
            return change
        }
    }
}
