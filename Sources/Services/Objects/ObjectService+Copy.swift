import Chunks
import Primitives

extension ObjectService {
    func copy(
        _ source: ObjectPath, _ destination: ObjectPath, _ requester: Requester, _ headers: HeaderList,
        _ sink: any CompletionSink, _ completion: @escaping WriteCompletion
    ) {
        perform(sink, completion) { [self] () throws(Stop) in
            let from = try admit(.readObject, source, requester, .mayBlock)
            let object = try openSource(source, in: from, headers)
            let ranges = try selected(object, headers)
            let delivery = try judgeCopy(object, source, destination, requester, headers, sink)
            CopyPump(delivery, object, range: ranges, completion).start()
        }
    }

    /// The source, after its conditions.
    private func openSource(
        _ source: ObjectPath, in container: ContainerRow, _ headers: HeaderList
    ) throws(Stop) -> OpenObject {
        let conditions = Conditions(headers)
        let object: OpenObject
        do throws(Stop) {
            object = try openObject(source, in: container, isHead: false)
        } catch {
            if case .refused(.notFound) = error, conditions.failsOnAbsent {
                throw .refused(.preconditionFailed("The source does not exist"))
            }
            throw error
        }
        switch conditions.evaluate(etag: object.etag, modified: object.modified) {
        case .proceed: return object
        case .notModified: throw .refused(.notModified)
        case .preconditionFailed: throw .refused(.preconditionFailed("A condition on the source failed"))
        }
    }

    /// The bytes that the Range header selects: one range, else all (several would make a multipart body of the copy).
    private func selected(_ object: OpenObject, _ headers: HeaderList) throws(Stop) -> Range<Int> {
        switch RangeRequest.parse(headers.first(named: "range"), size: object.size) {
        case .whole: return 0..<object.size
        case .unsatisfiable: throw .refused(.rangeNotSatisfiable(size: object.size))
        case .ranges(let ranges):
            guard ranges.count == 1 else { throw .refused(.badRequest("A copy takes a single range")) }
            return ranges[0]
        }
    }

    private func judgeCopy(
        _ object: OpenObject, _ source: ObjectPath, _ destination: ObjectPath, _ requester: Requester,
        _ headers: HeaderList, _ sink: any CompletionSink
    ) throws(Stop) -> ObjectDelivery {
        let container = try admit(.writeObject, destination, requester, .mayBlock)
        guard let name = destination.object, let sourceContainer = source.container, let sourceName = source.object
        else {
            throw .refused(.notFound)
        }
        let expectedETag = try rule { () throws(ObjectError) in try ObjectDelivery.expectedETag(headers) }
        let list = try rule { () throws(ObjectError) in
            try ObjectDelivery.checkName(name)
            try UnannouncedFeatures.checkObject(headers)
            var list = try MetadataHeaders.objectAttributes(headers)
            if headers.first(named: "x-fresh-metadata").map(isTruthy) != true {
                // The source's headers are what it shows; the request's stand before them.
                let inherited = try MetadataHeaders.objectAttributes(object.headers)
                for attribute in inherited.attributes
                where !list.attributes.contains(where: { $0.tag == attribute.tag && $0.name == attribute.name }) {
                    list.attributes.append(attribute)
                }
                try list.checkMetadata()
            }
            return list
        }
        var contentType = Bytes(object.contentType)
        if let sent = headers.first(named: "content-type"), !sent.isEmpty { contentType = Bytes(sent) }
        var answer: HeaderList = [
            (
                "X-Copied-From",
                PercentCoding.encode(sourceContainer.storage) + "/" + PercentCoding.encode(sourceName.storage)
            ),
            ("X-Copied-From-Account", PercentCoding.encode(source.account.storage)),
            ("X-Copied-From-Last-Modified", HTTPDate.lastModified(object.modified)),
        ]
        MetadataHeaders.show(list, .object, isOwner: true, into: &answer)
        return ObjectDelivery(
            service: self, path: destination, requester: requester, contentType: contentType,
            attributes: list.encoded(),
            mustBeNew: false, expectedETag: expectedETag, answerHeaders: answer, container: container, sink: sink)
    }
}

