private import Glibc
private import Synchronization

/// A moment in units of 10 microseconds since 1970, the resolution of the Object API's `X-Timestamp`.
package struct Timestamp: Sendable, Hashable, Comparable, CustomStringConvertible {
    package var ticks: Int64

    package init(ticks: Int64) { self.ticks = ticks }
    package static func < (a: Timestamp, b: Timestamp) -> Bool { a.ticks < b.ticks }

    package static let zero = Timestamp(ticks: 0)
    package static let ticksPerSecond: Int64 = 100_000

    package var wholeSeconds: Int64 { ticks / Self.ticksPerSecond }
    /// Seconds rounded up: what `Last-Modified` shows (object-api.md 1.7).
    package var secondsRoundedUp: Int64 { (ticks + Self.ticksPerSecond - 1) / Self.ticksPerSecond }

    /// `%016.5f`, e.g. `1401379842.14643`. Moments before 1970, which no clock of ours gives, show as zero.
    package var description: String {
        let ticks = UInt64(max(0, self.ticks))
        let wholeDigits = max(10, Self.digitCount(ticks / UInt64(Self.ticksPerSecond)))
        return unsafe String(unsafeUninitializedCapacity: wholeDigits + 6) { out in
            var rest = ticks
            var i = wholeDigits + 5
            while i >= 0 {
                if i == wholeDigits {
                    unsafe out[i] = UInt8(ascii: ".")
                } else {
                    unsafe out[i] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                    rest /= 10
                }
                i -= 1
            }
            return wholeDigits + 6
        }
    }

    private static func digitCount(_ number: UInt64) -> Int {
        var count = 1
        var rest = number / 10
        while rest > 0 {
            count += 1
            rest /= 10
        }
        return count
    }
}

/// Hands out strictly increasing timestamps: two writes in one process never share one.
package final class TimestampClock: Sendable {
    private let last = Atomic<Int64>(0)
    private let wallTicks: @Sendable () -> Int64

    /// - Parameter wallTicks: the wall clock in units of 10 µs; tests pass their own.
    package init(wallTicks: @escaping @Sendable () -> Int64 = TimestampClock.systemTicks) {
        self.wallTicks = wallTicks
    }

    package func next() -> Timestamp {
        let now = wallTicks()
        var seen = last.load(ordering: .relaxed)
        while true {
            let candidate = max(now, seen + 1)
            let (exchanged, original) = last.compareExchange(
                expected: seen, desired: candidate, ordering: .relaxed)
            if exchanged { return Timestamp(ticks: candidate) }
            seen = original
        }
    }

    /// Never goes below what the store has already seen (call once after recovery).
    package func advance(past timestamp: Timestamp) {
        var seen = last.load(ordering: .relaxed)
        while seen < timestamp.ticks {
            let (exchanged, original) = last.compareExchange(
                expected: seen, desired: timestamp.ticks, ordering: .relaxed)
            if exchanged { return }
            seen = original
        }
    }

    package static func systemTicks() -> Int64 {
        var now = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec) * 100_000 + Int64(now.tv_nsec) / 10_000
    }
}
