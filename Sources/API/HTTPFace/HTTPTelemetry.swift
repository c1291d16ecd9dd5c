package import Logging
import Primitives

/// A face's counters, and its line in the log for each request.
package final class HTTPTelemetry: Sendable {
    private static let verbs = ["GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS", "other"]

    /// verb * 6 + status / 100
    private let requests: [Counter]
    private let durations: [Histogram]
    let received: Counter
    let sent: Counter
    let accepted: Counter
    let turnedAway: Counter
    let timeouts: Counter
    private let logger: Logger
    private let requestLog: RequestLog?

    /// - Parameters:
    ///   - name: begins every metric's name, e.g. `object`.
    ///   - requestLog: takes the lines of requests that went well; nil: the logger does.
    package init(name: String, metrics: MetricsRegistry, logger: Logger, requestLog: RequestLog?) {
        self.logger = logger
        self.requestLog = requestLog
        requests = Self.verbs.flatMap { verb in
            (0..<6).map { hundred in
                // No such thing as status 0xx; the slot keeps the arithmetic plain.
                hundred == 0
                    ? Counter()
                    : metrics.counter(
                        "\(name)_requests_total", help: "Requests answered.",
                        labels: [("method", verb), ("status", "\(hundred)xx")])
            }
        }
        durations = Self.verbs.map { verb in
            metrics.histogram(
                "\(name)_request_duration_seconds",
                help: "From the end of a request's head to the end of its response.",
                labels: [("method", verb)],
                bounds: [
                    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60,
                ],
                unit: 1e9)
        }
        received = metrics.counter("\(name)_received_bytes_total", help: "Bytes read from clients, heads included.")
        sent = metrics.counter("\(name)_sent_bytes_total", help: "Bytes written to clients, heads included.")
        accepted = metrics.counter("\(name)_connections_accepted_total", help: "Connections accepted.")
        turnedAway = metrics.counter(
            "\(name)_connections_refused_total", help: "Connections closed at once, because too many were open.")
        timeouts = metrics.counter("\(name)_timeouts_total", help: "Connections ended for being too slow.")
    }

    /// - Parameter denied: for the audit: who was told that they may not.
    func record(
        verb: HTTPVerb, target: () -> [UInt8], status: HTTPStatus, bytes: Int, nanoseconds: UInt64, id: RequestID,
        denied: Denial? = nil
    ) {
        let index =
            switch verb {
            case .get: 0
            case .head: 1
            case .put: 2
            case .post: 3
            case .delete: 4
            case .copy: 5
            case .options: 6
            case .other: 7
            }
        requests[index * 6 + min(5, Int(status.code) / 100)].add()
        durations[index].observe(nanoseconds)
        let level: Logger.Level = status.code >= 500 ? .warning : .info
        guard logger.logLevel <= level else { return }
        if level == .info, let requestLog {
            requestLog.add(
                verb: verb, target: target(), status: Int(status.code), bytes: bytes, microseconds: nanoseconds / 1000,
                id: id, denied: denied)
            return
        }
        var facts: Logger.Metadata = [
            "method": "\(verb)", "path": "\(String(decoding: target(), as: UTF8.self))", "status": "\(status)",
            "bytes": "\(bytes)", "duration_us": "\(nanoseconds / 1000)", "req_id": "\(id)",
        ]
        if let denied {
            facts["client"] = "\(denied.client)"
            facts["user"] = "\(denied.caller?.user.id ?? "-")"
            facts["project"] = "\(denied.caller?.project?.id ?? "-")"
        }
        logger.log(level: level, "request", metadata: facts)
    }
}

/// Who was refused with 401 or 403.
struct Denial: Sendable {
    /// nil: nobody that is known.
    var caller: Caller?
    var client: ClientAddress
}

/// Keeps secrets that ride in a request target out of the log.
package enum Redaction {
    /// The target with the value of every parameter that may be a signature, key or token replaced, and with
    /// nothing in it but printable ASCII; cut at 2 KiB.
    package static func bytes(_ raw: [UInt8]) -> [UInt8] {
        // Without a query there is nothing to redact; the log escapes what is not printable.
        raw.contains(0x3f) ? Array(target(raw).utf8) : raw
    }

    package static func target(_ raw: [UInt8]) -> String {
        let question = raw.firstIndex(of: 0x3f) ?? raw.endIndex
        var out = printable(raw[..<question])
        if question < raw.endIndex {
            out += "?"
            var first = true
            for part in raw[(question + 1)...].split(separator: 0x26, omittingEmptySubsequences: false) {
                if !first { out += "&" }
                first = false
                guard let equals = part.firstIndex(of: 0x3d) else {
                    out += printable(part)
                    continue
                }
                let name = String(decoding: PercentDecoding.decode(part[..<equals]), as: UTF8.self).lowercased()
                out += printable(part[..<equals]) + "="
                out += isSecret(name) ? "***" : printable(part[(equals + 1)...])
            }
        }
        return String(out.prefix(2048))
    }

    /// Whether a header's or parameter's name says that its value must not be written down.
    package static func isSecret(_ name: String) -> Bool {
        let name = name.lowercased()
        return ["sig", "token", "auth", "key", "pass", "secret", "credential", "hmac"].contains { name.contains($0) }
            && !["temp_url_expires", "marker", "prefix"].contains(name)
    }

    private static func printable(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes.map { $0 > 0x20 && $0 < 0x7f ? $0 : 0x3f }, as: UTF8.self)
    }
}
