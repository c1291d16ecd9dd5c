import CZlib

/// Why a gzip stream could not be read.
package enum GzipError: Error, Hashable, Sendable {
    /// Not gzip, or damaged: bad header, bad codes, wrong checksum or length, or rubbish after the end.
    case corrupt
    /// The stream ends before its end.
    case truncated
    /// More than this many bytes come out.
    case tooLong(limit: Int)
    /// zlib got no memory for its window.
    case outOfMemory
}

/// gzip files (RFC 1952) as whole buffers, for ring files and other small things; not for object data.
package enum Gzip {
    /// The bytes inside; all members one after another, as gunzip gives them.
    ///
    /// Never holds more than about `limit` bytes, whatever the input promises.
    package static func inflate(_ bytes: [UInt8], limit: Int) throws(GzipError) -> [UInt8] {
        precondition(limit >= 0)
        guard bytes.count < Int(UInt32.max) else { throw .tooLong(limit: limit) }
        guard !bytes.isEmpty else { throw .truncated }
        var stream = z_stream()
        guard inflateInit2_(&stream, gzipWindow, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .outOfMemory
        }
        defer { inflateEnd(&stream) }
        var output = [UInt8]()
        // One step's worth. Outgrowing the limit is noticed within a step.
        var step = [UInt8](repeating: 0, count: min(limit, stepBytesMax - 1) + 1)
        let failure: GzipError? = bytes.withUnsafeBytes { input in
            // zlib declares its input mutable but does not write to it.
            stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress!.assumingMemoryBound(to: Bytef.self))
            stream.avail_in = uInt(input.count)
            return step.withUnsafeMutableBytes { room in
                inflateMembers(&stream, through: room, into: &output, limit: limit)
            }
        }
        if let failure { throw failure }
        return output
    }

    /// One gzip member without a name, at the highest level; the same bytes for the same input, time and zlib.
    package static func deflate(_ bytes: [UInt8], modificationTime: UInt32) -> [UInt8] {
        precondition(bytes.count < Int(UInt32.max), "gzip is for small things here")
        var stream = z_stream()
        let started = deflateInit2_(
            &stream, Z_BEST_COMPRESSION, Z_DEFLATED, gzipWindow, memoryLevel, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        precondition(started == Z_OK, "zlib got no memory")
        defer { deflateEnd(&stream) }
        var header = gz_header()
        header.time = uLong(modificationTime)
        // "Unknown", so that the bytes do not depend on the machine.
        header.os = 255
        return withUnsafeMutablePointer(to: &header) { header in
            deflateSetHeader(&stream, header)
            let bound = Int(deflateBound(&stream, uLong(bytes.count)))
            return bytes.withUnsafeBytes { input in
                [UInt8](unsafeUninitializedCapacity: bound) { output, count in
                    if let start = input.baseAddress {
                        stream.next_in = UnsafeMutablePointer(mutating: start.assumingMemoryBound(to: Bytef.self))
                    }
                    stream.avail_in = uInt(input.count)
                    stream.next_out = output.baseAddress!
                    stream.avail_out = uInt(bound)
                    let status = CZlib.deflate(&stream, Z_FINISH)
                    precondition(status == Z_STREAM_END, "deflateBound promised that one call is enough")
                    count = bound - Int(stream.avail_out)
                }
            }
        }
    }

    /// 32 KiB of window, gzip framing only.
    private static let gzipWindow: Int32 = 15 + 16
    private static let memoryLevel: Int32 = 8
    private static let stepBytesMax = 64 << 10

    private static func inflateMembers(
        _ stream: inout z_stream, through room: UnsafeMutableRawBufferPointer, into output: inout [UInt8], limit: Int
    ) -> GzipError? {
        while true {
            stream.next_out = room.baseAddress!.assumingMemoryBound(to: Bytef.self)
            stream.avail_out = uInt(room.count)
            let status = CZlib.inflate(&stream, Z_NO_FLUSH)
            let count = room.count - Int(stream.avail_out)
            guard count <= limit - output.count else { return .tooLong(limit: limit) }
            output.append(contentsOf: UnsafeRawBufferPointer(room)[..<count])
            switch status {
            case Z_STREAM_END:
                if stream.avail_in == 0 { return nil }
                guard inflateReset(&stream) == Z_OK else { return .corrupt }
            case Z_OK:
                // Room was left over and yet the stream has not ended: there was nothing more to read.
                if stream.avail_in == 0 && stream.avail_out > 0 { return .truncated }
            case Z_BUF_ERROR: return .truncated
            case Z_MEM_ERROR: return .outOfMemory
            default: return .corrupt
            }
        }
    }
}
