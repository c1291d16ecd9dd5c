import Primitives

/// An index in memory whose crash leaves any prefix of transactions at or after the last checkpoint.
package final class SimulatedIndex: IndexStore, @unchecked Sendable {
    // SAFETY: every access is under `mutex`.
    private let mutex = PosixMutex()
    private var current = State()
    /// States that a crash may come back to, oldest first: the last checkpointed one, then each transaction since.
    private var survivors: [State]
    private var failures: [String: Int] = [:]

    struct State {
        var rows: [[UInt8]: [UInt8]] = [:]
        var sortedKeys: [[UInt8]]?
        var position: IndexPosition?
    }

    package init() { survivors = [State()] }

    private init(_ state: State) {
        current = state
        survivors = [state]
    }

    /// How many states a crash now may leave.
    package var crashStateCount: Int { mutex.withLock { survivors.count } }

    /// The index as found after a crash that kept `index` transactions since the last checkpoint.
    package func afterCrash(keeping index: Int) -> SimulatedIndex {
        mutex.withLock { SimulatedIndex(survivors[min(index, survivors.count - 1)]) }
    }

    /// The n-th call (1 is the next) of "apply" or "checkpoint" fails, and every later one.
    package func fail(_ operation: String, at count: Int) { mutex.withLock { failures[operation] = count } }

    private func mayFail(_ operation: String) throws(IndexError) {
        guard let left = failures[operation] else { return }
        if left <= 1 { throw IndexError("\(operation): simulated failure") }
        failures[operation] = left - 1
    }

    package func position() throws(IndexError) -> IndexPosition? { mutex.withLock { current.position } }

    package func apply(
        _ position: IndexPosition, _ body: (any IndexTransaction) throws(IndexError) -> Void
    ) throws(IndexError) {
        let transaction = mutex.withLock { Transaction(current) }
        try mutex.withLock { () throws(IndexError) in try mayFail("apply") }
        try body(transaction)
        mutex.withLock {
            current = transaction.state
            current.position = position
            survivors.append(current)
        }
    }

    package func checkpoint() throws(IndexError) {
        try mutex.withLock { () throws(IndexError) in
            try mayFail("checkpoint")
            survivors = [current]
        }
    }

    package func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]? { mutex.withLock { current.rows[key] } }

    package func getWithLSN(_ key: [UInt8]) throws(IndexError) -> (value: [UInt8]?, lsn: UInt64) {
        mutex.withLock { (current.rows[key], current.position?.lsn ?? 0) }
    }

    package func range(
        from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int
    ) throws(IndexError) -> (rows: [(key: [UInt8], value: [UInt8])], lsn: UInt64) {
        mutex.withLock {
            if current.sortedKeys == nil { current.sortedKeys = current.rows.keys.sorted { Bytes.compare($0, $1) < 0 } }
            let keys = current.sortedKeys!
            let lower = Self.lowerBound(keys, from)
            let upper = to.map { Self.lowerBound(keys, $0) } ?? keys.count
            guard lower < upper else { return ([], current.position?.lsn ?? 0) }
            let slice = keys[lower..<upper]
            let chosen = reverse ? Array(slice.reversed().prefix(limit)) : Array(slice.prefix(limit))
            return (chosen.map { ($0, current.rows[$0]!) }, current.position?.lsn ?? 0)
        }
    }

    package func close() {}

    private static func lowerBound(_ keys: [[UInt8]], _ key: [UInt8]) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if Bytes.compare(keys[middle], key) < 0 { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private final class Transaction: IndexTransaction {
        var state: State

        init(_ state: State) {
            self.state = state
            self.state.sortedKeys = nil
        }

        func get(_ key: [UInt8]) -> [UInt8]? { state.rows[key] }
        func range(from: [UInt8], to: [UInt8]?, limit: Int) -> [(key: [UInt8], value: [UInt8])] {
            let keys = state.rows.keys.filter { key in
                Bytes.compare(key, from) >= 0 && to.map { Bytes.compare(key, $0) < 0 } ?? true
            }
            return keys.sorted { Bytes.compare($0, $1) < 0 }.prefix(limit).map { ($0, state.rows[$0]!) }
        }
        func put(_ key: [UInt8], _ value: [UInt8]) { state.rows[key] = value }
        func delete(_ key: [UInt8]) { state.rows[key] = nil }
        func deleteRange(from: [UInt8], to: [UInt8]?) {
            for key in state.rows.keys where Bytes.compare(key, from) >= 0 {
                if let to, Bytes.compare(key, to) >= 0 { continue }
                state.rows[key] = nil
            }
        }
    }
}
