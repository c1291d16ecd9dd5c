extension SCSILimits {
    /// Registrations of persistent reservations, over all initiators (SPC-4 5.12: INSUFFICIENT REGISTRATION RESOURCES).
    static let registrationsMax = 256
    /// A parameter list of PERSISTENT RESERVE OUT with TransportIDs.
    static let reservationListBytesMax = 8192
    /// What one nexus keeps of unit attentions; a condition that is already there is not added again.
    static let attentionsMax = 16
    /// Descriptors in one answer to GET LBA STATUS.
    static let allocationRunsMax = 256
    /// The step in which long commands read, compare, copy and fill.
    static let stepBytes = 1 << 20
    /// How much PRE-FETCH reads ahead.
    static let prefetchBytesMax = 1 << 20
    /// One WRITE SAME; below 65,536 blocks, so that it never says more than READ and WRITE take.
    static let writeSameBlocksMax: UInt64 = 65_535
    /// EXTENDED COPY (SPC-4 6.19.4, RECEIVE COPY RESULTS with operating parameters).
    static let copyTargetsMax = 8
    static let copySegmentsMax = 16
    static let copyListBytesMax = 1024
    static let copySegmentBytesMax: UInt32 = 256 << 20
    /// Results of finished copies that one nexus keeps for RECEIVE COPY RESULTS.
    static let copyResultsMax = 16
}
