import Chunks
import Codecs
import Disks
import Primitives
import Synchronization
import Testing

@testable import Objects

/// The service on a real engine over a simulated disk, with short ways to ask and to wait.
final class ServiceBench: Sendable {
    let store: ChunkStore
    let threads = WorkThreads(name: "objects", count: 6, queueMax: 10_000)
    let service: ObjectService
    let disk: SimulatedDisk

    struct Indexes: IndexOpener {
        let copies = 1
        func open(copy: Int) throws(IndexError) -> any IndexStore { SimulatedIndex() }
        func setAside(copy: Int) throws(IndexError) {}
    }

    init(_ change: (inout ChunkStore.Configuration) -> Void = { _ in }) throws {
        disk = SimulatedDisk()
        var configuration = ChunkStore.Configuration(segmentBytes: 8 << 20, reserveBytes: 0)
        configuration.zeroFillsSpares = false
        change(&configuration)
        let store = try ChunkStore.open(
            disk: disk, indexes: Indexes(), configuration: configuration,
            random: { count in (0..<count).map { _ in UInt8.random(in: 0...255) } })
        self.store = store
        service = ObjectService(
            configuration: ObjectServiceConfiguration(), store: { _ in store }, clock: TimestampClock(),
            workThreads: threads)
    }

    deinit {
        try? store.close()
        threads.stop()
    }

    static func caller(
        _ user: String = "u1", project: String? = "p1", roles: Set<String> = ["member"], domain: String = "default"
    ) -> Caller {
        Caller(
            user: .init(id: user, name: "name-" + user), userDomain: .init(id: domain, name: domain),
            project: project.map { .init(id: $0, name: "name-" + $0) },
            projectDomain: project == nil ? nil : .init(id: domain, name: domain), domain: nil, isSystemScoped: false,
            roles: roles, expiresAt: .max)
    }

    static let owner = Requester(caller: caller(), referer: nil)
    static let stranger = Requester(caller: caller("u2", project: "p2"), referer: nil)
    static let reader = Requester(caller: caller("u3", roles: ["reader"]), referer: nil)
    static let outcast = Requester(caller: caller("u4", roles: ["nothing"]), referer: nil)
    static let reseller = Requester(caller: caller("u5", project: "p9", roles: ["ResellerAdmin"]), referer: nil)
    static let anonymous = Requester(caller: nil, referer: nil)

    static func path(_ container: String? = nil, _ object: String? = nil, account: String = "AUTH_p1") -> ObjectPath {
        ObjectPath(account: Bytes(account), container: container.map { Bytes($0) }, object: object.map { Bytes($0) })
    }

    /// Waits for one completion.
    static func wait<Value: Sendable>(
        _ start: (@escaping @Sendable (Result<Value, ObjectError>) -> Void) -> Void
    ) -> Result<Value, ObjectError> {
        let mutex = PosixMutex()
        let box = PosixGuarded<Result<Value, ObjectError>?>(nil)
        start { result in
            mutex.withLock {
                // Exactly once.
                precondition(box.value == nil, "completed twice")
                box.value = result
                mutex.broadcast()
            }
        }
        mutex.lock()
        defer { mutex.unlock() }
        while box.value == nil { mutex.wait() }
        return box.value!
    }

    private static let sink = InlineSink.shared

    func putContainer(_ name: String, _ headers: HeaderList = [], as requester: Requester = owner) -> Result<
        WriteOutcome, ObjectError
    > {
        Self.wait {
            service.putContainer(Self.path(name), requester, headers: headers, sink: Self.sink, completion: $0)
        }
    }

    func postContainer(_ name: String, _ headers: HeaderList, as requester: Requester = owner) -> Result<
        WriteOutcome, ObjectError
    > {
        Self.wait {
            service.postContainer(Self.path(name), requester, headers: headers, sink: Self.sink, completion: $0)
        }
    }

    func deleteContainer(_ name: String, as requester: Requester = owner) -> Result<WriteOutcome, ObjectError> {
        Self.wait { service.deleteContainer(Self.path(name), requester, sink: Self.sink, completion: $0) }
    }

    func postAccount(_ headers: HeaderList, as requester: Requester = owner) -> Result<WriteOutcome, ObjectError> {
        Self.wait { service.postAccount(Self.path(), requester, headers: headers, sink: Self.sink, completion: $0) }
    }

    func deleteObject(
        _ container: String, _ name: String, _ headers: HeaderList = [], as requester: Requester = owner
    ) -> Result<WriteOutcome, ObjectError> {
        Self.wait {
            service.deleteObject(
                Self.path(container, name), requester, headers: headers, sink: Self.sink, completion: $0)
        }
    }

