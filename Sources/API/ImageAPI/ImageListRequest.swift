import ControlFace
import Images
import Primitives

/// `GET /v2/images?...` as a query, and the links around its answer.
struct ImageListRequest {
    private(set) var query = ImageQuery()
    private let pairs: [(name: String, value: String)]

    private static let sortKeys: [String: ImageQuery.Column] = [
        "name": .name, "status": .status, "container_format": .containerFormat, "disk_format": .diskFormat,
        "size": .size, "id": .id, "created_at": .createdAt, "updated_at": .updatedAt,
    ]
    private static let listColumns: [String: ImageQuery.Column] = [
        "name": .name, "id": .id, "status": .status, "container_format": .containerFormat,
        "disk_format": .diskFormat,
    ]
    private static let textColumns: [String: ImageQuery.Column] = [
        "owner": .owner, "checksum": .checksum, "os_hash_value": .hashValue, "os_hash_algo": .hashAlgorithm,
    ]

    init(_ call: Call) throws(ImageError) {
        pairs = call.query
        var keys: [String] = []
        var directions: [String] = []
        var combined: String?
        for (name, value) in call.query {
            switch name {
            case "limit": query.limit = min(try Self.number(name, value), Limits.pageMax)
            case "marker": query.marker = value
            case "sort_key": keys.append(value)
            case "sort_dir": directions.append(value)
            case "sort": combined = value
            default: try filter(name, value)
            }
        }
        try order(keys, directions, combined)
    }

    // MARK: Filters

    private mutating func filter(_ name: String, _ value: String) throws(ImageError) {
        switch name {
        case "visibility":
            if value == "all" {
                query.visibility = .all
            } else {
                guard let visibility = ImageVisibility(rawValue: value) else {
                    throw .invalid("Invalid visibility value: \(value)")
                }
                query.visibility = .only(visibility)
            }
        case "member_status":
            if value == "all" {
                query.memberStatus = nil
            } else {
                guard let status = MemberStatus(rawValue: value) else {
                    throw .invalid("Invalid status: \(value)")
                }
                query.memberStatus = status
            }
        case "tag": query.conditions.append(.tag(value))
        case "os_hidden": query.isHidden = try Self.flag(name, value)
        case "protected":
            query.conditions.append(.number(.isProtected, .equal, try Self.flag(name, value) ? 1 : 0))
        case "size_min": query.conditions.append(.number(.size, .greaterOrEqual, Int64(try Self.number(name, value))))
        case "size_max": query.conditions.append(.number(.size, .lessOrEqual, Int64(try Self.number(name, value))))
        case "size": query.conditions.append(.number(.size, .equal, Int64(try Self.number(name, value))))
        case "min_ram": query.conditions.append(.number(.minRAM, .equal, Int64(try Self.number(name, value))))
        case "min_disk": query.conditions.append(.number(.minDisk, .equal, Int64(try Self.number(name, value))))
        case "created_at": query.conditions.append(try Self.moment(.createdAt, value))
        case "updated_at": query.conditions.append(try Self.moment(.updatedAt, value))
        case "changes-since": throw .invalid("The \"changes-since\" filter is no longer available on v2.")
        default:
            if let column = Self.listColumns[name] {
                query.conditions.append(.text(column, try Self.list(value)))
            } else if let column = Self.textColumns[name] {
                query.conditions.append(.text(column, [value]))
            } else {
                if value.hasPrefix("in:") { throw .invalid("Unable to filter by property \(name) with \"in:\".") }
                query.conditions.append(.property(name, value))
            }
        }
    }

    private static func number(_ name: String, _ value: String) throws(ImageError) -> Int {
        guard let number = Int(value) else { throw .invalid("\(name) param must be an integer") }
        guard number >= 0 else { throw .invalid("\(name) param must be positive") }
        return number
    }

