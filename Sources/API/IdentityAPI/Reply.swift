package import ControlFace
package import HTTPTypes
import Identity

/// What a handler answers with; the responder adds what every answer has.
package struct Reply: Sendable {
    package var status: HTTPResponse.Status
    package var headers: HTTPFields = [:]
    package var body: JSON?

    init(_ status: HTTPResponse.Status, _ body: JSON?) {
        self.status = status
        self.body = body
    }

    static let noContent = Reply(.noContent, nil)

    /// An error's answer: its status, title and message, and for a 401 where to sign in.
    static func error(_ status: HTTPResponse.Status, _ message: String, base: String) -> Reply {
        var reply = Reply(
            status,
            .of([
                "error": .of([
                    "code": .number(String(status.code)), "message": .string(message),
                    "title": .string(status.reasonPhrase),
                ])
            ]))
        if status == .unauthorized { reply.headers[.wwwAuthenticate] = "Keystone uri=\"\(base)/v3\"" }
        if status == .serviceUnavailable { reply.headers[.retryAfter] = "1" }
        return reply
    }

    static func error(_ error: IdentityError, base: String) -> Reply {
        switch error {
        case .unauthorized: .error(.unauthorized, ErrorText.unauthorized, base: base)
        case .forbidden(let action):
            .error(.forbidden, "You are not authorized to perform the requested action: \(action).", base: base)
        case .notFound(let kind, let id): .error(.notFound, "Could not find \(kind): \(id).", base: base)
        case .conflict(let kind, let detail):
            .error(.conflict, "Conflict occurred attempting to store \(kind) - \(detail).", base: base)
        case .invalid(let message): .error(.badRequest, message, base: base)
        case .busy: .error(.serviceUnavailable, "The service is busy; try again shortly.", base: base)
        case .full: .error(.insufficientStorage, "There is no space left.", base: base)
        // What failed inside is for the log, not for the client.
        case .records, .keyRepository, .cryptography: .error(.internalServerError, ErrorText.internal, base: base)
        }
    }
}

extension HTTPResponse.Status {
    static var insufficientStorage: Self { .init(code: 507, reasonPhrase: "Insufficient Storage") }
}

/// Texts that clients know.
enum ErrorText {
    static let unauthorized = "The request you have made requires authentication."
    static let malformed =
        "The server could not comply with the request since it is either malformed or otherwise incorrect."
    static let notFound = "The resource could not be found."
    static let methodNotAllowed = "The method is not allowed for the requested URL."
    static let tooLarge = "The request body is larger than \(Call.bodyBytesMax) bytes."
    static let tooManyFailures = "Too many wrong passwords came from this address; try again later."
    static let `internal` = "An unexpected error prevented the server from fulfilling your request."
}
