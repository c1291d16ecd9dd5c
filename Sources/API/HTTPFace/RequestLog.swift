private import Glibc
private import Primitives

/// The line per request: formatted straight into bytes on the event loop, written by a thread of its own.
///
/// A general logger's metadata dictionary and its write per line cost more than the request itself (a third of a hot
/// GET), and a write to a terminal or pipe may block. Lines wait at most `flushMilliseconds`; beyond
/// `pendingBytesMax` they are dropped and counted, since a log that nobody takes must not hold requests up.
package final class RequestLog: Sendable {
    static let flushMilliseconds = 100
    static let flushBytes = 64 << 10
    static let pendingBytesMax = 8 << 20
    static let pathBytesMax = 2048

    private struct State {
        var bytes: [UInt8] = []
        var dropped = 0
        var isStopping = false
        var isGone = false
        var second: Int64 = -1
        /// `YYYY-MM-DDTHH:MM:SS.` of `second`.
        var stamp: [UInt8] = []
    }

    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())
    private let label: [UInt8]
    private let write: @Sendable ([UInt8]) -> Void

    /// - Parameter write: takes whole lines; called on the log's own thread only.
    package init(label: String, write: @escaping @Sendable ([UInt8]) -> Void) {
        self.label = Array(label.utf8)
        self.write = write
        startThread(name: "request-log") { [self] in loop() }
    }

    /// Writes what is left and ends the thread. Later lines are dropped.
    package func close() {
        mutex.lock()
        state.value.isStopping = true
        mutex.broadcast()
        while !state.value.isGone { mutex.wait() }
        mutex.unlock()
    }

    /// `target` must be redacted already.
    func add(
        verb: HTTPVerb, target: [UInt8], status: Int, bytes: Int, microseconds: UInt64, id: RequestID,
        denied: Denial?
    ) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &now)
        // Composed outside the mutex, so that the loops only append under it.
        withUnsafeTemporaryAllocation(byteCount: LogLine.byteCountMax, alignment: 1) { space in
            var line = LogLine(space)
            let millisecond = Int(now.tv_nsec / 1_000_000)
            line.digits(millisecond, count: 3)
            line.text("Z info ")
            line.bytes(label)
            line.text(" request bytes=")
            line.number(UInt64(bytes))
            line.text(" duration_us=")
            line.number(microseconds)
            line.text(" method=")
            line.verb(verb)
            line.text(" path=")
            target.withUnsafeBytes { line.token($0) }
            line.text(" req_id=")
            line.id(id)
            line.text(" status=")
            line.number(UInt64(status))
            if let denied {
                line.text(" client=")
                line.word(denied.client.description)
                line.text(" project=")
                line.word(denied.caller?.project?.id ?? "-")
                line.text(" user=")
                line.word(denied.caller?.user.id ?? "-")
            }
            line.text("\n")
            append(line.written, second: Int64(now.tv_sec))
        }
    }

    private func append(_ line: UnsafeRawBufferPointer, second: Int64) {
        mutex.lock()
        defer { mutex.unlock() }
        guard !state.value.isStopping, state.value.bytes.count < Self.pendingBytesMax else {
            state.value.dropped += 1
            return
        }
        if state.value.second != second { stamp(second) }
        state.value.bytes.append(contentsOf: state.value.stamp)
        state.value.bytes.append(contentsOf: line)
        if state.value.bytes.count >= Self.flushBytes { mutex.signal() }
    }

    private func loop() {
        mutex.lock()
        while true {
            if state.value.bytes.isEmpty && state.value.isStopping { break }
            if state.value.bytes.count < Self.flushBytes && !state.value.isStopping {
                _ = mutex.wait(milliseconds: Self.flushMilliseconds)
            }
            var taken: [UInt8] = []
            taken.reserveCapacity(Self.flushBytes + 4096)
            swap(&taken, &state.value.bytes)
            let dropped = state.value.dropped
            state.value.dropped = 0
            mutex.unlock()
            if !taken.isEmpty { write(taken) }
            if dropped > 0 { write(Array("warning request lines were dropped count=\(dropped)\n".utf8)) }
            mutex.lock()
        }
        state.value.isGone = true
        mutex.broadcast()
        mutex.unlock()
    }

    private func stamp(_ second: Int64) {
        var time = time_t(second)
        var parts = tm()
        gmtime_r(&time, &parts)
        func two(_ number: Int32) -> [UInt8] { [UInt8(0x30 + number / 10 % 10), UInt8(0x30 + number % 10)] }
        let year = parts.tm_year + 1900
        state.value.stamp =
            two(year / 100) + two(year % 100) + [0x2d] + two(parts.tm_mon + 1) + [0x2d] + two(parts.tm_mday) + [0x54]
            + two(parts.tm_hour) + [0x3a] + two(parts.tm_min) + [0x3a] + two(parts.tm_sec) + [0x2e]
        state.value.second = second
    }
}

/// One line in the making, in borrowed space that holds the longest.
private struct LogLine {
    /// A path in which every byte is escaped, and the other values with room to spare.
    static let byteCountMax = 2 * RequestLog.pathBytesMax + 8 * wordBytesMax
    private static let wordBytesMax = 256

    private let space: UnsafeMutableRawBufferPointer
    private var count = 0

    init(_ space: UnsafeMutableRawBufferPointer) { self.space = space }

    var written: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: space[0..<count]) }

    mutating func text(_ text: StaticString) {
        raw(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func bytes(_ bytes: [UInt8]) { bytes.withUnsafeBytes { raw($0) } }

    mutating func raw(_ bytes: UnsafeRawBufferPointer) {
        let length = min(bytes.count, Self.wordBytesMax)
        UnsafeMutableRawBufferPointer(rebasing: space[count..<count + length]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: bytes[0..<length]))
        count += length
    }

    mutating func number(_ number: UInt64) {
        var length = 1
        var rest = number / 10
        while rest > 0 {
            length += 1
            rest /= 10
        }
        digits(Int(truncatingIfNeeded: number), count: length)
    }

    mutating func digits(_ number: Int, count length: Int) {
        var rest = number.magnitude
        for i in stride(from: length - 1, through: 0, by: -1) {
            space[count + i] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        count += length
    }

    mutating func verb(_ verb: HTTPVerb) {
        switch verb {
        case .get: text("GET")
        case .put: text("PUT")
        case .head: text("HEAD")
        case .post: text("POST")
        case .delete: text("DELETE")
        case .copy, .options, .other: word("\(verb)")
        }
    }

    mutating func word(_ text: String) {
        var text = text
        text.withUTF8 { token(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: $0.prefix(Self.wordBytesMax / 2)))) }
    }

    mutating func id(_ id: RequestID) { count += id.write(into: space, at: count) }

    /// A value: quoted and escaped where it needs it, so that nothing a client sent can forge a line.
    mutating func token(_ value: UnsafeRawBufferPointer) {
        let value = UnsafeRawBufferPointer(rebasing: value.prefix(RequestLog.pathBytesMax))
        var isPlain = !value.isEmpty
        for c in value where c <= 0x20 || c >= 0x7f || c == 0x22 || c == 0x3d || c == 0x5c {
            isPlain = false
            break
        }
        if isPlain {
            UnsafeMutableRawBufferPointer(rebasing: space[count..<count + value.count]).copyMemory(from: value)
            count += value.count
            return
        }
        text("\"")
        for c in value {
            if c == 0x22 || c == 0x5c { text("\\") }
            space[count] = c >= 0x20 && c < 0x7f ? c : 0x3f
            count += 1
        }
        text("\"")
    }
}
