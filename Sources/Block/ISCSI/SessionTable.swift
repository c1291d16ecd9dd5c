import Primitives

/// One session as an operator sees it.
package struct ISCSISessionInfo: Sendable, Hashable {
    package var id: UInt64
    package var initiator: String
    package var address: String
    /// Empty for a discovery session.
    package var target: String
    /// Unix seconds.
    package var since: Int64
    package var traffic: ISCSISessionTraffic
}

package struct ISCSISessionTraffic: Sendable, Hashable {
    package var commands: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0

    package init() {}
}

/// A session in the table: who it is, and how to reach its connection.
final class SessionHandle: Sendable {
    /// RFC 7143 4.4.3.2: what makes two logins the same session. (There is one portal group.)
    struct Key: Hashable {
        var initiator: String
        var isid: UInt64
        var target: String
    }

    let key: Key
    let address: String
    let since: Int64
    let inbox: ConnectionInbox
    /// The logical units that it reaches.
    let units: Set<ObjectIdentifier>
    let traffic = PosixLocked(ISCSISessionTraffic())

    init(key: Key, address: String, since: Int64, inbox: ConnectionInbox, units: Set<ObjectIdentifier>) {
        self.key = key
        self.address = address
        self.since = since
        self.inbox = inbox
        self.units = units
    }
}

/// All sessions of the server: who is who, who replaces whom, and who has to go.
///
/// A session is in the table from the end of its login until its last command has run and its nexuses are detached;
/// so when a target has no session here, nothing of one touches it any more.
final class SessionTable: Sendable {
    struct Ticket: Sendable {
        let id: UInt64
        /// The target's session identifying handle: never 0.
        let tsih: UInt16
    }

    private struct Entry {
        let handle: SessionHandle
        let tsih: UInt16
        /// An older session under the same key is not gone yet.
        var isWaiting: Bool
    }

    private struct State {
        /// By id; ids only grow, so a smaller one is older.
        var entries: [UInt64: Entry] = [:]
        var byKey: [SessionHandle.Key: Set<UInt64>] = [:]
        var tsihs: Set<UInt16> = []
        var lastID: UInt64 = 0
        var lastTSIH: UInt16 = 0
    }

    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())

    /// Enters a session. Older ones under the same key are told to end (RFC 7143 6.3.5); while there are any, `mayProceed` is
    /// false and the session's inbox gets `.proceed` later. nil: there is no handle left.
    func enter(_ handle: SessionHandle) -> (ticket: Ticket, mayProceed: Bool)? {
        mutex.withLock {
            guard state.value.tsihs.count < Int(UInt16.max) - 1 else { return nil }
            repeat {
                state.value.lastTSIH &+= 1
            } while state.value.lastTSIH == 0 || state.value.tsihs.contains(state.value.lastTSIH)
            state.value.lastID += 1
            let ticket = Ticket(id: state.value.lastID, tsih: state.value.lastTSIH)
            let older = state.value.byKey[handle.key] ?? []
            for id in older { state.value.entries[id]?.handle.inbox.post(.end(.reinstated)) }
            state.value.tsihs.insert(ticket.tsih)
            state.value.entries[ticket.id] = Entry(handle: handle, tsih: ticket.tsih, isWaiting: !older.isEmpty)
            state.value.byKey[handle.key, default: []].insert(ticket.id)
            return (ticket, older.isEmpty)
        }
    }

    /// The session is over: nothing of it is left.
    func leave(_ ticket: Ticket) {
        mutex.withLock {
            guard let entry = state.value.entries.removeValue(forKey: ticket.id) else { return }
            let key = entry.handle.key
            state.value.tsihs.remove(ticket.tsih)
            state.value.byKey[key]?.remove(ticket.id)
            if state.value.byKey[key]?.isEmpty == true { state.value.byKey[key] = nil }
            if let oldest = state.value.byKey[key]?.min(), state.value.entries[oldest]?.isWaiting == true {
                state.value.entries[oldest]?.isWaiting = false
                state.value.entries[oldest]?.handle.inbox.post(.proceed)
            }
            mutex.broadcast()
        }
    }

    func contains(tsih: UInt16, initiator: String, isid: UInt64, target: String) -> Bool {
        mutex.withLock {
            let ids = state.value.byKey[SessionHandle.Key(initiator: initiator, isid: isid, target: target)] ?? []
            return ids.contains { state.value.entries[$0]?.tsih == tsih }
        }
    }

    var count: Int { mutex.withLock { state.value.entries.count } }

    /// The sessions that reach one of these units, but one.
    func reaching(_ units: Set<ObjectIdentifier>, except: UInt64) -> [SessionHandle] {
        mutex.withLock {
            state.value.entries.compactMap { id, entry in
                id != except && !entry.handle.units.isDisjoint(with: units) ? entry.handle : nil
            }
        }
    }

    func all() -> [ISCSISessionInfo] {
        let entries = mutex.withLock { state.value.entries.map { ($0.key, $0.value.handle) } }
        return entries.sorted { $0.0 < $1.0 }.map { id, handle in
            ISCSISessionInfo(
                id: id, initiator: handle.key.initiator, address: handle.address, target: handle.key.target,
                since: handle.since, traffic: handle.traffic.withLock { $0 })
        }
    }

    /// Orders something of every session that fits, and answers how many these are.
    @discardableResult
    func order(_ order: ConnectionInbox.Order, where fits: (UInt64, SessionHandle) -> Bool) -> Int {
        mutex.withLock {
            let chosen = state.value.entries.filter { fits($0.key, $0.value.handle) }
            for entry in chosen.values { entry.handle.inbox.post(order) }
            return chosen.count
        }
    }

    /// Waits until no session fits any more; false if `milliseconds` were not enough.
    func waitUntilNone(milliseconds: Int?, where fits: (UInt64, SessionHandle) -> Bool) -> Bool {
        let deadline = milliseconds.map { MonotonicClock.now() + UInt64($0) * 1_000_000 }
        return mutex.withLock {
            while state.value.entries.contains(where: { fits($0.key, $0.value.handle) }) {
                guard let deadline else {
                    mutex.wait()
                    continue
                }
                let now = MonotonicClock.now()
                guard now < deadline else { return false }
                _ = mutex.wait(milliseconds: Int((deadline - now) / 1_000_000) + 1)
            }
            return true
        }
    }
}
