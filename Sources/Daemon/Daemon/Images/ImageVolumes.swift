import ChunkVolumes
import Chunks
import Images
import Primitives
import VolumeDrivers
import Volumes

/// Volumes from images and images from volumes, both layers of one store: no bytes move.
struct ImageVolumes: ImageSource {
    let images: ImageService
    let driver: ChunkVolumeDriver

    func image(_ reference: String, for asker: Asker) async throws(VolumeError) -> SourceImage? {
        do throws(ImageError) {
            guard let found = try await images.bootable(reference, for: Self.asker(asker)) else { return nil }
            return SourceImage(
                id: found.detail.image.id, size: found.gibibytes, isActive: found.detail.image.status == .active,
                properties: Self.properties(found.detail))
        } catch {
            throw Self.volumeError(error)
        }
    }

    func downloads(_ image: SourceImage) async throws(DriverError) -> Bool {
        do throws(ImageError) {
            return try await !images.hasDisk(image.id)
        } catch {
            throw .failed(error.description)
        }
    }

    func fill(
        _ volume: NewVolume, from image: SourceImage, progress: @escaping @Sendable (Int) -> Void
    ) async throws(DriverError) {
        let key: String
        do throws(ImageError) {
            key = try await images.diskKey(of: image.id, progress: progress)
        } catch {
            throw .failed(error.description)
        }
        try await driver.clone(volume, fromLayer: ChunkImages.storedName(key))
    }

    func makeImage(_ image: ImageFromVolume, for asker: Asker) async throws(VolumeError) -> String {
        var new = NewImage()
        new.name = image.name
        if let visibility = image.visibility.flatMap(ImageVisibility.init(rawValue:)) { new.visibility = visibility }
        new.isProtected = image.isProtected
        new.diskFormat = image.diskFormat
        new.containerFormat = image.containerFormat
        new.minDisk = Int64(image.minDisk)
        new.properties = image.properties
        do throws(ImageError) {
            return try await images.adopt(new, byteCount: Int64(clamping: image.bytes), for: Self.asker(asker)) {
                (key) async throws(ImageError) in
                do throws(DriverError) {
                    try await driver.freeze(image.volumeID, as: ChunkImages.storedName(key))
                } catch {
                    throw error == .full ? .full : .storage(error.description)
                }
            }
        } catch {
            throw Self.volumeError(error)
        }
    }

    /// What a volume shows of its image: all texts.
    private static func properties(_ detail: ImageDetail) -> [String: String] {
        let image = detail.image
        var properties = detail.properties.filter { !$0.key.hasPrefix("os_glance_") }
        properties["image_id"] = image.id
        properties["image_name"] = image.name ?? ""
        properties["checksum"] = image.checksum ?? ""
        properties["container_format"] = image.containerFormat ?? ""
        properties["disk_format"] = image.diskFormat ?? ""
        properties["min_disk"] = String(image.minDisk)
        properties["min_ram"] = String(image.minRAM)
        properties["size"] = String(image.size ?? 0)
        return properties
    }

    private static func asker(_ asker: Asker) -> ImageAsker {
        ImageAsker(
            userID: asker.userID, projectID: asker.projectID, roles: asker.isAdmin ? ["admin"] : ["member"],
            isService: asker.isService, requestID: asker.requestID ?? "")
    }

    private static func volumeError(_ error: ImageError) -> VolumeError {
        switch error {
        case .busy: .busy
        case .full: .full
        case .tooLarge(let why): .quota(why)
        case .records(let cause): .records(cause)
        case .storage(let why): .backend(why)
        case .notFound(let why), .forbidden(let why), .invalid(let why), .conflict(let why), .unsupported(let why),
            .gone(let why):
            .invalid("Invalid input received: \(why)")
        case .badRange: .invalid(error.description)
        }
    }
}
