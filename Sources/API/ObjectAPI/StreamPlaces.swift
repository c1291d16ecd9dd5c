import Synchronization

/// How many GETs are streaming. A few may read far ahead of their clients, which is what a large file's speed needs; when
/// there are many, each holds one frame, so that clients who take nothing can't fill the daemon's memory.
final class StreamPlaces: Sendable {
    /// Streams that read ahead in large batches: together at most a quarter of a gigabyte.
    static let wideMax = 64

    private let count = Atomic<Int>(0)

    var isCrowded: Bool { count.load(ordering: .relaxed) > Self.wideMax }
    func enter() { count.add(1, ordering: .relaxed) }
    func leave() { count.subtract(1, ordering: .relaxed) }
}
