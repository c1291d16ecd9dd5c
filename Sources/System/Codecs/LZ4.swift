import CLZ4

/// LZ4 block compression (liblz4), whole buffers.
package enum LZ4 {
    /// Compresses into `destination`; nil if the result does not fit in it. Give 7/8 of the source's size to
    /// make incompressible data cost almost nothing.
    ///
    /// Source and destination must not overlap. Allocates nothing: the library keeps its 16 KiB of state on the
    /// stack for the length of the call.
    package static func compress(
        _ source: UnsafeRawBufferPointer, into destination: UnsafeMutableRawBufferPointer
    ) -> Int? {
        guard source.count <= Int(LZ4_MAX_INPUT_SIZE), let to = destination.baseAddress else { return nil }
        // An empty source may have no address; none of its bytes is read, so the destination's will do.
        let from = source.baseAddress ?? UnsafeRawPointer(to)
        let capacity = Int32(clamping: destination.count)
        let count = LZ4_compress_fast(
            from.assumingMemoryBound(to: CChar.self), to.assumingMemoryBound(to: CChar.self),
            Int32(source.count), capacity, 1)
        return count > 0 ? Int(count) : nil
    }

    /// Decompresses exactly `destination.count` bytes; false if the source is not valid or has another length.
    ///
    /// Safe for any source: it reads and writes nothing outside the two buffers. After false the destination
    /// holds rubbish.
    package static func decompress(
        _ source: UnsafeRawBufferPointer, into destination: UnsafeMutableRawBufferPointer
    ) -> Bool {
        guard let from = source.baseAddress, !source.isEmpty,
            let sourceCount = Int32(exactly: source.count), let capacity = Int32(exactly: destination.count)
        else { return false }
        guard let to = destination.baseAddress, capacity > 0 else {
            // Nothing at all is one token without literals and without a match.
            return source.count == 1 && source[0] == 0
        }
        let count = LZ4_decompress_safe(
            from.assumingMemoryBound(to: CChar.self), to.assumingMemoryBound(to: CChar.self), sourceCount, capacity)
        return count == capacity
    }
}
