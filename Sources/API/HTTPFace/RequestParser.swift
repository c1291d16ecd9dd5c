private import Glibc
package import NIOCore

/// Strict HTTP/1.1 requests from a stream of buffers: no I/O, no clock, no NIO pipeline.
///
/// Our own rather than NIOHTTP1's decoder, because what must be refused cannot be seen behind that one: it
/// unfolds obs-fold, takes a bare LF for a line end, repairs ill-formed UTF-8 and stops at unknown verbs without
/// saying where. Tests hold the two against each other: what this one accepts, that one reads the same way.
///
/// After a failure the stream's framing is lost, and the connection must close.
package struct RequestParser: Sendable {
    package enum Event: Sendable {
        case needsMore
        case head(RequestHead)
        /// Never empty.
        case body(ByteBuffer)
        case end
        case failure(HTTPRefusal)
    }

    private enum State: Sendable {
        case head
        case length(remaining: Int)
        case chunkSize
        case chunkData(remaining: Int)
        case chunkEnd
        case trailers(bytes: Int, count: Int)
        case finished
        case failed
    }

    private var state = State.head
    /// Bytes of the unfinished head or line that are known to hold no LF.
    private var scanned = 0
    /// Offset of the line being read, and the number of lines before it.
    private var lineStart = 0
    private var lineCount = 0
    private let limits: HTTPLimits

    package init(limits: HTTPLimits) {
        precondition(limits.headBytesMax <= 65_535, "head offsets are 16 bits")
        self.limits = limits
    }

    /// Between two requests, with nothing of the next one seen.
    package func isIdle(_ buffer: ByteBuffer) -> Bool {
        if case .head = state { return buffer.readableBytes == 0 }
        return false
    }

    package var isInBody: Bool {
        switch state {
        case .length, .chunkSize, .chunkData, .chunkEnd, .trailers, .finished: true
        case .head, .failed: false
        }
    }

    /// Body bytes that are still to come, if that is known.
    package var remainingLength: Int? {
        switch state {
        case .length(let remaining): remaining
        case .finished: 0
        default: nil
        }
    }

    /// The next thing in the buffer, consumed from it.
    package mutating func next(_ buffer: inout ByteBuffer) -> Event {
        switch state {
        case .head:
            return parseHead(&buffer)
        case .length(let remaining):
            guard let slice = buffer.readSlice(length: min(remaining, buffer.readableBytes)), slice.readableBytes > 0
            else { return .needsMore }
            let left = remaining - slice.readableBytes
            state = left == 0 ? .finished : .length(remaining: left)
            return .body(slice)
        case .chunkSize:
            return parseChunkSize(&buffer)
        case .chunkData(let remaining):
            guard let slice = buffer.readSlice(length: min(remaining, buffer.readableBytes)), slice.readableBytes > 0
            else { return .needsMore }
            let left = remaining - slice.readableBytes
            state = left == 0 ? .chunkEnd : .chunkData(remaining: left)
            return .body(slice)
        case .chunkEnd:
            guard let first = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else { return .needsMore }
            guard first == 0x0d else { return fail(400, "Malformed chunk.") }
            guard buffer.readableBytes >= 2 else { return .needsMore }
            guard buffer.getInteger(at: buffer.readerIndex + 1, as: UInt8.self) == 0x0a else {
                return fail(400, "Malformed chunk.")
            }
            buffer.moveReaderIndex(forwardBy: 2)
            state = .chunkSize
            return parseChunkSize(&buffer)
        case .trailers:
            return parseTrailers(&buffer)
        case .finished:
            state = .head
            return .end
        case .failed:
            return .needsMore
        }
    }

    private mutating func fail(_ status: HTTPStatus, _ text: String) -> Event {
        state = .failed
        return .failure(HTTPRefusal(status, text))
    }

    // MARK: The head

    private mutating func parseHead(_ buffer: inout ByteBuffer) -> Event {
        // Empty lines before a request are skipped, as RFC 9112 2.2 asks.
        while scanned == 0, lineCount == 0, buffer.readableBytes >= 1 {
            let first = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self)
            guard first == 0x0d else { break }
            guard let second = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt8.self) else { return .needsMore }
            guard second == 0x0a else { return fail(400, "Malformed request line.") }
            buffer.moveReaderIndex(forwardBy: 2)
        }
        // Finds the empty line; each line is bounded as it is found, so nothing is ever scanned twice.
        var failure: HTTPRefusal?
        let end: Int? = buffer.withUnsafeReadableBytes { raw in
            while true {
                let found = scanned < raw.count ? memchr(raw.baseAddress! + scanned, 0x0a, raw.count - scanned) : nil
                guard let found else {
                    scanned = raw.count
                    failure = boundLine(raw.count - lineStart) ?? boundHead(raw.count)
                    return nil
                }
                let lf = found - UnsafeMutableRawPointer(mutating: raw.baseAddress!)
                failure = boundLine(lf - lineStart) ?? boundHead(lf + 1)
                if failure != nil { return nil }
                guard lf > lineStart || lineCount > 0, lf > 0, raw[lf - 1] == 0x0d, lf - 1 >= lineStart else {
                    failure = HTTPRefusal(400, "A line must end in CR LF.")
                    return nil
                }
                let isEmpty = lf - 1 == lineStart
                scanned = lf + 1
                lineStart = lf + 1
                lineCount += 1
                if isEmpty { return lf + 1 }
                if lineCount > limits.headerCountMax + 1 {
                    failure = HTTPRefusal(400, "Too many headers.")
                    return nil
                }
            }
        }
        if let failure {
            state = .failed
            return .failure(failure)
        }
        guard let end else { return .needsMore }
        let count = lineCount
        scanned = 0
        lineStart = 0
        lineCount = 0
        guard let bytes = buffer.readSlice(length: end) else { return fail(500, "Lost bytes.") }
        switch HeadReader.read(bytes, lineCount: count) {
        case .success(let head):
            switch head.framing {
            case .none: state = .finished
            case .length(let length): state = length == 0 ? .finished : .length(remaining: length)
            case .chunked: state = .chunkSize
            }
            return .head(head)
        case .failure(let refusal):
            state = .failed
            return .failure(refusal)
        }
    }

    private func boundLine(_ length: Int) -> HTTPRefusal? {
        if lineCount == 0 {
            length > limits.requestLineBytesMax + 1 ? HTTPRefusal(414, "The request line is too long.") : nil
        } else {
            length > limits.headerLineBytesMax + 1 ? HTTPRefusal(400, "Header Line Too Long") : nil
        }
    }

    private func boundHead(_ length: Int) -> HTTPRefusal? {
        length > limits.headBytesMax ? HTTPRefusal(400, "Header too large.") : nil
    }

    // MARK: Chunks

    /// One line without its CR LF: nil when it is not complete, a refusal in `failure` when it never will be.
    private mutating func readLine(
        _ buffer: inout ByteBuffer, max: Int, failure: inout HTTPRefusal?
    ) -> ByteBuffer? {
        let lf: Int? = buffer.withUnsafeReadableBytes { raw in
            guard scanned < raw.count, let found = memchr(raw.baseAddress! + scanned, 0x0a, raw.count - scanned) else {
                scanned = raw.count
                return nil
            }
            return found - UnsafeMutableRawPointer(mutating: raw.baseAddress!)
        }
        guard (lf ?? scanned) <= max + 1 else {
            failure = HTTPRefusal(400, "Line too long.")
            return nil
        }
        guard let lf else { return nil }
        scanned = 0
        guard lf > 0, buffer.getInteger(at: buffer.readerIndex + lf - 1, as: UInt8.self) == 0x0d,
            let line = buffer.readSlice(length: lf - 1)
        else {
            failure = HTTPRefusal(400, "A line must end in CR LF.")
            return nil
        }
        buffer.moveReaderIndex(forwardBy: 2)
        return line
    }

    private mutating func parseChunkSize(_ buffer: inout ByteBuffer) -> Event {
        var failure: HTTPRefusal?
        guard let line = readLine(&buffer, max: limits.chunkLineBytesMax, failure: &failure) else {
            if let failure {
                state = .failed
                return .failure(failure)
            }
            return .needsMore
        }
        guard let size = line.withUnsafeReadableBytes({ ChunkSize.parse($0) }) else {
            return fail(400, "Malformed chunk size.")
        }
        if size == 0 {
            state = .trailers(bytes: 0, count: 0)
            return parseTrailers(&buffer)
        }
        state = .chunkData(remaining: size)
        return next(&buffer)
    }

    private mutating func parseTrailers(_ buffer: inout ByteBuffer) -> Event {
        while case .trailers(let bytes, let count) = state {
            var failure: HTTPRefusal?
            guard let line = readLine(&buffer, max: limits.headerLineBytesMax, failure: &failure) else {
                if let failure {
                    state = .failed
                    return .failure(failure)
                }
                return .needsMore
            }
            if line.readableBytes == 0 {
                state = .head
                return .end
            }
            let total = bytes + line.readableBytes + 2
            guard total <= limits.trailerBytesMax, count < limits.headerCountMax,
                line.withUnsafeReadableBytes({ HeadReader.field($0, from: 0, to: $0.count) }) != nil
            else { return fail(400, "Malformed trailer.") }
            state = .trailers(bytes: total, count: count + 1)
        }
        return .needsMore
    }
}

