package import GRDB

/// `control.db`: the rows of every service but the objects, in one SQLite file (WAL, synchronous=FULL, 0600).
///
/// A committed write is on the disk when `write` returns. All calls block: they belong on threads of the caller's
/// own (`WorkThreads`), never on an event loop or Swift's cooperative pool.
package final class RecordStore: Sendable {
    package let path: String
    private let pool: DatabasePool

    /// "Apus" in ASCII, in the file's header, so that another program's database is never migrated.
    static let applicationID: Int32 = 0x4170_7573
    static let busyTimeoutSeconds = 5.0
    /// Connections for reads; SQLite has one for writes besides.
    static let readersMax = 4

    /// Opens or makes the database and brings its schema up to date.
    ///
    /// - Parameter migrations: all services' lists, one after the other; new ones are only ever added at the end
    ///   of a service's list.
    package init(path: String, migrations: [Migration]) throws(RecordsError) {
        self.path = path
        _ = try PrivateFile.create(path)
        do {
            pool = try Self.openPool(path)
            try Self.checkBeforeMigration(pool, path: path, known: Set(migrations.map(\.name)))
            var migrator = DatabaseMigrator()
            for migration in migrations { migrator.registerMigration(migration.name, migrate: migration.apply) }
            try migrator.migrate(pool)
            try pool.writeWithoutTransaction { db in try Self.makeDurable(db) }
        } catch let failure as DatabaseError
            where failure.resultCode == .SQLITE_NOTADB || failure.resultCode == .SQLITE_CORRUPT
        {
            throw .damaged(path: path, finding: failure.message ?? "not a database")
        } catch {
            throw RecordsError(error)
        }
        try PrivateFile.syncFolder(of: path)
    }

    /// Reads one snapshot. What the body throws of type `E` passes through; SQLite's failures arrive as `E` too.
    package func read<T, E: RecordsFailure>(
        failing: E.Type, _ body: (Database) throws -> T
    ) throws(E) -> T {
        do {
            return try pool.read(body)
        } catch let error as E {
            throw error
        } catch {
            throw E(RecordsError(error))
        }
    }

    /// Runs one transaction, which is on the disk when this returns; a throwing body rolls all of it back.
    package func write<T, E: RecordsFailure>(
        failing: E.Type, _ body: (Database) throws -> T
    ) throws(E) -> T {
        do {
            return try pool.write(body)
        } catch let error as E {
            throw error
        } catch {
            throw E(RecordsError(error))
        }
    }

    /// Empties the write-ahead log and closes every connection; later calls throw.
    package func close() throws(RecordsError) {
        do { try pool.close() } catch { throw RecordsError(error) }
    }

    /// Copies the database as it is now to a new file, page by page, while others read and write.
    func copy(to destination: DatabaseQueue) throws {
        try pool.backup(to: destination)
    }

    /// 0 off, 1 normal, 2 full: what the writing connection uses. For tests.
    package func synchronousLevel() throws(RecordsError) -> Int {
        do {
            return try pool.writeWithoutTransaction { db in try Int.fetchOne(db, sql: "PRAGMA synchronous") ?? -1 }
        } catch {
            throw RecordsError(error)
        }
    }

    private static func openPool(_ path: String) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(busyTimeoutSeconds)
        configuration.maximumReaderCount = readersMax
        configuration.label = "control"
        // Bound values must not reach an error's text: some are password hashes.
        configuration.publicStatementArguments = false
        let pool = try DatabasePool(path: path, configuration: configuration)
        // GRDB sets NORMAL after its own preparation hook, so this can only be done now (measured.md section 4);
        // and it comes before the first migration, so that a schema is never less durable than its rows.
        try pool.writeWithoutTransaction { db in try makeDurable(db) }
        return pool
    }

    private static func makeDurable(_ db: Database) throws {
        try db.execute(sql: "PRAGMA synchronous = FULL")
        let level = try Int.fetchOne(db, sql: "PRAGMA synchronous") ?? -1
        guard level == 2 else { throw RecordsError.setting(name: "synchronous", found: String(level)) }
        let journal = try String.fetchOne(db, sql: "PRAGMA journal_mode") ?? "none"
        guard journal == "wal" else { throw RecordsError.setting(name: "journal_mode", found: journal) }
        let foreignKeys = try Int.fetchOne(db, sql: "PRAGMA foreign_keys") ?? 0
        guard foreignKeys == 1 else { throw RecordsError.setting(name: "foreign_keys", found: String(foreignKeys)) }
    }

    /// Refuses what is damaged, not ours, or newer than this version, before anything is changed.
    private static func checkBeforeMigration(_ pool: DatabasePool, path: String, known: Set<String>) throws {
        try pool.writeWithoutTransaction { db in
            let finding = try String.fetchOne(db, sql: "PRAGMA quick_check(1)") ?? "no answer"
            guard finding == "ok" else { throw RecordsError.damaged(path: path, finding: finding) }
            let id = try Int32.fetchOne(db, sql: "PRAGMA application_id") ?? 0
            let tables = try Int.fetchOne(db, sql: "SELECT COUNT(*) FROM sqlite_master") ?? 0
            if id != applicationID {
                guard id == 0, tables == 0 else { throw RecordsError.foreign(path: path) }
                try db.execute(sql: "PRAGMA application_id = \(applicationID)")
            }
            guard try db.tableExists("grdb_migrations") else { return }
            let applied = try String.fetchAll(db, sql: "SELECT identifier FROM grdb_migrations ORDER BY identifier")
            let unknown = applied.filter { !known.contains($0) }
            guard unknown.isEmpty else { throw RecordsError.newer(path: path, migrations: unknown) }
        }
    }
}
