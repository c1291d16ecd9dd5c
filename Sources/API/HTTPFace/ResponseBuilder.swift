package import NIOCore

/// A response's head in the making, written straight into the buffer that goes to the socket.
package struct ResponseBuilder {
    package let status: HTTPStatus
    /// The head so far, and behind it the body once `endHead` was called.
    package var buffer: ByteBuffer
    private(set) var hasContentType = false
    /// Set by `endHead`.
    private(set) var contentLength: Int?

    init(status: HTTPStatus, buffer: ByteBuffer) {
        self.status = status
        self.buffer = buffer
    }

    /// The status line; the phrase is a constant for each code.
    mutating func writeStatusLine() {
        buffer.writeStaticString("HTTP/1.1 ")
        buffer.writeString(status.description)
        buffer.writeStaticString(" ")
        buffer.writeStaticString(status.reason)
        buffer.writeStaticString("\r\n")
    }

    /// A field whose value is known to hold no control characters.
    package mutating func add(_ name: StaticString, trusted value: StaticString) {
        noteContentType(name)
        buffer.writeStaticString(name)
        buffer.writeStaticString(": ")
        buffer.writeStaticString(value)
        buffer.writeStaticString("\r\n")
    }

    package mutating func add(_ name: StaticString, _ value: Int) {
        buffer.writeStaticString(name)
        buffer.writeStaticString(": ")
        writeDecimal(value)
        buffer.writeStaticString("\r\n")
    }

    package mutating func add(_ name: StaticString, _ value: String) {
        noteContentType(name)
        buffer.writeStaticString(name)
        buffer.writeStaticString(": ")
        writeValue(value)
        buffer.writeStaticString("\r\n")
    }

    package mutating func add(_ name: String, _ value: String) {
        if name.utf8.count == 12, name.lowercased() == "content-type" { hasContentType = true }
        writeValue(name)
        buffer.writeStaticString(": ")
        writeValue(value)
        buffer.writeStaticString("\r\n")
    }

    package mutating func add(_ fields: [(name: String, value: String)]) {
        for field in fields { add(field.name, field.value) }
    }

    /// Ends the head. What is written into `buffer` from here on is the body, `contentLength` bytes of it in all
    /// (none for HEAD, 204 and 304).
    package mutating func endHead(contentLength: Int) {
        if !hasContentType { add("Content-Type", trusted: "text/html; charset=UTF-8") }
        add("Content-Length", contentLength)
        buffer.writeStaticString("\r\n")
        self.contentLength = contentLength
    }

    private mutating func noteContentType(_ name: StaticString) {
        // Its ninth letter is enough to know Content-Type by.
        if name.utf8CodeUnitCount == 12, name.utf8Start[8] | 0x20 == 0x74 { hasContentType = true }
    }

    /// Names and values of tenants: control characters, which the parser never lets in, could not get out either.
    private mutating func writeValue(_ value: String) {
        var value = value
        value.withUTF8 { utf8 in
            var isClean = true
            for c in utf8 where c < 0x20 && c != 0x09 || c == 0x7f {
                isClean = false
                break
            }
            if isClean {
                buffer.writeBytes(UnsafeRawBufferPointer(utf8))
            } else {
                buffer.writeBytes(utf8.map { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f ? 0x20 : $0 })
            }
        }
    }

    private mutating func writeDecimal(_ value: Int) {
        var value = value.magnitude
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 20) { out in
            var digits = 0
            var rest = value
            repeat {
                digits += 1
                rest /= 10
            } while rest > 0
            for i in stride(from: digits - 1, through: 0, by: -1) {
                out[i] = 0x30 + UInt8(truncatingIfNeeded: value % 10)
                value /= 10
            }
            return digits
        }
    }
}