/// Moves a source's bytes into a delivery, frame by frame, through one buffer of a frame's size.
///
/// It runs on work threads and gives its thread back when the upload is full (`onReady` brings it back) and after each
/// turn, so that one large copy does not hold up the rest.
private final class CopyPump: @unchecked Sendable {
    // SAFETY: runs on one thread at a time: each turn is started by the end of the one before, or by `onReady`, after
    // which the turn that saw a full upload touches nothing any more.
    private let delivery: ObjectDelivery
    private let reader: ObjectReader?
    private let range: Range<Int>
    private let completion: WriteCompletion
    private var frame: Int

    /// Frames that one turn moves at most: 8 MiB.
    private static let turnFramesMax = 64

    init(_ delivery: ObjectDelivery, _ source: OpenObject, range: Range<Int>, _ completion: @escaping WriteCompletion) {
        self.delivery = delivery
        self.reader = source.reader
        self.range = range
        self.completion = completion
        self.frame = range.lowerBound / frameBytes
    }

    func start() {
        let service = delivery.service
        if range.count <= inlineBytesMax {
            return service.attempt(delivery.sink, completion) { () throws(Stop) in
                delivery.commit(inline: try collect(), completion: completion)
            }
        }
        service.attempt(delivery.sink, completion) { () throws(Stop) in
            let store = service.store(delivery.path)
            let upload = try service.engine { () throws(ChunkError) in
                try store.beginUpload(threads: service.threads, sink: InlineSink.shared)
            }
            // Not strongly: the upload keeps this closure. Whoever has just made room in it still holds it.
            upload.setOnReady { [self, weak upload] in
                guard let upload else { return }
                service.threads.resume { [self] in turn(upload) }
            }
            turn(upload)
        }
    }

    private func collect() throws(Stop) -> [UInt8] {
        var body: [UInt8] = []
        body.reserveCapacity(range.count)
        unsafe try withBuffer { (buffer) throws(Stop) in
            while frame * frameBytes < range.upperBound {
                let part = unsafe try next(into: buffer)
                unsafe body.append(contentsOf: part)
            }
        }
        return body
    }

    private func turn(_ upload: Upload) {
        do throws(Stop) {
            var isFull = false
            unsafe try withBuffer { (buffer) throws(Stop) in
                for _ in 0..<Self.turnFramesMax where frame * frameBytes < range.upperBound {
                    let part = unsafe try next(into: buffer)
                    if !(unsafe upload.append(part)) {
                        isFull = true
                        return
                    }
                }
            }
            if isFull { return }
        } catch {
            upload.cancel()
            return delivery.service.announce(.failure(ObjectError(error)), delivery.sink, completion)
        }
        guard frame * frameBytes >= range.upperBound else {
            return delivery.service.threads.resume { [self] in turn(upload) }
        }
        let (delivery, completion) = (delivery, completion)
        upload.finish { result in
            switch result {
            case .success(let body): delivery.commit(upload: upload, body, completion: completion)
            case .failure(let error):
                delivery.service.announce(.failure(ObjectError(error)), delivery.sink, completion)
            }
        }
    }

    /// The part of the next frame that lies in the range.
    private func next(into buffer: UnsafeMutableRawBufferPointer) throws(Stop) -> UnsafeRawBufferPointer {
        guard let reader else { throw .refused(.corrupt("The source has no bytes")) }
        let start = frame * frameBytes
        let index = frame
        let length = try delivery.service.engine { () throws(ChunkError) in
            unsafe try reader.read(frame: index, into: buffer)
        }
        frame += 1
        let low = max(0, range.lowerBound - start)
        let high = min(length, range.upperBound - start)
        guard low <= high else { throw .refused(.corrupt("The source is shorter than it says")) }
        return unsafe UnsafeRawBufferPointer(rebasing: buffer[low..<high])
    }

    private func withBuffer(_ body: (UnsafeMutableRawBufferPointer) throws(Stop) -> Void) throws(Stop) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: frameBytes, alignment: 4096)
        defer { unsafe buffer.deallocate() }
        unsafe try body(buffer)
    }
}
