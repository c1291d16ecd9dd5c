package import VolumeDrivers

/// What the volume service needs of an image service; bound on the top floor.
package protocol ImageSource: Sendable {
    /// The image as the caller may see it; nil if there is none, or it can't be told which one is meant.
    ///
    /// - Parameter reference: an id, a URL that ends in one, or a name.
    func image(_ reference: String, for asker: Asker) async throws(VolumeError) -> SourceImage?
    /// Whether `fill` takes its time: the volume is `downloading` meanwhile.
    func downloads(_ image: SourceImage) async throws(DriverError) -> Bool
    /// Makes the volume with the image's bytes, and zeros beyond them.
    ///
    /// - Parameter progress: gets percents, if that takes its time.
    func fill(
        _ volume: NewVolume, from image: SourceImage, progress: @escaping @Sendable (Int) -> Void
    ) async throws(DriverError)
    /// Makes an image of what the volume holds now, and answers its id. Its bytes are there, and don't change any more,
    /// when this returns; the image may go on being `saving` while they are hashed.
    func makeImage(_ image: ImageFromVolume, for asker: Asker) async throws(VolumeError) -> String
}

/// An image that is to be made of a volume.
package struct ImageFromVolume: Sendable, Equatable {
    package var volumeID: String
    package var bytes: UInt64
    package var name: String
    package var containerFormat: String
    package var diskFormat: String
    /// nil: as images are that say nothing of it.
    package var visibility: String?
    package var isProtected: Bool
    /// GiB.
    package var minDisk: Int
    /// What the volume shows of the image that it was made from.
    package var properties: [String: String]

    package init(
        volumeID: String, bytes: UInt64, name: String, containerFormat: String, diskFormat: String,
        visibility: String?, isProtected: Bool, minDisk: Int, properties: [String: String]
    ) {
        self.volumeID = volumeID
        self.bytes = bytes
        self.name = name
        self.containerFormat = containerFormat
        self.diskFormat = diskFormat
        self.visibility = visibility
        self.isProtected = isProtected
        self.minDisk = minDisk
        self.properties = properties
    }
}

package struct SourceImage: Sendable, Equatable {
    package var id: String
    /// The least size in GiB of a volume for it.
    package var size: Int
    package var isActive: Bool
    /// What the volume shows as `volume_image_metadata`.
    package var properties: [String: String]

    package init(id: String, size: Int, isActive: Bool, properties: [String: String]) {
        self.id = id
        self.size = size
        self.isActive = isActive
        self.properties = properties
    }
}

/// There is no image service: no reference names an image.
package struct NoImages: ImageSource {
    package init() {}
    package func image(_ reference: String, for asker: Asker) async throws(VolumeError) -> SourceImage? { nil }
    package func downloads(_ image: SourceImage) async throws(DriverError) -> Bool { false }
    package func fill(
        _ volume: NewVolume, from image: SourceImage, progress: @escaping @Sendable (Int) -> Void
    ) async throws(DriverError) {
        throw .absent("image \(image.id)")
    }
    package func makeImage(_ image: ImageFromVolume, for asker: Asker) async throws(VolumeError) -> String {
        throw .invalid("Invalid input received: there is no image service to upload to.")
    }
}
