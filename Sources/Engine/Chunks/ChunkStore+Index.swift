import Primitives
private import Synchronization

// Reading the index: every row is verified here (I8), and what the leading copy can't give comes from the other one.

extension ChunkStore {
    /// What the index holds under a key, opened, and the LSN that it stood at.
    func indexRow(_ key: [UInt8]) throws(ChunkError) -> (value: [UInt8]?, lsn: UInt64) {
        try fromEitherCopy { copy throws(ChunkError) in
            let (sealed, lsn) = try reading { () throws(IndexError) in try copy.getWithLSN(key) }
            return (try sealed.map { sealed throws(ChunkError) in try seal.open(sealed, key: key) }, lsn)
        }
    }

    /// Rows of a range with their values opened, and the LSN that the index stood at.
    func indexRange(from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int) throws(ChunkError) -> IndexPiece {
        try fromEitherCopy { copy throws(ChunkError) in
            let piece = try reading { () throws(IndexError) in
                try copy.range(from: from, to: to, reverse: reverse, limit: limit)
            }
            var rows = piece.rows
            for i in rows.indices { rows[i].value = try seal.open(rows[i].value, key: rows[i].key) }
            return (rows, piece.lsn)
        }
    }

    func reading<R>(_ body: () throws(IndexError) -> R) throws(ChunkError) -> R {
        do throws(IndexError) {
            return try body()
        } catch {
            throw error.isCorruption ? .corruptIndex(error.description) : .index(error.description)
        }
    }

    /// Reads from the copy that leads, and, if what that gives does not verify or can't be had, from the other: provided
    /// that it holds all that the leading one has durably applied, since memory has forgotten that.
    private func fromEitherCopy<R>(
        _ read: (any IndexStore) throws(ChunkError) -> (R, UInt64)
    ) throws(ChunkError) -> (R, UInt64) {
        // Taken before the first attempt: what is applied meanwhile is still in memory for this reader's generation.
        do throws(ChunkError) {
            return try read(index)
        } catch {
            counters.checksumFailures.add(1, ordering: .relaxed)
            guard let secondIndex else { throw error }
            let applied = applierMutex.withLock { applierState.value.applied.first ?? 0 }
            let other: (R, UInt64)
            do throws(ChunkError) { other = try read(secondIndex) } catch _ { throw error }
            guard other.1 >= applied else { throw error }
            // The next start makes the damaged copy anew from the sound one. What was merely out of reach is not damaged.
            if case .corruptIndex = error, !counters.leadingIndexDamaged.exchange(true, ordering: .relaxed) {
                indexes.distrust(copy: leadingCopy)
            }
            return other
        }
    }
}
