/// The bytes of a volume at one moment, to be read in large pieces: what backups are made from.
///
/// A reader that was opened never answers with other bytes: if its snapshot is deleted meanwhile, its calls throw.
package protocol VolumeImage: Sendable {
    var bytes: UInt64 { get }
    /// Where the image may differ from its base; without a base, where it may hold anything but zeros. Ranges of whole
    /// blocks in order, apart from one another, from `offset` on. A driver may name more than differs, never less.
    ///
    /// - Parameter offset: 0, then what the answer before said.
    func changes(from offset: UInt64) async throws(DriverError) -> ImageChanges
    /// The bytes of the range; whole blocks of 512 bytes, within the image, at most `ImageLimits.readBytesMax`.
    func read(_ range: Range<UInt64>) async throws(DriverError) -> [UInt8]
}

/// A part of an image's changes.
package struct ImageChanges: Sendable, Equatable {
    package struct Run: Sendable, Equatable {
        package var range: Range<UInt64>
        /// It reads as zeros: there is nothing to read.
        package var isZero: Bool

        package init(_ range: Range<UInt64>, isZero: Bool) {
            self.range = range
            self.isZero = isZero
        }
    }

    package var runs: [Run]
    /// Where to go on; nil behind the last.
    package var next: UInt64?

    package init(runs: [Run], next: UInt64?) {
        self.runs = runs
        self.next = next
    }
}

/// A volume that is being filled by one writer.
package protocol VolumeFilling: Sendable {
    /// Makes the range read as zeros.
    func zero(_ range: Range<UInt64>) async throws(DriverError)
    /// Writes whole blocks of 512 bytes; at most `ImageLimits.readBytesMax`.
    func write(_ data: [UInt8], at offset: UInt64) async throws(DriverError)
    /// All of it is durable when this returns; before, any part of it may be lost with the power.
    func finish() async throws(DriverError)
}

package enum ImageLimits {
    /// Bytes of one read or write of an image: 1 MiB.
    package static let readBytesMax = 1 << 20
}
