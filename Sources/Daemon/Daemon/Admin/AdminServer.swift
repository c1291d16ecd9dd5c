private import Foundation
private import Glibc
package import NIOCore
private import NIOPosix
private import Synchronization

/// The daemon's end of the operator's socket: reads one request, answers it, closes.
package final class AdminServer: Sendable {
    /// Answers a request; blocks, on a thread of its own.
    package typealias Answer = @Sendable (AdminRequest) -> AdminReply
    /// Hands work to threads that may block; false: too much waits.
    package typealias Threads = @Sendable (@escaping @Sendable () -> Void) -> Bool

    /// Connections that may be open at once, and how long each may take to send its line.
    package static let connectionsMax = 16
    package static let requestSecondsMax: Int64 = 10

    private let channel: any Channel

    private init(channel: any Channel) { self.channel = channel }

    /// Listens on `path`, in place of a socket that a killed daemon left there (the caller holds the data folder's lock).
    package static func start(
        path: String, group: any EventLoopGroup, threads: @escaping Threads, answer: @escaping Answer
    ) async throws -> AdminServer {
        guard path.utf8.count < 108 else {
            throw DaemonError(
                "The path of the operator's socket, \(path), is longer than the system allows (107 bytes).",
                remedy: "Use a data folder with a shorter path.")
        }
        let open = OpenConnections()
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(ChannelOptions.backlog, value: 16)
            .childChannelInitializer { child in
                child.eventLoop.makeCompletedFuture {
                    try child.pipeline.syncOperations.addHandler(
                        AdminHandler(open: open, threads: threads, answer: answer))
                }
            }
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        guard chmod(path, 0o600) == 0 else {
            throw DaemonError("The operator's socket \(path) can't be made private: errno \(errno).")
        }
        return AdminServer(channel: channel)
    }

    package func stop() async {
        do {
            try await channel.close()
        } catch {
            // Closed already: nothing is left to do.
        }
    }

    fileprivate final class OpenConnections: Sendable {
        let count = Atomic<Int>(0)
    }
}

/// One connection. Its state is touched on its event loop only.
private final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let open: AdminServer.OpenConnections
    private let threads: AdminServer.Threads
    private let answer: AdminServer.Answer
    private var line: [UInt8] = []
    private var isAnswering = false
    private var deadline: Scheduled<Void>?

    init(
        open: AdminServer.OpenConnections, threads: @escaping AdminServer.Threads, answer: @escaping AdminServer.Answer
    ) {
        self.open = open
        self.threads = threads
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        if open.count.add(1, ordering: .relaxed).newValue > AdminServer.connectionsMax {
            return reply(.refused("Too many operators' commands at once."), context: context)
        }
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: .seconds(AdminServer.requestSecondsMax)) {
            channel.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        open.count.subtract(1, ordering: .relaxed)
        deadline?.cancel()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswering else { return }
        line.append(contentsOf: unwrapInboundIn(data).readableBytesView)
        guard let end = line.firstIndex(of: UInt8(ascii: "\n")) else {
            if line.count > AdminRequest.requestBytesMax {
                reply(.refused("The request is too long."), context: context)
            }
            return
        }
        deadline?.cancel()
        isAnswering = true
        let request: AdminRequest
        do {
            request = try JSONDecoder().decode(AdminRequest.self, from: Data(line[..<end]))
        } catch {
            return reply(
                .refused("The daemon does not know this request: are apus and apusd of the same version?"),
                context: context)
        }
        let channel = context.channel
        let answer = answer
        let accepted = threads {
            let bytes = AdminHandler.encode(answer(request))
            channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { _ in channel.close(promise: nil) }
        }
        if !accepted { reply(.refused("The daemon is too busy."), context: context) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func reply(_ reply: AdminReply, context: ChannelHandlerContext) {
        isAnswering = true
        let channel = context.channel
        channel.writeAndFlush(ByteBuffer(bytes: Self.encode(reply))).whenComplete { _ in channel.close(promise: nil) }
    }

    private static func encode(_ reply: AdminReply) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(reply)) + [UInt8(ascii: "\n")]
        } catch {
            return Array(#"{"succeeded":false,"text":"The answer can't be written.","fields":{}}"#.utf8) + [
                UInt8(ascii: "\n")
            ]
        }
    }
}
