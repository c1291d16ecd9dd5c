import CZlib
import CZstd

/// One compressed block of a disk image, whose length when unpacked is known: less or more is an error.
package enum BlockInflation {
    /// Deflate without a header (RFC 1951). What follows the block is ignored.
    ///
    /// - Returns: whether the block filled the output.
    package static func deflate(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Bool {
        guard let start = input.baseAddress, let end = output.baseAddress, input.count < Int(UInt32.max),
            output.count < Int(UInt32.max)
        else { return false }
        var stream = z_stream()
        let window: Int32 = -15
        guard inflateInit2_(&stream, window, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            return false
        }
        defer { inflateEnd(&stream) }
        // zlib declares its input mutable but does not write to it.
        stream.next_in = UnsafeMutablePointer(mutating: start.assumingMemoryBound(to: Bytef.self))
        stream.avail_in = uInt(input.count)
        stream.next_out = end.assumingMemoryBound(to: Bytef.self)
        stream.avail_out = uInt(output.count)
        let status = inflate(&stream, Z_FINISH)
        // A block that is full before the end of its stream says so with Z_BUF_ERROR.
        return stream.avail_out == 0 && (status == Z_STREAM_END || status == Z_BUF_ERROR || status == Z_OK)
    }

    /// One or more Zstandard frames (RFC 8878). What follows them is ignored.
    package static func zstd(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Bool {
        guard let context = ZSTD_createDCtx() else { return false }
        defer { ZSTD_freeDCtx(context) }
        // A frame may ask for a window of its own choosing: no larger one than any disk's cluster is taken.
        guard ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 23)) == 0 else { return false }
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        while target.pos < target.size {
            let (read, written) = (source.pos, target.pos)
            guard ZSTD_isError(ZSTD_decompressStream(context, &target, &source)) == 0 else { return false }
            guard source.pos > read || target.pos > written else { return false }
        }
        return true
    }
}
