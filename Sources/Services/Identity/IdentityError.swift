package import Records

/// What Identity refuses with; each case is exactly one HTTP status.
package enum IdentityError: RecordsFailure, Equatable, CustomStringConvertible {
    /// Wrong name, password, token or scope, or something disabled: never which (401).
    case unauthorized
    /// The caller's roles don't reach (403); the action is named as in policy files, e.g. `identity:create_user`.
    case forbidden(action: String)
    /// (404)
    case notFound(kind: String, id: String)
    /// (409)
    case conflict(kind: String, detail: String)
    /// (400)
    case invalid(String)
    /// Too many sign-ins or requests wait already (503).
    case busy
    /// The disk is full (507).
    case full
    /// `control.db` failed (500).
    case records(RecordsError)
    /// The folder with the token keys is missing, unreadable or damaged (500).
    case keyRepository(String)
    /// The cryptography library refused (500).
    case cryptography(String)

    package init(_ failure: RecordsError) {
        switch failure {
        case .busy: self = .busy
        case .full: self = .full
        default: self = .records(failure)
        }
    }

    package var description: String {
        switch self {
        case .unauthorized: "the name, the password, the token or the scope is wrong"
        case .forbidden(let action): "not allowed: \(action)"
        case .notFound(let kind, let id): "no such \(kind): \(id)"
        case .conflict(let kind, let detail): "\(kind): \(detail)"
        case .invalid(let message): message
        case .busy: "too many requests are waiting; try again"
        case .full: "the disk that holds control.db is full"
        case .records(let failure): failure.description
        case .keyRepository(let message): "token keys: \(message)"
        case .cryptography(let message): "cryptography: \(message)"
        }
    }
}
