import HTTPTypes
package import Hummingbird
import NIOCore

/// A request's body, read whole within a bound.
package enum WholeBody: Sendable {
    case none
    case bytes([UInt8])
    case tooLarge
    /// It ended before its end.
    case broken

    package static func read(_ request: Request, bytesMax: Int) async -> WholeBody {
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > bytesMax { return .tooLarge }
        var bytes: [UInt8] = []
        do {
            for try await part in request.body {
                guard bytes.count + part.readableBytes <= bytesMax else { return .tooLarge }
                bytes += Array(part.readableBytesView)
            }
        } catch {
            return .broken
        }
        return bytes.isEmpty ? .none : .bytes(bytes)
    }
}
