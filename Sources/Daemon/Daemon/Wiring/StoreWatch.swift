private import Chunks
import Logging
private import Synchronization

/// Says in the log when a store stops taking writes, or takes them again: once for each change, not for each request.
struct StoreWatch: Sendable {
    static let interval = Duration.seconds(2)

    /// What is wrong, of what an operator has to know.
    struct Condition: Equatable, Sendable {
        var readOnly: String?
        var refusesUploads = false
        var secondIndexFailed = false
        var leadingIndexDamaged = false
    }

    static func part(_ stores: Stores, logger: Logger) -> Repeating {
        let last = LastCondition()
        return Repeating(description: "watch", interval: interval) {
            let status = stores.store.status()
            let now = Condition(
                readOnly: status.readOnly.map(StatusReport.explain), refusesUploads: status.refusesUserWrites,
                secondIndexFailed: status.secondIndexFailed, leadingIndexDamaged: status.leadingIndexDamaged)
            for (level, message, facts) in changes(from: last.swap(now), to: now) {
                logger.log(level: level, message, metadata: facts)
            }
        }
    }

    /// The lines that a change is worth.
    static func changes(
        from old: Condition, to new: Condition
    ) -> [(Logger.Level, Logger.Message, Logger.Metadata)] {
        var lines: [(Logger.Level, Logger.Message, Logger.Metadata)] = []
        if let reason = new.readOnly, reason != old.readOnly {
            lines.append((.critical, "the store takes no writes", ["reason": "\(reason)"]))
        }
        if new.readOnly == nil, new.refusesUploads != old.refusesUploads {
            lines.append(
                new.refusesUploads
                    ? (.error, "the store is full: uploads get 507, deletes still work", [:])
                    : (.notice, "the store has room again", [:]))
        }
        if new.secondIndexFailed, !old.secondIndexFailed {
            lines.append((.error, "the second copy of the index can't be written; the first one serves", [:]))
        }
        if new.leadingIndexDamaged, !old.leadingIndexDamaged {
            lines.append(
                (.error, "a copy of the index is damaged; the other one serves, and a restart makes it again", [:]))
        }
        return lines
    }

    private final class LastCondition: Sendable {
        private let value = Mutex(Condition())
        func swap(_ new: Condition) -> Condition {
            value.withLock { old in
                defer { old = new }
                return old
            }
        }
    }
}
