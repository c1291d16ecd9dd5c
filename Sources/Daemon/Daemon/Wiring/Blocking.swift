private import Primitives

/// Runs work that blocks on a thread of its own, so that Swift's cooperative pool never waits for a disk: for the few
/// long calls of start and stop. Requests have threads that are counted.
package enum Blocking {
    package static func run<T: Sendable>(_ name: String, _ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            startThread(name: name) { continuation.resume(with: Result(catching: body)) }
        }
    }
}
