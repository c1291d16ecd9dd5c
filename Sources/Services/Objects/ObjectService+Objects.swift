import Chunks
import Codecs
import Primitives

extension ObjectService {
    func openFromMemory(_ path: ObjectPath, _ requester: Requester, isHead: Bool) -> CachedOpen {
        do throws(Stop) {
            let container = try admit(.readObject, path, requester, .memoryOnly)
            guard let row = try objectRow(path, in: container, .memoryOnly) else { return .refused(.notFound) }
            if isHead || row.size == 0 { return .opened(try describe(row, reader: nil)) }
            // A mapped body's leaves may lie on the disk, and its reading does anyway.
            guard let reader = store(path).cachedReader(row) else { return .unknown }
            return .opened(try describe(row, reader: reader))
        } catch {
            switch error {
            case .refused(let error): return .refused(error)
            case .mustWait: return .unknown
            }
        }
    }

    func openFromStore(_ path: ObjectPath, _ requester: Requester, isHead: Bool) throws(ObjectError) -> OpenObject {
        try blocking { () throws(Stop) in
            let container = try admit(.readObject, path, requester, .mayBlock)
            return try openObject(path, in: container, isHead: isHead)
        }
    }

    /// How often a version may be overwritten between its row and its reader before we give up.
    private static var openAttemptsMax: Int { 16 }

    func openObject(_ path: ObjectPath, in container: ContainerRow, isHead: Bool) throws(Stop) -> OpenObject {
        let store = store(path)
        for _ in 0..<Self.openAttemptsMax {
            guard let row = try objectRow(path, in: container, .mayBlock) else { throw .refused(.notFound) }
            if isHead || row.size == 0 { return try describe(row, reader: nil) }
            if let reader = try engine({ () throws(ChunkError) in try store.reader(row) }) {
                return try describe(row, reader: reader)
            }
        }
        throw .refused(.unavailable("The object is being overwritten too fast"))
    }

    private func describe(_ row: ObjectRow, reader: ObjectReader?) throws(Stop) -> OpenObject {
        let contentType = row.contentType.string
        var headers: HeaderList = []
        headers.reserveCapacity(8)
        headers.append(("Content-Type", contentType))
        headers.append(("Etag", row.etag.hex))
        headers.append(("Last-Modified", HTTPDate.lastModified(row.modified)))
        headers.append(("X-Timestamp", row.modified.description))
        headers.append(("Accept-Ranges", "bytes"))
        if !row.attributes.isEmpty {
            MetadataHeaders.show(try attributes(row.attributes), .object, isOwner: true, into: &headers)
        }
        return OpenObject(
            headers: headers, size: row.size, etag: row.etag, contentType: contentType, modified: row.modified,
            reader: reader)
    }

    func writeObjectMetadata(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, _ sink: any CompletionSink,
        _ completion: @escaping WriteCompletion
    ) {
        changeObject(path, requester, sink, completion) { [self] (container, row) throws(Stop) in
            let list = try rule { () throws(ObjectError) in
                try UnannouncedFeatures.checkObject(headers)
                return try MetadataHeaders.objectAttributes(headers)
            }
            var contentType = row.contentType
            if let sent = headers.first(named: "content-type"), !sent.isEmpty { contentType = Bytes(sent) }
            let operation = Operation.setObjectMetadata(
                container: container, row: row, timestamp: timestamp(after: row.modified), contentType: contentType,
                attributes: list.encoded())
            return (operation, WriteOutcome(kind: .accepted))
        }
    }

    func removeObject(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, _ sink: any CompletionSink,
        _ completion: @escaping WriteCompletion
    ) {
        changeObject(path, requester, sink, completion) { [self] (container, row) throws(Stop) in
            // The condition of an expirer: no object here has the X-Delete-At that it asks for.
            if let expected = headers.first(named: "x-if-delete-at") {
                throw .refused(
                    Int(expected) == nil
                        ? .badRequest("Bad X-If-Delete-At header value")
                        : .preconditionFailed("X-If-Delete-At and X-Delete-At do not match"))
            }
            let operation = Operation.deleteObject(
                container: container, row: row, timestamp: timestamp(after: row.modified))
            return (operation, WriteOutcome(kind: .noContent))
        }
    }

    /// A change of an object that is there, under its latch.
    private func changeObject(
        _ path: ObjectPath, _ requester: Requester, _ sink: any CompletionSink, _ completion: @escaping WriteCompletion,
        _ change: @escaping @Sendable (ContainerRow, ObjectRow) throws(Stop) -> (Operation, WriteOutcome)
    ) {
        guard let containerName = path.container, let name = path.object else { return completion(.failure(.notFound)) }
        perform(sink, completion) { [self] () throws(Stop) in
            _ = try admit(.writeObject, path, requester, .mayBlock)
            let store = store(path)
            store.latchObject(path.account, containerName, name, on: threads) { [self] hold in
                latched(hold, sink, completion) { () throws(Stop) in
                    let container = try admit(.writeObject, path, requester, .mayBlock)
                    guard let row = try objectRow(path, in: container, .mayBlock) else { throw .refused(.notFound) }
                    let (operation, outcome) = try change(container, row)
                    submit(operation, store, hold, sink, outcome, completion)
                }
            }
        }
    }
}
