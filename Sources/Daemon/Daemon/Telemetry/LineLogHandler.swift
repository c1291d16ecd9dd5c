import Foundation
private import Glibc
package import Logging

/// One line per event on standard error, written with one system call so that lines never mix:
/// `2026-11-23T10:07:20.123Z info apusd listener is up listener=object port=8080`.
///
/// Metadata follow as `key=value`, sorted; a value with blanks, quotes or control characters is quoted and
/// escaped, so nothing that a client sent can forge a line.
package struct LineLogHandler: LogHandler {
    package var metadata: Logger.Metadata = [:]
    package var logLevel: Logger.Level
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let write: @Sendable ([UInt8]) -> Void

    /// The longest line; what is beyond it is cut.
    package static let lineBytesMax = 8192

    package init(
        label: String, logLevel: Logger.Level, write: @escaping @Sendable ([UInt8]) -> Void = Self.standardError
    ) {
        self.label = label
        self.logLevel = logLevel
        self.write = write
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let own = event.metadata { all.merge(own) { _, new in new } }
        write(Self.line(moment: Date(), level: event.level, label: label, message: "\(event.message)", metadata: all))
    }

    static func line(
        moment: Date, level: Logger.Level, label: String, message: String, metadata: Logger.Metadata
    ) -> [UInt8] {
        let milliseconds = Int64((moment.timeIntervalSince1970 * 1000).rounded(.down))
        var line = Self.time(milliseconds) + " \(level) \(label) " + escaped(message, quoting: false)
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            line += " " + escaped(key, quoting: false) + "=" + escaped("\(value)", quoting: true)
        }
        var bytes = Array(line.utf8.prefix(lineBytesMax - 1))
        bytes.append(UInt8(ascii: "\n"))
        return bytes
    }

    /// RFC 3339 with milliseconds, in UTC.
    private static func time(_ milliseconds: Int64) -> String {
        var seconds = time_t(milliseconds / 1000)
        var parts = tm()
        unsafe gmtime_r(&seconds, &parts)
        func padded(_ number: some BinaryInteger, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return padded(parts.tm_year + 1900, 4) + "-" + padded(parts.tm_mon + 1, 2) + "-" + padded(parts.tm_mday, 2)
            + "T"
            + padded(parts.tm_hour, 2) + ":" + padded(parts.tm_min, 2) + ":" + padded(parts.tm_sec, 2) + "."
            + padded(milliseconds % 1000, 3) + "Z"
    }

    private static func escaped(_ text: String, quoting: Bool) -> String {
        var out = ""
        var needsQuotes = text.isEmpty
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\\" where quoting: out += "\\\\"
            case "\"" where quoting:
                out += "\\\""
                needsQuotes = true
            case _
            where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || scalar.value == 0x2028
                || scalar.value == 0x2029:
                out += "\\u{" + String(scalar.value, radix: 16) + "}"
            default:
                if scalar == " " || scalar == "=" { needsQuotes = true }
                out.unicodeScalars.append(scalar)
            }
        }
        return quoting && needsQuotes ? "\"" + out + "\"" : out
    }

    /// Writes to file descriptor 2; a log that can't be written is dropped, as there is nowhere to say so.
    package static let standardError: @Sendable ([UInt8]) -> Void = { bytes in
        unsafe bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let written = unsafe Glibc.write(2, buffer.baseAddress! + done, buffer.count - done)
                if written > 0 {
                    done += written
                } else if errno != EINTR {
                    return
                }
            }
        }
    }
}
