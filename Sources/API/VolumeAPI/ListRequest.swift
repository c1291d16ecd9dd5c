import ControlFace
import Volumes

/// A list's query: page, order and filters, each checked as the version has it.
struct ListRequest {
    /// What lists of one kind of resource understand.
    struct Rules {
        /// Sort keys as clients name them, and their columns.
        var sorts: [String: String]
        /// Filters that users may use, and their columns.
        var filters: [String: String]
        /// Further ones for administrators.
        var adminFilters: [String: String] = [:]
        /// Columns that hold numbers, truth values and times.
        var numbers: Set<String> = ["size"]
        var flags: Set<String> = ["bootable", "consumes_quota"]
        /// The first version in which unknown filters are refused.
        var strictSince = 31
    }

    static let volumes = Rules(
        sorts: [
            "id": "id", "status": "status", "size": "size", "availability_zone": "zone", "name": "name",
            "display_name": "name", "bootable": "bootable", "created_at": "created_at", "updated_at": "updated_at",
            "reference": "id",
        ],
        filters: [
            "name": "name", "display_name": "name", "status": "status", "bootable": "bootable",
            "migration_status": "migration_status", "availability_zone": "zone", "group_id": "group_id",
            "size": "size", "created_at": "created_at", "updated_at": "updated_at",
            "consumes_quota": "consumes_quota", "description": "description", "display_description": "description",
        ],
        adminFilters: [
            "host": "host", "project_id": "project_id", "user_id": "user_id", "id": "id", "volume_type_id": "type_id",
            "snapshot_id": "snapshot_id", "source_volid": "source_volume_id", "attach_status": "attach_status",
            "multiattach": "multiattach", "encrypted": "encrypted",
        ], flags: ["bootable", "consumes_quota", "multiattach", "encrypted"])

    static let snapshots = Rules(
        sorts: [
            "id": "id", "status": "status", "size": "size", "name": "name", "display_name": "name",
            "created_at": "created_at", "updated_at": "updated_at", "volume_id": "volume_id",
        ],
        filters: [
            "name": "name", "display_name": "name", "status": "status", "volume_id": "volume_id",
            "consumes_quota": "consumes_quota", "created_at": "created_at", "updated_at": "updated_at",
            "description": "description",
        ], adminFilters: ["project_id": "project_id", "user_id": "user_id", "id": "id", "size": "size"])

    static let backups = Rules(
        sorts: [
            "id": "id", "status": "status", "size": "size", "name": "name", "display_name": "name",
            "container": "container", "volume_id": "volume_id", "created_at": "created_at",
            "updated_at": "updated_at",
        ],
        filters: [
            "name": "name", "display_name": "name", "status": "status", "volume_id": "volume_id",
            "created_at": "created_at", "updated_at": "updated_at",
        ],
        adminFilters: [
            "project_id": "project_id", "user_id": "user_id", "id": "id", "size": "size", "parent_id": "parent_id",
            "snapshot_id": "snapshot_id", "container": "container", "host": "host", "availability_zone": "zone",
        ])

    static let attachments = Rules(
        sorts: ["id": "id", "created_at": "created_at"],
        filters: [
            "volume_id": "volume_id", "status": "status", "attach_status": "status", "instance_id": "instance_id",
            "attachment_id": "id",
        ], adminFilters: ["project_id": "project_id"])

    static let transfers = Rules(
        sorts: ["id": "id", "name": "name", "display_name": "name", "created_at": "created_at"],
        filters: ["name": "name", "display_name": "name", "volume_id": "volume_id", "id": "id"],
        adminFilters: ["project_id": "source_project_id", "source_project_id": "source_project_id"])

    static let types = Rules(
        sorts: ["id": "id", "name": "name", "created_at": "created_at"], filters: ["name": "name"])
    static let policies = Rules(
        sorts: ["id": "id", "name": "name", "created_at": "created_at", "consumer": "consumer"],
        filters: ["id": "id", "name": "name", "consumer": "consumer"])
    static let groupTypes = Rules(
        sorts: ["id": "id", "name": "name", "created_at": "created_at"], filters: ["name": "name"])

