import ControlFace
import Images
import Primitives

/// What clients see of an image.
enum Views {
    /// Properties that only the service itself reads.
    private static let hidden: Set<String> = ["os_glance_stage_host", "os_glance_hash_op_host"]

    static func image(_ detail: ImageDetail, hasSeveralStores: Bool) -> JSON {
        let image = detail.image
        var members: [JSON.Member] = []
        func add(_ key: String, _ value: JSON) { members.append(.init(key: key, value: value)) }
        for (name, value) in detail.properties.sorted(by: { $0.key < $1.key }) where !hidden.contains(name) {
            add(name, .string(value))
        }
        add("id", .string(image.id))
        add("name", .text(image.name))
        add("status", .string(image.status.rawValue))
        add("visibility", .string(image.visibility.rawValue))
        add("protected", .bool(image.isProtected))
        add("os_hidden", .bool(image.isHidden))
        add("owner", .text(image.owner))
        add("size", number(image.size))
        add("virtual_size", number(image.virtualSize))
        add("disk_format", .text(image.diskFormat))
        add("container_format", .text(image.containerFormat))
        add("min_disk", number(image.minDisk))
        add("min_ram", number(image.minRAM))
        add("checksum", .text(image.checksum))
        add("os_hash_algo", .text(image.hashAlgorithm))
        add("os_hash_value", .text(image.hashValue))
        add("tags", .array(detail.tags.map { .string($0) }))
        add("created_at", .string(time(image.createdAt)))
        add("updated_at", .string(time(image.updatedAt)))
        add("self", .string("/v2/images/\(image.id)"))
        add("file", .string("/v2/images/\(image.id)/file"))
        add("schema", .string("/v2/schemas/image"))
        if hasSeveralStores, !detail.stores.isEmpty { add("stores", .string(detail.stores.joined(separator: ","))) }
        return .object(members)
    }

    static func member(_ member: ImageMember) -> JSON {
        .of([
            "member_id": .string(member.member), "image_id": .string(member.imageID),
            "status": .string(member.status.rawValue), "created_at": .string(time(member.createdAt)),
            "updated_at": .string(time(member.updatedAt)), "schema": .string("/v2/schemas/member"),
        ])
    }

    static func task(_ task: ImageTask, isFull: Bool) -> JSON {
        var view = JSON.of([
            "id": .string(task.id), "type": .string(task.type), "status": .string(task.status.rawValue),
            "owner": .string(task.owner), "created_at": .string(time(task.createdAt)),
            "updated_at": .string(time(task.updatedAt)), "self": .string("/v2/tasks/\(task.id)"),
            "schema": .string("/v2/schemas/task"), "image_id": .text(task.imageID), "user_id": .string(task.userID),
            "request_id": .string(task.requestID),
        ])
        if let expires = task.expiresAt { view.add("expires_at", .string(time(expires))) }
        if isFull {
            view.add("input", JSONParser.parse(Array(task.input.utf8)) ?? .null)
            view.add("result", task.result.flatMap { JSONParser.parse(Array($0.utf8)) } ?? .null)
            view.add("message", .string(task.message))
        }
        return view
    }

    static func time(_ unixSeconds: Int64) -> String {
        CivilDate(unixSeconds: unixSeconds).text(dateSeparator: "-", timeSeparator: ":") + "Z"
    }

    private static func number(_ value: Int64?) -> JSON { value.map { .number(String($0)) } ?? .null }
}
