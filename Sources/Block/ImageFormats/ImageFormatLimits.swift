/// Every bound of looking into images, in one place.
package enum ImageFormatLimits {
    /// Bytes from the beginning that are looked at: up to the end of VHDX's region tables.
    package static let headBytes = 256 << 10
    /// Bytes of VHDX's metadata: its table, and the items right behind it.
    package static let windowBytes = 128 << 10
    /// Bytes of the end that are looked at: VMDK's footer.
    package static let tailBytes = 1_536
    /// Entries of a VHDX table.
    package static let vhdxEntriesMax = 2_047
    /// Bytes of a qcow2's first table.
    package static let qcow2FirstTableBytesMax = 32 << 20
    /// Sizes that a qcow2's clusters have: 512 bytes to 2 MiB.
    package static let qcow2ClusterBits: ClosedRange<UInt32> = 9...21
    /// Bytes that one piece of a disk's data has at most, unless a cluster is larger.
    package static let runBytesMax = 1 << 20
}
