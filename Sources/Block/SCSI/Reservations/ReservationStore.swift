import Primitives

/// Where a logical unit keeps its persistent reservations through a loss of power (APTPL, SPC-4 5.12.5).
///
/// The blob is the SCSI layer's own; a store keeps it as it is. Calls come one at a time, and may wait for a disk.
package protocol ReservationStore: AnyObject, Sendable {
    /// What was saved last; nil or empty: nothing.
    func load() throws(ReservationStoreError) -> [UInt8]?
    /// On the medium when it returns. An empty blob: there is nothing to keep any more.
    func save(_ blob: [UInt8]) throws(ReservationStoreError)
}

/// Why reservations could not be kept or found again.
package struct ReservationStoreError: Error, Sendable, Hashable, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// Keeps the blob in memory, for tests and for logical units that nobody restarts.
package final class MemoryReservationStore: ReservationStore {
    private struct State {
        var blob: [UInt8]?
        var saves = 0
        var failure: ReservationStoreError?
    }

    private let state: PosixLocked<State>

    package init(blob: [UInt8]? = nil) { state = PosixLocked(State(blob: blob)) }

    package func load() throws(ReservationStoreError) -> [UInt8]? {
        try state.withLock { (state) throws(ReservationStoreError) in
            if let failure = state.failure { throw failure }
            return state.blob
        }
    }

    package func save(_ blob: [UInt8]) throws(ReservationStoreError) {
        try state.withLock { (state) throws(ReservationStoreError) in
            if let failure = state.failure { throw failure }
            state.blob = blob
            state.saves += 1
        }
    }

    package var blob: [UInt8]? { state.withLock { $0.blob } }
    package var saves: Int { state.withLock { $0.saves } }
    /// Every call fails so, until told otherwise with nil.
    package func fail(with error: ReservationStoreError?) { state.withLock { $0.failure = error } }
}
