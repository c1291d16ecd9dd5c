private import Glibc

/// Ports for `--any-port`: the one of the last start if it is still free, so that a restarted daemon is found
/// where it was, else any.
enum FreePorts {
    /// A port that could be bound a moment ago; another process may take it before the daemon does, which then
    /// fails to start with a clear message.
    static func pick(host: String, preferring wish: Int?) throws(DaemonError) -> Int {
        if let wish, wish > 0, let port = bind(host: host, port: wish) { return port }
        if let port = bind(host: host, port: 0) { return port }
        throw DaemonError("No free port on \(host).", remedy: "Is that an address of this machine?")
    }

    /// The bound port, or nil.
    private static func bind(host: String, port: Int) -> Int? {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, String(port), &hints, &found) == 0, let info = unsafe found else { return nil }
        defer { unsafe freeaddrinfo(found) }
        let descriptor = unsafe socket(
            info.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var one: Int32 = 1
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        guard unsafe Glibc.bind(descriptor, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 else { return nil }
        // A bound port that somebody listens on already shows only here.
        guard listen(descriptor, 1) == 0 else { return nil }
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = unsafe withUnsafeMutablePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(descriptor, $0, &length) }
        }
        guard status == 0 else { return nil }
        return unsafe withUnsafeBytes(of: &address) { bytes in
            // Both families keep the port in bytes 2 and 3, in network order.
            unsafe Int(bytes[2]) << 8 | Int(bytes[3])
        }
    }
}
