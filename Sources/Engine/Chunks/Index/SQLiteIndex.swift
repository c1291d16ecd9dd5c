import CSQLite
import Codecs
import Primitives

/// One index file: SQLite with raw statements, one writing connection, a few reading ones.
///
/// WAL, synchronous=NORMAL: a transaction is durable only after `checkpoint`, which is all that the engine
/// asks (engine.md, write path 7 and 8). Exactly one connection writes and checkpoints; mmap is off.
package final class SQLiteIndex: IndexStore {
    /// Reading connections, each used by one thread at a time.
    static let readersMax = 8
    static let pageBytes = 8192
    /// Checkpoints that may find a reader in the way, ten seconds each, before it counts as a failure.
    static let busyCheckpointsMax = 30
    static let writerCacheKiB = 16_384
    static let readerCacheKiB = 4_096

    private let path: String
    private let writer: Connection
    private let mutex = PosixMutex()
    private let pool: PosixGuarded<Pool>

    private struct Pool {
        var idle: [Connection] = []
        var count = 0
        var closed = false
    }

    /// Opens or makes the file. The folder must exist.
    package init(path: String) throws(IndexError) {
        self.path = path
        writer = try Connection(path: path, writes: true)
        pool = PosixGuarded(Pool())
    }

    package func position() throws(IndexError) -> IndexPosition? {
        try read { connection throws(IndexError) in try connection.position() }
    }

    package func apply(
        _ position: IndexPosition, _ body: (any IndexTransaction) throws(IndexError) -> Void
    ) throws(IndexError) {
        try writer.execute("BEGIN IMMEDIATE")
        do throws(IndexError) {
            try body(writer)
            try writer.setPosition(position)
            try writer.execute("COMMIT")
        } catch {
            writer.rollBack()
            throw error
        }
    }

    package func checkpoint() throws(IndexError) { try writer.checkpoint() }

    package func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]? {
        try read { connection throws(IndexError) in try connection.get(key) }
    }

    package func getWithLSN(_ key: [UInt8]) throws(IndexError) -> (value: [UInt8]?, lsn: UInt64) {
        try read { connection throws(IndexError) in
            try connection.snapshot { () throws(IndexError) in
                (try connection.get(key), try connection.position()?.lsn ?? 0)
            }
        }
    }

    package func range(
        from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int
    ) throws(IndexError) -> (rows: [(key: [UInt8], value: [UInt8])], lsn: UInt64) {
        try read { connection throws(IndexError) in
            try connection.snapshot { () throws(IndexError) in
                (
                    try connection.range(from: from, to: to, reverse: reverse, limit: limit),
                    try connection.position()?.lsn ?? 0
                )
            }
        }
    }

    package func close() {
        mutex.withLock {
            pool.value.closed = true
            pool.value.idle.removeAll()
            mutex.broadcast()
        }
        writer.close()
    }

    private func read<R>(_ body: (Connection) throws(IndexError) -> R) throws(IndexError) -> R {
        let connection = try takeReader()
        defer { give(connection) }
        return try body(connection)
    }

    private func takeReader() throws(IndexError) -> Connection {
        mutex.lock()
        while true {
            if pool.value.closed {
                mutex.unlock()
                throw IndexError("the index is closed")
            }
            if let connection = pool.value.idle.popLast() {
                mutex.unlock()
                return connection
            }
            if pool.value.count < Self.readersMax {
                pool.value.count += 1
                mutex.unlock()
                do throws(IndexError) {
                    return try Connection(path: path, writes: false)
                } catch {
                    mutex.withLock {
                        pool.value.count -= 1
                        mutex.signal()
                    }
                    throw error
                }
            }
            mutex.wait()
        }
    }

    private func give(_ connection: Connection) {
        mutex.withLock {
            if !pool.value.closed { pool.value.idle.append(connection) }
            mutex.signal()
        }
    }
}

/// One SQLite connection with its prepared statements. Used by one thread at a time.
private final class Connection: IndexTransaction, @unchecked Sendable {
    // SAFETY: opened with SQLITE_OPEN_NOMUTEX; the pool (readers) and the applier (writer) keep it to one thread at a time.
    private var handle: OpaquePointer?
    private var statements: [String: OpaquePointer] = [:]

