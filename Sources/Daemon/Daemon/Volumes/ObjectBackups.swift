import Chunks
private import NIOCore
import Objects
import Primitives
import VolumeDrivers
import Volumes

/// Backups' objects in the object service: in a container of the project's account, where its users see them.
///
/// It asks as an administrator of all accounts, within this process; no token is made. Its threads are its own, so that
/// a backup neither waits for the requests of clients nor keeps them waiting, and is carried on while listeners stop.
struct ObjectBackups: BackupStore {
    /// What records of exported backups call a driver that keeps its objects so; clients look for this name.
    let driverName = "cinder.backup.drivers.swift.SwiftBackupDriver"
    private let service: ObjectService
    private let threads: WorkThreads
    private let requester: Requester
    private let accountPrefix: String

    private static let queueMax = 1_024

    /// - Parameters:
    ///   - store: as for `ObjectService`.
    ///   - clock: of all who write to the store.
    init(store: @escaping @Sendable (ObjectPath) -> ChunkStore, clock: TimestampClock) {
        threads = WorkThreads(name: "backup", count: 2 * System.coreCount, queueMax: Self.queueMax)
        let configuration = ObjectServiceConfiguration()
        accountPrefix = configuration.resellerPrefix
        service = ObjectService(configuration: configuration, store: store, clock: clock, workThreads: threads)
        let itself = Caller.Named(id: "volume-backups", name: "volume-backups")
        requester = Requester(
            caller: Caller(
                user: itself, userDomain: itself, project: nil, projectDomain: nil, domain: nil,
                isSystemScoped: true, roles: [configuration.resellerAdminRole], expiresAt: .max), referer: nil)
    }

    /// Behind the volume service: nobody asks any more.
    func stop() { threads.stop() }

    private func path(_ place: BackupPlace, _ name: String? = nil) -> ObjectPath {
        ObjectPath(
            account: Bytes(accountPrefix + place.projectID), container: Bytes(place.container),
            object: name.map { Bytes($0) })
    }

    func prepare(_ place: BackupPlace) async throws(DriverError) {
        let path = path(place)
        do throws(ObjectError) {
            _ = try await outcome {
                service.putContainer(path, requester, headers: [], sink: InlineSink.shared, completion: $0)
            }
        } catch {
            throw Self.failure(error, "container \(place.container)")
        }
    }

    func write(_ name: String, in place: BackupPlace) async throws(DriverError) -> any BackupObjectWriter {
        let path = path(place, name)
        guard path.object.map({ $0.count <= ObjectLimits.objectNameBytesMax }) == true else {
            throw .invalid("the name of \(name.prefix(64))... is too long")
        }
        let room = Room()
        let result: Result<any ObjectPut, ObjectError> = await withCheckedContinuation { continuation in
            service.beginPut(
                path, requester, headers: [("Content-Type", "application/octet-stream")], declaredLength: nil,
                sink: InlineSink.shared, onReady: { room.open() },
                completion: { continuation.resume(returning: $0) })
        }
        switch result {
        case .success(let put): return Writer(name: name, put: put, room: room)
        case .failure(let error): throw Self.failure(error, name)
        }
    }

    func open(_ name: String, in place: BackupPlace) async throws(DriverError) -> any BackupObjectReader {
        let (service, requester, path) = (service, requester, path(place, name))
        let opened = try await run(name) { () throws(ObjectError) in
            let object = try service.open(path, requester, isHead: false)
            return (object.size, object.reader)
        }
        return Reader(name: name, byteCount: opened.0, reader: opened.1, store: self)
    }

    func delete(_ name: String, in place: BackupPlace) async throws(DriverError) {
        let path = path(place, name)
        do throws(ObjectError) {
            _ = try await outcome {
                service.deleteObject(path, requester, headers: [], sink: InlineSink.shared, completion: $0)
            }
        } catch {
            guard error != .notFound else { return }
            throw Self.failure(error, name)
        }
    }

