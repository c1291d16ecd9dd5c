private import Glibc
private import NIOCore

/// Turns an operating system's refusal to listen into words.
enum ListenFailure {
    static func explain(_ error: any Error, _ listener: ListenerSettings) -> DaemonError {
        if let own = error as? DaemonError { return own }
        let place = "\(listener.host):\(listener.port)"
        guard let code = (error as? IOError)?.errnoCode else {
            if listener.tls != nil { return explainTLS(error, listener) }
            return DaemonError("The \(listener.name) listener can't use \(place): \(error).")
        }
        switch code {
        case EADDRINUSE:
            return DaemonError(
                "The \(listener.name) listener can't use \(place): another program listens there.",
                remedy: "Stop it, or set \(listener.name).port to another port (or start with --any-port).")
        case EADDRNOTAVAIL:
            return DaemonError(
                "The \(listener.name) listener can't use \(place): this machine has no such address.",
                remedy: "Set \(listener.name).host.")
        case EACCES:
            return DaemonError(
                "The \(listener.name) listener can't use \(place): ports below 1024 need a privilege.",
                remedy: "Set \(listener.name).port to a higher one, or give the daemon CAP_NET_BIND_SERVICE.")
        default: return DaemonError("The \(listener.name) listener can't use \(place): errno \(code).")
        }
    }

    /// A certificate or key that can't be read or does not fit.
    static func explainTLS(_ error: any Error, _ listener: ListenerSettings) -> DaemonError {
        DaemonError(
            "The \(listener.name) listener can't use its certificate \(listener.tls?.certificate ?? "") with the key \(listener.tls?.key ?? ""): \(error).",
            remedy: "Both must be PEM files that this user can read, and belong together.")
    }
}
