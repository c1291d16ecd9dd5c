/// Where a copy of the index is: the state of the log at one LSN, as ordered keys and values.
///
/// SQLite in the daemon; `SimulatedIndex` in the rigs, which models what a crash may leave. One thread
/// writes; any thread reads.
package protocol IndexStore: AnyObject, Sendable {
    /// The position of the newest transaction that readers see; nil in an empty index.
    func position() throws(IndexError) -> IndexPosition?

    /// Runs `body` in one transaction that ends by setting `position`. Readers see all of it or nothing.
    func apply(
        _ position: IndexPosition, _ body: (any IndexTransaction) throws(IndexError) -> Void
    ) throws(IndexError)

    /// Makes every transaction so far durable. After a throw nothing may be believed durable any more.
    func checkpoint() throws(IndexError)

    func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]?

    /// The value together with the LSN that the index stood at when it was read.
    func getWithLSN(_ key: [UInt8]) throws(IndexError) -> (value: [UInt8]?, lsn: UInt64)

    /// At most `limit` rows with `from` <= key < `to` (to the end if nil), in key order or against it, and the
    /// LSN that the index stood at.
    func range(
        from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int
    ) throws(IndexError) -> (rows: [(key: [UInt8], value: [UInt8])], lsn: UInt64)

    func close()
}

extension IndexStore {
    /// Brings the index to the end of an overlay and makes that durable.
    ///
    /// May be tried again after `isNoSpace`: a transaction that was committed by a try whose checkpoint found no room is
    /// not applied twice, since the counters in it are changes and not sums.
    func bring(to position: IndexPosition, with overlay: Overlay, _ seal: RowSeal) throws(IndexError) {
        if try self.position()?.lsn ?? 0 < position.lsn {
            try apply(position) { transaction throws(IndexError) in try overlay.write(to: transaction, seal) }
        }
        try checkpoint()
    }
}

/// Writing inside `IndexStore.apply`.
package protocol IndexTransaction {
    func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]?
    /// At most `limit` rows with `from` <= key < `to`, in key order.
    func range(from: [UInt8], to: [UInt8]?, limit: Int) throws(IndexError) -> [(key: [UInt8], value: [UInt8])]
    func put(_ key: [UInt8], _ value: [UInt8]) throws(IndexError)
    func delete(_ key: [UInt8]) throws(IndexError)
    /// Deletes `from` <= key < `to`.
    func deleteRange(from: [UInt8], to: [UInt8]?) throws(IndexError)
}

/// Where in the log an index stands.
package struct IndexPosition: Sendable, Hashable {
    /// Every operation up to here is applied.
    package var lsn: UInt64
    /// The end of the last applied group, and the group itself as proof (I5).
    package var segment: UInt32
    package var endOffset: UInt32
    package var lastGroupOffset: UInt32
    package var lastGroupHash: UInt64
    /// No id at or above it was handed out up to `lsn`.
    package var nextID: UInt64
    package var newestTimestampTicks: Int64
    package var bytesLogical: Int64
    package var bytesStored: Int64

    package init(
        lsn: UInt64, segment: UInt32, endOffset: UInt32, lastGroupOffset: UInt32, lastGroupHash: UInt64, nextID: UInt64,
        newestTimestampTicks: Int64, bytesLogical: Int64, bytesStored: Int64
    ) {
        self.lsn = lsn
        self.segment = segment
        self.endOffset = endOffset
        self.lastGroupOffset = lastGroupOffset
        self.lastGroupHash = lastGroupHash
        self.nextID = nextID
        self.newestTimestampTicks = newestTimestampTicks
        self.bytesLogical = bytesLogical
        self.bytesStored = bytesStored
    }
}

package struct IndexError: Error, Sendable, Hashable, CustomStringConvertible {
    package var description: String
    /// What the copy holds is wrong, rather than out of reach.
    package var isCorruption: Bool
    /// There was no room for it. Nothing is lost by that, and it may be tried again.
    package var isNoSpace: Bool
    package init(_ description: String, isCorruption: Bool = false, isNoSpace: Bool = false) {
        self.description = description
        self.isCorruption = isCorruption
        self.isNoSpace = isNoSpace
    }
}