    static let groups = Rules(
        sorts: ["id": "id", "name": "name", "status": "status", "created_at": "created_at"],
        filters: [
            "name": "name", "status": "status", "group_type": "type_id", "group_snapshot_id": "group_snapshot_id",
            "source_group_id": "source_group_id",
        ], adminFilters: ["project_id": "project_id"])
    static let groupSnapshots = Rules(
        sorts: ["id": "id", "name": "name", "status": "status", "created_at": "created_at"],
        filters: ["name": "name", "status": "status", "group_id": "group_id"],
        adminFilters: ["project_id": "project_id"])
    static let messages = Rules(
        sorts: [
            "id": "id", "event_id": "event_id", "created_at": "created_at", "resource_type": "resource_type",
            "request_id": "request_id", "guaranteed_until": "guaranteed_until",
        ],
        filters: [
            "event_id": "event_id", "resource_type": "resource_type", "resource_uuid": "resource_id",
            "request_id": "request_id",
        ])

    /// Names that are no filters.
    private static let reserved: Set<String> = [
        "limit", "marker", "offset", "sort", "sort_key", "sort_dir", "all_tenants", "with_count", "is_public",
        "extra_specs", "list_volume", "usage",
    ]

    let call: Call
    let rules: Rules

    func query() throws(VolumeError) -> ListQuery {
        var query = ListQuery()
        query.limit = try natural("limit") ?? FaceLimits.pageMax
        query.offset = try natural("offset") ?? 0
        query.marker = call.parameter("marker")
        query.order = try order()
        if call.version.minor >= 45 { query.wantsCount = try call.flag("with_count") ?? false }
        let filters = call.query.filter { !Self.reserved.contains($0.name) }
        guard filters.count <= FaceLimits.filtersMax else { throw .invalid("Too many filters.") }
        for filter in filters { try add(filter.name, filter.value, to: &query) }
        return query
    }

    private func natural(_ name: String) throws(VolumeError) -> Int? {
        guard let text = call.parameter(name) else { return nil }
        guard let number = Int(text), number >= 0, number <= Int(Int32.max) else {
            throw .invalid("\(name) param must be an integer of at least 0, not '\(text)'.")
        }
        return number
    }

