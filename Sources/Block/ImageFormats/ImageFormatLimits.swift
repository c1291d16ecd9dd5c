/// Every bound of looking into images, in one place.
package enum ImageFormatLimits {
    /// Bytes from the beginning that are looked at: VHDX has its tables farthest behind.
    package static let headBytesMax = 2 << 20
    /// Bytes of the end that are looked at: VMDK's footer.
    package static let tailBytes = 1_536
    /// VMDK's descriptor, and a text that may be one.
    package static let descriptorBytesMax = 20 << 10
    /// Entries of a VHDX table.
    package static let vhdxEntriesMax = 2_047
    /// Bytes of a qcow2's first table: 32 Mi clusters of 64 KiB, 128 TiB and more.
    package static let qcow2FirstTableBytesMax = 32 << 20
    /// Bytes of second tables that are kept: one at least, whatever its size.
    package static let qcow2ClusterBits = 9...21
    /// Bytes that one piece of data has at most.
    package static let runBytesMax = 1 << 20
}
