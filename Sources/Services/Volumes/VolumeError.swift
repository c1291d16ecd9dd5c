package import Records

/// What the volume service refuses with; each case is exactly one HTTP status.
package enum VolumeError: RecordsFailure, Equatable, CustomStringConvertible {
    /// It isn't there, or the caller may not know that it is (404). `kind` reads as in `Volume`, `Snapshot`.
    case notFound(kind: String, id: String)
    /// The caller's roles don't reach (403); the rule is named as in policy files, e.g. `volume:force_delete`.
    case forbidden(rule: String)
    /// The request can't be carried out as it is, or the resource's state doesn't allow it (400).
    case invalid(String)
    /// Something else got there first, or the name is taken (409).
    case conflict(String)
    /// A quota would be exceeded (413).
    case quota(String)
    /// A precondition the client named does not hold (412).
    case stale
    /// Too much waits already (503).
    case busy
    /// A part that this needs isn't there, or was switched off (503).
    case unavailable(String)
    /// The disk that holds `control.db` is full (507).
    case full
    /// The volume driver or the exporter failed (500).
    case backend(String)
    /// `control.db` failed (500).
    case records(RecordsError)

    package init(_ failure: RecordsError) {
        switch failure {
        case .busy: self = .busy
        case .full: self = .full
        default: self = .records(failure)
        }
    }

    package var description: String {
        switch self {
        case .notFound(let kind, let id): "\(kind) \(id) could not be found."
        case .forbidden(let rule): "Policy doesn't allow \(rule) to be performed."
        case .invalid(let message), .conflict(let message), .quota(let message), .unavailable(let message): message
        case .stale: "The resource changed in the meantime."
        case .busy: "too many operations are waiting; try again"
        case .full: "the disk that holds control.db is full"
        case .backend(let message): "the volume backend failed: \(message)"
        case .records(let failure): failure.description
        }
    }
}
