package import VolumeDrivers

/// What the volume service needs of an image service; bound on the top floor.
package protocol ImageSource: Sendable {
    /// The image as the caller may see it; nil if there is none, or it can't be told which one is meant.
    ///
    /// - Parameter reference: an id, a URL that ends in one, or a name.
    func image(_ reference: String, for asker: Asker) async throws(VolumeError) -> SourceImage?
    /// Makes the volume with the image's bytes, and zeros beyond them.
    func fill(_ volume: NewVolume, from image: SourceImage) async throws(DriverError)
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
    package func fill(_ volume: NewVolume, from image: SourceImage) async throws(DriverError) {
        throw .absent("image \(image.id)")
    }
}
