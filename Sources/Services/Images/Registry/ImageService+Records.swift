import GRDB

/// Making, reading, changing and deleting records.
extension ImageService {
    /// Makes an image without bytes.
    package func create(_ new: NewImage, for asker: ImageAsker) async throws(ImageError) -> ImageDetail {
        try Self.check(new.visibility, asker)
        if let owner = new.owner, owner != asker.projectID, !asker.isAdmin {
            throw .forbidden("You are not permitted to create images owned by '\(owner ?? "nobody")'.")
        }
        guard new.properties.count <= Limits.propertiesMax else {
            throw .tooLarge("The limit of \(Limits.propertiesMax) image properties is exceeded.")
        }
        guard Set(new.tags).count <= Limits.tagsMax else {
            throw .tooLarge("The limit of \(Limits.tagsMax) image tags is exceeded.")
        }
        let now = now
        let image = Image(
            id: new.id ?? newID(), name: new.name, status: .queued, visibility: new.visibility,
            owner: new.owner ?? asker.projectID, isProtected: new.isProtected, isHidden: new.isHidden, size: nil,
            virtualSize: nil, diskFormat: new.diskFormat, containerFormat: new.containerFormat,
            minDisk: new.minDisk, minRAM: new.minRAM, checksum: nil, hashAlgorithm: nil, hashValue: nil, dataKey: nil,
            stagedKey: nil, createdAt: now, updatedAt: now)
        let imagesMax = configuration.projectImagesMax
        return try await write { db in
            let taken = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM images WHERE id = ?)", arguments: [image.id])
            guard taken != true else { throw ImageError.conflict("Image ID \(image.id) already exists!") }
            if let imagesMax {
                let count =
                    try Int.fetchOne(
                        db, sql: "SELECT COUNT(*) FROM images WHERE owner IS ? AND deleted_at IS NULL",
                        arguments: [image.owner]) ?? 0
                guard count < imagesMax else {
                    throw ImageError.tooLarge("Project has as many images as it may have: \(imagesMax).")
                }
            }
            try ImageRows.insert(db, image)
            try ImageRows.setTags(db, image.id, new.tags)
            for (name, value) in new.properties { try ImageRows.setProperty(db, image.id, name, value) }
            return try ImageRows.detail(db, image)
        }
    }

    package func image(_ id: String, for asker: ImageAsker) async throws(ImageError) -> ImageDetail {
        try await read { db in try ImageRows.detail(db, Self.visible(db, id, for: asker)) }
    }

    /// Carries all changes out, in their order, or none.
    package func update(
        _ id: String, _ changes: [ImageChange], for asker: ImageAsker
    ) async throws(ImageError) -> ImageDetail {
        let now = now
        return try await write { db in
            var image = try Self.owned(db, id, for: asker, "modify_image")
            for change in changes { try Self.apply(change, to: &image, db, asker) }
            try Self.checkCounts(db, id)
            image.updatedAt = max(now, image.updatedAt)
            try ImageRows.update(db, image)
            return try ImageRows.detail(db, image)
        }
    }

    private static func apply(
        _ change: ImageChange, to image: inout Image, _ db: Database, _ asker: ImageAsker
    ) throws {
        switch change {
        case .name(let name): image.name = name
        case .visibility(let visibility):
            if visibility != image.visibility { try check(visibility, asker) }
            image.visibility = visibility
        case .owner(let owner):
            guard asker.isAdmin || owner == image.owner else {
                throw ImageError.forbidden("Owner can't be updated by non admin.")
            }
            image.owner = owner
        case .isProtected(let flag): image.isProtected = flag
        case .isHidden(let flag): image.isHidden = flag
        case .diskFormat(let format):
            try checkFormatChange(image, "disk_format")
            image.diskFormat = format
        case .containerFormat(let format):
            try checkFormatChange(image, "container_format")
            image.containerFormat = format
        case .minDisk(let number): image.minDisk = number
        case .minRAM(let number): image.minRAM = number
        case .tags(let tags): try ImageRows.setTags(db, image.id, tags)
        case .property(let name, let value): try ImageRows.setProperty(db, image.id, name, value)
        case .newProperty(let name, let value):
            guard try ImageRows.property(db, image.id, name) == nil else {
                throw ImageError.conflict("Property \(name) already present.")
            }
            try ImageRows.setProperty(db, image.id, name, value)
        case .replacedProperty(let name, let value):
            guard try ImageRows.property(db, image.id, name) != nil else {
                throw ImageError.conflict("Property \(name) does not exist.")
            }
            try ImageRows.setProperty(db, image.id, name, value)
        case .removedProperty(let name):
            guard try ImageRows.removeProperty(db, image.id, name) else {
                throw ImageError.conflict("Property \(name) does not exist.")
            }
        }
    }

    private static func checkFormatChange(_ image: Image, _ name: String) throws {
        guard image.status == .queued || image.status == .importing else {
            throw ImageError.forbidden("Attribute \(name) can be only replaced for a queued image.")
        }
    }

    private static func checkCounts(_ db: Database, _ id: String) throws {
        for (table, max, what) in [
            ("image_properties", Limits.propertiesMax, "properties"), ("image_tags", Limits.tagsMax, "tags"),
        ] {
            let count =
                try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM \(table) WHERE image_id = ?", arguments: [id]) ?? 0
            guard count <= max else { throw ImageError.tooLarge("The limit of \(max) image \(what) is exceeded.") }
        }
    }

    private static func check(_ visibility: ImageVisibility, _ asker: ImageAsker) throws(ImageError) {
        guard visibility != .public || asker.isAdmin else {
            throw ImageError.denied("publicize_image")
        }
    }

    /// Deletes the image. Its bytes stay for as long as anything stands on them.
    package func delete(_ id: String, for asker: ImageAsker) async throws(ImageError) {
        let now = now
        try await write { db in
            let image = try Self.owned(db, id, for: asker, "delete_image")
            guard !image.isProtected else {
                throw ImageError.forbidden("Image \(id) is protected and cannot be deleted.")
            }
            guard image.status != .importing else {
                throw ImageError.conflict("Image \(id) could not be deleted because it is being imported.")
            }
            try Self.bury(db, image, now: now)
        }
        await emptyTrash()
    }

    /// The row stays, so that its id stays taken; what belongs to it goes.
    static func bury(_ db: Database, _ image: Image, now: Int64) throws {
        try db.execute(
            sql: """
                UPDATE images SET status = 'deleted', deleted_at = ?, updated_at = ?, data_key = NULL,
                staged_key = NULL WHERE id = ?
                """, arguments: [now, now, image.id])
        for table in ["image_properties", "image_tags", "image_members", "image_stores"] {
            try db.execute(sql: "DELETE FROM \(table) WHERE image_id = ?", arguments: [image.id])
        }
        try ImageRows.discard(db, key: image.dataKey)
        try ImageRows.discard(db, key: image.stagedKey)
    }

    /// Hides the bytes from all but administrators.
    package func deactivate(_ id: String, for asker: ImageAsker) async throws(ImageError) {
        try await turn(id, from: .active, to: .deactivated, "deactivate", for: asker)
    }

    package func reactivate(_ id: String, for asker: ImageAsker) async throws(ImageError) {
        try await turn(id, from: .deactivated, to: .active, "reactivate", for: asker)
    }

    private func turn(
        _ id: String, from: ImageStatus, to: ImageStatus, _ rule: String, for asker: ImageAsker
    ) async throws(ImageError) {
        let now = now
        try await write { db in
            var image = try Self.owned(db, id, for: asker, rule)
            if image.status == to { return }
            guard image.status == from else {
                throw ImageError.forbidden("Not allowed to \(rule) image in status '\(image.status.rawValue)'")
            }
            image.status = to
            image.updatedAt = now
            try ImageRows.update(db, image)
        }
    }
}
