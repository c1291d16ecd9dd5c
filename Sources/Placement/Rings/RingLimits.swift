/// What a ring may cost at most, whatever its file says.
package enum RingLimits {
    /// 16 million partitions.
    package static let partPowerMax = 24
    /// Rows of the assignment table.
    package static let rowsMax = 64
    /// Ids are 16 bits, and the highest one means "no device".
    package static let devicesMax = 65535
    /// Of the JSON in a ring file; 65,535 devices of a usual size need 14 MB.
    package static let metadataBytesMax = 32 << 20
    /// Of an inflated ring file; three replicas at the highest part power need 96 MiB.
    package static let contentBytesMax = 160 << 20
    /// Nesting of JSON that is skipped.
    package static let metadataDepthMax = 16
}
