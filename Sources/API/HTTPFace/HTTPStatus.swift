/// A status code; the reason phrase is the usual one.
package struct HTTPStatus: Sendable, Hashable, ExpressibleByIntegerLiteral, CustomStringConvertible {
    package let code: UInt16

    package init(integerLiteral value: UInt16) { code = value }
    package init(_ code: UInt16) { self.code = code }

    package var description: String { String(code) }

    /// 1xx, 204 and 304 carry no body and no framing headers.
    package var hasNoBody: Bool { code == 204 || code == 304 || code < 200 }

    package var reason: StaticString {
        switch code {
        case 100: "Continue"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 300: "Multiple Choices"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Request Entity Too Large"
        case 414: "Request-URI Too Long"
        case 416: "Requested Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Entity"
        case 429: "Too Many Requests"
        case 498: "Rate Limited"
        case 499: "Client Disconnect"
        case 500: "Internal Error"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        case 507: "Insufficient Storage"
        default: "Status"
        }
    }

    /// The sentence of the HTML page that goes with a refusal (object-api.md 1.5).
    package var explanation: String {
        switch code {
        case 400: "The server could not comply with the request since it is either malformed or otherwise incorrect."
        case 401: "This server could not verify that you are authorized to access the document you requested."
        case 403: "Access was denied to this resource."
        case 404: "The resource could not be found."
        case 405: "The method is not allowed for this resource."
        case 406: "The resource is not available in a format acceptable to your browser."
        case 408: "The server has waited too long for the request to be sent by the client."
        case 409: "There was a conflict when trying to complete your request."
        case 411: "Content-Length header required."
        case 412: "A precondition for this request was not met."
        case 413: "The body of your request was too large for this server."
        case 414: "The request line is too long."
        case 416: "The Range requested is not available."
        case 417: "The expectation cannot be met."
        case 422: "Unable to process the contained instructions."
        case 501: "The server does not implement what the request asks for."
        case 503: "The server is currently unavailable. Please try again at a later time."
        case 505: "The server speaks HTTP/1.1."
        case 507: "There was not enough space to save the resource."
        default: "The server could not complete the request."
        }
    }
}

/// A request that the transport itself turns down; the connection closes after the answer.
package struct HTTPRefusal: Error, Sendable, Hashable {
    package var status: HTTPStatus
    package var text: String
    package init(_ status: HTTPStatus, _ text: String) {
        self.status = status
        self.text = text
    }
}
