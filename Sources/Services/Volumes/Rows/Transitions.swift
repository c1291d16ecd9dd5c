import GRDB

/// Changes of state: each is one UPDATE whose condition names every state it may come from, so that of two that race
/// one finds nothing to update.
enum Transitions {
    /// Moves the volume if it is in one of the states, idle as to migration, and (if given) attached as said.
    ///
    /// - Parameter remembering: whether the state it leaves is kept as the one to return to.
    static func volume(
        _ db: Database, _ id: String, from states: [VolumeStatus], to state: VolumeStatus, now: Int64,
        attach: [AttachStatus]? = nil, remembering: Bool = true
    ) throws -> Bool {
        var condition = """
            id = ? AND status IN (\(Table.marks(states.count)))
            AND (migration_status IS NULL OR migration_status IN (\(Table.marks(MigrationStatus.idle.count))))
            """
        var arguments: [(any DatabaseValueConvertible)?] = [id]
        arguments += states.map { $0.rawValue }
        arguments += MigrationStatus.idle.map { $0.rawValue }
        if let attach {
            condition += " AND attach_status IN (\(Table.marks(attach.count)))"
            arguments += attach.map { $0.rawValue }
        }
        let previous = remembering ? "status" : "previous_status"
        try db.execute(
            sql: "UPDATE volumes SET previous_status = \(previous), status = ?, updated_at = ? WHERE \(condition)",
            arguments: StatementArguments([state.rawValue, now] + arguments))
        return db.changesCount > 0
    }

    /// Ends an operation: to `state`, or back to where the volume came from; nothing if it is no longer `from`.
    @discardableResult
    static func settle(
        _ db: Database, _ id: String, from: VolumeStatus, to state: VolumeStatus?, now: Int64
    ) throws -> Bool {
        try db.execute(
            sql: """
                UPDATE volumes SET status = COALESCE(?, previous_status, 'available'), previous_status = NULL,
                    target_size = NULL, updated_at = ?
                WHERE id = ? AND status = ?
                """, arguments: [state?.rawValue, now, id, from.rawValue])
        return db.changesCount > 0
    }

    static func snapshot(
        _ db: Database, _ id: String, from states: [SnapshotStatus], to state: SnapshotStatus, now: Int64
    ) throws -> Bool {
        try Table.update(
            db, "volume_snapshots", ["status": state.rawValue, "updated_at": now],
            where: "id = ? AND status IN (\(Table.marks(states.count)))", [id] + states.map { $0.rawValue }) > 0
    }

    /// What a volume is when its attachments are these: attached before attaching before detaching before reserved.
    static func standing(_ attachments: [Attachment]) -> (status: VolumeStatus, attach: AttachStatus) {
        let states = Set(attachments.map(\.status))
        if states.contains(.attached) || states.contains(.errorDetaching) { return (.inUse, .attached) }
        if states.contains(.attaching) { return (.attaching, .attaching) }
        if states.contains(.detaching) { return (.detaching, .detaching) }
        if states.contains(.reserved) || states.contains(.errorAttaching) { return (.reserved, .reserved) }
        return (.available, .detached)
    }

    /// Writes what the remaining attachments make of the volume, if it is in a state that attachments decide.
    static func restand(_ db: Database, _ id: String, now: Int64) throws {
        let attachments = try Lookups.attachments(db, of: [id])
        let standing = standing(attachments)
        let deciding: [VolumeStatus] = [.available, .reserved, .attaching, .detaching, .inUse]
        try db.execute(
            sql: """
                UPDATE volumes SET attach_status = ?, updated_at = ?,
                    status = CASE WHEN status IN (\(Table.marks(deciding.count))) THEN ? ELSE status END,
                    previous_status = CASE WHEN previous_status IN (\(Table.marks(deciding.count))) THEN ?
                        ELSE previous_status END
                WHERE id = ?
                """,
            arguments: StatementArguments(
                [standing.attach.rawValue, now] as [(any DatabaseValueConvertible)?] + deciding.map { $0.rawValue }
                    + [standing.status.rawValue] + deciding.map { $0.rawValue } + [standing.status.rawValue, id]))
        if attachments.isEmpty { _ = try Facts.remove(db, id, .admin, "attached_mode") }
    }
}
