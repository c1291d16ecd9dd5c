import GRDB

/// Tags, and the projects that images are shared with.
extension ImageService {
    package func addTag(_ tag: String, to id: String, for asker: ImageAsker) async throws(ImageError) {
        guard (1...Limits.tagMax).contains(tag.unicodeScalars.count) else {
            throw .invalid("The tag is longer than \(Limits.tagMax) characters.")
        }
        let now = now
        try await write { db in
            var image = try Self.owned(db, id, for: asker, "modify_image")
            let count =
                try Int.fetchOne(
                    db, sql: "SELECT COUNT(*) FROM image_tags WHERE image_id = ? AND tag <> ?", arguments: [id, tag])
                ?? 0
            guard count < Limits.tagsMax else {
                throw ImageError.tooLarge("The limit of \(Limits.tagsMax) image tags is exceeded.")
            }
            try db.execute(
                sql: "INSERT OR IGNORE INTO image_tags (image_id, tag) VALUES (?, ?)", arguments: [id, tag])
            image.updatedAt = now
            try ImageRows.update(db, image)
        }
    }

    package func removeTag(_ tag: String, from id: String, for asker: ImageAsker) async throws(ImageError) {
        let now = now
        try await write { db in
            var image = try Self.owned(db, id, for: asker, "modify_image")
            try db.execute(sql: "DELETE FROM image_tags WHERE image_id = ? AND tag = ?", arguments: [id, tag])
            guard db.changesCount > 0 else { throw ImageError.notFound("Tag \(tag) not found on image \(id).") }
            image.updatedAt = now
            try ImageRows.update(db, image)
        }
    }

    // MARK: Members

    package func addMember(
        _ member: String, to id: String, for asker: ImageAsker
    ) async throws(ImageError) -> ImageMember {
        guard (1...Limits.nameMax).contains(member.unicodeScalars.count) else {
            throw .invalid("Member can't be empty")
        }
        let made = ImageMember(imageID: id, member: member, status: .pending, createdAt: now, updatedAt: now)
        return try await write { db in
            let image = try Self.owned(db, id, for: asker, "add_member")
            try Self.checkShared(image)
            guard try ImageRows.memberStatus(db, id, member) == nil else {
                throw ImageError.conflict("Image member \(member) already exists for image \(id).")
            }
            let count =
                try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM image_members WHERE image_id = ?", arguments: [id])
                ?? 0
            guard count < Limits.membersMax else {
                throw ImageError.tooLarge("The limit of \(Limits.membersMax) image members is exceeded.")
            }
            try db.execute(
                sql: """
                    INSERT INTO image_members (image_id, member, status, created_at, updated_at)
                    VALUES (?, ?, ?, ?, ?)
                    """, arguments: [id, member, made.status.rawValue, made.createdAt, made.updatedAt])
            return made
        }
    }

    package func setMember(
        _ member: String, of id: String, to status: MemberStatus, for asker: ImageAsker
    ) async throws(ImageError) -> ImageMember {
        let now = now
        return try await write { db in
            _ = try Self.visible(db, id, for: asker)
            guard var found = try Self.member(db, member, of: id) else {
                throw ImageError.notFound("\(member) not found in the member list of the image \(id).")
            }
            // Not the owner's to decide.
            guard asker.isAdmin || asker.isMember && asker.projectID == member else {
                throw ImageError.denied("modify_member")
            }
            found.status = status
            found.updatedAt = now
            try db.execute(
                sql: "UPDATE image_members SET status = ?, updated_at = ? WHERE image_id = ? AND member = ?",
                arguments: [status.rawValue, now, id, member])
            return found
        }
    }

    /// All members to the owner; to a member, itself.
    package func members(of id: String, for asker: ImageAsker) async throws(ImageError) -> [ImageMember] {
        try await read { db in
            let image = try Self.visible(db, id, for: asker)
            try Self.checkShared(image)
            let all = try Row.fetchAll(
                db, sql: "SELECT * FROM image_members WHERE image_id = ? ORDER BY created_at, member",
                arguments: [id]
            ).map(Self.decodeMember)
            guard asker.isAdmin || image.owner == asker.projectID else {
                return all.filter { $0.member == asker.projectID }
            }
            return all
        }
    }

    package func member(_ member: String, of id: String, for asker: ImageAsker) async throws(ImageError) -> ImageMember
    {
        try await read { db in
            let image = try Self.visible(db, id, for: asker)
            guard asker.isAdmin || image.owner == asker.projectID || asker.projectID == member,
                let found = try Self.member(db, member, of: id)
            else { throw ImageError.notFound("\(member) not found in the member list of the image \(id).") }
            return found
        }
    }

    package func removeMember(_ member: String, from id: String, for asker: ImageAsker) async throws(ImageError) {
        try await write { db in
            let image = try Self.owned(db, id, for: asker, "delete_member")
            try Self.checkShared(image)
            try db.execute(
                sql: "DELETE FROM image_members WHERE image_id = ? AND member = ?", arguments: [id, member])
            guard db.changesCount > 0 else {
                throw ImageError.notFound("\(member) not found in the member list of the image \(id).")
            }
        }
    }

    private static func checkShared(_ image: Image) throws {
        guard image.visibility == .shared else {
            throw ImageError.forbidden("Only shared images have members.")
        }
    }

    private static func member(_ db: Database, _ member: String, of id: String) throws -> ImageMember? {
        try Row.fetchOne(
            db, sql: "SELECT * FROM image_members WHERE image_id = ? AND member = ?", arguments: [id, member]
        ).map(decodeMember)
    }

    private static func decodeMember(_ row: Row) throws -> ImageMember {
        guard let status = MemberStatus(rawValue: row["status"]) else {
            throw DatabaseError(message: "an image member's row has an unknown status")
        }
        return ImageMember(
            imageID: row["image_id"], member: row["member"], status: status, createdAt: row["created_at"],
            updatedAt: row["updated_at"])
    }
}
