/// Where volumes' bytes live. One driver serves all volumes of a daemon.
///
/// ```
///   create / clone / adopt ──► volume ──► extend, snapshot, revert (any number, any order) ──► delete
///                                └── snapshot ──► clone from it, revert to it ──► deleteSnapshot
/// ```
///
/// The contract, which `VolumeDriverSuite` (Tests/VolumesTests) checks of any driver:
///
/// - When a call returns, what it did is durable; when it throws, nothing has changed, save what the call itself takes
///   back after a crash. Every call may be repeated: making what is there with the same size succeeds, deleting what
///   is absent succeeds.
/// - A volume reads as zeros where nobody wrote: new, extended and after a delete of its namesake. Deleted bytes are
///   never read again by anybody.
/// - A snapshot or a clone shows one moment: every write acknowledged before the call began is in it, none begun after
///   the call returned. Snapshots outlive nothing: the service deletes them before their volume. Clones outlive their
///   source.
/// - Ids are UUIDs of the service's. The driver may keep names of its own (`reference`), as long as what `create` made
///   is listed with its id again.
/// - Calls for different volumes may come at the same time, and for one volume too where states allow it (a snapshot
///   while it is being read). Blocking work belongs on the driver's own threads.
/// - Names and ids never become file names unchecked.
package protocol VolumeDriver: Sendable {
    var traits: DriverTraits { get }

    /// Makes a volume of zeros.
    func create(_ volume: NewVolume) async throws(DriverError)
    /// Makes a volume with the bytes of another or of a snapshot, and zeros beyond them. `.invalid` if it is to be
    /// smaller than its source or to have other blocks.
    func clone(_ volume: NewVolume, from source: CloneSource) async throws(DriverError)
    /// Removes the volume. `.hasSnapshots` while it has any.
    func delete(_ id: String) async throws(DriverError)
    /// Grows the volume; to its own size is no change, to less is `.invalid`.
    func extend(_ id: String, to bytes: UInt64) async throws(DriverError)
    /// Makes all of these snapshots or none; all of the same moment where `traits.snapshotsTogether` says so.
    func snapshot(_ cuts: [SnapshotCut]) async throws(DriverError)
    func deleteSnapshot(_ id: String, of volume: String) async throws(DriverError)
    /// Gives the volume the bytes it had when the snapshot was made. The snapshot stays.
    func revert(_ volume: String, to snapshot: String) async throws(DriverError)
    func statistics() async throws(DriverError) -> DriverStatistics
    /// All that the driver holds, whoever made it.
    func inventory() async throws(DriverError) -> Inventory
    /// Takes over a volume that the driver holds under a name of its own; answers its size in bytes.
    func adopt(_ reference: String, as id: String) async throws(DriverError) -> UInt64
    func adoptSnapshot(_ reference: String, of volume: String, as id: String) async throws(DriverError)
    /// How many more snapshots of the volume may follow one another before the driver refuses.
    func snapshotsLeft(of volume: String) async throws(DriverError) -> Int
    /// Opens a snapshot to read, or a volume that nobody writes to meanwhile (the service sees to that).
    ///
    /// - Parameter base: a snapshot of the same volume: `changes` then tells where the two differ. `.absent` if it is
    ///   not there, `.invalid` if the driver can't compare with it any more.
    func openImage(_ source: CloneSource, since base: String?) async throws(DriverError) -> any VolumeImage
    /// Opens a volume that no host uses, to fill it.
    func openFilling(_ id: String) async throws(DriverError) -> any VolumeFilling
}

/// What a driver is, as schedulers and operators see it.
package struct DriverTraits: Sendable, Equatable {
    package var name: String
    package var version: String
    package var vendor: String
    package var storageProtocol: String
    package var isThin: Bool
    package var supportsMultiattach: Bool
    /// Whether several volumes' snapshots show one moment.
    package var snapshotsTogether: Bool
    /// Whether unmapped blocks are given back.
    package var discards: Bool
    /// Block sizes that volumes may have.
    package var blockSizes: [Int]

    package init(
        name: String, version: String, vendor: String, storageProtocol: String, isThin: Bool,
        supportsMultiattach: Bool, snapshotsTogether: Bool, discards: Bool, blockSizes: [Int]
    ) {
        self.name = name
        self.version = version
        self.vendor = vendor
        self.storageProtocol = storageProtocol
        self.isThin = isThin
        self.supportsMultiattach = supportsMultiattach
        self.snapshotsTogether = snapshotsTogether
        self.discards = discards
        self.blockSizes = blockSizes
    }
}

package struct NewVolume: Sendable, Equatable {
    package var id: String
    package var bytes: UInt64
    /// 512 or 4096.
    package var blockBytes: Int
    /// Whether a write may be acknowledged before it is durable (the owner asked for it).
    package var writeCache: Bool

    package init(id: String, bytes: UInt64, blockBytes: Int, writeCache: Bool) {
        self.id = id
        self.bytes = bytes
        self.blockBytes = blockBytes
        self.writeCache = writeCache
    }
}

package enum CloneSource: Sendable, Equatable {
    case volume(String)
    case snapshot(String, of: String)
}

package struct SnapshotCut: Sendable, Equatable {
    package var id: String
    package var volume: String

    package init(id: String, volume: String) {
        self.id = id
        self.volume = volume
    }
}

package struct DriverStatistics: Sendable, Equatable {
    package var totalBytes: UInt64
    package var freeBytes: UInt64

    package init(totalBytes: UInt64, freeBytes: UInt64) {
        self.totalBytes = totalBytes
        self.freeBytes = freeBytes
    }
}

package struct Inventory: Sendable, Equatable {
    package struct StoredVolume: Sendable, Equatable {
        /// The driver's name for it.
        package var reference: String
        /// Set if it was made or adopted under that id.
        package var id: String?
        package var bytes: UInt64
        /// As of the `NewVolume` that it was.
        package var blockBytes: Int
        package var writeCache: Bool

        package init(reference: String, id: String?, bytes: UInt64, blockBytes: Int, writeCache: Bool) {
            self.reference = reference
            self.id = id
            self.bytes = bytes
            self.blockBytes = blockBytes
            self.writeCache = writeCache
        }
    }

    package struct StoredSnapshot: Sendable, Equatable {
        package var reference: String
        package var id: String?
        /// The `reference` of its volume.
        package var volumeReference: String
        package var bytes: UInt64

        package init(reference: String, id: String?, volumeReference: String, bytes: UInt64) {
            self.reference = reference
            self.id = id
            self.volumeReference = volumeReference
            self.bytes = bytes
        }
    }

    package var volumes: [StoredVolume]
    package var snapshots: [StoredSnapshot]

    package init(volumes: [StoredVolume], snapshots: [StoredSnapshot]) {
        self.volumes = volumes
        self.snapshots = snapshots
    }
}

package enum DriverError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The volume, snapshot or reference is not there.
    case absent(String)
    /// One of that id is there with other properties, or the reference has another owner.
    case exists(String)
    case hasSnapshots(String)
    case invalid(String)
    case full
    case failed(String)

    package var description: String {
        switch self {
        case .absent(let what): "\(what) is not there"
        case .exists(let what): "\(what) is there already"
        case .hasSnapshots(let what): "\(what) has snapshots"
        case .invalid(let why): why
        case .full: "the store is full"
        case .failed(let why): why
        }
    }
}
