import Images

/// What the configuration says of images beside their listener.
package struct ImageSettings: Sendable, Equatable {
    package var stores: [String]
    package var sizeMax: Int
    /// nil: any.
    package var projectBytesMax: Int?
    package var projectImagesMax: Int?
    package var requiresFormatMatch: Bool
    package var fetchesFromWeb: Bool
    /// `host:port` each.
    package var webHosts: Set<String>
    /// A path, a name, or nothing.
    package var converterProgram: String

    init(values: Values) throws(DaemonError) {
        stores = try values.text("image.stores").split(separator: ",").map { Self.trimmed($0) }
        sizeMax = try values.number("image.size_max")
        let bytes = try values.number("image.project_bytes_max")
        projectBytesMax = bytes < 0 ? nil : bytes
        let images = try values.number("image.project_images_max")
        projectImagesMax = images < 0 ? nil : images
        requiresFormatMatch = try values.flag("image.require_format_match")
        fetchesFromWeb = try values.flag("image.web_download")
        webHosts = Set(try values.text("image.web_download_hosts").split(separator: ",").map { Self.trimmed($0) })
        converterProgram = try values.text("image.qemu_img")
        guard converterProgram.isEmpty || converterProgram.hasPrefix("/") || !converterProgram.contains("/") else {
            throw DaemonError(
                "image.qemu_img is \"\(converterProgram)\".", remedy: "Give an absolute path, a name, or nothing.")
        }
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

    /// Refuses what is no `host:port`.
    func check() throws(DaemonError) {
        for host in webHosts where WebAddress("http://\(host)/")?.authority != host {
            throw DaemonError(
                "image.web_download_hosts names \"\(host)\".",
                remedy: "Give host:port, such as mirror.example.org:8080.")
        }
    }

    private static func trimmed(_ text: Substring) -> String {
        String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    func service(region: String) -> ImageConfiguration {
        var service = ImageConfiguration.standard()
        service.region = region
        service.stores = stores
        service.sizeMax = Int64(sizeMax)
        service.projectBytesMax = projectBytesMax.map(Int64.init)
        service.projectImagesMax = projectImagesMax
        service.requiresFormatMatch = requiresFormatMatch
        service.importMethods =
            ["glance-direct", "glance-download"]
            + (fetchesFromWeb ? ["web-download"] : []) + (stores.count > 1 ? ["copy-image"] : [])
        return service
    }
}
