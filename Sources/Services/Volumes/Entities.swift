/// One volume, as its row has it.
package struct Volume: Sendable, Equatable {
    package var id: String
    package var projectID: String
    package var userID: String
    package var name: String?
    package var description: String?
    /// GiB.
    package var size: Int
    package var status: VolumeStatus
    /// What the volume returns to after the operation under way.
    package var previousStatus: VolumeStatus?
    package var attachStatus: AttachStatus
    package var migrationStatus: String?
    package var typeID: String?
    package var zone: String
    /// `host@backend#pool`; nil until it has been placed.
    package var host: String?
    package var bootable: Bool
    package var multiattach: Bool
    package var encryptionKeyID: String?
    package var encrypted: Bool
    package var snapshotID: String?
    package var sourceVolumeID: String?
    package var groupID: String?
    package var consumesQuota: Bool
    package var blockBytes: Int
    package var writeCache: Bool
    /// GiB that an extension under way is to reach; counted as reserved until it ends.
    package var targetSize: Int?
    /// Microseconds since 1970, as all times here.
    package var createdAt: Int64
    package var updatedAt: Int64?

    var bytes: UInt64 { UInt64(size) << 30 }
}

/// A volume with what its view shows besides.
package struct VolumeDetail: Sendable, Equatable {
    package var volume: Volume
    package var typeName: String?
    package var metadata: [String: String]
    package var imageMetadata: [String: String]
    /// `readonly` and `attached_mode`, which the view merges into the metadata.
    package var adminMetadata: [String: String]
    package var attachments: [Attachment]
}

package struct Snapshot: Sendable, Equatable {
    package var id: String
    package var volumeID: String
    package var projectID: String
    package var userID: String
    package var name: String?
    package var description: String?
    package var status: SnapshotStatus
    /// The volume's size in GiB when it was made.
    package var size: Int
    package var progress: String
    package var groupSnapshotID: String?
    package var consumesQuota: Bool
    package var createdAt: Int64
    package var updatedAt: Int64?
}

package struct SnapshotDetail: Sendable, Equatable {
    package var snapshot: Snapshot
    package var metadata: [String: String]
}

/// One host's claim on a volume.
package struct Attachment: Sendable, Equatable {
    package var id: String
    package var volumeID: String
    package var projectID: String
    package var instanceID: String?
    package var host: String?
    package var mountpoint: String?
    package var status: AttachStatus
    /// `rw` or `ro`; nil until it is known.
    package var mode: String?
    package var connector: [String: String]
    package var attachedAt: Int64?
    package var createdAt: Int64
    package var updatedAt: Int64?
}

/// An attachment with how to reach the volume, once that is known.
package struct AttachmentDetail: Sendable {
    package var attachment: Attachment
    package var connection: Connection?
}

package struct Transfer: Sendable, Equatable {
    package var id: String
    package var volumeID: String
    package var name: String?
    package var sourceProjectID: String
    package var noSnapshots: Bool
    package var createdAt: Int64
}

package struct VolumeType: Sendable, Equatable {
    package var id: String
    package var name: String
    package var description: String?
    package var isPublic: Bool
    package var qosID: String?
    package var extraSpecs: [String: String]
    package var createdAt: Int64
}

package struct QoSPolicy: Sendable, Equatable {
    package var id: String
    package var name: String
    /// `front-end`, `back-end` or `both`.
    package var consumer: String
    package var specs: [String: String]
}

/// How a type's volumes are encrypted by whoever attaches them.
package struct EncryptionRecord: Sendable, Equatable {
    package var id: String
    package var typeID: String
    package var provider: String
    package var cipher: String?
    package var keySize: Int?
    package var controlLocation: String
    package var createdAt: Int64
    package var updatedAt: Int64?
}

package struct VolumeGroup: Sendable, Equatable {
    package var id: String
    package var projectID: String
    package var userID: String
    package var name: String?
    package var description: String?
    package var status: GroupStatus
    package var typeID: String
    package var zone: String
    package var groupSnapshotID: String?
    package var sourceGroupID: String?
    package var volumeTypeIDs: [String]
    package var createdAt: Int64
}

package struct GroupType: Sendable, Equatable {
    package var id: String
    package var name: String
    package var description: String?
    package var isPublic: Bool
    package var specs: [String: String]
    package var createdAt: Int64
}

package struct GroupSnapshot: Sendable, Equatable {
    package var id: String
    package var groupID: String
    package var groupTypeID: String
    package var projectID: String
    package var userID: String
    package var name: String?
    package var description: String?
    package var status: GroupStatus
    package var createdAt: Int64
}

/// What became of something that was answered before it was done.
package struct UserMessage: Sendable, Equatable {
    package var id: String
    package var projectID: String
    package var eventID: String
    package var text: String
    package var requestID: String?
    package var resourceType: String?
    package var resourceID: String?
    package var createdAt: Int64
    package var guaranteedUntil: Int64
}

/// One of the parts that operators switch on and off.
package struct ServiceRecord: Sendable, Equatable {
    package var binary: String
    package var host: String
    package var isDisabled: Bool
    package var disabledReason: String?
    package var isFrozen: Bool
    package var updatedAt: Int64?
}

/// Something the driver holds that no row names: kept, shown to administrators, never deleted on its own.
package struct Stray: Sendable, Equatable {
    package var reference: String
    /// GiB, rounded up.
    package var size: Int
    package var isSnapshot: Bool
    /// The driver's name of a snapshot's volume.
    package var volumeReference: String?
    package var foundAt: Int64
}

/// Who asks: what a verified token says, as far as volumes care.
package struct Asker: Sendable, Equatable {
    package var userID: String
    package var projectID: String
    package var isAdmin: Bool
    /// A service acting for a user (a valid `X-Service-Token` with the role `service`).
    package var isService: Bool
    /// The request that asks; shown with the messages it causes.
    package var requestID: String?

    package init(userID: String, projectID: String, isAdmin: Bool, isService: Bool, requestID: String?) {
        self.userID = userID
        self.projectID = projectID
        self.isAdmin = isAdmin
        self.isService = isService
        self.requestID = requestID
    }

    func sees(_ project: String) -> Bool { isAdmin || project == projectID }
}
