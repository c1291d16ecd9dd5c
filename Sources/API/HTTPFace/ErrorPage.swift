/// The short HTML page that goes with a refusal (object-api.md 1.5).
package enum ErrorPage {
    /// - Parameter text: plain text; it is escaped here.
    package static func html(_ status: HTTPStatus, _ text: String) -> String {
        "<html><h1>\(status.reason)</h1><p>\(escape(text))</p></html>"
    }

    package static func escape(_ text: String) -> String {
        var out = ""
        for c in text.unicodeScalars {
            switch c {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            default: out.unicodeScalars.append(c)
            }
        }
        return out
    }
}
