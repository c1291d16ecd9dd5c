/// What a volume is doing, as the API names it. All changes are compare-and-swap on this, the attach status and the
/// migration status together.
package enum VolumeStatus: String, Sendable, CaseIterable {
    case creating, available, reserved, attaching, detaching
    case inUse = "in-use"
    case maintenance, deleting
    case awaitingTransfer = "awaiting-transfer"
    case error
    case errorDeleting = "error_deleting"
    case backingUp = "backing-up"
    case restoringBackup = "restoring-backup"
    case errorBackingUp = "error_backing-up"
    case errorRestoring = "error_restoring"
    case errorExtending = "error_extending"
    case downloading, uploading, retyping, extending, reverting, unmanaging, managing
    case errorManaging = "error_managing"
    case errorManagingDeleting = "error_managing_deleting"

    /// What clients see: three states have no name of their own on the wire.
    package var shown: String {
        switch self {
        case .managing: Self.creating.rawValue
        case .errorManaging: Self.error.rawValue
        case .errorManagingDeleting: Self.deleting.rawValue
        default: rawValue
        }
    }

    package var isError: Bool { rawValue.contains("error") }

    /// States that a volume may be deleted from.
    static let deletable: [VolumeStatus] = [
        .available, .error, .errorRestoring, .errorExtending, .errorManaging, .errorDeleting,
    ]

    /// States that only this daemon ends. One that has no operation under way any more is the sweeper's.
    static let driven: [VolumeStatus] = [
        .creating, .deleting, .backingUp, .restoringBackup, .downloading, .uploading, .retyping, .extending,
        .reverting, .unmanaging, .managing, .errorManagingDeleting,
    ]
}

/// Whether hosts use a volume.
package enum AttachStatus: String, Sendable, CaseIterable {
    case detached, attached, attaching, detaching, reserved
    case errorAttaching = "error_attaching"
    case errorDetaching = "error_detaching"
    case deleted
}

package enum SnapshotStatus: String, Sendable, CaseIterable {
    case creating, available, deleting, error, updating
    case errorDeleting = "error_deleting"
    case unmanaging
    case backingUp = "backing-up"
    case restoring, deleted

    static let deletable: [SnapshotStatus] = [.available, .error, .errorDeleting]
    static let driven: [SnapshotStatus] = [.creating, .deleting, .updating, .unmanaging, .backingUp, .restoring]
}

package enum GroupStatus: String, Sendable, CaseIterable {
    case creating, available, error
    case errorDeleting = "error_deleting"
    case updating, deleting, deleted

    static let driven: [GroupStatus] = [.creating, .updating, .deleting]
}

/// What a migration left behind. Nothing migrates within one backend: administrators set these by hand.
package enum MigrationStatus: String, Sendable, CaseIterable {
    case none, migrating, success, error, completing, starting
    /// A volume is free for other work in these, or without one.
    static let idle: [MigrationStatus] = [.none, .success, .error]
}
