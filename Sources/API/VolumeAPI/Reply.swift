import ControlFace
import HTTPTypes
import Volumes

/// What a handler answers with; the responder adds what every answer has.
struct Reply: Sendable {
    var status: HTTPResponse.Status
    var headers: HTTPFields = [:]
    var body: JSON?

    init(_ status: HTTPResponse.Status, _ body: JSON?) {
        self.status = status
        self.body = body
    }

    static let accepted = Reply(.accepted, nil)
    static let noContent = Reply(.noContent, nil)
    static let done = Reply(.ok, nil)

    static func ok(_ body: JSON) -> Reply { Reply(.ok, body) }

    /// An error's answer, under the key that its status has.
    static func fault(_ status: HTTPResponse.Status, _ message: String) -> Reply {
        var members: JSON = .of(["code": .number(String(status.code)), "message": .string(message)])
        if status == .contentTooLarge { members.add("retryAfter", .string("0")) }
        var reply = Reply(status, .object([.init(key: faultKey(status.code), value: members)]))
        if status == .contentTooLarge { reply.headers[.retryAfter] = "0" }
        if status == .serviceUnavailable { reply.headers[.retryAfter] = "1" }
        return reply
    }

    private static func faultKey(_ code: Int) -> String {
        switch code {
        case 400: "badRequest"
        case 401: "unauthorized"
        case 403: "forbidden"
        case 404: "itemNotFound"
        case 405: "badMethod"
        case 409: "conflictingRequest"
        case 413: "overLimit"
        case 415: "badMediaType"
        case 501: "notImplemented"
        case 503: "serviceUnavailable"
        default: "computeFault"
        }
    }

    static func fault(_ error: VolumeError) -> Reply {
        switch error {
        case .notFound, .forbidden, .invalid, .conflict, .quota, .stale:
            fault(status(error), error.description)
        case .unavailable(let message): fault(.serviceUnavailable, message)
        case .busy: fault(.serviceUnavailable, "The service is busy; try again shortly.")
        case .full: fault(.init(code: 507, reasonPhrase: "Insufficient Storage"), "There is no space left.")
        // What failed inside is for the log, not for the client.
        case .backend, .records:
            fault(
                .internalServerError,
                "The server has either erred or is incapable of performing the requested operation.")
        }
    }

    private static func status(_ error: VolumeError) -> HTTPResponse.Status {
        switch error {
        case .notFound: .notFound
        case .forbidden: .forbidden
        case .invalid: .badRequest
        case .conflict: .conflict
        case .quota: .contentTooLarge
        case .stale: .preconditionFailed
        case .busy, .unavailable: .serviceUnavailable
        case .full, .backend, .records: .internalServerError
        }
    }
}
