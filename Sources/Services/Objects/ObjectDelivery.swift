import Chunks
import Codecs
import Primitives

/// An object that is being written, from the verdict on its headers to its commit: what PUT and copy have in common.
struct ObjectDelivery: Sendable {
    let service: ObjectService
    let path: ObjectPath
    let requester: Requester
    let contentType: Bytes
    let attributes: [UInt8]
    /// `If-None-Match: *`: nothing may be there yet.
    let mustBeNew: Bool
    /// What the client says the body's MD5 is.
    let expectedETag: MD5Digest?
    /// Answered beside Etag and Last-Modified.
    let answerHeaders: HeaderList
    /// The container as it was judged; judged again if it is another one now.
    let container: ContainerRow
    let sink: any CompletionSink

    /// The checks of PUT that need no body (object-api.md 1.9).
    static func judge(
        _ service: ObjectService, _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList,
        declaredLength: Int?,
        sink: any CompletionSink, _ patience: Patience
    ) throws(Stop) -> ObjectDelivery {
        let container = try service.admit(.writeObject, path, requester, patience)
        guard let name = path.object else { throw .refused(.notFound) }
        let list = try service.rule { () throws(ObjectError) -> AttributeList in
            try checkName(name)
            try checkLength(declaredLength)
            try UnannouncedFeatures.checkObject(headers)
            return try MetadataHeaders.objectAttributes(headers)
        }
        let mustBeNew = try service.rule { () throws(ObjectError) -> Bool in try asksForNew(headers) }
        let etag = try service.rule { () throws(ObjectError) -> MD5Digest? in try expectedETag(headers) }
        if mustBeNew, try service.objectRow(path, in: container, patience) != nil { throw .refused(.alreadyThere) }
        return ObjectDelivery(
            service: service, path: path, requester: requester, contentType: contentType(headers, name),
            attributes: list.encoded(), mustBeNew: mustBeNew, expectedETag: etag, answerHeaders: [],
            container: container,
            sink: sink)
    }

    /// Commits a body of at most `inlineBytesMax`. On a work thread.
    func commit(inline body: [UInt8], completion: @escaping WriteCompletion) {
        // SAFETY: the buffer lives as long as the call.
        let etag = unsafe body.withUnsafeBytes { unsafe MD5.hash($0) }
        commit(.inline(body), size: body.count, etag: etag, completion: completion, discard: {})
    }

    /// Commits a body that the engine already holds. On a work thread.
    func commit(upload: Upload, _ body: UploadedBody, completion: @escaping WriteCompletion) {
        commit(.uploaded(body), size: body.size, etag: body.etag, completion: completion, discard: { upload.cancel() })
    }

    private func commit(
        _ body: Operation.NewBody, size: Int, etag: MD5Digest, completion: @escaping WriteCompletion,
        discard: @escaping @Sendable () -> Void
    ) {
        guard let containerName = path.container, let name = path.object, expectedETag == nil || expectedETag == etag
        else {
            discard()
            return service.announce(.failure(.unprocessable), sink, completion)
        }
        let store = service.store(path)
        store.latchObject(path.account, containerName, name, on: service.threads) { [self] hold in
            service.latched(hold, sink, completion) { () throws(Stop) in
                do throws(Stop) {
                    let row = try currentContainer()
                    let existing = try service.objectRow(path, in: row, .mayBlock)
                    if mustBeNew, existing != nil { throw .refused(.alreadyThere) }
                    let timestamp = service.timestamp(after: existing?.modified)
                    let draft = ObjectDraft(
                        timestamp: timestamp, size: size, etag: etag, contentType: contentType, attributes: attributes)
                    let operation = Operation.putObject(
                        container: row, name: name, draft: draft, body: body, replacing: existing)
                    var answer: HeaderList = [("Etag", etag.hex), ("Last-Modified", HTTPDate.lastModified(timestamp))]
                    answer.append(contentsOf: answerHeaders)
                    service.submit(
                        operation, store, hold, sink, WriteOutcome(kind: .created, headers: answer), completion)
                } catch {
                    discard()
                    throw error
                }
            }
        }
    }

    /// The container as it is under the latch: rights are judged again only when it was changed meanwhile.
    private func currentContainer() throws(Stop) -> ContainerRow {
        guard let row = try service.containerRow(path, .mayBlock) else { throw .refused(.notFound) }
        if row.id != container.id || row.attributes != container.attributes {
            _ = try service.authorize(.writeObject, path, requester, container: row, .mayBlock)
        }
        return row
    }

    static func checkName(_ name: Bytes) throws(ObjectError) {
        guard name.count <= ObjectLimits.objectNameBytesMax else {
            throw .badRequest("Object name length of \(name.count) longer than \(ObjectLimits.objectNameBytesMax)")
        }
        guard !name.isEmpty else { throw .badRequest("An object's name may not be empty") }
    }

    static func checkLength(_ length: Int?) throws(ObjectError) {
        guard let length else { return }
        guard length >= 0 else { throw .badRequest("Invalid Content-Length") }
        guard length <= ObjectLimits.objectBytesMax else { throw .bodyTooLarge }
    }

    private static func asksForNew(_ headers: HeaderList) throws(ObjectError) -> Bool {
        guard let condition = headers.first(named: "if-none-match") else { return false }
        guard trimmed(condition) == "*" else { throw .badRequest("If-None-Match only supports *") }
        return true
    }

    static func expectedETag(_ headers: HeaderList) throws(ObjectError) -> MD5Digest? {
        guard let header = headers.first(named: "etag"), !header.isEmpty else { return nil }
        let tag = bareTag(trimmed(header[...].utf8))
        // What is no MD5 can match no body.
        guard let bytes = Hex.decode(tag), bytes.count == 16 else { throw .unprocessable }
        return MD5Digest(bytes)
    }

    static func contentType(_ headers: HeaderList, _ name: Bytes) -> Bytes {
        let detects = headers.first(named: "x-detect-content-type").map(isTruthy) ?? false
        if !detects, let sent = headers.first(named: "content-type"), !sent.isEmpty { return Bytes(sent) }
        return Bytes(ContentTypes.guess(name))
    }
}

extension ObjectError {
    static var alreadyThere: ObjectError { .preconditionFailed("The object exists already") }
    static var bodyTooLarge: ObjectError { .tooLarge("Your request is too large.") }
}
