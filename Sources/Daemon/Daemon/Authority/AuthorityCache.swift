private import Crypto
import Primitives

/// What an outside Identity service said of tokens, by the SHA-256 of their text: the tokens themselves are kept nowhere.
///
/// Known and refused tokens have tables of their own, so that nobody pushes out callers with tokens that are made up.
final class AuthorityCache: Sendable {
    struct Digest: Hashable, Sendable {
        private let a, b, c, d: UInt64

        init(_ token: String) {
            var token = token
            var hasher = SHA256()
            token.withUTF8 { unsafe hasher.update(bufferPointer: UnsafeRawBufferPointer($0)) }
            (a, b, c, d) = unsafe hasher.finalize().withUnsafeBytes { raw in
                unsafe (
                    raw.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
                    raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                    raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
                    raw.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
                )
            }
        }

        // The parts are uniform and the attacker can't choose them: one of them is hash enough.
        func hash(into hasher: inout Hasher) { hasher.combine(a) }
    }

    enum Verdict: Sendable, Equatable {
        case known(Caller)
        /// Unknown, expired, revoked, or good only under conditions that can't be checked here.
        case refused
    }

    private struct State {
        var known: TwoGenerations<Digest, (caller: Caller, until: UInt64)>
        var refused: TwoGenerations<Digest, UInt64>
    }

    private let clock: AuthorityClock
    private let knownNanoseconds: UInt64
    private let state: PosixLocked<State>

    init(seconds: Int, clock: AuthorityClock, knownMax: Int, refusedMax: Int) {
        self.clock = clock
        knownNanoseconds = UInt64(seconds) * 1_000_000_000
        state = PosixLocked(
            State(known: TwoGenerations(countMax: knownMax), refused: TwoGenerations(countMax: refusedMax)))
    }

    /// nil: not remembered, or not any more.
    func verdict(_ key: Digest) -> Verdict? {
        let now = clock.nanoseconds()
        return state.withLock { state in
            if let entry = state.known[key] {
                guard now < entry.until, clock.seconds() < entry.caller.expiresAt else { return nil }
                return .known(entry.caller)
            }
            guard let until = state.refused[key], now < until else { return nil }
            return .refused
        }
    }

    func store(_ key: Digest, _ verdict: Verdict) {
        let now = clock.nanoseconds()
        state.withLock { state in
            switch verdict {
            case .known(let caller): state.known.insert(key, (caller, now + knownNanoseconds))
            case .refused:
                state.known.remove(key)
                state.refused.insert(key, now + UInt64(AuthorityLimits.refusedSeconds) * 1_000_000_000)
            }
        }
    }

    /// Entries at the moment, good or past: for tests.
    var count: Int { state.withLock { $0.known.count + $0.refused.count } }
}

/// The time of day, for what tokens say of themselves, and a clock that nobody sets, for how long something is remembered.
struct AuthorityClock: Sendable {
    var seconds: @Sendable () -> Int64
    var nanoseconds: @Sendable () -> UInt64

    static let system = AuthorityClock(
        seconds: { TimestampClock.systemTicks() / Timestamp.ticksPerSecond }, nanoseconds: MonotonicClock.now)
}

/// A dictionary with a bound that keeps what was inserted last: when the younger half is full, the older one goes.
struct TwoGenerations<Key: Hashable, Value> {
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]
    private let halfMax: Int

    /// - Parameter countMax: of both halves together; at least the younger half of it is kept.
    init(countMax: Int) { halfMax = max(1, countMax / 2) }

    var count: Int { young.count + old.count }

    subscript(key: Key) -> Value? { young[key] ?? old[key] }

    mutating func insert(_ key: Key, _ value: Value) {
        if young.count >= halfMax, young[key] == nil {
            old = young
            young = [:]
        }
        young[key] = value
    }

    mutating func remove(_ key: Key) {
        young[key] = nil
        old[key] = nil
    }
}
