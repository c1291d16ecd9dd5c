private import GRDB

/// Why `control.db` could not be opened, read, written or backed up. No case ever carries a bound value of a
/// statement, so a password hash can't reach a log by way of an error.
package enum RecordsError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The file was written by a later version of Apus; the names are of migrations that this one does not know.
    case newer(path: String, migrations: [String])
    /// An SQLite database, but not one of ours.
    case foreign(path: String)
    /// SQLite's own check found damage, or the file is no database at all.
    case damaged(path: String, finding: String)
    /// A setting that durability rests on did not take.
    case setting(name: String, found: String)
    /// A uniqueness rule refused the row; the text names the columns.
    case duplicate(columns: String)
    /// A row refers to one that does not exist, or is still referred to.
    case reference
    /// The disk is full.
    case full
    /// Another connection held the database longer than the busy timeout.
    case busy
    case database(code: Int32, message: String)
    case file(operation: String, path: String, errno: Int32)
    case closed

    package var description: String {
        switch self {
        case .newer(let path, let migrations):
            "\(path) was written by a newer version of Apus (it has \(migrations.joined(separator: ", "))). "
                + "Start that version or a later one; or, to go back, stop the daemon, move the file away with its "
                + "-wal and -shm, and copy a control.db.backup file from before the upgrade to \(path)."
        case .foreign(let path):
            "\(path) is an SQLite database, but not one that Apus made. Name another data folder, or move the file away."
        case .damaged(let path, let finding):
            "\(path) is damaged (\(finding)). Stop the daemon, move the file away with its -wal and -shm, and copy "
                + "the newest control.db.backup file beside it to \(path)."
        case .setting(let name, let found): "SQLite did not take the setting \(name): it is \(found)"
        case .duplicate(let columns): "a row with the same \(columns) exists"
        case .reference: "the row refers to one that does not exist, or is still in use"
        case .full: "the disk that holds control.db is full"
        case .busy: "control.db is busy"
        case .database(let code, let message): "SQLite error \(code): \(message)"
        case .file(let operation, let path, let errno): "\(operation) \(path): errno \(errno)"
        case .closed: "control.db is closed"
        }
    }

    /// What GRDB or a transaction's body threw, as one of ours.
    package init(_ error: any Error) {
        if let own = error as? RecordsError {
            self = own
            return
        }
        guard let failure = error as? DatabaseError else {
            self = .database(code: -1, message: String(describing: type(of: error)))
            return
        }
        let message = failure.message ?? ""
        switch failure.extendedResultCode {
        case .SQLITE_CONSTRAINT_UNIQUE, .SQLITE_CONSTRAINT_PRIMARYKEY:
            let prefix = "UNIQUE constraint failed: "
            self = .duplicate(columns: message.hasPrefix(prefix) ? String(message.dropFirst(prefix.count)) : message)
            return
        case .SQLITE_CONSTRAINT_FOREIGNKEY:
            self = .reference
            return
        default: break
        }
        switch failure.resultCode {
        case .SQLITE_FULL: self = .full
        case .SQLITE_BUSY, .SQLITE_LOCKED: self = .busy
        case .SQLITE_ABORT where message.contains("closed"), .SQLITE_MISUSE where message.contains("closed"):
            self = .closed
        default: self = .database(code: failure.extendedResultCode.rawValue, message: message)
        }
    }
}

/// A service's error type that can carry a failure of `control.db`.
package protocol RecordsFailure: Error, Sendable {
    init(_ failure: RecordsError)
}
