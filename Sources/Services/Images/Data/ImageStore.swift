/// Where images' bytes live; bound on the top floor. All calls block, and may come from any thread.
///
/// Keys are chosen by the service: letters, digits, dashes and slashes, at most 128 bytes.
package protocol ImageStore: Sendable {
    /// Room for new bytes. Nothing of them is readable, and nothing outlives a crash for certain, before `finish`.
    ///
    /// - Parameter byteCount: how many will come, if that is known.
    func begin(_ key: String, byteCount: Int64?) throws(ImageError) -> any ImageWriter
    func open(_ key: String) throws(ImageError) -> any ImageReader
    /// Removes the bytes, finished or not; that there are none is as good. What stands on them keeps them.
    func remove(_ key: String) throws(ImageError)
}

/// Takes an image's bytes in their order. One thread at a time.
package protocol ImageWriter: Sendable {
    /// Appends; the bytes are not touched after it has returned.
    func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError)
    /// The next bytes are that many zeros.
    func skip(_ count: Int64) throws(ImageError)
    /// When it returns, the bytes are durable and don't change any more.
    func finish() throws(ImageError)
}

/// Reads an image's bytes; several threads at a time.
package protocol ImageReader: Sendable {
    /// Fills the buffer from that offset on. Every byte was verified on this read.
    func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(ImageError)
}
