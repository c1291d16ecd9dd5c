import Chunks
import Primitives

extension ObjectService {
    func admitPut(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, _ declaredLength: Int?,
        _ sink: any CompletionSink, _ onReady: @escaping @Sendable () -> Void,
        _ completion: @escaping @Sendable (Result<any ObjectPut, ObjectError>) -> Void
    ) {
        let begin = { @Sendable [self] (_ patience: Patience) throws(Stop) -> any ObjectPut in
            let delivery = try ObjectDelivery.judge(
                self, path, requester, headers, declaredLength: declaredLength, sink: sink, patience)
            return try PendingPut(delivery, declaredLength: declaredLength, onReady: onReady)
        }
        do throws(Stop) {
            return completion(.success(try begin(.memoryOnly)))
        } catch {
            if case .refused(let refusal) = error { return completion(.failure(refusal)) }
        }
        let admitted = threads.run {
            let result: Result<any ObjectPut, ObjectError>
            do throws(Stop) { result = .success(try begin(.mayBlock)) } catch { result = .failure(ObjectError(error)) }
            sink.wake([{ completion(result) }])
        }
        if !admitted { completion(.failure(.unavailable("Too many requests wait"))) }
    }
}

/// A body on its way in: small ones are collected, larger ones go to the engine's upload as they come.
final class PendingPut: ObjectPut, @unchecked Sendable {
    // SAFETY: one caller at a time, by the protocol's contract; the work thread that commits gets the body by value.
    private let delivery: ObjectDelivery
    private let onReady: @Sendable () -> Void
    private var collected: [UInt8] = []
    private var upload: Upload?
    private var received = 0
    private var isOver = false

    init(_ delivery: ObjectDelivery, declaredLength: Int?, onReady: @escaping @Sendable () -> Void) throws(Stop) {
        self.delivery = delivery
        self.onReady = onReady
        if let declaredLength, declaredLength > inlineBytesMax {
            // Now, so that a full disk is told before the body is sent.
            try beginUpload()
        } else if let declaredLength {
            collected.reserveCapacity(declaredLength)
        }
    }

    private func beginUpload() throws(Stop) {
        let service = delivery.service
        let store = service.store(delivery.path)
        let upload = try service.engine { () throws(ChunkError) in
            try store.beginUpload(threads: service.threads, sink: delivery.sink)
        }
        upload.setOnReady(onReady)
        self.upload = upload
    }

    func append(_ bytes: UnsafeRawBufferPointer) -> BodyAppetite {
        guard !isOver else { return .refused(.unavailable("The body has ended")) }
        let count = bytes.count
        guard count <= ObjectLimits.objectBytesMax - received else {
            abort()
            return .refused(.bodyTooLarge)
        }
        received += count
        if upload == nil {
            if received <= inlineBytesMax {
                unsafe collected.append(contentsOf: bytes)
                return .ready
            }
            do throws(Stop) { try beginUpload() } catch {
                abort()
                return .refused(ObjectError(error))
            }
        }
        guard let upload else { return .refused(.unavailable("The body has ended")) }
        var hasRoom = true
        if !collected.isEmpty {
            hasRoom = unsafe collected.withUnsafeBytes { unsafe upload.append($0) }
            collected = []
        }
        // The engine takes what it is given; false only asks us to stop.
        if !(unsafe upload.append(bytes)) { hasRoom = false }
        return hasRoom ? .ready : .pause
    }

    func finish(completion: @escaping WriteCompletion) {
        guard !isOver else { return }
        isOver = true
        let delivery = delivery
        if let upload {
            upload.finish { result in
                switch result {
                case .success(let body): delivery.commit(upload: upload, body, completion: completion)
                case .failure(let error):
                    delivery.service.announce(.failure(ObjectError(error)), delivery.sink, completion)
                }
            }
        } else {
            let body = collected
            collected = []
            delivery.service.threads.resume { delivery.commit(inline: body, completion: completion) }
        }
    }

    func abort() {
        guard !isOver else { return }
        isOver = true
        collected = []
        upload?.cancel()
        upload = nil
    }

    deinit { upload.map { if !isOver { $0.cancel() } } }
}
