import Chunks
import Primitives

/// The two index copies of a simulated store, with their whole history, so that a crash at any moment of the
/// disk's log can choose among the states that each copy may be in then.
final class RigIndexes: IndexOpener, @unchecked Sendable {
    // SAFETY: every access is under `mutex`.
    private let mutex = PosixMutex()
    private var histories: [IndexHistory]
    private var lost: Set<Int> = []
    let copies: Int

    init(copies: Int, clock: @escaping @Sendable () -> Int) {
        self.copies = copies
        histories = (0..<copies).map { _ in IndexHistory(clock: clock) }
    }

    private init(_ histories: [IndexHistory], lost: Set<Int>) {
        self.histories = histories
        copies = histories.count
        self.lost = lost
    }

    func open(copy: Int) throws(IndexError) -> any IndexStore {
        try mutex.withLock { () throws(IndexError) in
            if lost.contains(copy) { throw IndexError("copy \(copy) does not open") }
            return RigIndex(histories[copy])
        }
    }

    func setAside(copy: Int) throws(IndexError) {
        mutex.withLock {
            lost.remove(copy)
            histories[copy] = IndexHistory(clock: histories[copy].clock)
        }
    }

    /// The copy does not open until it is put aside.
    func lose(_ copy: Int) { mutex.withLock { _ = lost.insert(copy) } }

    var hasLost: Bool { mutex.withLock { !lost.isEmpty } }

    func history(_ copy: Int) -> IndexHistory { mutex.withLock { histories[copy] } }

    /// The n-th apply or checkpoint of a copy from now (0 is the next) fails, and every later one.
    func fail(_ call: IndexHistory.Call, copy: Int, at index: Int) { history(copy).fail(call, at: index) }

    enum Choice: CaseIterable, Sendable {
        case newest, oldest, oldestFirst, oldestSecond
    }

    /// The copies as a crash at this point of the disk's log leaves them.
    func afterCrash(at cut: Int, _ choice: Choice, clock: @escaping @Sendable () -> Int) -> RigIndexes {
        RigIndexes(
            (0..<copies).map { copy in
                let states = history(copy).states(at: cut)
                let old = choice == .oldest || choice == (copy == 0 ? .oldestFirst : .oldestSecond)
                return IndexHistory(clock: clock, old ? states.first! : states.last!)
            }, lost: [])
    }

    /// Whether a crash there leaves any choice.
    func isCertain(at cut: Int) -> Bool { (0..<copies).allSatisfy { history($0).states(at: cut).count == 1 } }

    /// A copy of the present state, all of it certain.
    func fork(clock: @escaping @Sendable () -> Int) -> RigIndexes {
        RigIndexes((0..<copies).map { IndexHistory(clock: clock, history($0).current) }, lost: [])
    }
}

/// One copy: its present state, and each state that it went through, stamped with the disk's operation count.
final class IndexHistory: @unchecked Sendable {
    // SAFETY: every access is under `mutex`.
    enum Call: Hashable, Sendable { case apply, checkpoint }

    struct State: Sendable {
        var rows: [[UInt8]: [UInt8]] = [:]
        var position: IndexPosition?
    }

    let mutex = PosixMutex()
    let clock: @Sendable () -> Int
    private var state: State
    private var events: [(cut: Int, state: State, isCheckpoint: Bool)]
    private var failures: [Call: Int] = [:]
    private var sorted: [[UInt8]]?
    private var isGateClosed = false

    init(clock: @escaping @Sendable () -> Int, _ state: State = State()) {
        self.clock = clock
        self.state = state
        events = [(-1, state, true)]
    }

    var current: State { mutex.withLock { state } }

    func fail(_ call: Call, at index: Int) { mutex.withLock { failures[call] = index } }

    /// Any prefix of the transactions at or after the last checkpoint that had certainly happened.
    func states(at cut: Int) -> [State] {
        mutex.withLock {
            let past = events.filter { $0.cut <= cut }
            let from = past.lastIndex { $0.isCheckpoint && $0.cut < cut } ?? 0
            var result: [State] = []
            for event in past[from...] where result.last?.position != event.state.position || result.isEmpty {
                result.append(event.state)
            }
            return result
        }
    }

