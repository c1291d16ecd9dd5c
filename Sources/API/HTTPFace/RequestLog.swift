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
        /// `YYYY-MM-DDTHH:MM:SS` of `second`.
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
    func add(verb: HTTPVerb, target: [UInt8], status: Int, bytes: Int, microseconds: UInt64, id: RequestID) {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &now)
        mutex.lock()
        defer { mutex.unlock() }
        guard !state.value.isStopping, state.value.bytes.count < Self.pendingBytesMax else {
            state.value.dropped += 1
            return
        }
        if state.value.second != Int64(now.tv_sec) { stamp(Int64(now.tv_sec)) }
        state.value.bytes.append(contentsOf: state.value.stamp)
        state.value.bytes.append(0x2e)
        let millisecond = now.tv_nsec / 1_000_000
        for divisor in [100, 10, 1] { state.value.bytes.append(UInt8(0x30 + millisecond / divisor % 10)) }
        text("Z info ")
        state.value.bytes.append(contentsOf: label)
        text(" request bytes=")
        number(UInt64(bytes))
        text(" duration_us=")
        number(microseconds)
        text(" method=")
        token(Array("\(verb)".utf8))
        text(" path=")
        token(target)
        text(" req_id=")
        id.append(to: &state.value.bytes)
        text(" status=")
        number(UInt64(status))
        state.value.bytes.append(0x0a)
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

    // MARK: Bytes. All under the mutex.

    private func text(_ text: StaticString) {
        state.value.bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private func number(_ number: UInt64) {
        var digits: (UInt64, Int) = (number, 1)
        while digits.0 >= 10 {
            digits.0 /= 10
            digits.1 += 1
        }
        var divisor: UInt64 = 1
        for _ in 1..<digits.1 { divisor *= 10 }
        while divisor > 0 {
            state.value.bytes.append(UInt8(0x30 + number / divisor % 10))
            divisor /= 10
        }
    }

    /// A value: quoted and escaped where it needs it, so that nothing a client sent can forge a line.
    private func token(_ value: [UInt8]) {
        let value = value.prefix(Self.pathBytesMax)
        if !value.isEmpty, value.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x3d && $0 != 0x5c }) {
            state.value.bytes.append(contentsOf: value)
            return
        }
        state.value.bytes.append(0x22)
        for byte in value {
            if byte == 0x22 || byte == 0x5c { state.value.bytes.append(0x5c) }
            state.value.bytes.append(byte >= 0x20 && byte < 0x7f ? byte : 0x3f)
        }
        state.value.bytes.append(0x22)
    }

    private func stamp(_ second: Int64) {
        var time = time_t(second)
        var parts = tm()
        gmtime_r(&time, &parts)
        func two(_ number: Int32) -> [UInt8] { [UInt8(0x30 + number / 10 % 10), UInt8(0x30 + number % 10)] }
        let year = parts.tm_year + 1900
        state.value.stamp =
            two(year / 100) + two(year % 100) + [0x2d] + two(parts.tm_mon + 1) + [0x2d] + two(parts.tm_mday) + [0x54]
            + two(parts.tm_hour) + [0x3a] + two(parts.tm_min) + [0x3a] + two(parts.tm_sec)
        state.value.second = second
    }
}