    private func order() throws(VolumeError) -> [(column: String, ascending: Bool)] {
        let keys = call.query.filter { $0.name == "sort_key" }.map(\.value)
        let directions = call.query.filter { $0.name == "sort_dir" }.map(\.value)
        var wanted: [(key: String, direction: String)] = []
        if let sort = call.parameter("sort") {
            guard keys.isEmpty, directions.isEmpty else {
                throw .invalid(
                    "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'.")
            }
            for item in sort.split(separator: ",") {
                let parts = item.split(separator: ":", maxSplits: 1)
                guard let key = parts.first else { throw .invalid("Invalid input received: sort '\(sort)'") }
                wanted.append((String(key), parts.count > 1 ? String(parts[1]) : "desc"))
            }
        } else if !keys.isEmpty || !directions.isEmpty {
            let first = directions.first ?? "desc"
            wanted = (keys.isEmpty ? ["created_at"] : keys).enumerated().map { index, key in
                (key, index < directions.count ? directions[index] : first)
            }
        }
        var order: [(column: String, ascending: Bool)] = []
        for item in wanted.prefix(8) {
            let key = item.key.filter { $0 != " " }
            guard let column = rules.sorts[key] else {
                throw .invalid("Invalid input received: Sort key \(key) is invalid.")
            }
            guard ["asc", "desc"].contains(item.direction) else {
                throw .invalid("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
            }
            order.append((column, item.direction == "asc"))
        }
        return order.isEmpty ? [("created_at", false)] : order
    }

    private func add(_ name: String, _ value: String, to query: inout ListQuery) throws(VolumeError) {
        if name == "metadata" || name == "glance_metadata" && call.version.minor >= 4 {
            guard let pairs = LooseDictionary.parse(value) else {
                throw .invalid("Invalid input received: \(name) filter '\(value)'.")
            }
            for (key, value) in pairs {
                query.conditions.append(name == "metadata" ? .metadata(key, value) : .image(key, value))
            }
            return
        }
        let isLike = name.hasSuffix("~") && call.version.minor >= 34
        let plain = isLike ? String(name.dropLast()) : name
        let known = rules.filters[plain] ?? (call.asker.isAdmin ? rules.adminFilters[plain] : nil)
        guard let column = known else {
            if call.asker.isAdmin {
                query.conditions.append(.never)
            } else if call.version.minor >= rules.strictSince {
                throw .invalid("Invalid filters \(plain) are found in query options.")
            }
            return
        }
        if isLike {
            query.conditions.append(.contains(column, value))
        } else if rules.flags.contains(column) {
            query.conditions.append(.compare(column, .equal, .number(try truth(name, value) ? 1 : 0)))
        } else if rules.numbers.contains(column) {
            guard let number = Int64(value) else {
                query.conditions.append(.never)
                return
            }
            query.conditions.append(.compare(column, .equal, .number(number)))
        } else if column == "created_at" || column == "updated_at" {
            try addTimes(column, value, to: &query)
        } else if column == "status" {
            query.conditions.append(.oneOf(column, Self.states(value)))
        } else {
            query.conditions.append(.compare(column, .equal, .text(value)))
        }
    }

    private func truth(_ name: String, _ value: String) throws(VolumeError) -> Bool {
        if let flag = Shape.truth(value) { return flag }
        // Before 3.2 anything that isn't false was true.
        guard name == "bootable", call.version.minor < 2 else { throw .invalid("\(name)=\(value) is no boolean.") }
        return true
    }

    /// A shown state stands for those that are shown as it.
    private static func states(_ shown: String) -> [String] {
        [shown] + VolumeStatus.allCases.filter { $0.shown == shown && $0.rawValue != shown }.map(\.rawValue)
    }

    /// `gt:2026-01-01T00:00:00,lt:…`, or one time alone.
    private func addTimes(_ column: String, _ value: String, to query: inout ListQuery) throws(VolumeError) {
        for item in value.split(separator: ",") {
            var comparison = ListQuery.Comparison.equal
            var text = item
            if call.version.minor >= 60, let colon = item.firstIndex(of: ":"),
                let named = Self.comparisons[String(item[..<colon])]
            {
                comparison = named
                text = item[item.index(after: colon)...]
            }
            guard let time = ShownTime.microseconds(String(text)) else {
                throw .invalid("Invalid input received: '\(item)' is no valid time for \(column).")
            }
            query.conditions.append(.compare(column, comparison, .number(time)))
        }
    }

    private static let comparisons: [String: ListQuery.Comparison] = [
        "eq": .equal, "neq": .notEqual, "gt": .greater, "gte": .greaterOrEqual, "lt": .less, "lte": .lessOrEqual,
    ]

    /// The body of a list: the items, the link to the next page if there may be one, and the count if it was asked for.
    func body<T>(_ key: String, _ page: Page<T>, id: (T) -> String, _ view: (T) -> JSON) -> JSON {
        var body = JSON.object([.init(key: key, value: .array(page.items.map(view)))])
        if page.isFull, let last = page.items.last,
            call.parameter("limit") != nil || page.items.count >= FaceLimits.pageMax
        {
            let rest = call.query.filter { $0.name != "marker" && $0.name != "offset" }
            let query = (rest + [(name: "marker", value: id(last))]).map {
                "\(Self.escaped($0.name))=\(Self.escaped($0.value))"
            }.joined(separator: "&")
            body.add(
                "\(key)_links",
                .array([.of(["rel": .string("next"), "href": .string("\(call.base)\(call.path)?\(query)")])]))
        }
        if let count = page.count { body.add("count", Views.number(count)) }
        return body
    }

    private static func escaped(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF")
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E:
                out.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                out.append("%")
                out.append(digits[Int(byte >> 4)])
                out.append(digits[Int(byte & 15)])
            }
        }
        return out
    }
}

/// `{'k': 'v', "l": "w"}`: a JSON object, or as Python prints a dictionary of texts.
enum LooseDictionary {
    static func parse(_ text: String) -> [(String, String)]? {
        let doubled = text.contains("\"") ? text : text.replacing("'", with: "\"")
        guard let members = JSONParser.parse(Array(doubled.utf8))?.members, members.count <= FaceLimits.filtersMax
        else {
            return nil
        }
        var pairs: [(String, String)] = []
        for member in members {
            switch member.value {
            case .string(let value), .number(let value): pairs.append((member.key, value))
            case .bool(let value): pairs.append((member.key, value ? "True" : "False"))
            case .null, .array, .object: return nil
            }
        }
        return pairs
    }
}
