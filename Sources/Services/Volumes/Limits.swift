/// Every bound of the volume service, in one place.
package enum Limits {
    package static let nameMax = 255
    package static let descriptionMax = 255
    package static let metadataKeyMax = 255
    package static let metadataValueMax = 255
    /// Pairs that one resource may carry, of each kind.
    package static let metadataCountMax = 128
    /// GiB: what fits a signed 32-bit number.
    package static let sizeMax = 2_147_483_647
    /// Rows in one page of a listing.
    package static let pageMax = 1_000
    /// Driver operations admitted at a time, waiting ones included; a further one is refused (503).
    package static let operationsMax = 1_024
    /// Requests that may wait for a database thread.
    package static let workQueueMax = 512
    package static let workThreads = 2
    /// User messages kept for a project; the oldest go first.
    package static let messagesMax = 1_000
    /// How long a user message is guaranteed to stay, in seconds.
    package static let messageSeconds: Int64 = 2_592_000
    /// Attachments of one volume.
    package static let attachmentsMax = 256
    /// Volumes that one group may hold.
    package static let groupVolumesMax = 256
    /// Snapshots that one cascading delete or one transfer takes with it.
    package static let snapshotsPerVolumeMax = 4_096
    /// Bytes of a connector's fields that are kept.
    package static let connectorFieldMax = 1_024
    /// Fields of a connector.
    package static let connectorFieldsMax = 64
    /// Backups and restores that are carried out at a time; further ones wait.
    package static let backupsAtOnceMax = 2
    /// Objects of the usual size that a backup may have; of larger volumes they are larger.
    static let backupObjectsMax: UInt64 = 32_768
    /// Bytes without changes that are stored rather than told apart. After so many extents it is twice that, and so on:
    /// a backup of the largest volume, however it was written to, has no more than 262,144.
    static let backupGapBytes: UInt64 = 64 << 10
    static let backupExtentsPerGap = 16_384
    /// Ranges of zeros that are told as such; further ones are stored like data.
    static let backupZerosMax = 262_144
    /// Of a backup's metadata object, and values in it: users may write to their containers.
    static let backupManifestBytesMax = 32 << 20
    static let backupManifestValuesMax = 2_500_000
    /// Snapshots that backups leave to a volume's users: below it none is made where there is another way.
    static let backupSnapshotsLeftMin = 128
    /// Incremental backups that build on one another, the full one included.
    package static let backupChainMax = 256
    /// Bytes of a container's name.
    package static let backupContainerMax = 255
    /// Names of objects in one page of a backup store's listing.
    package static let backupNamesPageMax = 1_000
    /// Volumes or snapshots without a row that are remembered.
    package static let quarantineMax = 100_000
}