    func postObject(
        _ container: String, _ name: String, _ headers: HeaderList, as requester: Requester = owner
    ) -> Result<WriteOutcome, ObjectError> {
        Self.wait {
            service.postObject(Self.path(container, name), requester, headers: headers, sink: Self.sink, completion: $0)
        }
    }

    func copy(
        _ source: ObjectPath, _ destination: ObjectPath, _ headers: HeaderList = [], as requester: Requester = owner
    ) -> Result<WriteOutcome, ObjectError> {
        Self.wait {
            service.copyObject(
                from: source, to: destination, requester, headers: headers, sink: Self.sink, completion: $0)
        }
    }

    func begin(
        _ path: ObjectPath, _ headers: HeaderList, length: Int?, as requester: Requester = owner,
        onReady: @escaping @Sendable () -> Void = {}
    ) -> Result<any ObjectPut, ObjectError> {
        Self.wait {
            service.beginPut(
                path, requester, headers: headers, declaredLength: length, sink: Self.sink, onReady: onReady,
                completion: $0)
        }
    }

    /// PUT of a body in pieces, with back-pressure as a socket would have it.
    func put(
        _ container: String, _ name: String, _ body: [UInt8], _ headers: HeaderList = [], chunked: Bool = false,
        as requester: Requester = owner
    ) -> Result<WriteOutcome, ObjectError> {
        let mutex = PosixMutex()
        let ready = PosixGuarded(0)
        let begun = begin(
            Self.path(container, name), headers, length: chunked ? nil : body.count, as: requester,
            onReady: {
                mutex.withLock {
                    ready.value += 1
                    mutex.broadcast()
                }
            })
        let put: any ObjectPut
        switch begun {
        case .success(let begun): put = begun
        case .failure(let error): return .failure(error)
        }
        for start in stride(from: 0, to: body.count, by: 50_000) {
            let seen = mutex.withLock { ready.value }
            let appetite = Array(body[start..<min(start + 50_000, body.count)]).withUnsafeBytes { put.append($0) }
            switch appetite {
            case .ready: break
            case .pause:
                mutex.lock()
                while ready.value == seen { mutex.wait() }
                mutex.unlock()
            case .refused(let error): return .failure(error)
            }
        }
        return Self.wait { put.finish(completion: $0) }
    }

    func open(
        _ container: String, _ name: String, head: Bool = false, as requester: Requester = owner
    ) throws(ObjectError) -> OpenObject {
        try service.open(Self.path(container, name), requester, isHead: head)
    }

    static func bytes(_ object: OpenObject) throws -> [UInt8] {
        guard let reader = object.reader else { return [] }
        var out: [UInt8] = []
        for frame in 0..<reader.frameCount {
            var buffer = [UInt8](repeating: 0xEE, count: reader.bufferBytes(frame: frame))
            let count = try buffer.withUnsafeMutableBytes { try reader.read(frame: frame, into: $0) }
            out += buffer[..<count]
        }
        return out
    }

    func get(_ container: String, _ name: String) throws -> [UInt8] { try Self.bytes(open(container, name)) }

    func list(_ container: String, _ change: (inout ListingQuery) -> Void = { _ in }) throws -> [String] {
        var query = ListingQuery()
        change(&query)
        return try service.listContainer(Self.path(container), Self.owner, query).entries.map { entry in
            switch entry {
            case .object(let name, _, _, _, _): name.string
            case .subdirectory(let name): "[" + name.string + "]"
            }
        }
    }
}

extension Result where Success == WriteOutcome, Failure == ObjectError {
    /// The HTTP status that the face makes of it.
    var status: Int {
        switch self {
        case .success(let outcome):
            switch outcome.kind {
            case .created: 201
            case .accepted: 202
            case .noContent: 204
            }
        case .failure(let error): error.status
        }
    }

    func header(_ name: StaticString) -> String? { (try? get())?.headers.first(named: name) }
}

extension ObjectError {
    var status: Int {
        switch self {
        case .notModified: 304
        case .badRequest: 400
        case .unauthorized: 401
        case .forbidden: 403
        case .notFound: 404
        case .methodNotAllowed: 405
        case .conflict: 409
        case .lengthRequired: 411
        case .preconditionFailed: 412
        case .tooLarge: 413
        case .rangeNotSatisfiable: 416
        case .unprocessable: 422
        case .unavailable, .corrupt: 503
        case .insufficientStorage: 507
        }
    }
}

/// The status of a read.
func status(_ body: () throws -> Void) -> Int {
    do {
        try body()
        return 200
    } catch {
        return (error as? ObjectError)?.status ?? 500
    }
}

func patterned(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = SeededGenerator(seed: seed)
    var out: [UInt8] = []
    out.reserveCapacity(count + 8)
    while out.count < count {
        let word = random.next()
        for shift in stride(from: UInt64(0), to: 64, by: 8) { out.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    return Array(out.prefix(count))
}

func md5(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { MD5.hash($0).hex } }
