import GRDB
import Primitives
package import Records
private import Synchronization
package import VolumeDrivers

/// Volumes, their snapshots, types, groups, quotas and attachments: the rules, the state machines and the rows.
///
/// Every function may be called from any task: rows are read and written on threads of the service's own, the driver
/// is asked by operations that outlive the request. `start` comes first, then `run` must be running for as long as
/// requests are answered.
///
/// The order of things, which the sweeper relies on: a row `creating` is written before the driver makes anything, and
/// is removed after the driver has deleted. So whatever a crash leaves is a row in a transient state, which says what
/// was going on, or something of the driver's that no row ever named, which nobody deletes.
package final class VolumeService: Sendable {
    package let configuration: VolumeConfiguration
    package let driver: any VolumeDriver
    package let exporter: any VolumeExporter
    let images: any ImageSource
    let backups: any BackupStore
    let backupSlots = BackupSlots()
    /// Backups and restores take hours: they end when the service does, and the next start's sweep tells how.
    private let stopping = Atomic(false)
    var isStopping: Bool { stopping.load(ordering: .relaxed) }
    let operations = Operations()
    /// Percent, of volumes that are `downloading`.
    let downloads = PosixLocked<[String: Int]>([:])
    private let records: RecordStore
    private let threads: WorkThreads

    /// - Parameter records: opened with `VolumeService.migrations` among its migrations.
    package init(
        records: RecordStore, driver: any VolumeDriver, exporter: any VolumeExporter, images: any ImageSource,
        backups: any BackupStore = NoBackups(), configuration: VolumeConfiguration
    ) {
        self.records = records
        self.driver = driver
        self.exporter = exporter
        self.images = images
        self.backups = backups
        self.configuration = configuration
        threads = WorkThreads(name: "volumes", count: Limits.workThreads, queueMax: Limits.workQueueMax)
    }

    /// Makes what every installation has, brings interrupted operations to an end, and opens the attachments'
    /// targets again. Before the first request.
    package func start() async throws(VolumeError) -> SweepReport {
        try await seed()
        var report = try await sweep()
        report.reopened = try await reopenExports()
        return report
    }

    /// Carries operations out, and sweeps, until cancelled; then waits for the operations under way.
    ///
    /// - Parameter report: takes what each sweep did, if it did anything, or why it could not.
    package func run(report: @escaping @Sendable (Result<SweepReport, VolumeError>) -> Void) async {
        await withTaskCancellationHandler {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.operations.run() }
                group.addTask { await self.sweepRegularly(report) }
            }
        } onCancel: {
            stopping.store(true, ordering: .relaxed)
            operations.finish()
        }
    }

    /// Returns when no operation is under way.
    package func settle() async { await operations.settle() }

    /// Ends the threads after what they have. The record store stays open: it is the daemon's.
    package func stop() {
        stopping.store(true, ordering: .relaxed)
        operations.finish()
        threads.stop()
    }

    // MARK: What the rest of the service reads and writes with.

    var now: Int64 { configuration.now() }

    /// A random UUID.
    package func newID() -> String {
        var bytes = configuration.randomBytes(16)
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let hex = hexText(bytes)
        var out = ""
        for (index, digit) in hex.enumerated() {
            if [8, 12, 16, 20].contains(index) { out.append("-") }
            out.append(digit)
        }
        return out
    }

    func hexText(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// Reads one snapshot of the tables, on a thread of the service's.
    func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(VolumeError) -> T {
        let records = records
        return try await onThread { () throws(VolumeError) in try records.read(failing: VolumeError.self, body) }
    }

    /// The same on the caller's thread, which may block.
    func readHere<T>(_ body: @escaping @Sendable (Database) throws -> T) throws(VolumeError) -> T {
        try records.read(failing: VolumeError.self, body)
    }

    /// One transaction, on the disk when this returns.
    @discardableResult
    func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(VolumeError) -> T {
        let records = records
        return try await onThread { () throws(VolumeError) in try records.write(failing: VolumeError.self, body) }
    }

    /// For the end of an operation, which was admitted before and has nobody to answer: never refused for a queue.
    @discardableResult
    func settle<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(VolumeError) -> T {
        let records = records
        let result: Result<T, VolumeError> = await withCheckedContinuation { continuation in
            threads.resume {
                continuation.resume(
                    returning: Self.outcome { () throws(VolumeError) in
                        try records.write(failing: VolumeError.self, body)
                    })
            }
        }
        return try result.get()
    }

    private func onThread<T: Sendable>(
        _ body: @escaping @Sendable () throws(VolumeError) -> T
    ) async throws(VolumeError) -> T {
        let result: Result<T, VolumeError> = await withCheckedContinuation { continuation in
            let admitted = threads.run { continuation.resume(returning: Self.outcome(body)) }
            if !admitted { continuation.resume(returning: .failure(.busy)) }
        }
        return try result.get()
    }

    private static func outcome<T>(_ body: () throws(VolumeError) -> T) -> Result<T, VolumeError> {
        do throws(VolumeError) {
            return .success(try body())
        } catch {
            return .failure(error)
        }
    }
}
