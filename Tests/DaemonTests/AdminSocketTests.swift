import Foundation
import Glibc
import NIOCore
import NIOPosix
import Primitives
import Testing

@testable import Daemon

@Suite("The operator's socket")
struct AdminSocketTests {
    /// A server that echoes, on threads of its own.
    private func withServer(
        _ body: (ScratchFolder) async throws -> Void
    ) async throws {
        let scratch = try ScratchFolder()
        let threads = WorkThreads(name: "t", count: 2, queueMax: 16)
        let server = try await AdminServer.start(
            path: scratch.path + "/" + DataFolder.socketName, group: MultiThreadedEventLoopGroup.singleton,
            threads: { threads.run($0) },
            answer: { request in
                switch request {
                case .status: AdminReply(succeeded: true, text: "well", fields: ["a": "b"])
                case .createUser(let name, let password, _, _): .refused("no \(name) \(password ?? "-")")
                default: AdminReply(succeeded: true, text: "\(request)")
                }
            })
        do {
            try await body(scratch)
        } catch {
            await server.stop()
            throw error
        }
        await server.stop()
        try await Blocking.run("stop") { threads.stop() }
    }

    private func ask(_ request: AdminRequest, _ folder: String) async throws -> AdminReply {
        try await Blocking.run("ask") { try AdminClient(dataFolder: folder).ask(request) }
    }

    @Test func aRequestIsAnswered() async throws {
        try await withServer { scratch in
            #expect(
                try await ask(.status, scratch.path) == AdminReply(succeeded: true, text: "well", fields: ["a": "b"]))
            let long = String(repeating: "ü\n\"", count: 5000)
            let reply = try await ask(.createProject(name: long, description: ""), scratch.path)
            #expect(reply.text.contains("createProject"))
        }
    }

    @Test func aRefusalIsThrownInTheDaemonsWords() async throws {
        try await withServer { scratch in
            let error = await #expect(throws: DaemonError.self) {
                try await ask(.createUser(name: "ann", password: nil, project: nil, role: nil), scratch.path)
            }
            #expect(error?.problem == "no ann -")
        }
    }

    @Test func onlyTheOwnerMayOpenIt() async throws {
        try await withServer { scratch in
            let mode = try scratch.mode(DataFolder.socketName)
            #expect(mode == 0o600)
        }
    }

    @Test(arguments: ["{}\n", "\n", "garbage\n", "[1]\n", "{\"status\":{}}{\"status\":{}}\n", "\u{0}\n"])
    func garbageIsRefusedPolitely(line: String) async throws {
        try await withServer { scratch in
            let path = scratch.path
            let answer = try await Blocking.run("raw") {
                try RawSocket.exchange(path + "/" + DataFolder.socketName, Array(line.utf8))
            }
            #expect(String(decoding: answer, as: UTF8.self).contains("\"succeeded\":false"))
        }
    }

    @Test func aRequestWithoutEndIsCutOff() async throws {
        try await withServer { scratch in
            let path = scratch.path
            let answer = try await Blocking.run("raw") {
                try RawSocket.exchange(
                    path + "/" + DataFolder.socketName,
                    [UInt8](repeating: 0x61, count: AdminRequest.requestBytesMax + 4096))
            }
            #expect(String(decoding: answer, as: UTF8.self).contains("too long"))
        }
    }

    @Test func withoutADaemonItIsSaidSo() throws {
        let scratch = try ScratchFolder()
        let error = #expect(throws: DaemonError.self) { try AdminClient(dataFolder: scratch.path).ask(.status) }
        #expect(error?.problem.contains("No daemon runs") == true)
    }

    @Test func aSocketLeftByAKilledDaemonIsReplaced() async throws {
        let scratch = try ScratchFolder()
        let path = scratch.path + "/" + DataFolder.socketName
        try RawSocket.leaveBehind(path)
        let server = try await AdminServer.start(
            path: path, group: MultiThreadedEventLoopGroup.singleton,
            threads: {
                $0(); return true
            },
            answer: { _ in AdminReply(succeeded: true, text: "new") })
        #expect(try await ask(.status, scratch.path).text == "new")
        await server.stop()
    }
}

/// A Unix socket without any protocol.
enum RawSocket {
    static func address(_ path: String) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        return address
    }

    static func exchange(_ path: String, _ bytes: [UInt8]) throws -> [UInt8] {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = address(path)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(status == 0)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { break }
            sent += count
        }
        var answer: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &piece, piece.count)
            if count <= 0 { return answer }
            answer += piece[..<count]
        }
    }

    /// Binds and closes without unlinking, as a killed process does.
    static func leaveBehind(_ path: String) throws {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = address(path)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(status == 0)
    }
}
