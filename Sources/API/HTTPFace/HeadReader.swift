private import Glibc
import NIOCore

/// Turns the bytes of one complete head, every line ending in CR LF, into a `RequestHead` or a refusal.
enum HeadReader {
    static func read(_ bytes: ByteBuffer, lineCount: Int) -> Result<RequestHead, HTTPRefusal> {
        var draft = Draft()
        draft.fields.reserveCapacity(max(0, lineCount - 2))
        do throws(HTTPRefusal) {
            // `withUnsafeReadableBytes` rethrows untyped, hence the detour over a result.
            let outcome: Result<Draft, HTTPRefusal> = bytes.withUnsafeReadableBytes { raw in
                Result { () throws(HTTPRefusal) in
                    var draft = draft
                    try parse(raw, into: &draft)
                    return draft
                }
            }
            draft = try outcome.get()
        } catch {
            return .failure(error)
        }
        return .success(
            RequestHead(
                bytes: bytes, fields: draft.fields, targetRange: draft.target, verb: draft.verb, framing: draft.framing,
                keepsAlive: draft.keepsAlive, isHTTP10: draft.isHTTP10, expectsContinue: draft.expectsContinue))
    }

    private struct Draft {
        var fields: [RequestHead.Field] = []
        var target: Range<UInt16> = 0..<0
        /// Authority of an absolute-form target.
        var authority: Range<Int>?
        var verb = HTTPVerb.get
        var framing = BodyFraming.none
        var keepsAlive = true
        var isHTTP10 = false
        var expectsContinue = false
    }

    private static func parse(_ raw: UnsafeRawBufferPointer, into draft: inout Draft) throws(HTTPRefusal) {
        var start = try requestLine(raw, into: &draft)
        var host: Range<Int>?
        var length: Int?
        var isChunked = false
        var transferEncodings = 0
        var foreignEncoding = false
        var saysClose = false
        var saysKeepAlive = false
        while true {
            guard let lf = index(of: 0x0a, in: raw, from: start) else { throw HTTPRefusal(400, "Malformed header.") }
            let end = lf - 1
            if end == start { break }
            guard let field = field(raw, from: start, to: end) else { throw HTTPRefusal(400, "Malformed header.") }
            draft.fields.append(field)
            start = lf + 1
            let name = RequestHead.part(raw, field.name)
            let value = RequestHead.part(raw, field.value)
            switch name.count {
            case 4 where RequestHead.hasPrefix(name, "host"):
                guard host == nil else { throw HTTPRefusal(400, "More than one Host header.") }
                host = Int(field.value.lowerBound)..<Int(field.value.upperBound)
            case 6 where RequestHead.hasPrefix(name, "expect"):
                guard value.count == 12, RequestHead.hasPrefix(value, "100-continue") else {
                    throw HTTPRefusal(417, "Unknown expectation.")
                }
                draft.expectsContinue = true
            case 10 where RequestHead.hasPrefix(name, "connection"):
                let (close, alive) = connectionOptions(value)
                saysClose = saysClose || close
                saysKeepAlive = saysKeepAlive || alive
            case 14 where RequestHead.hasPrefix(name, "content-length"):
                guard length == nil else { throw HTTPRefusal(400, "More than one Content-Length header.") }
                guard let parsed = decimal(value) else { throw HTTPRefusal(400, "Invalid Content-Length") }
                length = parsed
            case 17 where RequestHead.hasPrefix(name, "transfer-encoding"):
                transferEncodings += 1
                isChunked = value.count == 7 && RequestHead.hasPrefix(value, "chunked")
                foreignEncoding = foreignEncoding || !isChunked
            default: break
            }
        }
        if transferEncodings > 0 {
            guard length == nil else { throw HTTPRefusal(400, "Both Content-Length and Transfer-Encoding.") }
            if foreignEncoding { throw HTTPRefusal(501, "Unsupported Transfer-Encoding.") }
            guard transferEncodings == 1, !draft.isHTTP10 else {
                throw HTTPRefusal(400, "Malformed Transfer-Encoding.")
            }
            draft.framing = .chunked
        } else if let length {
            draft.framing = .length(length)
        }
        if draft.isHTTP10 {
            draft.keepsAlive = saysKeepAlive && !saysClose
            draft.expectsContinue = false
        } else {
            guard host != nil else { throw HTTPRefusal(400, "Host header required.") }
            draft.keepsAlive = !saysClose
        }
        if case .none = draft.framing { draft.expectsContinue = false }
        if case .length(0) = draft.framing { draft.expectsContinue = false }
        if let authority = draft.authority, let host {
            guard authority.count == host.count,
                zip(raw[authority], raw[host]).allSatisfy({ lowercase($0) == lowercase($1) })
            else { throw HTTPRefusal(400, "The target's authority is not the Host header's.") }
        }
        // It comes back in the URLs that version 1 of the authentication answers with.
        if let host, !raw[host].allSatisfy(isOfAuthority) { throw HTTPRefusal(400, "Malformed Host header.") }
    }

