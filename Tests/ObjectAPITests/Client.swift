import Glibc

/// A response as it came.
struct Reply: Sendable {
    var status = 0
    var headers: [(name: String, value: String)] = []
    var body: [UInt8] = []
    var text: String { String(decoding: body, as: UTF8.self) }

    subscript(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }
}

struct ClientError: Error {
    var what: String
}

/// A client made of one blocking socket: says exactly what it is told to.
final class Client {
    private var socket: Int32
    private var buffer: [UInt8] = []

    init(port: Int) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else { throw ClientError(what: "connect: errno \(errno)") }
        // A server that hangs fails the test instead of hanging it.
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var one: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { close() }

    func close() {
        if socket >= 0 { Glibc.close(socket) }
        socket = -1
    }

    func closeOutput() { shutdown(socket, Int32(SHUT_WR)) }

    /// False when the server has closed.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 { return false }
            sent += count
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    /// Bytes until the server closes, or nil after a reset.
    func readToEnd() -> [UInt8]? {
        while true {
            switch fill() {
            case 0: return take(buffer.count)
            case ..<0: return nil
            default: continue
            }
        }
    }

    func readReply(isHead: Bool = false) throws -> Reply {
        while true {
            let head = try readHead()
            let lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)
            var reply = Reply()
            let parts = lines[0].split(separator: " ")
            guard parts.count >= 2, parts[0] == "HTTP/1.1", let status = Int(parts[1]) else {
                throw ClientError(what: "status line \(lines[0])")
            }
            reply.status = status
            for line in lines.dropFirst() where !line.isEmpty {
                guard let colon = line.firstIndex(of: ":") else { throw ClientError(what: "header \(line)") }
                reply.headers.append(
                    (String(line[..<colon]), String(line[line.index(after: colon)...].drop { $0 == " " })))
            }
            if status == 100 { continue }
            guard let length = reply["Content-Length"].flatMap(Int.init) else {
                throw ClientError(what: "no Content-Length in \(head)")
            }
            if !isHead {
                while buffer.count < length {
                    guard fill() > 0 else { throw ClientError(what: "the body ended early") }
                }
                reply.body = take(length)
            }
            return reply
        }
    }

    func readHead() throws -> String {
        let end: [UInt8] = [13, 10, 13, 10]
        while true {
            if let at = buffer.indices.first(where: { buffer[$0...].starts(with: end) }) {
                return String(decoding: take(at + 4), as: UTF8.self)
            }
            guard fill() > 0 else { throw ClientError(what: "closed before a response") }
        }
    }

    func call(
        _ verb: String, _ target: String, _ headers: [String: String] = [:], _ body: [UInt8]? = nil,
        token: String? = "owner"
    ) throws -> Reply {
        send(Self.request(verb, target, headers, body, token: token))
        return try readReply(isHead: verb == "HEAD")
    }

    static func request(
        _ verb: String, _ target: String, _ headers: [String: String] = [:], _ body: [UInt8]? = nil,
        token: String? = "owner"
    ) -> [UInt8] {
        var head = "\(verb) \(target) HTTP/1.1\r\nHost: h\r\n"
        if let token { head += "X-Auth-Token: \(token)\r\n" }
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if let body { head += "Content-Length: \(body.count)\r\n" }
        return Array((head + "\r\n").utf8) + (body ?? [])
    }

    private func fill() -> Int {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = chunk.withUnsafeMutableBytes { recv(socket, $0.baseAddress!, $0.count, 0) }
        if count > 0 { buffer += chunk[..<count] }
        return count
    }

    private func take(_ count: Int) -> [UInt8] {
        let bytes = Array(buffer[..<count])
        buffer.removeFirst(count)
        return bytes
    }
}
