package import GRDB
import Primitives

/// A service's way to its rows: each read or write runs on a thread of the service's own, so that no task blocks.
///
/// `read` and `write` are refused (`.busy`) when `queueMax` requests wait; `settle` is for the end of work that was
/// admitted before, and never is.
package final class RecordThreads<Failure: RecordsFailure>: Sendable {
    private let records: RecordStore
    private let threads: WorkThreads

    /// - Parameter name: at most 12 bytes show in `ps -L`.
    package init(_ records: RecordStore, name: String, count: Int, queueMax: Int) {
        self.records = records
        threads = WorkThreads(name: name, count: count, queueMax: queueMax)
    }

    /// Reads one snapshot of the tables.
    package func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(Failure) -> T {
        let records = records
        return try await run { () throws(Failure) in try records.read(failing: Failure.self, body) }
    }

    /// One transaction, on the disk when this returns.
    @discardableResult
    package func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(Failure) -> T {
        let records = records
        return try await run { () throws(Failure) in try records.write(failing: Failure.self, body) }
    }

    /// As `write`, for the end of an operation that has nobody to answer.
    @discardableResult
    package func settle<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(Failure) -> T {
        let records = records
        let result: Result<T, Failure> = await withCheckedContinuation { continuation in
            threads.resume {
                continuation.resume(
                    returning: Self.outcome { () throws(Failure) in
                        try records.write(failing: Failure.self, body)
                    })
            }
        }
        return try result.get()
    }

    /// `read` on the caller's thread, which may block.
    package func readHere<T>(_ body: (Database) throws -> T) throws(Failure) -> T {
        try records.read(failing: Failure.self, body)
    }

    /// Ends the threads after what they have. The record store stays open.
    package func stop() { threads.stop() }

    private func run<T: Sendable>(_ body: @escaping @Sendable () throws(Failure) -> T) async throws(Failure) -> T {
        let result: Result<T, Failure> = await withCheckedContinuation { continuation in
            let admitted = threads.run { continuation.resume(returning: Self.outcome(body)) }
            if !admitted { continuation.resume(returning: .failure(Failure(.busy))) }
        }
        return try result.get()
    }

    private static func outcome<T>(_ body: () throws(Failure) -> T) -> Result<T, Failure> {
        do throws(Failure) {
            return .success(try body())
        } catch {
            return .failure(error)
        }
    }
}