    /// `METHOD SP target SP HTTP/1.x`; returns the offset of the next line.
    private static func requestLine(_ raw: UnsafeRawBufferPointer, into draft: inout Draft) throws(HTTPRefusal) -> Int {
        let malformed = HTTPRefusal(400, "Malformed request line.")
        guard let lf = index(of: 0x0a, in: raw, from: 0) else { throw malformed }
        let end = lf - 1
        var i = 0
        while i < end, isToken(raw[i]) { i += 1 }
        guard i > 0, i <= 32, i < end, raw[i] == 0x20 else { throw malformed }
        draft.verb = HTTPVerb(UnsafeRawBufferPointer(rebasing: raw[0..<i]))
        var start = i + 1
        i = start
        while i < end, raw[i] > 0x20, raw[i] != 0x7f { i += 1 }
        let targetEnd = i
        guard targetEnd > start, end - targetEnd == 9, raw[targetEnd] == 0x20 else { throw malformed }
        let version = UnsafeRawBufferPointer(rebasing: raw[(targetEnd + 1)..<end])
        guard hasExactPrefix(version, "HTTP/"), version[6] == 0x2e, isDigit(version[5]), isDigit(version[7]) else {
            throw malformed
        }
        guard version[5] == 0x31, version[7] <= 0x31 else { throw HTTPRefusal(505, "The server speaks HTTP/1.1.") }
        draft.isHTTP10 = version[7] == 0x30
        if raw[start] != 0x2f {
            let target = UnsafeRawBufferPointer(rebasing: raw[start..<targetEnd])
            if target.count == 1, target[0] == 0x2a, draft.verb == .options {
                // `OPTIONS *`
            } else if RequestHead.hasPrefix(target, "http://") || RequestHead.hasPrefix(target, "https://") {
                let authority = start + (target[4] == 0x3a ? 7 : 8)
                guard let slash = index(of: 0x2f, in: raw, from: authority), slash < targetEnd, slash > authority else {
                    throw malformed
                }
                draft.authority = authority..<slash
                start = slash
            } else {
                throw malformed
            }
        }
        draft.target = UInt16(start)..<UInt16(targetEnd)
        return lf + 1
    }

    /// `name: value` between two offsets, trimmed; nil if it is not one, or is folded, or holds a control character.
    static func field(_ raw: UnsafeRawBufferPointer, from start: Int, to end: Int) -> RequestHead.Field? {
        var i = start
        while i < end, isToken(raw[i]) { i += 1 }
        let nameEnd = i
        guard nameEnd > start, nameEnd < end, raw[nameEnd] == 0x3a else { return nil }
        var valueStart = nameEnd + 1
        var valueEnd = end
        while valueStart < valueEnd, raw[valueStart] == 0x20 || raw[valueStart] == 0x09 { valueStart += 1 }
        while valueEnd > valueStart, raw[valueEnd - 1] == 0x20 || raw[valueEnd - 1] == 0x09 { valueEnd -= 1 }
        i = valueStart
        while i < valueEnd {
            let c = raw[i]
            if c < 0x20 && c != 0x09 || c == 0x7f { return nil }
            i += 1
        }
        return RequestHead.Field(
            name: UInt16(start)..<UInt16(nameEnd), value: UInt16(valueStart)..<UInt16(valueEnd))
    }

    private static func connectionOptions(_ value: UnsafeRawBufferPointer) -> (close: Bool, keepAlive: Bool) {
        var close = false
        var alive = false
        for part in value.split(separator: 0x2c) {
            var option = UnsafeRawBufferPointer(rebasing: part)
            while let first = option.first, first == 0x20 || first == 0x09 {
                option = .init(rebasing: option.dropFirst())
            }
            while let last = option.last, last == 0x20 || last == 0x09 { option = .init(rebasing: option.dropLast()) }
            if option.count == 5, RequestHead.hasPrefix(option, "close") { close = true }
            if option.count == 10, RequestHead.hasPrefix(option, "keep-alive") { alive = true }
        }
        return (close, alive)
    }

    /// Digits only, at most 18 of them.
    static func decimal(_ value: UnsafeRawBufferPointer) -> Int? {
        guard value.count > 0, value.count <= 18 else { return nil }
        var number = 0
        for c in value {
            guard isDigit(c) else { return nil }
            number = number * 10 + Int(c - 0x30)
        }
        return number
    }

    private static func hasExactPrefix(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        bytes.count >= text.utf8CodeUnitCount && memcmp(bytes.baseAddress!, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    private static func index(of byte: UInt8, in raw: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < raw.count, let found = memchr(raw.baseAddress! + start, Int32(byte), raw.count - start) else {
            return nil
        }
        return found - UnsafeMutableRawPointer(mutating: raw.baseAddress!)
    }

    @inline(__always)
    private static func isDigit(_ c: UInt8) -> Bool { c &- 0x30 < 10 }

    @inline(__always)
    private static func lowercase(_ c: UInt8) -> UInt8 { c &- 0x41 < 26 ? c | 0x20 : c }

    /// What a host, an address in brackets and a port are made of (RFC 3986 section 3.2), as two words of bits.
    @inline(__always)
    private static func isOfAuthority(_ c: UInt8) -> Bool {
        // 0x00-0x3f: ! $ % & ' ( ) * + , - . 0-9 : ; =; 0x40-0x7f: A-Z [ ] _ a-z ~
        if c < 0x40 { return 0x2fff_7ff2_0000_0000 >> UInt64(c) & 1 != 0 }
        if c < 0x80 { return 0x47ff_fffe_afff_fffe >> UInt64(c - 0x40) & 1 != 0 }
        return false
    }

    /// RFC 9110's `tchar`, as two words of bits.
    @inline(__always)
    static func isToken(_ c: UInt8) -> Bool {
        // 0x00-0x3f: ! # $ % & ' * + - . 0-9; 0x40-0x7f: A-Z ^ _ ` a-z | ~
        if c < 0x40 { return 0x03ff_6cfa_0000_0000 >> UInt64(c) & 1 != 0 }
        if c < 0x80 { return 0x57ff_ffff_c7ff_fffe >> UInt64(c - 0x40) & 1 != 0 }
        return false
    }
}
