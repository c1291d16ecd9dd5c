package import Records

/// What the image service refuses with; each case is exactly one HTTP status.
package enum ImageError: RecordsFailure, Equatable, CustomStringConvertible {
    /// It isn't there, or the caller may not know that it is (404).
    case notFound(String)
    /// The caller may see it but not do that to it (403).
    case forbidden(String)
    /// The request can't be carried out as it is (400).
    case invalid(String)
    /// Its state, or something that got there first, forbids it (409).
    case conflict(String)
    /// A quota or a limit would be exceeded (413).
    case tooLarge(String)
    /// The bytes, or how they are announced, are not of a kind that is taken (415).
    case unsupported(String)
    /// The image was deleted meanwhile (410).
    case gone(String)
    /// No such part of the image's bytes (416).
    case badRange(size: Int64)
    /// Too much waits already (503).
    case busy
    /// There is no space left (413, as an image service says it).
    case full
    /// What keeps the bytes failed (500).
    case storage(String)
    /// `control.db` failed (500).
    case records(RecordsError)

    package init(_ failure: RecordsError) {
        switch failure {
        case .busy: self = .busy
        case .full: self = .full
        default: self = .records(failure)
        }
    }

    /// - Parameter rule: as in policy files, e.g. `modify_image`.
    package static func denied(_ rule: String) -> ImageError {
        .forbidden("You are not authorized to complete \(rule) action.")
    }

    static func noImage(_ id: String) -> ImageError { .notFound("Failed to find image \(id)") }

    package var description: String {
        switch self {
        case .notFound(let message), .forbidden(let message), .invalid(let message), .conflict(let message),
            .tooLarge(let message), .unsupported(let message), .gone(let message):
            message
        case .badRange(let size): "The range is not within the \(size) bytes of the image."
        case .busy: "The service is busy; try again shortly."
        case .full: "There is no space left to keep the image."
        case .storage(let message): "the image store failed: \(message)"
        case .records(let failure): failure.description
        }
    }
}
