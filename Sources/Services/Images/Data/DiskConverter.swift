/// Makes disks of images whose formats are not read here; bound on the top floor, where the program is that can.
package protocol DiskConverter: Sendable {
    /// Whether there is any; throws what is missing.
    func check() throws(ImageError)
    /// Room for an image of so many bytes. Whoever begins calls `end`.
    func begin(byteCount: Int64) throws(ImageError) -> any DiskConversion
}

/// One image on its way to a disk: `write` to its end, `run`, `read`; one thread at a time, all of it blocks. What a crash
/// leaves of it is removed by the next start.
package protocol DiskConversion: Sendable {
    /// Appends to the image.
    func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError)
    /// Makes the disk.
    ///
    /// - Parameters:
    ///   - format: what the bytes were found to be; nothing is guessed.
    ///   - diskBytes: the disk's size as the image says it, a multiple of 512.
    ///   - progress: gets percents, at least once a second; throws to stop.
    func run(
        format: String, diskBytes: Int64, progress: (Int) throws(ImageError) -> Void
    ) throws(ImageError)
    /// Hands the disk over from its beginning to its end, what was never written as counts of zeros.
    func read(
        data: (UnsafeRawBufferPointer) throws(ImageError) -> Void, zeros: (Int64) throws(ImageError) -> Void
    ) throws(ImageError)
    /// Takes everything away that was kept for it.
    func end()
}

/// There is none.
package struct NoConverter: DiskConverter {
    private let why: String

    package init(_ why: String = "there is no program for it") { self.why = why }
    package func check() throws(ImageError) { throw .unsupported(why) }
    package func begin(byteCount: Int64) throws(ImageError) -> any DiskConversion { throw .unsupported(why) }
}
