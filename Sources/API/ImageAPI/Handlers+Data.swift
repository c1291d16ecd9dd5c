import HTTPTypes
import Hummingbird
import Images
import NIOCore

extension Routes {
    static let dataRoutes: [Route] = [
        Route(
            .put, "images/*/file", .anyone, "upload_image",
            handler: .streaming { h, c, request async throws(ImageError) in
                try await h.receive(c, request) { expected async throws(ImageError) in
                    try await h.images.beginUpload(
                        c.arguments[0], store: c.headers[.imageStore], expected: expected, for: c.asker)
                }
            }),
        Route(
            .put, "images/*/stage", .anyone, "modify_image",
            handler: .streaming { h, c, request async throws(ImageError) in
                try await h.receive(c, request) { expected async throws(ImageError) in
                    try await h.images.beginStaging(c.arguments[0], expected: expected, for: c.asker)
                }
            }),
        Route(.get, "images/*/file", .anyone, "download_image") { h, c async throws(ImageError) in
            try await h.send(c)
        },
    ]
}

extension Handlers {
    // MARK: In

    func receive(
        _ call: Call, _ request: Request, begin: (Int64?) async throws(ImageError) -> ImageUpload
    ) async throws(ImageError) -> Reply {
        let type = call.headers[.contentType]?.prefix { $0 != ";" }.lowercased()
        guard type == "application/octet-stream" else {
            throw .unsupported("Not supported content type: \(type ?? "none"). It must be application/octet-stream.")
        }
        let upload = try await begin(try expected(call))
        do {
            for try await var part in request.body {
                while part.readableBytes > 0 {
                    try await upload.makeRoom()
                    let count = unsafe part.withUnsafeReadableBytes { unsafe upload.take($0) }
                    part.moveReaderIndex(forwardBy: count)
                }
            }
        } catch {
            await upload.abandon()
            throw error as? ImageError ?? .invalid("The image's bytes ended before their end.")
        }
        try await upload.finish()
        return .noContent
    }

    /// Bytes that the request announces.
    private func expected(_ call: Call) throws(ImageError) -> Int64? {
        if let text = call.headers[.imageSize] {
            guard let size = Int64(text), size >= 0 else { throw .invalid("x-openstack-image-size is no number.") }
            return size
        }
        return call.headers[.contentLength].flatMap { Int64($0) }
    }

    // MARK: Out

    func send(_ call: Call) async throws(ImageError) -> Reply {
        guard let data = try await images.data(of: call.arguments[0], for: call.asker) else { return .noContent }
        let range = try ByteRange.requested(call.headers, size: data.byteCount)
        let wanted = range ?? 0..<data.byteCount
        var reply = Reply(range == nil ? .ok : .partialContent, .none)
        reply.headers[.contentType] = "application/octet-stream"
        if let range {
            reply.headers[.contentRange] =
                "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(data.byteCount)"
        } else if let checksum = data.checksum {
            reply.headers[.contentMD5] = checksum
        }
        reply.body = .data(
            ResponseBody(contentLength: Int(wanted.count)) { writer in
                var position = wanted.lowerBound
                // The next piece is read while the last one is on its way.
                var next = try await Self.piece(data, position, wanted.upperBound)
                while let current = next {
                    position += Int64(current.readableBytes)
                    let start = position
                    async let following = Self.piece(data, start, wanted.upperBound)
                    try await writer.write(current)
                    next = try await following
                }
                try await writer.finish(nil)
            })
        return reply
    }

    /// nil at the end.
    private static func piece(_ data: ImageData, _ start: Int64, _ end: Int64) async throws -> ByteBuffer? {
        guard start < end else { return nil }
        let count = Int(min(end - start, Int64(Limits.readBytes)))
        return try await data.onThread { () throws(ImageError) in
            var buffer = ByteBufferAllocator().buffer(capacity: count)
            var failure: ImageError?
            unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { bytes in
                do throws(ImageError) {
                    try unsafe data.readHere(at: start, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]))
                    return count
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            return buffer
        }
    }
}

/// The part of an image that a request asks for.
enum ByteRange {
    /// nil: all of it. Also understands the `Content-Range` that older clients send.
    static func requested(_ headers: HTTPFields, size: Int64) throws(ImageError) -> Range<Int64>? {
        if let text = headers[.range] { return try range(text, size) }
        if let text = headers[.contentRange] { return try contentRange(text, size) }
        return nil
    }

    private static func range(_ text: String, _ size: Int64) throws(ImageError) -> Range<Int64> {
        guard text.hasPrefix("bytes=") else { throw .badRange(size: size) }
        let set = text.dropFirst("bytes=".count)
        guard !set.contains(",") else { throw .invalid("Requests with multiple ranges are not supported.") }
        let ends = set.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2 else { throw .badRange(size: size) }
        if ends[0].isEmpty {
            guard let count = Int64(ends[1]), count > 0, size > 0 else { throw .badRange(size: size) }
            return max(0, size - count)..<size
        }
        guard let first = number(ends[0]), first < size else { throw .badRange(size: size) }
        guard !ends[1].isEmpty else { return first..<size }
        guard let last = number(ends[1]), last >= first else { throw .badRange(size: size) }
        return first..<min(last, size - 1) + 1
    }

    /// `bytes 0-99/1000`.
    private static func contentRange(_ text: String, _ size: Int64) throws(ImageError) -> Range<Int64> {
        guard text.hasPrefix("bytes ") else { throw .badRange(size: size) }
        let parts = text.dropFirst("bytes ".count).split(separator: "/", maxSplits: 1)
        let ends = (parts.first ?? "").split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = number(ends[0]), let last = number(ends[1]), first <= last, last < size
        else { throw .badRange(size: size) }
        return first..<last + 1
    }

    private static func number(_ text: Substring) -> Int64? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int64(text)
    }
}

extension HTTPField.Name {
    static var imageSize: Self { Self("x-openstack-image-size") ?? .vary }
    static var imageStore: Self { Self("x-image-meta-store") ?? .vary }
    static var contentMD5: Self { Self("Content-MD5") ?? .vary }
}
