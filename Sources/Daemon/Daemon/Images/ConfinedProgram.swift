private import CSandbox
private import Glibc

/// A program that is run in one folder, and can reach nothing else as far as the system permits (see `csandbox.h`).
struct ConfinedProgram: Sendable {
    struct Bounds: Sendable {
        var memoryBytes: UInt64 = 1 << 30
        var fileBytes: UInt64
        var cpuSeconds: UInt64
        /// From its start to its end.
        var seconds: Int
    }

    /// What held it, beside its limits.
    struct Holds: OptionSet, Sendable, CustomStringConvertible {
        let rawValue: Int32
        static let user = Holds(rawValue: Int32(APUS_HELD_BY_USER))
        static let namespaces = Holds(rawValue: Int32(APUS_HELD_BY_NAMESPACES))
        static let mounts = Holds(rawValue: Int32(APUS_HELD_BY_MOUNTS))
        static let landlock = Holds(rawValue: Int32(APUS_HELD_BY_LANDLOCK))
        static let seccomp = Holds(rawValue: Int32(APUS_HELD_BY_SECCOMP))

        var description: String {
            let names: [(Holds, String)] = [
                (.user, "user"), (.namespaces, "namespaces"), (.mounts, "mounts"), (.landlock, "landlock"),
                (.seccomp, "seccomp"),
            ]
            return names.filter { contains($0.0) }.map(\.1).joined(separator: " ")
        }
    }

    enum Failure: Error, CustomStringConvertible {
        case start(Int32)
        case time(Int)
        /// Its exit code, or the signal that ended it, and the beginning of what it said.
        case code(Int32, String)
        case signal(Int32, String)

        var description: String {
            switch self {
            case .start(let code): "it could not be started: errno \(code)"
            case .time(let seconds): "it took longer than \(seconds) s"
            case .code(let code, let said): "it ended with \(code): \(said)"
            case .signal(let number, let said): "it was ended by signal \(number): \(said)"
            }
        }
    }

    /// Nobody's, everywhere.
    static let nobody: UInt32 = 65_534
    private static let saidBytesMax = 4_096
    private static let outputBytesMax = 256
    private static let lookMilliseconds: Int32 = 200

    /// An absolute path.
    let path: String
    /// Layers to do without, for tests.
    var without: Holds = []

    /// Runs it to its end; blocks. Whatever comes, no process is left.
    ///
    /// - Parameters:
    ///   - arguments: behind its name.
    ///   - folder: where it works.
    ///   - root: an empty folder that its file tree is put together in.
    ///   - look: gets the end of what it wrote to its standard output, several times a second; throws to stop.
    func run(
        _ arguments: [String], in folder: String, root: String, _ bounds: Bounds,
        look: (String) throws -> Void
    ) throws -> Holds {
        var output: Int32 = -1
        var errors: Int32 = -1
        var held: Int32 = 0
        let process = start(arguments, folder, root, bounds, &output, &errors, &held)
        guard process > 0 else { throw Failure.start(-process) }
        defer {
            close(output)
            close(errors)
        }
        let status = try watch(process, output, errors, bounds, look)
        if status.code == 0, status.signal == 0 { return Holds(rawValue: held) }
        throw status.signal == 0
            ? Failure.code(status.code, status.said) : Failure.signal(status.signal, status.said)
    }

    private func start(
        _ arguments: [String], _ folder: String, _ root: String, _ bounds: Bounds,
        _ output: inout Int32, _ errors: inout Int32, _ held: inout Int32
    ) -> Int32 {
        let name = String(path[path.index(after: path.lastIndex(of: "/") ?? path.startIndex)...])
        var texts: [UnsafeMutablePointer<CChar>?] = ([name] + arguments).map { strdup($0) } + [nil]
        defer { for text in texts { free(text) } }
        return path.withCString { path in
            folder.withCString { folder in
                root.withCString { root in
                    texts.withUnsafeMutableBufferPointer { texts in
                        var what = apus_confinement(
                            program: path, arguments: texts.baseAddress, folder: folder, root: root,
                            user: Self.nobody, group: Self.nobody, memory_bytes: bounds.memoryBytes,
                            cpu_seconds: bounds.cpuSeconds, file_bytes: bounds.fileBytes, without: without.rawValue)
                        return apus_confined_start(&what, &output, &errors, &held)
                    }
                }
            }
        }
    }

    private struct End {
        var code: Int32
        var signal: Int32
        var said: String
    }

    private func watch(
        _ process: Int32, _ output: Int32, _ errors: Int32, _ bounds: Bounds, _ look: (String) throws -> Void
    ) throws -> End {
        var shown: [UInt8] = []
        var said: [UInt8] = []
        var isReaped = false
        defer { if !isReaped { _ = apus_confined_end(process) } }
        let began = ContinuousClock().now
        var polled = [
            pollfd(fd: output, events: Int16(POLLIN), revents: 0),
            pollfd(fd: errors, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            _ = poll(&polled, nfds_t(polled.count), Self.lookMilliseconds)
            if Self.drain(output, &shown) { polled[0].fd = -1 }
            if Self.drain(errors, &said) { polled[1].fd = -1 }
            if shown.count > Self.outputBytesMax { shown.removeFirst(shown.count - Self.outputBytesMax) }
            if said.count > Self.saidBytesMax { said.removeLast(said.count - Self.saidBytesMax) }
            var status: Int32 = 0
            let ended = apus_confined_poll(process, &status)
            if ended < 0 { throw Failure.start(-ended) }
            if ended > 0 {
                isReaped = true
                _ = Self.drain(errors, &said)
                return End(code: status >> 8 & 0xFF, signal: status & 0x7F, said: Self.text(said))
            }
            guard ContinuousClock().now - began < .seconds(bounds.seconds) else { throw Failure.time(bounds.seconds) }
            try look(String(decoding: shown, as: UTF8.self))
        }
    }

    /// Takes what is there, up to a bound; true at the end.
    private static func drain(_ file: Int32, _ bytes: inout [UInt8]) -> Bool {
        var piece = [UInt8](repeating: 0, count: 4_096)
        for _ in 0..<16 {
            let count = read(file, &piece, piece.count)
            if count == 0 { return true }
            if count < 0 { return errno != EAGAIN && errno != EINTR }
            bytes += piece[..<count]
        }
        return false
    }

    /// One line of what can be printed.
    private static func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix(saidBytesMax).map { (0x20...0x7E).contains($0) ? $0 : 0x20 }, as: UTF8.self)
    }
}
