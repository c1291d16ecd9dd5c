private import Logging
import ServiceLifecycle

/// One part of the running daemon: it was started before the group runs, and only waits to be stopped. The group
/// stops parts in the reverse of the order they are listed in, one after the other.
struct Part: Service, CustomStringConvertible {
    let description: String
    private let stop: @Sendable () async throws -> Void

    init(_ name: String, stop: @escaping @Sendable () async throws -> Void) {
        description = name
        self.stop = stop
    }

    func run() async throws {
        do {
            try await gracefulShutdown()
        } catch is CancellationError {
            // Another part failed: this one still has to be put away in order.
        }
        try await stop()
    }
}

/// Repeats work while the daemon runs. A failure is its own affair: it says so and tries again the next time.
struct Repeating: Service, CustomStringConvertible {
    let description: String
    let interval: Duration
    let work: @Sendable () async -> Void

    func run() async throws {
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            await work()
            do {
                try await cancelWhenGracefulShutdown { [interval] in try await Task.sleep(for: interval) }
            } catch is CancellationError {
                return
            }
        }
    }
}
