import CLZ4

/// LZ4 block compression (liblz4), whole buffers.
package enum LZ4 {
    /// Compresses into `destination`; nil if the result does not fit in it. Give 7/8 of the source's size to
    /// make incompressible data cost almost nothing.
    package static func compress(_ source: UnsafeRawBufferPointer, into destination: UnsafeMutableRawBufferPointer) -> Int? {
        fatalError("to come")
    }

    /// Decompresses exactly `destination.count` bytes; false if the source is not valid or has another length.
    package static func decompress(_ source: UnsafeRawBufferPointer, into destination: UnsafeMutableRawBufferPointer) -> Bool {
        fatalError("to come")
    }
}
