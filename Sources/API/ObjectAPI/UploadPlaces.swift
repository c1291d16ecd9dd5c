import Primitives

/// How many uploads each account has under way, bounded: each pins buffers of some MiB, and no account may take all of
/// the daemon's memory.
final class UploadPlaces: Sendable {
    private let mutex = PosixMutex()
    /// Only accounts that have any.
    private let counts = PosixGuarded<[Bytes: Int]>([:])
    private let perAccountMax: Int

    init(perAccountMax: Int) { self.perAccountMax = perAccountMax }

    /// nil when the account has as many as it may.
    func enter(_ account: Bytes) -> Place? {
        mutex.withLock {
            let count = counts.value[account, default: 0]
            guard count < perAccountMax else { return nil }
            counts.value[account] = count + 1
            return Place(places: self, account: account)
        }
    }

    /// One upload's place: left once, by `leave` or when nobody holds it any more.
    final class Place: Sendable {
        private let places: UploadPlaces
        private let account: Bytes
        private let isLeft = PosixGuarded(false)

        fileprivate init(places: UploadPlaces, account: Bytes) {
            self.places = places
            self.account = account
        }

        deinit { leave() }

        func leave() {
            places.mutex.withLock {
                guard !isLeft.value else { return }
                isLeft.value = true
                let count = places.counts.value[account, default: 1]
                places.counts.value[account] = count > 1 ? count - 1 : nil
            }
        }
    }
}