    private static func flag(_ name: String, _ value: String) throws(ImageError) -> Bool {
        switch value.lowercased() {
        case "true", "1", "yes", "on", "t", "y": true
        case "false", "0", "no", "off", "f", "n": false
        default: throw .invalid("Invalid value '\(value)' for '\(name)': it must be a boolean.")
        }
    }

    /// One value, or `in:` and several with commas between, quoted where they have commas of their own.
    private static func list(_ value: String) throws(ImageError) -> [String] {
        guard value.hasPrefix("in:") else { return [value] }
        var items: [String] = []
        var item = ""
        var isQuoted = false
        for character in value.dropFirst(3) {
            if character == "\"" {
                isQuoted.toggle()
            } else if character == ",", !isQuoted {
                items.append(item)
                item = ""
            } else {
                item.append(character)
            }
        }
        guard !isQuoted else { throw .invalid("Invalid filter value \(value). The quote is not closed.") }
        items.append(item)
        return items
    }

    private static func moment(_ column: ImageQuery.Column, _ value: String) throws(ImageError) -> ImageQuery.Condition
    {
        let comparisons: [(String, ImageQuery.Comparison)] = [
            ("gte:", .greaterOrEqual), ("gt:", .greater), ("lte:", .lessOrEqual), ("lt:", .less), ("neq:", .notEqual),
            ("eq:", .equal),
        ]
        let found = comparisons.first { value.hasPrefix($0.0) }
        let text = found.map { String(value.dropFirst($0.0.count)) } ?? value
        guard let microseconds = ISOTime.microseconds(text) else {
            throw .invalid("'\(text)' is no time as ISO 8601 has it.")
        }
        return .number(column, found?.1 ?? .equal, microseconds / 1_000_000)
    }

    // MARK: Order

    private mutating func order(_ keys: [String], _ directions: [String], _ combined: String?) throws(ImageError) {
        if let combined {
            guard keys.isEmpty, directions.isEmpty else {
                throw .invalid("Old and new sorting syntax cannot be combined")
            }
            for part in combined.split(separator: ",") {
                let pieces = part.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                try add(String(pieces[0]), pieces.count > 1 ? String(pieces[1]) : "desc")
            }
            return
        }
        guard directions.count <= 1 || directions.count == keys.count else {
            throw .invalid("Number of sort dirs does not match the number of sort keys")
        }
        if keys.isEmpty, let direction = directions.first { return try add("created_at", direction) }
        for (index, key) in keys.enumerated() {
            try add(key, directions.isEmpty ? "desc" : directions.count == 1 ? directions[0] : directions[index])
        }
    }

    private mutating func add(_ key: String, _ direction: String) throws(ImageError) {
        guard let column = Self.sortKeys[key] else { throw .invalid("Invalid sort key: \(key).") }
        guard direction == "asc" || direction == "desc" else { throw .invalid("Invalid sort direction: \(direction)") }
        guard !query.order.contains(where: { $0.column == column }) else { return }
        query.order.append(ImageQuery.Order(column, isDescending: direction == "desc"))
    }

    // MARK: Links

    func body(_ images: [ImageDetail], hasSeveralStores: Bool) -> JSON {
        var body = JSON.of([
            "images": .array(images.map { Views.image($0, hasSeveralStores: hasSeveralStores) }),
            "first": .string(PageLinks.link("/v2/images", pairs, marker: nil)),
            "schema": .string("/v2/schemas/images"),
        ])
        if let last = images.last, images.count == query.limit {
            body.add("next", .string(PageLinks.link("/v2/images", pairs, marker: last.image.id)))
        }
        return body
    }
}

/// Links to pages of a listing: the request's own query with another marker.
enum PageLinks {
    static func link(_ path: String, _ pairs: [(name: String, value: String)], marker: String?) -> String {
        var parts = pairs.filter { $0.name != "marker" }.map { "\(escaped($0.name))=\(escaped($0.value))" }
        if let marker { parts.append("marker=\(escaped(marker))") }
        return parts.isEmpty ? path : path + "?" + parts.joined(separator: "&")
    }

    static func escaped(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: out.append(byte)
            default: out += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
