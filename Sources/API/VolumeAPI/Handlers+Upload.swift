import ControlFace
import HTTPTypes
import Volumes

extension Handlers {
    private static let diskFormats = ["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"]

    /// `os-volume_upload_image`.
    func uploadImage(_ call: Call, _ id: String, _ body: Shape) async throws(VolumeError) -> Reply {
        guard let name = try body.text("image_name"), !name.isEmpty else {
            throw .invalid("'image_name' is a required property")
        }
        let diskFormat = try body.text("disk_format") ?? "raw"
        guard Self.diskFormats.contains(diskFormat) else {
            throw .invalid(
                "Invalid input for field/attribute disk_format. '\(diskFormat)' is not one of "
                    + Self.diskFormats.joined(separator: ", "))
        }
        // 3.1 gave these their names.
        let knowsMore = call.version.minor >= 1
        let visibility = knowsMore ? try body.text("visibility") ?? "private" : nil
        if let visibility, !["public", "private", "shared", "community"].contains(visibility) {
            throw .invalid("Invalid input for field/attribute visibility. '\(visibility)' is not one of them.")
        }
        let isProtected = knowsMore ? try body.bool("protected") ?? false : false
        let request = VolumeImageRequest(
            name: name, containerFormat: try body.text("container_format") ?? "bare", diskFormat: diskFormat,
            visibility: visibility, isProtected: isProtected, allowsInUse: try body.bool("force") ?? false)
        let made = try await volumes.uploadImage(id, request, for: call.asker)
        let volume = made.volume.volume
        var view = JSON.of([
            "id": .string(id), "updated_at": volume.updatedAt.map { .string(ShownTime.text($0)) } ?? .null,
            "status": .string("uploading"), "display_description": .text(volume.description),
            "size": .number(String(volume.size)), "volume_type": .text(made.volume.typeName),
            "image_id": .string(made.imageID), "container_format": .string(request.containerFormat),
            "disk_format": .string(diskFormat), "image_name": .string(name),
        ])
        if let visibility {
            view.add("visibility", .string(visibility))
            view.add("protected", .bool(isProtected))
        }
        return Reply(.accepted, .of(["os-volume_upload_image": view]))
    }
}
