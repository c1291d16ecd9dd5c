import ControlFace
import Images

/// What images, members and tasks look like, for clients that read it first.
enum Schemas {
    static let image = SchemaDocument.item(
        "image", .object((imageFields.members ?? []) + (knownProperties.members ?? [])),
        additional: .of(["type": .string("string")]),
        links: SchemaDocument.links([("self", "self"), ("enclosure", "file"), ("describedby", "schema")]))
    static let images = SchemaDocument.collection("images", of: image)

    private static let imageFields = SchemaDocument.fields([
        "id": .text("What the image is called by in addresses").isUUID,
        "name": .optionalText("What the image is called by people", max: Limits.nameMax),
        "status": .text("How far the image is").readOnly.oneOf([
            "queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete",
            "deactivated",
        ]),
        "visibility": .text("Who sees the image").oneOf(["community", "public", "private", "shared"]),
        "protected": .flag("Whether deleting the image is refused"),
        "os_hidden": .flag("Whether listings leave the image out unless they ask for hidden ones"),
        "checksum": .optionalText("MD5 of the image's bytes, hexadecimal", max: 32).readOnly,
        "os_hash_algo": .optionalText("Which hash os_hash_value is", max: 64).readOnly,
        "os_hash_value": .optionalText("Hash of the image's bytes, hexadecimal", max: 128).readOnly,
        "owner": .optionalText("The project that the image belongs to", max: Limits.nameMax),
        "size": .optionalInteger("Bytes of the image").readOnly,
        "virtual_size": .optionalInteger("Bytes of the disk that the image holds").readOnly,
        "container_format": .optionalText("What the disk is wrapped in").oneOf([nil] + ImageFormatNames.containers),
        "disk_format": .optionalText("How the disk is laid out in the bytes").oneOf([nil] + ImageFormatNames.disks),
        "created_at": .text("When the image was registered").readOnly,
        "updated_at": .text("When the image was last changed").readOnly,
        "tags": .list(SchemaField.text(max: Limits.tagMax).json, "Words that the image may be found by"),
        "direct_url": .text("Where a store keeps the bytes").readOnly,
        "min_ram": .integer("Memory that a server needs to run the image, in MiB"),
        "min_disk": .integer("Disk that a server needs to run the image, in GiB"),
        "self": .text("Address of the image").readOnly,
        "file": .text("Address of the image's bytes").readOnly,
        "stores": .text("The stores that have the bytes, with commas between, where there are several").readOnly,
        "schema": .text("Address of this schema").readOnly,
        "locations": .list(location, "Where stores keep the bytes"),
    ])

    private static let location = JSON.of([
        "type": .string("object"),
        "properties": .of([
            "url": SchemaField.text(max: 255).json, "metadata": .of(["type": .string("object")]),
            "validation_data": .of([
                "type": .string("object"), "writeOnly": .bool(true), "additionalProperties": .bool(false),
                "description": .string("Hashes of the bytes, as far as they are known"),
                "properties": SchemaDocument.fields([
                    "checksum": .text(max: 32).with("minLength", .number("32")), "os_hash_algo": .text(max: 64),
                    "os_hash_value": .text(max: 128),
                ]),
                "required": .array([.string("os_hash_algo"), .string("os_hash_value")]),
            ]),
        ]),
        "required": .array([.string("url"), .string("metadata")]),
    ])

    /// Custom properties that programs agree on.
    private static let knownProperties = SchemaDocument.fields([
        "kernel_id": .optionalText("The image that is the kernel of this one").isUUID.isCustom,
        "ramdisk_id": .optionalText("The image that is the initial memory disk of this one").isUUID.isCustom,
        "instance_uuid": .text("The server that the image was made from").isCustom,
        "architecture": .text("The processor architecture that the image runs on").isCustom,
        "os_distro": .text("Short name of the operating system's distribution").isCustom,
        "os_version": .text("Version of the operating system, as its distributor has it").isCustom,
        "description": .text("What the image is, for people").isCustom,
        "cinder_encryption_key_id": .text("The key of the encrypted volume that the image was made from").isCustom,
        "cinder_encryption_key_deletion_policy": .text("When that key is deleted").oneOf([
            "on_image_deletion", "do_not_delete",
        ]).isCustom,
    ])

    // MARK: Members

    static let member = SchemaDocument.item(
        "member",
        SchemaDocument.fields([
            "member_id": .text("The project that the image is shared with"),
            "image_id": .text("The image").isUUID,
            "created_at": .text("When the image was shared").readOnly,
            "updated_at": .text("When the status last changed").readOnly,
            "status": .text("What the project said to it").oneOf(["pending", "accepted", "rejected"]),
            "schema": .text("Address of this schema").readOnly,
        ]))
    static let members = SchemaDocument.collection("members", of: member, isPaged: false)

    // MARK: Tasks

    static let task = SchemaDocument.item("task", taskFields)
    static let tasks = SchemaDocument.collection(
        "tasks",
        of: SchemaDocument.item(
            "task", .object((taskFields.members ?? []).filter { !["input", "result", "message"].contains($0.key) })))

    private static let taskFields = SchemaDocument.fields([
        "id": .text("What the task is called by in addresses").isUUID,
        "type": .text("What it does").oneOf(["import", "api_image_import", "location_import"]),
        "status": .text("How far it is").oneOf(["pending", "processing", "success", "failure"]),
        "input": .optionalObject("What it was started with"),
        "result": .optionalObject("What came of it"),
        "owner": .text("The project that it belongs to"),
        "message": .text("Why it failed, for people"),
        "image_id": .text("The image that it works on"),
        "request_id": .text("The request that began it"),
        "user_id": .text("Who began it"),
        "expires_at": .optionalText("When it will no longer be listed"),
        "created_at": .text("When it was made"),
        "updated_at": .text("When it last changed"),
        "self": .text().readOnly,
        "schema": .text().readOnly,
    ])
}
