import Images

/// What the configuration says of images beside their listener.
package struct ImageSettings: Sendable, Equatable {
    package var stores: [String]
    package var sizeMax: Int
    /// nil: any.
    package var projectBytesMax: Int?
    package var projectImagesMax: Int?
    package var requiresFormatMatch: Bool

    init(values: Values) throws(DaemonError) {
        stores = try values.text("image.stores").split(separator: ",").map { name in
            String(name.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        sizeMax = try values.number("image.size_max")
        let bytes = try values.number("image.project_bytes_max")
        projectBytesMax = bytes < 0 ? nil : bytes
        let images = try values.number("image.project_images_max")
        projectImagesMax = images < 0 ? nil : images
        requiresFormatMatch = try values.flag("image.require_format_match")
        let names = Set(stores)
        guard !stores.isEmpty, names.count == stores.count,
            stores.allSatisfy({ name in
                (1...64).contains(name.utf8.count)
                    && name.utf8.allSatisfy { byte in
                        switch byte {
                        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f: true
                        default: false
                        }
                    }
            })
        else {
            throw DaemonError(
                "image.stores is \"\(stores.joined(separator: ","))\".",
                remedy: "Give names with commas between, each once: up to 64 letters, digits, dashes and underscores.")
        }
    }

    func service(region: String) -> ImageConfiguration {
        var service = ImageConfiguration.standard()
        service.region = region
        service.stores = stores
        service.sizeMax = Int64(sizeMax)
        service.projectBytesMax = projectBytesMax.map(Int64.init)
        service.projectImagesMax = projectImagesMax
        service.requiresFormatMatch = requiresFormatMatch
        service.importMethods = ["glance-direct", "glance-download"] + (stores.count > 1 ? ["copy-image"] : [])
        return service
    }
}