    func names(
        prefix: String, after marker: String?, in place: BackupPlace
    ) async throws(DriverError) -> [String] {
        let (service, requester, path) = (service, requester, path(place))
        var query = ListingQuery()
        query.prefix = Bytes(prefix)
        query.marker = marker.map { Bytes($0) }
        query.limit = Volumes.Limits.backupNamesPageMax
        do throws(DriverError) {
            return try await run(place.container) { [query] () throws(ObjectError) in
                try service.listContainer(path, requester, query).entries.compactMap { entry in
                    if case .object(let name, _, _, _, _) = entry { name.string } else { nil }
                }
            }
        } catch {
            // Its owner deleted the container: there is nothing in it.
            if case .absent = error { return [] }
            throw error
        }
    }

    // MARK: Steps

    private func outcome(
        _ begin: (@escaping WriteCompletion) -> Void
    ) async throws(ObjectError) -> WriteOutcome {
        let result: Result<WriteOutcome, ObjectError> = await withCheckedContinuation { continuation in
            begin { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// On a thread that may block.
    fileprivate func run<T: Sendable>(
        _ what: String, _ body: @escaping @Sendable () throws(ObjectError) -> T
    ) async throws(DriverError) -> T {
        let result: Result<T, DriverError> = await withCheckedContinuation { continuation in
            let isAdmitted = threads.run {
                do throws(ObjectError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(Self.failure(error, what)))
                }
            }
            if !isAdmitted { continuation.resume(returning: .failure(.failed("too many requests wait"))) }
        }
        return try result.get()
    }

    fileprivate static func failure(_ error: ObjectError, _ what: String) -> DriverError {
        switch error {
        case .notFound: .absent(what)
        case .insufficientStorage: .full
        case .badRequest(let why), .preconditionFailed(let why): .invalid("\(what): \(why)")
        default: .failed("\(what): \(error)")
        }
    }

    /// Closed when the engine has enough to do; one waits at it at a time.
    private final class Room: Sendable {
        private let state = PosixLocked<(isOpen: Bool, waiter: CheckedContinuation<Void, Never>?)>((false, nil))

        func open() {
            let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
                defer { state.waiter = nil }
                state.isOpen = state.waiter == nil
                return state.waiter
            }
            waiter?.resume()
        }

        func wait() async {
            await withCheckedContinuation { continuation in
                let isOpen = state.withLock { state in
                    let isOpen = state.isOpen
                    state.isOpen = false
                    if !isOpen { state.waiter = continuation }
                    return isOpen
                }
                if isOpen { continuation.resume() }
            }
        }
    }

    private struct Writer: BackupObjectWriter {
        let name: String
        let put: any ObjectPut
        let room: Room

        func append(_ data: [UInt8]) async throws(DriverError) {
            switch data.withUnsafeBytes({ put.append($0) }) {
            case .ready: break
            case .pause: await room.wait()
            case .refused(let error): throw ObjectBackups.failure(error, name)
            }
        }

        func finish() async throws(DriverError) {
            let result: Result<WriteOutcome, ObjectError> = await withCheckedContinuation { continuation in
                put.finish { continuation.resume(returning: $0) }
            }
            if case .failure(let error) = result { throw ObjectBackups.failure(error, name) }
        }

        func abort() async { put.abort() }
    }

    private struct Reader: BackupObjectReader {
        let name: String
        let byteCount: Int
        /// nil for an object of no bytes.
        let reader: ObjectReader?
        let store: ObjectBackups

        func read(_ range: Range<Int>) async throws(DriverError) -> [UInt8] {
            guard range.lowerBound >= 0, range.upperBound <= byteCount else {
                throw .invalid("\(range) is not within \(name)")
            }
            guard !range.isEmpty, let reader else { return [] }
            return try await store.run(name) { () throws(ObjectError) in
                var out: [UInt8] = []
                out.reserveCapacity(range.count)
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: frameBytes, alignment: 4_096)
                defer { buffer.deallocate() }
                for frame in range.lowerBound / frameBytes...(range.upperBound - 1) / frameBytes {
                    let start = frame * frameBytes
                    let length: Int
                    do throws(ChunkError) {
                        length = try reader.read(frame: frame, into: buffer)
                    } catch {
                        throw .corrupt("\(error)")
                    }
                    let wanted = max(range.lowerBound, start) - start..<min(range.upperBound, start + length) - start
                    out.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[wanted]))
                }
                return out
            }
        }
    }
}