enum ChunkSize {
    /// `chunk-size [ chunk-ext ]`: 1 to 15 hex digits, then nothing, or extensions, which are ignored but must be
    /// `;name`, `;name=token` or `;name="text"`, without white space.
    static func parse(_ line: UnsafeRawBufferPointer) -> Int? {
        var size = 0
        var i = 0
        while i < line.count {
            let c = line[i]
            let digit: UInt8
            switch c {
            case 0x30...0x39: digit = c - 0x30
            case 0x61...0x66: digit = c - 0x57
            case 0x41...0x46: digit = c - 0x37
            default: digit = 255
            }
            if digit == 255 { break }
            guard i < 15 else { return nil }
            size = size << 4 | Int(digit)
            i += 1
        }
        guard i > 0 else { return nil }
        while i < line.count {
            guard line[i] == 0x3b else { return nil }
            i += 1
            let name = i
            while i < line.count, HeadReader.isToken(line[i]) { i += 1 }
            guard i > name else { return nil }
            guard i < line.count, line[i] == 0x3d else { continue }
            i += 1
            let value = i
            if i < line.count, line[i] == 0x22 {
                i += 1
                while i < line.count, line[i] != 0x22 {
                    guard line[i] >= 0x20, line[i] < 0x7f, line[i] != 0x5c else { return nil }
                    i += 1
                }
                guard i < line.count else { return nil }
                i += 1
            } else {
                while i < line.count, HeadReader.isToken(line[i]) { i += 1 }
                guard i > value else { return nil }
            }
        }
        return size
    }
}
