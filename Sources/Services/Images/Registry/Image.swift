/// Where an image is on its way from a name to bytes, and out again.
package enum ImageStatus: String, Sendable, CaseIterable {
    case queued, saving, uploading, importing, active, deactivated, killed, deleted
    case pendingDelete = "pending_delete"
}

/// Who sees an image beside its owner.
package enum ImageVisibility: String, Sendable, CaseIterable {
    /// Everybody, in every listing.
    case `public`
    /// Everybody who asks for it.
    case community
    /// The projects that are members.
    case shared
    case `private`
}

package enum MemberStatus: String, Sendable, CaseIterable {
    case pending, accepted, rejected
}

/// One image, as its row has it.
package struct Image: Sendable, Equatable {
    package var id: String
    package var name: String?
    package var status: ImageStatus
    package var visibility: ImageVisibility
    /// A project; nil for an image that was made ownerless by an administrator.
    package var owner: String?
    package var isProtected: Bool
    /// Left out of listings that don't ask for it.
    package var isHidden: Bool
    /// Bytes, once they are known.
    package var size: Int64?
    /// What a disk made from it has, in bytes.
    package var virtualSize: Int64?
    package var diskFormat: String?
    package var containerFormat: String?
    /// GiB.
    package var minDisk: Int64
    /// MiB.
    package var minRAM: Int64
    /// MD5, in hexadecimal.
    package var checksum: String?
    package var hashAlgorithm: String?
    package var hashValue: String?
    /// What the store calls the bytes; several images may have the same.
    package var dataKey: String?
    /// Bytes that wait for their import.
    package var stagedKey: String?
    /// Unix seconds, as all times here.
    package var createdAt: Int64
    package var updatedAt: Int64
}

/// An image with what its view shows besides.
package struct ImageDetail: Sendable, Equatable {
    package var image: Image
    package var properties: [String: String]
    package var tags: [String]
    /// Sorted.
    package var stores: [String]
}

/// What an image is made with.
package struct NewImage: Sendable, Equatable {
    package var id: String?
    package var name: String?
    package var visibility: ImageVisibility = .shared
    /// nil: the caller's project.
    package var owner: String??
    package var isProtected = false
    package var isHidden = false
    package var diskFormat: String?
    package var containerFormat: String?
    package var minDisk: Int64 = 0
    package var minRAM: Int64 = 0
    package var tags: [String] = []
    package var properties: [String: String] = [:]

    package init() {}
}

/// One step of an update.
package enum ImageChange: Sendable, Equatable {
    case name(String?)
    case visibility(ImageVisibility)
    case owner(String?)
    case isProtected(Bool)
    case isHidden(Bool)
    case diskFormat(String?)
    case containerFormat(String?)
    case minDisk(Int64)
    case minRAM(Int64)
    case tags([String])
    /// Sets a custom property, whether or not it is there.
    case property(String, String)
    /// Of the older draft of JSON patch: `.conflict` if it is there.
    case newProperty(String, String)
    /// `.conflict` if it isn't there.
    case replacedProperty(String, String)
    case removedProperty(String)
}

/// A project that an image is shared with.
package struct ImageMember: Sendable, Equatable {
    package var imageID: String
    package var member: String
    package var status: MemberStatus
    package var createdAt: Int64
    package var updatedAt: Int64
}

/// The formats that records may name.
package enum ImageFormatNames {
    package static let containers = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"]
    package static let disks = [
        "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
    ]
}
