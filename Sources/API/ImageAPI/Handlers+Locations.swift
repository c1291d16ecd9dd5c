import ControlFace
import HTTPTypes
import Images

/// Where an image's bytes are (image-api.md 13): for services of the same cloud, which may know a shorter way to them.
extension Routes {
    static let locationRoutes: [Route] = [
        Route(.get, "images/*/locations", .anyone, "fetch_image_location") { h, c async throws(ImageError) in
            let detail = try await h.images.image(c.arguments[0], for: c.asker)
            guard c.asker.isService else { throw .forbidden("You are not authorized to see where images are.") }
            guard detail.image.status == .active || detail.image.status == .deactivated else { return .ok(.array([])) }
            return .ok(
                .array(
                    detail.stores.map { store in
                        .of([
                            "url": .string("apus://\(store)/\(detail.image.id)"),
                            "metadata": .of(["store": .string(store)]),
                        ])
                    }))
        },
        Route(.post, "images/*/locations", .anyone, "add_image_location") { h, c async throws(ImageError) in
            try await h.addLocation(c)
        },
    ]
}

extension Handlers {
    /// No store here keeps what lies elsewhere, so every address that is well formed is refused in the end: as by an
    /// image service without a store for its scheme. Bytes come by upload and by import.
    fileprivate func addLocation(_ call: Call) async throws(ImageError) -> Reply {
        let body = JSON.object(try call.object())
        guard let url = body["url"]?.string, !url.isEmpty, url.utf8.count <= Limits.locationBytesMax else {
            throw .invalid("The location's 'url' is missing, or too long.")
        }
        if let data = body["validation_data"] { try Self.check(data) }
        let image = try await images.image(call.arguments[0], for: call.asker).image
        guard call.asker.isService || call.asker.isAdmin || call.asker.isMember && image.owner == call.asker.projectID
        else { throw .forbidden("You are not permitted to add a location to this image.") }
        guard image.status == .queued else {
            throw .conflict("Only a queued image takes a location; this one is \(image.status.rawValue).")
        }
        throw .invalid("The location '\(url.prefix { $0 != ":" })' is of no store that is served here.")
    }

    private static func check(_ data: JSON) throws(ImageError) {
        let digits = ["md5": 32, "sha1": 40, "sha256": 64, "sha512": 128]
        guard let algorithm = data["os_hash_algo"]?.string, let count = digits[algorithm],
            let value = data["os_hash_value"]?.string, value.utf8.count == count,
            value.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { throw .invalid("The validation data must be a known hash's name and its value in hexadecimal.") }
    }
}
