import Foundation
import Primitives
import Records
import Synchronization
import Testing
import VolumeDrivers

@testable import Volumes

/// A service on a folder of its own, over volumes in memory, with a clock that tests move.
final class Fixture: Sendable {
    let folder: String
    let clock: Clock
    let records: RecordStore
    let driver: MemoryVolumes
    let exporter = MemoryExports()
    let backups = MemoryBackups()
    let service: VolumeService
    private let runner: Mutex<Task<Void, Never>?>
    let ann = Asker(userID: "ann", projectID: "work", isAdmin: false, isService: false, requestID: "req-1")
    let bob = Asker(userID: "bob", projectID: "home", isAdmin: false, isService: false, requestID: "req-2")
    let admin = Asker(userID: "root", projectID: "admin", isAdmin: true, isService: false, requestID: "req-3")

    final class Clock: Sendable {
        private let microseconds = Atomic<Int64>(1_800_000_000_000_000)
        /// Every reading is a little later, so that things made after one another sort so.
        var now: Int64 { microseconds.add(1, ordering: .relaxed).newValue }
        func advance(seconds: Int64) { microseconds.add(seconds * 1_000_000, ordering: .relaxed) }
    }

    init(
        driver: MemoryVolumes = MemoryVolumes(), images: any ImageSource = NoImages(),
        change: (inout VolumeConfiguration) -> Void = { _ in }
    ) async throws {
        folder = NSTemporaryDirectory() + "apus-volumes-" + UUID().uuidString
        try PrivateFile.makeFolder(folder)
        let clock = Clock()
        self.clock = clock
        self.driver = driver
        records = try RecordStore(path: folder + "/control.db", migrations: VolumeService.migrations)
        var configuration = Self.configuration(clock)
        change(&configuration)
        service = VolumeService(
            records: records, driver: driver, exporter: exporter, images: images, backups: backups,
            configuration: configuration)
        runner = Mutex(nil)
        _ = try await service.start()
        let service = service
        runner.withLock { $0 = Task { await service.run { _ in } } }
    }

    static func configuration(_ clock: Clock) -> VolumeConfiguration {
        VolumeConfiguration(host: "host1", now: { clock.now }) { count in
            var generator = SystemRandomNumberGenerator()
            return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        }
    }

    /// Another service on the same tables and volumes, as after the daemon was killed and started again.
    func restarted() async throws -> (service: VolumeService, report: SweepReport) {
        driver.setHook(nil)
        backups.setHook(nil)
        let service = VolumeService(
            records: records, driver: driver, exporter: exporter, images: NoImages(), backups: backups,
            configuration: Self.configuration(clock))
        return (service, try await service.start())
    }

    deinit {
        runner.withLock { $0?.cancel() }
        service.stop()
        try? records.close()
        try? FileManager.default.removeItem(atPath: folder)
    }

    // MARK: The short forms that tests are written in.

    func volume(
        _ name: String = "v", size: Int = 1, for asker: Asker? = nil, _ change: (inout VolumeRequest) -> Void = { _ in }
    ) async throws -> Volume {
        var request = VolumeRequest()
        request.name = name
        request.size = size
        change(&request)
        let made = try await service.createVolume(request, for: asker ?? ann)
        await service.settle()
        return try await service.volume(made.volume.id, for: admin).volume
    }

    func status(_ id: String) async throws -> VolumeStatus {
        try await service.volume(id, for: admin).volume.status
    }

    func snapshot(_ volume: String, force: Bool = false) async throws -> Snapshot {
        let made = try await service.createSnapshot(
            SnapshotRequest(volumeID: volume, name: "s", description: nil, metadata: [:], allowsInUse: force), for: ann)
        await service.settle()
        return try await service.snapshot(made.snapshot.id, for: admin).snapshot
    }

    func isGone(_ id: String) async -> Bool {
        do {
            _ = try await service.volume(id, for: admin)
            return false
        } catch { return error == VolumeError.notFound(kind: "Volume", id: id) }
    }

    static let connector = ["initiator": "iqn.1993-08.org.debian:01:a", "host": "compute1", "ip": "10.0.0.5"]

    func attached(_ volume: String) async throws -> AttachmentDetail {
        let made = try await service.createAttachment(
            AttachmentRequest(
                volumeID: volume, instanceID: "5c0c7d1e-0000-4000-8000-000000000001", connector: Self.connector,
                mode: nil), for: ann)
        try await service.completeAttachment(made.attachment.id, for: ann)
        return try await service.attachment(made.attachment.id, for: ann)
    }
}

/// Closed until it is opened: what waits at it stands still.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiting: [CheckedContinuation<Void, Never>] = []
        var arrivals = 0
        var watching: [CheckedContinuation<Void, Never>] = []
    }
    private let state = Mutex(State())

    func wait() async {
        await withCheckedContinuation { continuation in
            let (isOpen, watching) = state.withLock { state in
                state.arrivals += 1
                if !state.isOpen { state.waiting.append(continuation) }
                defer { state.watching = [] }
                return (state.isOpen, state.watching)
            }
            for watcher in watching { watcher.resume() }
            if isOpen { continuation.resume() }
        }
    }

    /// Returns once somebody stands at it.
    func reached() async {
        await withCheckedContinuation { continuation in
            let isReached = state.withLock { state in
                if state.arrivals == 0 { state.watching.append(continuation) }
                return state.arrivals > 0
            }
            if isReached { continuation.resume() }
        }
    }

    var arrivals: Int { state.withLock { $0.arrivals } }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for waiter in waiting { waiter.resume() }
    }
}

/// The error that the body throws, if it is of the service's.
func refusal(_ body: () async throws -> Void) async -> VolumeError? {
    do {
        try await body()
        return nil
    } catch { return error as? VolumeError }
}

extension VolumeError {
    var isInvalid: Bool { if case .invalid = self { true } else { false } }
    var isQuota: Bool { if case .quota = self { true } else { false } }
    var isConflict: Bool { if case .conflict = self { true } else { false } }
    var isNotFound: Bool { if case .notFound = self { true } else { false } }
}
