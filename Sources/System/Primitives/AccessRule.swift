/// One kind of request that an application credential is good for.
package struct AccessRule: Sendable, Hashable {
    /// A service type of the catalog, e.g. `object-store`.
    package var service: String
    /// An HTTP method, in capitals.
    package var method: String
    /// Of the request, from the first slash on. `*` and `{name}` stand for one part of it or of its name, `**` for any
    /// number of parts.
    package var path: String

    package init(service: String, method: String, path: String) {
        self.service = service
        self.method = method
        self.path = path
    }

    /// Bytes that a rule's path may have: matching takes the product of both lengths.
    package static let pathBytesMax = 128

    private enum Piece: Equatable {
        case byte(UInt8)
        /// One byte or more, none of them a slash.
        case part
        /// Anything.
        case rest
    }

    private var pieces: [Piece] {
        var pieces: [Piece] = []
        var bytes = Array(path.utf8)[...]
        while let byte = bytes.popFirst() {
            switch byte {
            case UInt8(ascii: "*"):
                if bytes.first == UInt8(ascii: "*") {
                    bytes.removeFirst()
                    pieces.append(.rest)
                } else {
                    pieces.append(.part)
                }
            case UInt8(ascii: "{"):
                guard let close = bytes.firstIndex(of: UInt8(ascii: "}")) else {
                    pieces.append(.byte(byte))
                    continue
                }
                bytes = bytes[(close + 1)...]
                pieces.append(.part)
            default: pieces.append(.byte(byte))
            }
        }
        return pieces
    }

    /// - Parameters:
    ///   - services: the names that the asked service goes by.
    ///   - path: with percent escapes undone, without a query.
    package func permits(services: Set<String>, method: String, path: String) -> Bool {
        guard services.contains(service), self.method == method else { return false }
        let pieces = pieces
        // reached[i]: the first i pieces match what was read so far.
        var reached = [Bool](repeating: false, count: pieces.count + 1)
        reached[0] = true
        Self.skipEmpty(&reached, pieces)
        for byte in path.utf8 {
            var next = [Bool](repeating: false, count: pieces.count + 1)
            for (index, piece) in pieces.enumerated() {
                switch piece {
                case .byte(let wanted): if reached[index], byte == wanted { next[index + 1] = true }
                case .part:
                    if byte != UInt8(ascii: "/"), reached[index] || reached[index + 1] { next[index + 1] = true }
                case .rest: if reached[index] || reached[index + 1] { next[index + 1] = true }
                }
            }
            Self.skipEmpty(&next, pieces)
            reached = next
        }
        return reached[pieces.count]
    }

    /// `**` may stand for nothing.
    private static func skipEmpty(_ reached: inout [Bool], _ pieces: [Piece]) {
        for (index, piece) in pieces.enumerated() where piece == .rest && reached[index] { reached[index + 1] = true }
    }
}

extension Caller {
    /// Whether the token is good for this request; true for one without rules.
    package func permits(services: Set<String>, method: String, path: String) -> Bool {
        guard let accessRules else { return true }
        return accessRules.contains { $0.permits(services: services, method: method, path: path) }
    }
}