    func strike(_ call: Call) throws(IndexError) {
        try mutex.withLock { () throws(IndexError) in
            guard let left = failures[call] else { return }
            if left <= 0 { throw IndexError("\(call): simulated failure") }
            failures[call] = left - 1
        }
    }

    /// Holds every transaction until it is opened.
    func close(gate: Bool) {
        mutex.withLock {
            isGateClosed = gate
            mutex.broadcast()
        }
    }

    func passGate() {
        mutex.lock()
        while isGateClosed { mutex.wait() }
        mutex.unlock()
    }

    func commit(_ new: State) {
        let cut = clock()
        mutex.withLock {
            state = new
            sorted = nil
            events.append((cut, new, false))
        }
    }

    func checkpoint() {
        let cut = clock()
        mutex.withLock { events.append((cut, state, true)) }
    }

    func range(from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int) -> (
        rows: [(key: [UInt8], value: [UInt8])], lsn: UInt64
    ) {
        mutex.withLock {
            if sorted == nil { sorted = state.rows.keys.sorted { Bytes.compare($0, $1) < 0 } }
            var keys = sorted!.filter { key in
                Bytes.compare(key, from) >= 0 && (to.map { Bytes.compare(key, $0) < 0 } ?? true)
            }
            if reverse { keys.reverse() }
            return (keys.prefix(limit).map { ($0, state.rows[$0]!) }, state.position?.lsn ?? 0)
        }
    }
}

/// An open copy.
final class RigIndex: IndexStore {
    private let history: IndexHistory
    init(_ history: IndexHistory) { self.history = history }

    func position() throws(IndexError) -> IndexPosition? { history.current.position }

    func apply(
        _ position: IndexPosition, _ body: (any IndexTransaction) throws(IndexError) -> Void
    ) throws(IndexError) {
        history.passGate()
        try history.strike(.apply)
        let transaction = Transaction(history.current)
        try body(transaction)
        transaction.state.position = position
        history.commit(transaction.state)
    }

    func checkpoint() throws(IndexError) {
        try history.strike(.checkpoint)
        history.checkpoint()
    }

    func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]? { history.current.rows[key] }

    func getWithLSN(_ key: [UInt8]) throws(IndexError) -> (value: [UInt8]?, lsn: UInt64) {
        let state = history.current
        return (state.rows[key], state.position?.lsn ?? 0)
    }

    func range(
        from: [UInt8], to: [UInt8]?, reverse: Bool, limit: Int
    ) throws(IndexError) -> (rows: [(key: [UInt8], value: [UInt8])], lsn: UInt64) {
        history.range(from: from, to: to, reverse: reverse, limit: limit)
    }

    func close() {}

    private final class Transaction: IndexTransaction {
        var state: IndexHistory.State
        init(_ state: IndexHistory.State) { self.state = state }
        func get(_ key: [UInt8]) throws(IndexError) -> [UInt8]? { state.rows[key] }
        func range(from: [UInt8], to: [UInt8]?, limit: Int) throws(IndexError) -> [(key: [UInt8], value: [UInt8])] {
            let keys = state.rows.keys.filter { key in
                Bytes.compare(key, from) >= 0 && to.map { Bytes.compare(key, $0) < 0 } ?? true
            }
            return keys.sorted { Bytes.compare($0, $1) < 0 }.prefix(limit).map { ($0, state.rows[$0]!) }
        }
        func put(_ key: [UInt8], _ value: [UInt8]) throws(IndexError) { state.rows[key] = value }
        func delete(_ key: [UInt8]) throws(IndexError) { state.rows[key] = nil }
        func deleteRange(from: [UInt8], to: [UInt8]?) throws(IndexError) {
            for key in state.rows.keys where Bytes.compare(key, from) >= 0 {
                if let to, Bytes.compare(key, to) >= 0 { continue }
                state.rows[key] = nil
            }
        }
    }
}
