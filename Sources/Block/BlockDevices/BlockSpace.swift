/// How much of its owner's space a thin device uses. Sizes are in bytes.
package struct BlockSpace: Sendable, Hashable {
    package var used: UInt64
    /// What is left for this device to grow into, where its owner knows.
    package var available: UInt64?

    package init(used: UInt64, available: UInt64?) {
        self.used = used
        self.available = available
    }
}

extension BlockDevice {
    /// Most devices don't count, and then nobody is told.
    package var space: BlockSpace? { nil }
}
