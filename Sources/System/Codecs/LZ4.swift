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

    /// Whether a short source may shrink: false if a sample of its bytes is spread as evenly as random ones. What is encrypted
    /// or compressed already looks like that; a compressor needs ten times as long to find it out.
    ///
    /// Of 256 random bytes 162 are different, give or take 5; where the bytes use 7 bits at most 128 are, and where a third is the
    /// same byte about 125. Repetitions of a long random string are missed. The places differ from run to run, so that records of
    /// a round size are not met at one and the same field.
    package static func mayShrink(_ source: UnsafeRawBufferPointer) -> Bool {
        guard source.count >= sampledBytes else { return true }
        let stride = source.count / sampledRuns
        return withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { seen in
            seen.initializeMemory(as: UInt8.self, repeating: 0)
            for run in 0..<sampledRuns {
                let start = run * stride + run * 37 % (stride - sampledBytes / sampledRuns + 1)
                for word in 0..<sampledBytes / sampledRuns / 8 {
                    var bytes = source.loadUnaligned(fromByteOffset: start + word * 8, as: UInt64.self)
                    for _ in 0..<8 {
                        seen[Int(truncatingIfNeeded: bytes & 0xFF)] = 1
                        bytes >>= 8
                    }
                }
            }
            // Each byte of a word counts up to 32.
            var sums: UInt64 = 0
            for word in 0..<32 { sums &+= seen.load(fromByteOffset: word * 8, as: UInt64.self) }
            var different = 0
            for byte in 0..<8 { different += Int(truncatingIfNeeded: sums >> UInt64(byte * 8) & 0xFF) }
            return different < differentMax
        }
    }

    private static let sampledBytes = 256
    private static let sampledRuns = 16
    private static let differentMax = 144

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
