import GRDB

/// What a client asks of a volume's image.
package struct VolumeImageRequest: Sendable, Equatable {
    package var name: String
    package var containerFormat: String
    package var diskFormat: String
    package var visibility: String?
    package var isProtected: Bool
    /// Whether a volume in use may be taken as it is.
    package var allowsInUse: Bool

    package init(
        name: String, containerFormat: String, diskFormat: String, visibility: String?, isProtected: Bool,
        allowsInUse: Bool
    ) {
        self.name = name
        self.containerFormat = containerFormat
        self.diskFormat = diskFormat
        self.visibility = visibility
        self.isProtected = isProtected
        self.allowsInUse = allowsInUse
    }
}

extension VolumeService {
    /// Makes an image of the volume's bytes as they are now; answers the volume as it was meanwhile, and the image's id.
    package func uploadImage(
        _ id: String, _ request: VolumeImageRequest, for asker: Asker
    ) async throws(VolumeError) -> (volume: VolumeDetail, imageID: String) {
        let now = now
        // The basic facts of an image are its own, and not taken over from the one before it.
        let own: Set<String> = [
            "image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "min_ram", "size",
        ]
        return try await operations.complete([id]) { [self] () async throws(VolumeError) in
            let detail = try await write { db in
                let volume = try Lookups.volume(db, id, for: asker)
                let states: [VolumeStatus] = request.allowsInUse ? [.available, .inUse] : [.available]
                guard try Transitions.volume(db, id, from: states, to: .uploading, now: now) else {
                    throw VolumeError.invalid(
                        "Invalid volume: Volume \(id) status must be \(states.map(\.rawValue).joined(separator: " or ")), "
                            + "but current status is: \(volume.status.shown)")
                }
                return try Lookups.detail(db, id, for: asker)
            }
            let image = ImageFromVolume(
                volumeID: id, bytes: detail.volume.bytes, name: request.name,
                containerFormat: request.containerFormat, diskFormat: request.diskFormat,
                visibility: request.visibility, isProtected: request.isProtected, minDisk: detail.volume.size,
                properties: detail.imageMetadata.filter { !own.contains($0.key) })
            let result: Result<String, VolumeError>
            do throws(VolumeError) {
                result = .success(try await images.makeImage(image, for: asker))
            } catch {
                result = .failure(error)
            }
            let later = self.now
            try await settle { db in try Transitions.settle(db, id, from: .uploading, to: nil, now: later) }
            return (detail, try result.get())
        }
    }
}
