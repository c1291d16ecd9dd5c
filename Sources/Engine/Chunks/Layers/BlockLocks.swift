import Primitives

/// Who writes to which blocks of a volume: from before a write is worked out until it is applied.
///
/// Writes of whole blocks go side by side, and the log decides between two of one block. What reads a block to write it back
/// (a part of one, COMPARE AND WRITE) has its blocks to itself: a write that was acknowledged in between would be undone by
/// the old bytes around the new ones. Granted in order of arrival, so nobody waits for ever.
final class BlockLocks: Sendable {
    enum Mode: Sendable { case shared, exclusive }

    struct Hold: Sendable, Hashable {
        fileprivate let number: UInt64
    }

    private struct Entry {
        var number: UInt64
        var blocks: Range<UInt64>
        var mode: Mode
        /// nil once it is granted.
        var grant: (@Sendable (Hold) -> Void)?
    }

    private struct State {
        var next: UInt64 = 0
        /// In order of arrival, granted and waiting ones alike.
        var entries: [Entry] = []
        /// Exclusive ones, and waiting ones: while there are none, shared ones need not look.
        var special = 0
        var waiting = 0
    }

    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())

    /// The hold, if nobody is in the way.
    func tryTake(_ blocks: Range<UInt64>, _ mode: Mode) -> Hold? {
        mutex.withLock { isFree(blocks, mode) ? add(blocks, mode, nil) : nil }
    }

    /// Calls `grant` once the blocks are free: now, or on the thread that releases them. False: too many wait, and it is never
    /// called.
    func take(_ blocks: Range<UInt64>, _ mode: Mode, grant: @escaping @Sendable (Hold) -> Void) -> Bool {
        var hold: Hold?
        let isAdmitted = mutex.withLock {
            if isFree(blocks, mode) {
                hold = add(blocks, mode, nil)
                return true
            }
            guard state.value.waiting < Limits.volumeWaitersMax else { return false }
            state.value.waiting += 1
            _ = add(blocks, mode, grant)
            return true
        }
        if let hold { grant(hold) }
        return isAdmitted
    }

    private func isFree(_ blocks: Range<UInt64>, _ mode: Mode) -> Bool {
        mode == .shared && state.value.special == 0
            || !state.value.entries.contains { Self.conflict($0.blocks, $0.mode, blocks, mode) }
    }

    private func add(_ blocks: Range<UInt64>, _ mode: Mode, _ grant: (@Sendable (Hold) -> Void)?) -> Hold {
        let hold = Hold(number: state.value.next)
        state.value.next += 1
        if grant != nil || mode == .exclusive { state.value.special += 1 }
        state.value.entries.append(Entry(number: hold.number, blocks: blocks, mode: mode, grant: grant))
        return hold
    }

    func release(_ hold: Hold) {
        var granted: [(Hold, @Sendable (Hold) -> Void)] = []
        mutex.withLock {
            guard let at = state.value.entries.firstIndex(where: { $0.number == hold.number }) else {
                preconditionFailure("a block released twice")
            }
            if state.value.entries[at].mode == .exclusive { state.value.special -= 1 }
            state.value.entries.remove(at: at)
            guard state.value.waiting > 0 else { return }
            for i in state.value.entries.indices {
                guard let grant = state.value.entries[i].grant else { continue }
                let entry = state.value.entries[i]
                let isFree = !state.value.entries[..<i].contains {
                    Self.conflict($0.blocks, $0.mode, entry.blocks, entry.mode)
                }
                guard isFree else { continue }
                state.value.entries[i].grant = nil
                state.value.waiting -= 1
                if entry.mode == .shared { state.value.special -= 1 }
                granted.append((Hold(number: entry.number), grant))
            }
        }
        for (hold, grant) in granted { grant(hold) }
    }

    /// Held and waited for: none when the volume is at rest.
    var count: Int { mutex.withLock { state.value.entries.count } }

    private static func conflict(_ a: Range<UInt64>, _ aMode: Mode, _ b: Range<UInt64>, _ bMode: Mode) -> Bool {
        a.overlaps(b) && (aMode == .exclusive || bMode == .exclusive)
    }
}
