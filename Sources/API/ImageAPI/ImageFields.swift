import ControlFace
import Images
import Primitives

/// How the fields of an image are read from requests: types, ranges, and what may not be set at all.
enum ImageFields {
    static let readOnly: Set<String> = [
        "created_at", "updated_at", "status", "checksum", "size", "virtual_size", "os_hash_algo", "os_hash_value",
        "direct_url", "self", "file", "schema", "stores",
    ]
    static let base: Set<String> = [
        "id", "name", "visibility", "owner", "protected", "os_hidden", "disk_format", "container_format", "min_disk",
        "min_ram", "tags", "locations",
    ]
    static let reservedPrefix = "os_glance_"
    private static let reserved: Set<String> = ["deleted", "deleted_at"]

    /// Throws unless clients may set a property of that name.
    static func checkWritable(_ name: String) throws(ImageError) {
        if readOnly.contains(name) { throw .forbidden("Attribute '\(name)' is read-only.") }
        if reserved.contains(name) || name.hasPrefix(reservedPrefix) {
            throw .forbidden("Attribute '\(name)' is reserved.")
        }
        if name == "locations" {
            throw .forbidden("It's not allowed to add or replace locations if their addresses are invisible.")
        }
    }

    static func image(_ members: [JSON.Member]) throws(ImageError) -> NewImage {
        var new = NewImage()
        for member in members {
            try checkWritable(member.key)
            if member.key == "id" {
                guard let id = member.value.string, RandomUUID.isWellFormed(id) else {
                    throw .invalid("Invalid image id format")
                }
                new.id = id
                continue
            }
            switch try change(member.key, member.value) {
            case .name(let name): new.name = name
            case .visibility(let visibility): new.visibility = visibility
            case .owner(let owner): new.owner = .some(owner)
            case .isProtected(let flag): new.isProtected = flag
            case .isHidden(let flag): new.isHidden = flag
            case .diskFormat(let format): new.diskFormat = format
            case .containerFormat(let format): new.containerFormat = format
            case .minDisk(let number): new.minDisk = number
            case .minRAM(let number): new.minRAM = number
            case .tags(let tags): new.tags = tags
            case .property(let name, let value): new.properties[name] = value
            case .newProperty, .replacedProperty, .removedProperty: break
            }
        }
        return new
    }

    /// What setting the field of that name to the value means.
    static func change(_ name: String, _ value: JSON) throws(ImageError) -> ImageChange {
        switch name {
        case "name": return .name(try textOrNull(name, value, max: Limits.nameMax))
        case "owner": return .owner(try textOrNull(name, value, max: Limits.nameMax))
        case "visibility":
            guard let text = value.string, let visibility = ImageVisibility(rawValue: text) else {
                throw invalid(name, "it must be public, private, shared or community")
            }
            return .visibility(visibility)
        case "protected": return .isProtected(try flag(name, value))
        case "os_hidden": return .isHidden(try flag(name, value))
        case "disk_format": return .diskFormat(try choice(name, value, ImageFormatNames.disks))
        case "container_format": return .containerFormat(try choice(name, value, ImageFormatNames.containers))
        case "min_disk": return .minDisk(try number(name, value))
        case "min_ram": return .minRAM(try number(name, value))
        case "tags":
            guard let items = value.array else { throw invalid(name, "it must be a list") }
            var tags: [String] = []
            for item in items {
                guard let tag = item.string, tag.unicodeScalars.count <= Limits.tagMax else {
                    throw invalid(name, "a tag is a text of at most \(Limits.tagMax) characters")
                }
                if !tags.contains(tag) { tags.append(tag) }
            }
            return .tags(tags)
        default:
            return .property(try propertyName(name), try propertyValue(name, value))
        }
    }

    static func propertyName(_ name: String) throws(ImageError) -> String {
        guard (1...Limits.propertyNameMax).contains(name.unicodeScalars.count) else {
            throw .invalid("A property's name has 1 to \(Limits.propertyNameMax) characters.")
        }
        return name
    }

    static func propertyValue(_ name: String, _ value: JSON) throws(ImageError) -> String {
        guard let text = value.string, text.utf8.count <= Limits.propertyValueMax else {
            throw invalid(name, "it must be a string")
        }
        return text
    }

    private static func textOrNull(_ name: String, _ value: JSON, max: Int) throws(ImageError) -> String? {
        if case .null = value { return nil }
        guard let text = value.string, text.unicodeScalars.count <= max else {
            throw invalid(name, "it must be a string of at most \(max) characters, or null")
        }
        return text
    }

    private static func flag(_ name: String, _ value: JSON) throws(ImageError) -> Bool {
        guard case .bool(let flag) = value else { throw invalid(name, "it must be true or false") }
        return flag
    }

    private static func choice(_ name: String, _ value: JSON, _ choices: [String]) throws(ImageError) -> String? {
        if case .null = value { return nil }
        guard let text = value.string, choices.contains(text) else {
            throw invalid(name, "it must be one of \(choices.joined(separator: ", "))")
        }
        return text
    }

    private static func number(_ name: String, _ value: JSON) throws(ImageError) -> Int64 {
        guard case .number(let text) = value, let number = Int64(text), (0...Limits.smallNumberMax).contains(number)
        else { throw invalid(name, "it must be an integer of 0 to \(Limits.smallNumberMax)") }
        return number
    }

    private static func invalid(_ name: String, _ why: String) -> ImageError {
        .invalid("Provided object does not match schema 'image': '\(name)': \(why).")
    }
}
