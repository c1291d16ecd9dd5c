private import Crypto
import Primitives

/// Tokens that were just validated, by the SHA-256 of their text, so that the tokens themselves are kept nowhere.
///
/// A hit holds one mutex for a dictionary look-up. Entries end with the token, after `Limits.cacheSecondsMax`, and all
/// at once when any table that validation reads is written.
final class TokenCache: Sendable {
    fileprivate struct Digest: Hashable {
        var a: UInt64
        var b: UInt64
        var c: UInt64
        var d: UInt64

        // The parts are uniform and the attacker can't choose them: one of them is hash enough.
        func hash(into hasher: inout Hasher) { hasher.combine(a) }
    }

    /// A class, so that a look-up retains one object and not each string of what it found.
    fileprivate final class Entry: Sendable {
        let info: TokenInfo
        let caller: Caller
        let storedAt: Int64
        let until: Int64

        init(info: TokenInfo, storedAt: Int64, until: Int64) {
            self.info = info
            caller = info.caller
            self.storedAt = storedAt
            self.until = until
        }
    }

    fileprivate struct State {
        var entries: [Digest: Entry] = [:]
        var generation: UInt64 = 0
    }

    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())

    func caller(_ token: String, now: Int64) -> Caller? { entry(token, now: now)?.caller }
    func info(_ token: String, now: Int64) -> TokenInfo? { entry(token, now: now)?.info }

    /// Read before the tables are, and handed to `store`.
    var generation: UInt64 { mutex.withLock { state.value.generation } }

    /// Remembers a validation, unless a write came between it and the reading of `generation`.
    func store(_ token: String, _ info: TokenInfo, generation: UInt64, now: Int64) {
        let key = Self.digest(token)
        let until = min(info.expiresAt, now + Limits.cacheSecondsMax)
        let entry = Entry(info: info, storedAt: now, until: until)
        var discarded: [Digest: Entry] = [:]
        mutex.withLock {
            guard state.value.generation == generation else { return }
            if state.value.entries.count >= Limits.cachedTokensMax {
                // Entries live for seconds: starting afresh costs less than an order of use would.
                swap(&discarded, &state.value.entries)
            }
            state.value.entries[key] = entry
        }
    }

    /// Forgets everything: after each committed write, before its caller hears of it.
    func drop() {
        var discarded: [Digest: Entry] = [:]
        mutex.withLock {
            state.value.generation &+= 1
            swap(&discarded, &state.value.entries)
        }
    }

    private func entry(_ token: String, now: Int64) -> Entry? {
        guard token.utf8.count <= Limits.tokenBytesMax else { return nil }
        let key = Self.digest(token)
        guard let entry = mutex.withLock({ state.value.entries[key] }) else { return nil }
        // A clock that was set back must not lengthen an entry's life.
        guard now < entry.until, now >= entry.storedAt else { return nil }
        return entry
    }

    private static func digest(_ token: String) -> Digest {
        var token = token
        var hasher = SHA256()
        token.withUTF8 { unsafe hasher.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        return unsafe hasher.finalize().withUnsafeBytes { raw in
            unsafe Digest(
                a: raw.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
                b: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                c: raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
                d: raw.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
        }
    }
}
