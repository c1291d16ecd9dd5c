private import Glibc
import Primitives

/// A secret that the operator keeps in a file, so that it stands neither in the configuration nor in `ps`.
enum SecretFile {
    /// More than any password that is taken anywhere.
    static let bytesMax = 4_096

    /// The file's text without the line's end. Blocks.
    ///
    /// It has to be the daemon's user's or root's, and nobody else may read it; a group may only where root says so.
    /// - Parameter key: the configuration's, for the error.
    static func read(_ path: String, key: String) throws(DaemonError) -> Secret {
        // A pipe that nobody writes to must not hold the start up.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else {
            throw DaemonError(
                "\(key) is \(path), which can't be opened: errno \(errno).",
                remedy: "Does it belong to the user who runs this?")
        }
        defer { close(file) }
        var status = stat()
        guard unsafe fstat(file, &status) == 0 else {
            throw DaemonError("\(key) is \(path), which can't be looked at: errno \(errno).")
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw DaemonError("\(key) is \(path), which is no file.") }
        guard status.st_uid == geteuid() || status.st_uid == 0 else {
            throw DaemonError("\(key) is \(path), which belongs to another user (uid \(status.st_uid)).")
        }
        let forbidden: mode_t = status.st_uid == 0 && geteuid() != 0 ? 0o037 : 0o077
        guard status.st_mode & forbidden == 0 else {
            throw DaemonError("\(key) is \(path), which others may read.", remedy: "chmod 600 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
        var count = 0
        while count < bytes.count {
            let room = bytes.count - count
            let got = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(file, $0.baseAddress! + count, room) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw DaemonError("\(key) is \(path), which can't be read: errno \(errno).") }
            if got == 0 { break }
            count += got
        }
        guard count <= bytesMax else { throw DaemonError("\(key) is \(path), which is too large for a password.") }
        var text = bytes[..<count]
        if text.last == 0x0A { text.removeLast() }
        if text.last == 0x0D { text.removeLast() }
        guard !text.isEmpty, !text.contains(0), String(validating: text, as: UTF8.self) != nil else {
            throw DaemonError("\(key) is \(path), which has no password in it.", remedy: "It is one line of text.")
        }
        return Secret(Array(text))
    }
}
