private import Chunks
private import Disks
private import Identity
private import Records

/// `apus fsck`: the invariants of everything in a data folder, checked while no daemon has it open.
package enum OfflineCheck {
    package struct Report: Sendable {
        package var lines: [String]
        package var isSound: Bool
    }

    /// Takes the data folder's lock for as long as it runs. Changes nothing that a start of the daemon would not change
    /// just so (a lagging copy of the index is brought up).
    /// - Parameter readsBytes: verify every stored byte, too; takes as long as reading the whole store does.
    package static func run(dataFolder: String, readsBytes: Bool) throws(DaemonError) -> Report {
        let folder = try DataFolder(path: dataFolder, create: false)
        defer { withExtendedLifetime(folder) {} }
        var report = Report(lines: [], isSound: true)
        _ = try Placement.loadOrMake(folder: folder)
        report.lines.append("Ring: sound.")
        checkControl(folder, &report)
        if try folder.hasObjects() {
            try checkStore(folder, readsBytes: readsBytes, &report)
        } else {
            report.lines.append("Store: nothing was ever kept in it.")
        }
        report.lines.append(
            report.isSound
                ? "All is well." : "Not all is well. Keep a copy of the folder as it is before anything else.")
        return report
    }

    private static func checkStore(_ folder: DataFolder, readsBytes: Bool, _ report: inout Report) throws(DaemonError) {
        let found: CheckReport
        do {
            let disk = try SystemDisk(root: folder.objectsPath)
            let copies = try disk.list("").contains("index.b") ? 2 : 1
            found = try ChunkStore.check(
                disk: disk, indexes: SQLiteIndexes(folder: folder.objectsPath, copies: copies), readsBytes: readsBytes)
        } catch let error as ChunkError {
            throw StoreFailure.explain(error, path: folder.objectsPath)
        } catch {
            throw DaemonError("The store \(folder.objectsPath) can't be read (\(error)).")
        }
        let verified = readsBytes ? "\(found.framesVerified) frames read and verified" : "bytes not read (--quick)"
        report.lines.append(
            "Store: \(found.accounts) accounts, \(found.containers) containers, \(found.objects) objects, \(StatusReport.size(found.bytes)); \(found.volumes) volumes and \(found.snapshots) snapshots in \(found.layers) layers; \(verified)."
        )
        report.lines += found.problems.map { "PROBLEM: \($0)" }
        if !found.problems.isEmpty { report.isSound = false }
    }

    private static func checkControl(_ folder: DataFolder, _ report: inout Report) {
        do {
            guard try folder.has(DataFolder.databaseName) else {
                report.lines.append("PROBLEM: control.db is gone; copy the newest control.db.backup file to it")
                report.isSound = false
                return
            }
            let records = try RecordStore(path: folder.databasePath, migrations: ControlPlane.migrations)
            try records.close()
            report.lines.append("control.db: sound.")
        } catch {
            report.lines.append("PROBLEM: \(error)")
            report.isSound = false
        }
    }
}
