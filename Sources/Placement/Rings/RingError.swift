package import Codecs

/// Why a ring could not be built or read.
package enum RingError: Error, Hashable, Sendable {
    /// The gzip around the ring is broken, or holds more than a ring may have.
    case gzip(GzipError)
    /// The content does not begin as a ring does.
    case badMagic
    /// A ring, but of a format version that is not read here.
    case unsupportedVersion(Int)
    /// The content ends before its header or metadata does.
    case truncated
    /// The metadata is larger than `RingLimits.metadataBytesMax`.
    case metadataTooLong(Int)
    /// The metadata is not JSON, at this byte of it.
    case malformedMetadata(offset: Int)
    /// A field that a ring or a device must have is absent.
    case missingField(String)
    /// A field has the wrong type or a value out of its range.
    case invalidField(String)
    /// The assignment table's size fits neither the replica count nor the part power.
    case wrongTableSize(entries: Int)
    /// The table names a device that the ring does not have.
    case unknownDevice(id: Int, partition: Int)
    /// No replica of this partition has a device.
    case unassignedPartition(Int)
    /// Prefix and suffix of the path hash are both empty.
    case hashSecretMissing
}