    init(path: String, writes: Bool) throws(IndexError) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE | (writes ? SQLITE_OPEN_CREATE : 0)
        let status = sqlite3_open_v2(path, &opened, flags, nil)
        handle = opened
        guard status == SQLITE_OK else { throw failure("open") }
        sqlite3_extended_result_codes(handle, 1)
        sqlite3_busy_timeout(handle, 10_000)
        if writes {
            try execute("PRAGMA page_size=\(SQLiteIndex.pageBytes)")
            try execute("PRAGMA journal_mode=WAL")
            try execute("PRAGMA wal_autocheckpoint=0")
            try execute("PRAGMA journal_size_limit=67108864")
        }
        try execute("PRAGMA synchronous=NORMAL")
        try execute("PRAGMA mmap_size=0")
        try execute("PRAGMA cache_size=-\(writes ? SQLiteIndex.writerCacheKiB : SQLiteIndex.readerCacheKiB)")
        if writes {
            try execute(
                "CREATE TABLE IF NOT EXISTS rows(key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID")
            try execute(
                """
                CREATE TABLE IF NOT EXISTS position(id INTEGER PRIMARY KEY CHECK(id=0), lsn INTEGER, segment INTEGER,
                end_offset INTEGER, group_offset INTEGER, group_hash INTEGER, next_id INTEGER, newest INTEGER,
                logical INTEGER, stored INTEGER, hash INTEGER)
                """)
        }
    }

    deinit { close() }

    func close() {
        for statement in statements.values { sqlite3_finalize(statement) }
        statements = [:]
        sqlite3_close_v2(handle)
        handle = nil
    }

    func execute(_ sql: String) throws(IndexError) {
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw failure(sql) }
    }

    func rollBack() {
        // The transaction may have been rolled back by the failure itself; then this says so, to nobody's interest.
        _ = sqlite3_exec(handle, "ROLLBACK", nil, nil, nil)
    }

    func checkpoint() throws(IndexError) {
        var frames: Int32 = 0
        var done: Int32 = 0
        // FULL waits for readers of older snapshots (they take milliseconds; the busy timeout bounds it), so that
        // the WAL is synced, copied and the database synced: PASSIVE may do none of that and still return OK.
        var status = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_FULL, &frames, &done)
        var attempts = 1
        while status & 0xFF == SQLITE_BUSY, attempts < SQLiteIndex.busyCheckpointsMax {
            // A reader is slow; nothing was synced and nothing lost. The overlay stays frozen meanwhile.
            status = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_FULL, &frames, &done)
            attempts += 1
        }
        guard status == SQLITE_OK else { throw failure("checkpoint") }
        if frames > 0, frames == done {
            // Everything is in the database: the WAL may start anew when no reader is in it. BUSY is no failure here.
            let reset = sqlite3_wal_checkpoint_v2(handle, nil, SQLITE_CHECKPOINT_RESTART, nil, nil)
            guard reset == SQLITE_OK || reset & 0xFF == SQLITE_BUSY else { throw failure("checkpoint restart") }
        }
    }

    func snapshot<R>(_ body: () throws(IndexError) -> R) throws(IndexError) -> R {
        try execute("BEGIN")
        do throws(IndexError) {
            let value = try body()
            try execute("COMMIT")
            return value
        } catch {
            rollBack()
            throw error
        }
    }

    func position() throws(IndexError) -> IndexPosition? {
        let statement = try prepare(
            "SELECT lsn, segment, end_offset, group_offset, group_hash, next_id, newest, logical, stored, hash FROM position"
        )
        defer { sqlite3_reset(statement) }
        switch sqlite3_step(statement) {
        case SQLITE_ROW:
            func column(_ index: Int32) -> Int64 { sqlite3_column_int64(statement, index) }
            guard Self.hash((0..<9).map(column)) == column(9) else {
                throw IndexError("the position does not match its hash", isCorruption: true)
            }
            return IndexPosition(
                lsn: UInt64(bitPattern: column(0)), segment: UInt32(truncatingIfNeeded: column(1)),
                endOffset: UInt32(truncatingIfNeeded: column(2)),
                lastGroupOffset: UInt32(truncatingIfNeeded: column(3)),
                lastGroupHash: UInt64(bitPattern: column(4)), nextID: UInt64(bitPattern: column(5)),
                newestTimestampTicks: column(6), bytesLogical: column(7), bytesStored: column(8))
        case SQLITE_DONE: return nil
        default: throw failure("position")
        }
    }

    func setPosition(_ position: IndexPosition) throws(IndexError) {
        let statement = try prepare("INSERT OR REPLACE INTO position VALUES(0,?,?,?,?,?,?,?,?,?,?)")
        defer { sqlite3_reset(statement) }
        let values: [Int64] = [
            Int64(bitPattern: position.lsn), Int64(position.segment), Int64(position.endOffset),
            Int64(position.lastGroupOffset),
            Int64(bitPattern: position.lastGroupHash), Int64(bitPattern: position.nextID),
            position.newestTimestampTicks,
            position.bytesLogical, position.bytesStored,
        ]
        for (index, value) in (values + [Self.hash(values)]).enumerated() {
            sqlite3_bind_int64(statement, Int32(index + 1), value)
        }
        guard sqlite3_step(statement) == SQLITE_DONE else { throw failure("set position") }
    }

    /// Against rot only: SQLite's pages have no checksums, and the position decides where recovery begins.
    private static func hash(_ values: [Int64]) -> Int64 {
        values.withUnsafeBytes { Int64(bitPattern: XXH3.hash($0, positionSecret)) }
    }

    private static let positionSecret = HashSecret((0..<192).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ 29) })

    func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]? {
        let statement = try prepare("SELECT value FROM rows WHERE key=?")
        defer { sqlite3_reset(statement) }
        bind(statement, 1, key)
        switch sqlite3_step(statement) {
        case SQLITE_ROW: return blob(statement, 0)
        case SQLITE_DONE: return nil
        default: throw failure("get")
        }
    }

    func range(from: [UInt8], to: [UInt8]?, limit: Int) throws(IndexError) -> [(key: [UInt8], value: [UInt8])] {
        try range(from: from, to: to, reverse: false, limit: limit)
    }

    func put(_ key: [UInt8], _ value: [UInt8]) throws(IndexError) {
        let statement = try prepare("INSERT INTO rows VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value")
        defer { sqlite3_reset(statement) }
        bind(statement, 1, key)
        bind(statement, 2, value)
        guard sqlite3_step(statement) == SQLITE_DONE else { throw failure("put") }
    }

    func delete(_ key: [UInt8]) throws(IndexError) {
        let statement = try prepare("DELETE FROM rows WHERE key=?")
        defer { sqlite3_reset(statement) }
        bind(statement, 1, key)
        guard sqlite3_step(statement) == SQLITE_DONE else { throw failure("delete") }
    }

    func deleteRange(from: [UInt8], to: [UInt8]?) throws(IndexError) {
        let statement = try prepare(
            to == nil ? "DELETE FROM rows WHERE key>=?" : "DELETE FROM rows WHERE key>=? AND key<?")
        defer { sqlite3_reset(statement) }
        bind(statement, 1, from)
        if let to { bind(statement, 2, to) }
        guard sqlite3_step(statement) == SQLITE_DONE else { throw failure("delete range") }
    }

    func range(from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int) throws(IndexError) -> [(
        key: [UInt8], value: [UInt8]
    )] {
        let upper = to == nil ? "" : " AND key<?3"
        let statement = try prepare(
            "SELECT key, value FROM rows WHERE key>=?1\(upper) ORDER BY key \(reverse ? "DESC" : "ASC") LIMIT ?2")
        defer { sqlite3_reset(statement) }
        bind(statement, 1, from)
        sqlite3_bind_int64(statement, 2, Int64(limit))
        if let to { bind(statement, 3, to) }
        var rows: [(key: [UInt8], value: [UInt8])] = []
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: rows.append((blob(statement, 0), blob(statement, 1)))
            case SQLITE_DONE: return rows
            default: throw failure("range")
            }
        }
    }

    private func prepare(_ sql: String) throws(IndexError) -> OpaquePointer {
        if let statement = statements[sql] { return statement }
        var statement: OpaquePointer?
        guard sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK,
            let statement
        else {
            throw failure(sql)
        }
        statements[sql] = statement
        return statement
    }

    private func bind(_ statement: OpaquePointer, _ index: Int32, _ value: [UInt8]) {
        // SQLITE_TRANSIENT: SQLite copies. An empty array still binds a blob, not NULL.
        let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        value.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress, bytes.count > 0 {
                _ = sqlite3_bind_blob64(statement, index, base, UInt64(bytes.count), transient)
            } else {
                _ = sqlite3_bind_zeroblob(statement, index, 0)
            }
        }
    }

    private func blob(_ statement: OpaquePointer, _ column: Int32) -> [UInt8] {
        let count = Int(sqlite3_column_bytes(statement, column))
        guard count > 0, let base = sqlite3_column_blob(statement, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: base, count: count))
    }

    private func failure(_ what: String) -> IndexError {
        let text = handle.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) } ?? "no memory"
        let code = sqlite3_errcode(handle)
        let extended = sqlite3_extended_errcode(handle)
        // The shared memory of a WAL is a file, too, and has to grow when a database is opened.
        let isFull = code == SQLITE_FULL || extended == SQLITE_IOERR | 19 << 8
        return IndexError(
            "\(what): \(text) (\(extended))", isCorruption: code == SQLITE_CORRUPT || code == SQLITE_NOTADB,
            isNoSpace: isFull)
    }
}
