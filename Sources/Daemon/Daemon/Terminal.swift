private import Foundation
private import Glibc

/// What the two commands need of the terminal and the process they run in.
package enum Terminal {
    package static var environment: [String: String] { ProcessInfo.processInfo.environment }

    /// Writes a line to standard output, at once.
    package static func print(_ line: String) { put(line + "\n", to: 1) }

    /// Writes a line to standard error.
    package static func error(_ line: String) { put(line + "\n", to: 2) }

    package static func exit(_ code: Int32) -> Never { Glibc.exit(code) }

    /// One line of standard input, without its end. Nothing is echoed if a person types it.
    package static func readPassword() throws(DaemonError) -> String {
        let isTerminal = isatty(0) == 1
        var before = termios()
        if isTerminal {
            error("Password: ")
            unsafe tcgetattr(0, &before)
            var silent = before
            silent.c_lflag &= ~tcflag_t(ECHO)
            unsafe tcsetattr(0, TCSAFLUSH, &silent)
        }
        let line = readLine(strippingNewline: true)
        if isTerminal { unsafe tcsetattr(0, TCSAFLUSH, &before) }
        guard let line, !line.isEmpty else { throw DaemonError("No password came from standard input.") }
        guard line.utf8.count <= 1024 else { throw DaemonError("That password is too long.") }
        return line
    }

    /// The folder that a command means when it names none.
    package static func defaultDataFolder() -> String {
        if let named = environment["APUS_DATA_FOLDER"], !named.isEmpty { return named }
        let here = FileManager.default.currentDirectoryPath + "/var"
        if access(here + "/" + DataFolder.formatName, F_OK) == 0 { return here }
        return "/var/lib/apus"
    }

    package static func json(_ fields: [String: String]) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(fields), as: UTF8.self)
        } catch {
            return "{}"
        }
    }

    private static func put(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        unsafe bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let written = unsafe Glibc.write(descriptor, buffer.baseAddress! + done, buffer.count - done)
                if written > 0 {
                    done += written
                } else if errno != EINTR {
                    return
                }
            }
        }
    }
}

/// What `--version` prints.
package enum DaemonVersion {
    package static let text = "0.1.0"
}
