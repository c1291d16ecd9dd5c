/// The floors of ARCHITECTURE.md, target by target. `TargetTests` holds it against Package.swift, the folders and
/// every `import`; a new target is added here first, which is the moment to think about where it belongs.
enum Floors {
    struct Row {
        let name: String
        let folder: String
        let floor: Int
        /// Neighbours on the same floor that may be imported nevertheless.
        var neighbours: Set<String> = []
    }

    static let table: [Row] = [
        Row(name: "CLZ4", folder: "System", floor: 0),
        Row(name: "CSQLite", folder: "System", floor: 0),
        Row(name: "CZlib", folder: "System", floor: 0),
        Row(name: "CZstd", folder: "System", floor: 0),
        Row(name: "CCRC32", folder: "System", floor: 0),
        Row(name: "CXXHash", folder: "System", floor: 0),
        Row(name: "CLinux", folder: "System", floor: 0),
        Row(name: "CSandbox", folder: "System", floor: 0),
        // Floor 0 is a small stair of its own: C, then units, then codecs and disks.
        Row(name: "Primitives", folder: "System", floor: 0, neighbours: ["CLinux"]),
        Row(
            name: "Codecs", folder: "System", floor: 0,
            neighbours: ["CCRC32", "CLZ4", "CXXHash", "CZlib", "CZstd", "Primitives"]),
        Row(name: "Disks", folder: "System", floor: 0, neighbours: ["CLinux", "Primitives"]),
        Row(name: "Chunks", folder: "Engine", floor: 1),
        Row(name: "Rings", folder: "Placement", floor: 1),
        Row(name: "Records", folder: "Records", floor: 2),
        // The port, the command set over it, the wire protocol over that.
        Row(name: "BlockDevices", folder: "Block", floor: 2),
        Row(name: "SCSI", folder: "Block", floor: 2, neighbours: ["BlockDevices"]),
        Row(name: "ISCSI", folder: "Block", floor: 2, neighbours: ["BlockDevices", "SCSI"]),
        Row(name: "ImageFormats", folder: "Block", floor: 2),
        Row(name: "VolumeDrivers", folder: "Block", floor: 2),
        Row(name: "ChunkVolumes", folder: "Block", floor: 2, neighbours: ["BlockDevices", "VolumeDrivers"]),
        Row(name: "Identity", folder: "Services", floor: 3),
        Row(name: "Images", folder: "Services", floor: 3),
        Row(name: "Objects", folder: "Services", floor: 3),
        Row(name: "Volumes", folder: "Services", floor: 3),
        // HTTPFace is what the faces share.
        Row(name: "HTTPFace", folder: "API", floor: 4),
        Row(name: "ObjectAPI", folder: "API", floor: 4, neighbours: ["HTTPFace"]),
        // ControlFace is what the control planes' faces share.
        Row(name: "ControlFace", folder: "API", floor: 4, neighbours: ["HTTPFace"]),
        Row(name: "IdentityAPI", folder: "API", floor: 4, neighbours: ["ControlFace", "HTTPFace"]),
        Row(name: "ImageAPI", folder: "API", floor: 4, neighbours: ["ControlFace", "HTTPFace"]),
        Row(name: "VolumeAPI", folder: "API", floor: 4, neighbours: ["ControlFace", "HTTPFace"]),
        // Daemon is the library behind the two commands.
        Row(name: "Daemon", folder: "Daemon", floor: 5),
        Row(name: "apusd", folder: "Daemon", floor: 5, neighbours: ["Daemon"]),
        Row(name: "apus", folder: "Daemon", floor: 5, neighbours: ["Daemon"]),
    ]

    static let byName = Dictionary(uniqueKeysWithValues: table.map { ($0.name, $0) })

    /// What comes with the toolchain and may be imported anywhere, but for Foundation.
    static let toolchain: Set<String> = ["Glibc", "Synchronization", "Testing", "Swift"]

    /// Foundation is slow to start and large: only where it earns its place, and never on floors 0 and 1.
    static let foundation: Set<String> = ["Foundation", "FoundationEssentials"]
    static let foundationFloorMin = 2
}
