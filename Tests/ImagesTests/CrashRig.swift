import Foundation
import GRDB
import Primitives
import Records
import Synchronization
import Testing

@testable import Images

/// What a crash would leave: the rows and the bytes at one moment.
struct Picture: Sendable {
    var database: String
    var bytes: [String: [UInt8]]
}

/// A service of which a picture is taken behind every transaction and every change of its bytes, so that each may then be
/// started from: all that a crash can leave.
final class CrashRig: TransactionObserver, Sendable {
    let folder: String
    let store = MemoryImages()
    let service: ImageService
    /// Called in the middle of what is fetched.
    let meanwhile: Meanwhile

    typealias Meanwhile = Mutexed<(@Sendable () async throws -> Void)?>
    final class Mutexed<Value: Sendable>: Sendable {
        let value: Mutex<Value>
        init(_ value: Value) { self.value = Mutex(value) }
    }
    private let records: RecordStore
    private let runner: Mutex<Task<Void, Never>?>
    private let pictures = Mutex<[Picture]>([])
    private let isTaking = Atomic(false)
    private let failures = Mutex<[String]>([])
    static let web: [UInt8] = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    static let disk: [UInt8] = (0..<9_216).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 1) }
    static let ann = ImageAsker(
        userID: "ann", projectID: "work", roles: ["admin", "member", "reader"], isService: false, requestID: "req-1")

    init() async throws {
        folder = NSTemporaryDirectory() + "apus-crash-" + UUID().uuidString
        try PrivateFile.makeFolder(folder)
        records = try RecordStore(path: folder + "/control.db", migrations: ImageService.migrations)
        let hook = Mutex<(@Sendable () -> Void)?>(nil)
        let step: @Sendable () -> Void = { hook.withLock { $0 }?() }
        meanwhile = Meanwhile(nil)
        service = Self.service(records, store, meanwhile, step)
        runner = Mutex(nil)
        try await service.start()
        let service = service
        runner.withLock { $0 = Task { await service.run() } }
        let picture: @Sendable () -> Void = { [weak self] in self?.take() }
        hook.withLock { $0 = picture }
        store.setHook(picture)
        // The observer lives as long as the connection, which this rig closes.
        try await service.write { [self] db in db.add(transactionObserver: self, extent: .databaseLifetime) }
    }

    private static func service(
        _ records: RecordStore, _ store: MemoryImages, _ meanwhile: Meanwhile, _ step: @escaping @Sendable () -> Void
    ) -> ImageService {
        let clock = Atomic<Int64>(1_800_000_000)
        var configuration = ImageConfiguration(now: { clock.add(1, ordering: .relaxed).newValue }) { count in
            var generator = SystemRandomNumberGenerator()
            return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        }
        configuration.stores = ["chunks", "more"]
        configuration.importMethods = ["glance-direct", "glance-download", "copy-image", "web-download"]
        return ImageService(
            records: records, store: store, web: SteppedWeb(bytes: web, meanwhile: meanwhile, step: step),
            converter: MemoryConverter(sample: disk, hook: step), configuration: configuration)
    }

    /// Takes pictures of what the body does, and of what it leaves going on.
    func watch(_ body: () async throws -> Void) async throws -> [Picture] {
        isTaking.store(true, ordering: .sequentiallyConsistent)
        try await body()
        await service.settle()
        take()
        isTaking.store(false, ordering: .sequentiallyConsistent)
        #expect(failures.withLock { $0 } == [])
        return pictures.withLock { $0 }
    }

    private func take() {
        guard isTaking.load(ordering: .sequentiallyConsistent) else { return }
        pictures.withLock { pictures in
            let path = "\(folder)/picture-\(pictures.count).db"
            do {
                // From a connection of its own: what is committed, as a start would find it.
                let source = try DatabaseQueue(path: folder + "/control.db")
                try source.writeWithoutTransaction { try $0.execute(sql: "VACUUM INTO ?", arguments: [path]) }
                try source.close()
                pictures.append(Picture(database: path, bytes: store.contents))
            } catch {
                failures.withLock { $0.append("\(error)") }
            }
        }
    }

    /// The service as it starts from there.
    func started(
        from picture: Picture, _ body: (ImageService, MemoryImages) async throws -> Void
    ) async throws {
        let store = MemoryImages(picture.bytes)
        let records = try RecordStore(path: picture.database, migrations: ImageService.migrations)
        let service = Self.service(records, store, Meanwhile(nil)) {}
        try await service.start()
        let runner = Task { await service.run() }
        try await body(service, store)
        runner.cancel()
        await runner.value
        service.stop()
        try records.close()
    }

    func end() async throws {
        runner.withLock { $0 }?.cancel()
        await runner.withLock { $0 }?.value
        service.stop()
        try records.close()
        try FileManager.default.removeItem(atPath: folder)
    }

    // MARK: TransactionObserver

    func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool { true }
    func databaseDidChange(with event: DatabaseEvent) {}
    func databaseDidCommit(_ db: Database) { take() }
    func databaseDidRollback(_ db: Database) {}
}

/// Serves the same bytes for every address, with a step in the middle.
private struct SteppedWeb: WebSource {
    let bytes: [UInt8]
    let meanwhile: CrashRig.Meanwhile
    let step: @Sendable () -> Void

    func check(_ address: String) throws(ImageError) {}

    func fetch(_ address: String, into intake: WebIntake) async throws(ImageError) {
        step()
        do { try await meanwhile.value.withLock { $0 }?() } catch { throw .storage("\(error)") }
        for half in [bytes[..<(bytes.count / 2)], bytes[(bytes.count / 2)...]] {
            var left = half
            while !left.isEmpty {
                try await intake.makeRoom()
                left = left.dropFirst(left.withUnsafeBytes { intake.take($0) })
            }
            step()
        }
    }
}

/// Runs something asynchronous once, from a thread that waits for it.
final class PosixOnce: Sendable {
    private let isDone = Atomic(false)
    private let caught = Mutex<String?>(nil)
    var failure: String? { caught.withLock { $0 } }

    func run(_ body: @escaping @Sendable () async throws -> Void) {
        guard !isDone.exchange(true, ordering: .sequentiallyConsistent) else { return }
        let ended = DispatchSemaphore(value: 0)
        Task {
            do { try await body() } catch { caught.withLock { $0 = "\(error)" } }
            ended.signal()
        }
        ended.wait()
    }
}
