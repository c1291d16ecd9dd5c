private import Foundation
private import Glibc

/// The operator's end of the socket: blocking, for a command that does one thing and ends.
package struct AdminClient: Sendable {
    private let socketPath: String
    private let dataFolder: String

    package init(dataFolder: String) {
        self.dataFolder = dataFolder
        socketPath = dataFolder + "/" + DataFolder.socketName
    }

    /// Sends the request and waits for the answer; a refusal is thrown with the daemon's own words.
    package func ask(_ request: AdminRequest) throws(DaemonError) -> AdminReply {
        let descriptor = try connect()
        defer { close(descriptor) }
        let line: [UInt8]
        do {
            line = Array(try JSONEncoder().encode(request)) + [UInt8(ascii: "\n")]
        } catch {
            throw DaemonError("The request can't be written as JSON.")
        }
        guard line.count <= AdminRequest.requestBytesMax else { throw DaemonError("The request is too long.") }
        try write(line, to: descriptor)
        let answer = try readAll(descriptor)
        let reply: AdminReply
        do {
            reply = try JSONDecoder().decode(AdminReply.self, from: Data(answer))
        } catch {
            throw DaemonError("The daemon's answer makes no sense.", remedy: "Are apus and apusd of the same version?")
        }
        guard reply.succeeded else { throw DaemonError(reply.text) }
        return reply
    }

    private func connect() throws(DaemonError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(socketPath.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.count < capacity else { throw DaemonError("The path \(socketPath) is too long for a socket.") }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw DaemonError("No socket: errno \(errno).") }
        let status = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard status == 0 else {
            let code = errno
            close(descriptor)
            switch code {
            case ENOENT, ECONNREFUSED:
                throw DaemonError(
                    "No daemon runs on \(dataFolder).", remedy: "Start it, or name its data folder with --data.")
            case EACCES, EPERM:
                throw DaemonError(
                    "You may not talk to the daemon on \(dataFolder).",
                    remedy: "Run this as the daemon's own user, or as root.")
            default: throw DaemonError("The daemon on \(dataFolder) can't be reached: errno \(code).")
            }
        }
        return descriptor
    }

    private func write(_ bytes: [UInt8], to descriptor: Int32) throws(DaemonError) {
        var done = 0
        while done < bytes.count {
            let sent = unsafe bytes.withUnsafeBytes {
                unsafe send(descriptor, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL))
            }
            if sent > 0 {
                done += sent
            } else if errno != EINTR {
                throw DaemonError("The daemon hung up: errno \(errno).")
            }
        }
    }

    private func readAll(_ descriptor: Int32) throws(DaemonError) -> [UInt8] {
        var all: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while all.count <= AdminRequest.replyBytesMax {
            let count = unsafe piece.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress!, $0.count) }
            if count > 0 {
                all.append(contentsOf: piece[..<count])
            } else if count == 0 {
                return all
            } else if errno != EINTR {
                throw DaemonError("The daemon hung up: errno \(errno).")
            }
        }
        throw DaemonError("The daemon's answer is too long.")
    }
}
