import ControlFace
import HTTPTypes
import Hummingbird
import Images

/// What a handler answers with; the responder adds what every answer has.
struct Reply: Sendable {
    enum Body: Sendable {
        case none
        case json(JSON)
        /// An error's text, which is shown as a page or as JSON, as the client asks.
        case fault(String)
        /// An image's bytes.
        case data(ResponseBody)
        case text(String)
    }

    var status: HTTPResponse.Status
    var headers: HTTPFields = [:]
    var body: Body

    init(_ status: HTTPResponse.Status, _ body: Body) {
        self.status = status
        self.body = body
    }

    static let noContent = Reply(.noContent, .none)
    static let accepted = Reply(.accepted, .none)

    static func ok(_ json: JSON) -> Reply { Reply(.ok, .json(json)) }

    static func fault(_ status: HTTPResponse.Status, _ message: String) -> Reply {
        var reply = Reply(status, .fault(message))
        if status == .serviceUnavailable { reply.headers[.retryAfter] = "1" }
        return reply
    }

    static func fault(_ error: ImageError) -> Reply {
        switch error {
        case .notFound(let message): return .fault(.notFound, message)
        case .forbidden(let message): return .fault(.forbidden, message)
        case .invalid(let message): return .fault(.badRequest, message)
        case .conflict(let message): return .fault(.conflict, message)
        case .tooLarge(let message): return .fault(.contentTooLarge, message)
        case .unsupported(let message): return .fault(.unsupportedMediaType, message)
        case .gone(let message): return .fault(.gone, message)
        case .badRange(let size):
            var reply = Reply.fault(.rangeNotSatisfiable, error.description)
            reply.headers[.contentRange] = "bytes */\(size)"
            return reply
        case .busy: return .fault(.serviceUnavailable, error.description)
        case .full: return .fault(.contentTooLarge, error.description)
        // What failed inside is for the log, not for the client.
        case .storage, .records:
            return .fault(
                .internalServerError,
                "The server has either erred or is incapable of performing the requested operation.")
        }
    }
}
