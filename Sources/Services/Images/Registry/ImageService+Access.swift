import GRDB

/// Who sees an image, and who may change it.
extension ImageService {
    /// Without a role that reads nothing is there at all.
    static func isVisible(_ db: Database, _ image: Image, to asker: ImageAsker) throws -> Bool {
        guard asker.isReader else { return false }
        if asker.isAdmin || image.owner == asker.projectID { return true }
        switch image.visibility {
        case .public, .community: return true
        // Whether or not they have accepted yet.
        case .shared: return try ImageRows.memberStatus(db, image.id, asker.projectID) != nil
        case .private: return false
        }
    }

    /// The image as the caller may see it; `.notFound` where they may not.
    static func visible(_ db: Database, _ id: String, for asker: ImageAsker) throws -> Image {
        guard let image = try ImageRows.find(db, id), try isVisible(db, image, to: asker) else {
            throw ImageError.noImage(id)
        }
        return image
    }

    /// The image, if the caller may change it; `.forbidden` if they may only see it.
    static func owned(
        _ db: Database, _ id: String, for asker: ImageAsker, _ rule: String
    ) throws -> Image {
        let image = try visible(db, id, for: asker)
        guard asker.isAdmin || asker.isMember && image.owner == asker.projectID else {
            throw ImageError.denied(rule)
        }
        return image
    }
}
