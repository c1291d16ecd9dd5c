private import GRDB
private import Primitives

/// What a backup did.
package struct BackupReport: Sendable, Equatable {
    package let path: String
    /// Older backups that were removed.
    package let removed: [String]
}

extension RecordStore {
    /// How many backups stay beside the database.
    package static let backupsKept = 7

    /// Copies the database to `{path}.backup.{YYYYMMDDTHHMMSSZ}` while it is in use, and removes the oldest copies
    /// beyond `backupsKept`.
    ///
    /// The copy is one file in rollback mode, checked, synced, and only then given its name: a file of that name is a
    /// whole database. To restore one, copy it over `control.db` while the daemon is down.
    ///
    /// - Parameter now: Unix seconds.
    package func backUp(now: Int64) throws(RecordsError) -> BackupReport {
        let prefix = path + ".backup."
        let temporary = path + ".backup.tmp"
        for leftover in [temporary, temporary + "-journal", temporary + "-wal", temporary + "-shm"] {
            try PrivateFile.remove(leftover)
        }
        _ = try PrivateFile.create(temporary)
        do {
            let destination = try DatabaseQueue(path: temporary)
            try copy(to: destination)
            try destination.writeWithoutTransaction { db in
                // The copied header says WAL; a backup is one file.
                try db.execute(sql: "PRAGMA journal_mode = DELETE")
                let finding = try String.fetchOne(db, sql: "PRAGMA quick_check(1)") ?? "no answer"
                guard finding == "ok" else { throw RecordsError.damaged(path: temporary, finding: finding) }
            }
            try destination.close()
        } catch {
            throw RecordsError(error)
        }
        try PrivateFile.sync(temporary)
        let finished = prefix + Self.stamp(now)
        try PrivateFile.move(from: temporary, to: finished)
        return BackupReport(path: finished, removed: try removeOldBackups())
    }

    /// When the newest backup was made, in Unix seconds; nil if there is none.
    package func lastBackup() throws(RecordsError) -> Int64? {
        guard let newest = try backupNames().last else { return nil }
        return try PrivateFile.modified(folder + "/" + newest)
    }

    private var folder: String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "." }
    private var fileName: String { path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path }

    /// Oldest first: the stamp sorts as text.
    private func backupNames() throws(RecordsError) -> [String] {
        let prefix = fileName + ".backup."
        return try PrivateFile.names(in: folder).filter { name in
            let stamp = name.dropFirst(prefix.count)
            return name.hasPrefix(prefix) && stamp.count == 16 && stamp.last == "Z"
        }
    }

    private func removeOldBackups() throws(RecordsError) -> [String] {
        let names = try backupNames()
        var removed: [String] = []
        for name in names.dropLast(Self.backupsKept) {
            try PrivateFile.remove(folder + "/" + name)
            removed.append(folder + "/" + name)
        }
        return removed
    }

    /// `20261123T100731Z`.
    static func stamp(_ seconds: Int64) -> String {
        let date = CivilDate(unixSeconds: seconds)
        return date.text(dateSeparator: "", timeSeparator: "") + "Z"
    }
}
