import Images
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Fetches images over HTTP, and reaches nothing but the world outside with it: the name is resolved once, the
/// connection goes to the very address that was looked at, which must be a public one, and redirections are not followed. Hosts that the operator names are excepted.
struct WebFetcher: WebSource {
    private static let portsAllowed: Set<Int> = [80, 443]
    private static let connectSeconds: Int64 = 10
    /// A server that sends nothing for so long is given up.
    private static let silenceSeconds: Int64 = 60

    /// `host:port` each, as in an address.
    let exceptions: Set<String>
    let group: any EventLoopGroup

    func check(_ text: String) throws(ImageError) { _ = try address(text) }

    private func address(_ text: String) throws(ImageError) -> WebAddress {
        guard let address = WebAddress(text) else { throw .invalid("Given uri is not valid.") }
        guard exceptions.contains(address.authority) || Self.portsAllowed.contains(address.port) else {
            throw .invalid("Given uri is not allowed: its port is not one that images are fetched from.")
        }
        return address
    }

    func fetch(_ text: String, into intake: WebIntake) async throws(ImageError) {
        let address = try address(text)
        let target = try await resolve(address)
        do {
            let channel = try await connect(address, target)
            try await channel.executeThenClose { parts, requests in
                var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: address.path)
                head.headers.add(
                    name: "Host",
                    value: [80, 443].contains(address.port) ? Self.shown(address.host) : address.authority)
                head.headers.add(name: "User-Agent", value: "apus")
                head.headers.add(name: "Accept-Encoding", value: "identity")
                head.headers.add(name: "Connection", value: "close")
                try await requests.write(.head(head))
                try await requests.write(.end(nil))
                try await Self.receive(parts, into: intake)
            }
        } catch let error as ImageError {
            throw error
        } catch {
            throw .invalid("\(address.authority) could not be read from.")
        }
    }

    private static func shown(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

    private static func receive(
        _ parts: NIOAsyncChannelInboundStream<HTTPClientResponsePart>, into intake: WebIntake
    ) async throws {
        var isComplete = false
        for try await part in parts {
            switch part {
            case .head(let head):
                guard head.status == .ok else {
                    throw ImageError.invalid("The server answered \(head.status.code) instead of 200.")
                }
            case .body(var bytes):
                while bytes.readableBytes > 0 {
                    try await intake.makeRoom()
                    let count = bytes.withUnsafeReadableBytes { intake.take($0) }
                    bytes.moveReaderIndex(forwardBy: count)
                }
            case .end: isComplete = true
            }
        }
        guard isComplete else { throw ImageError.invalid("The server's answer broke off.") }
    }

    // MARK: The connection

    /// The address to connect to; looked at here, and used as it is.
    private func resolve(_ address: WebAddress) async throws(ImageError) -> SocketAddress {
        let found: SocketAddress?
        do {
            found = try await NIOThreadPool.singleton.runIfActive {
                try SocketAddress.makeAddressResolvingHost(address.host, port: address.port)
            }
        } catch {
            throw .invalid("The host \(address.host) is not known.")
        }
        guard let found, exceptions.contains(address.authority) || PublicAddress.isPublic(found) else {
            throw .invalid("The host \(address.host) is not one that images are fetched from.")
        }
        return found
    }

    private typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    private func connect(_ address: WebAddress, _ target: SocketAddress) async throws -> Connection {
        let tls = address.isSecure ? try NIOSSLContext(configuration: .makeClientConfiguration()) : nil
        return try await ClientBootstrap(group: group)
            .connectTimeout(.seconds(Self.connectSeconds))
            .connect(to: target) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        let handler = try NIOSSLClientHandler(
                            context: tls, serverHostname: address.isNumeric ? nil : address.host)
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        IdleStateHandler(readTimeout: .seconds(Self.silenceSeconds)))
                    try channel.pipeline.syncOperations.addHandler(SilenceCloser())
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
    }
}

/// Closes a connection on which nothing comes.
private final class SilenceCloser: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { return context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}
