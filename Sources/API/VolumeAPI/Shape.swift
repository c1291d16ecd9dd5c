import ControlFace
import Volumes

/// One object of a request's body; a field of the wrong kind is a 400 that names it.
struct Shape: Sendable {
    let value: JSON
    let path: String

    init(_ value: JSON, _ path: String) throws(VolumeError) {
        guard value.members != nil else {
            throw .invalid("Invalid input for field/attribute \(path). It is not of type 'object'")
        }
        self.value = value
        self.path = path
    }

    var names: [String] { value.members?.map(\.key) ?? [] }
    func has(_ name: String) -> Bool { value[name] != nil }

    /// Refuses any field but these.
    @discardableResult
    func only(_ allowed: Set<String>) throws(VolumeError) -> Shape {
        if let extra = names.first(where: { !allowed.contains($0) }) {
            throw .invalid("Additional properties are not allowed ('\(extra)' was unexpected)")
        }
        return self
    }

    private func wrong(_ name: String, _ why: String) -> VolumeError {
        .invalid("Invalid input for field/attribute \(name). \(why)")
    }

    /// nil if it is absent or null; trimmed.
    func text(_ name: String, max: Int = FaceLimits.textMax) throws(VolumeError) -> String? {
        switch value[name] {
        case nil, .null?: return nil
        case .string(let text)?:
            let trimmed = Self.trimmed(text)
            guard trimmed.unicodeScalars.count <= max else { throw wrong(name, "Value is too long: \(max) at most.") }
            return trimmed
        default: throw wrong(name, "It is not of type 'string'.")
        }
    }

    func requiredText(_ name: String, max: Int = FaceLimits.textMax) throws(VolumeError) -> String {
        guard has(name) else { throw .invalid("'\(name)' is a required property") }
        guard let text = try text(name, max: max), !text.isEmpty else { throw wrong(name, "It must not be empty.") }
        return text
    }

    /// The first of the two that has a text: resources have an older and a newer name for the same.
    func text(_ name: String, or other: String, max: Int = FaceLimits.textMax) throws(VolumeError) -> String? {
        if let text = try text(name, max: max) { return text }
        return try text(other, max: max)
    }

    /// The first of the two that is there at all.
    func change(_ name: String, or other: String) throws(VolumeError) -> String?? {
        try change(has(name) ? name : other)
    }

    /// nil if it is absent, `.some(nil)` if it is null.
    func change(_ name: String) throws(VolumeError) -> String?? {
        guard has(name) else { return nil }
        return .some(try text(name))
    }

    func bool(_ name: String) throws(VolumeError) -> Bool? {
        switch value[name] {
        case nil: return nil
        case .bool(let flag)?: return flag
        case .string(let text)?:
            if let flag = Self.truth(text) { return flag }
        case .number(let text)?:
            if let flag = Self.truth(text) { return flag }
        default: break
        }
        throw wrong(name, "It is not of type 'boolean'.")
    }

    /// An integer, also as a text of digits.
    func integer(_ name: String) throws(VolumeError) -> Int? {
        switch value[name] {
        case nil, .null?: return nil
        case .number(let text)?, .string(let text)?:
            guard let number = Int(text) else { throw wrong(name, "'\(text)' is not an integer.") }
            return number
        default: throw wrong(name, "It is not an integer.")
        }
    }

    /// Texts by name, with the bounds that metadata has. Null is none.
    func metadata(_ name: String) throws(VolumeError) -> [String: String]? {
        guard let json = value[name], json != .null else { return nil }
        return try Self.facts(json, name)
    }

    static func facts(_ json: JSON, _ name: String, keysMayHave isAllowed: (UInt8) -> Bool = { _ in true })
        throws(VolumeError) -> [String: String]
    {
        guard let members = json.members else {
            throw .invalid("Invalid input for field/attribute \(name). It is not of type 'object'")
        }
        guard members.count <= Limits.metadataCountMax else {
            throw .invalid("Invalid input for field/attribute \(name). It has too many properties.")
        }
        var facts: [String: String] = [:]
        for member in members {
            guard (1...Limits.metadataKeyMax).contains(member.key.unicodeScalars.count),
                member.key.utf8.allSatisfy(isAllowed)
            else { throw .invalid("Invalid input for field/attribute \(name). '\(member.key)' is no valid key.") }
            guard case .string(let text) = member.value, text.unicodeScalars.count <= Limits.metadataValueMax else {
                throw .invalid(
                    "Invalid input for field/attribute \(member.key). It must be a string of at most 255 characters.")
            }
            facts[member.key] = text
        }
        return facts
    }

    /// Letters, digits and `_:.-`: what specs' names are made of. A blank is let through, as clients send them.
    static func isSpecByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x3A, 0x5F, 0x20: true
        default: false
        }
    }

    func object(_ name: String) throws(VolumeError) -> Shape? {
        guard let inner = value[name], inner != .null else { return nil }
        return try Shape(inner, name)
    }

    /// A connector: its scalars as text; lists and objects in it mean nothing to iSCSI.
    func connector(_ name: String) throws(VolumeError) -> [String: String]? {
        guard let inner = try object(name) else { return nil }
        let members = inner.value.members ?? []
        guard members.count <= Limits.connectorFieldsMax else { throw wrong(name, "It has too many properties.") }
        var fields: [String: String] = [:]
        for member in members {
            let text: String
            switch member.value {
            case .string(let value), .number(let value): text = value
            case .bool(let value): text = value ? "True" : "False"
            case .null, .array, .object: continue
            }
            guard text.utf8.count <= Limits.connectorFieldMax, member.key.utf8.count <= FaceLimits.textMax else {
                throw wrong(name, "A property of it is too long.")
            }
            fields[member.key] = text
        }
        return fields
    }

    static func truth(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "true", "1", "on", "yes", "t", "y": true
        case "false", "0", "off", "no", "f", "n": false
        default: nil
        }
    }

    /// 8-4-4-4-12 hex digits, or 32 without dashes.
    static func isUUID(_ text: String) -> Bool {
        let digits = text.utf8.filter { $0 != 0x2D }
        return digits.count == 32 && (text.utf8.count == 32 || text.utf8.count == 36)
            && digits.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x46, 0x61...0x66: true
                default: false
                }
            }
    }

    private static func trimmed(_ text: String) -> String {
        var rest = text[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
