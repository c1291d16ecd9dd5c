import Chunks
import HTTPFace
import NIOCore
import Objects
import Primitives

extension ObjectResponder {
    func onObject(
        _ exchange: Exchange, _ action: Endpoint.ObjectAction, _ path: ObjectPath, _ requester: Requester
    ) {
        guard let sink = exchange.sink else { return }
        switch action {
        case .get: get(exchange, path, requester, isHead: false)
        case .head: get(exchange, path, requester, isHead: true)
        case .put:
            if let source = exchange.head.value("x-copy-from") {
                copyFrom(exchange, source, path, requester, sink)
            } else {
                put(exchange, path, requester, sink)
            }
        case .copy: copyTo(exchange, path, requester, sink)
        case .post:
            guard let headers = headersOfWrite(exchange) else { return }
            service.postObject(path, requester, headers: headers, sink: sink) { self.answer(exchange, $0, path) }
        case .delete:
            guard let headers = headersOfWrite(exchange) else { return }
            service.deleteObject(path, requester, headers: headers, sink: sink) { self.answer(exchange, $0, path) }
        }
    }

    // MARK: GET and HEAD

    private func get(_ exchange: Exchange, _ path: ObjectPath, _ requester: Requester, isHead: Bool) {
        switch service.openCached(path, requester, isHead: isHead) {
        case .opened(let object): opened(exchange, object, path, isHead: isHead)
        case .refused(let error): refuseOpen(exchange, error, path)
        case .unknown:
            let service = service
            offload(exchange) {
                Result { () throws(ObjectError) in try service.open(path, requester, isHead: isHead) }
            } then: { exchange, result in
                switch result {
                case .success(let object): self.opened(exchange, object, path, isHead: isHead)
                case .failure(let error): self.refuseOpen(exchange, error, path)
                }
            }
        }
    }

    private func refuseOpen(_ exchange: Exchange, _ error: ObjectError, _ path: ObjectPath) {
        if error == .notFound, Conditions(exchange.head.fields(prefix: "if-")).failsOnAbsent {
            return refuse(exchange, 412, page: false)
        }
        refuse(exchange, error, path)
    }

    private func opened(_ exchange: Exchange, _ object: OpenObject, _ path: ObjectPath, isHead: Bool) {
        let conditions = exchange.head.fields(prefix: "if-")
        if !conditions.isEmpty {
            switch Conditions(conditions).evaluate(etag: object.etag, modified: object.modified) {
            case .proceed: break
            case .notModified: return refuse(exchange, 304) { $0.add(object.headers) }
            case .preconditionFailed: return refuse(exchange, 412, page: false) { $0.add(object.headers) }
            }
        }
        switch RangeRequest.parse(exchange.head.list("range"), size: object.size) {
        case .whole: whole(exchange, object, path, isHead: isHead)
        case .unsatisfiable:
            refuse(exchange, 416) { builder in
                for field in object.headers where field.name != "Content-Type" { builder.add(field.name, field.value) }
                builder.add("Content-Range", "bytes */\(object.size)")
            }
        case .ranges(let ranges): partial(exchange, object, ranges, path, isHead: isHead)
        }
    }

    private func whole(_ exchange: Exchange, _ object: OpenObject, _ path: ObjectPath, isHead: Bool) {
        let fitsOneFrame = object.size <= frameBytes
        var builder = exchange.response(200, reserving: 768 + (isHead || !fitsOneFrame ? 0 : object.size + 1024))
        builder.add(object.headers)
        builder.endHead(contentLength: object.size)
        guard !isHead, object.size > 0 else { return exchange.send(builder) }
        guard let reader = object.reader else { return damage(exchange, "an object without bytes") }
        if fitsOneFrame {
            // The way of the hot small object: verified straight into the response's own buffer, one write.
            do throws(ChunkError) {
                if let count = try builder.buffer.writeCachedFrame(reader, 0) {
                    guard count == object.size else { return damage(exchange, "a frame of another length") }
                    return exchange.send(builder)
                }
            } catch {
                return damage(exchange, "\(error)")
            }
        }
        stream(exchange, reader, BodyPlan([.range(0..<object.size)], frameBytes: frameBytes), builder)
    }

    private func partial(
        _ exchange: Exchange, _ object: OpenObject, _ ranges: [Range<Int>], _ path: ObjectPath, isHead: Bool
    ) {
        var builder = exchange.response(206, reserving: 1024)
        let plan: BodyPlan
        if ranges.count == 1 {
            plan = BodyPlan([.range(ranges[0])], frameBytes: frameBytes)
            builder.add(object.headers)
            builder.add(
                "Content-Range", "bytes \(ranges[0].lowerBound)-\(ranges[0].upperBound - 1)/\(object.size)")
        } else {
            let boundary = String(exchange.id.description.prefix(34).filter { $0 != "-" })
            plan = BodyPlan.multipart(
                ranges: ranges, size: object.size, contentType: object.contentType, boundary: boundary,
                frameBytes: frameBytes)
            for field in object.headers where field.name != "Content-Type" { builder.add(field.name, field.value) }
            builder.add("Content-Type", "multipart/byteranges;boundary=\(boundary)")
        }
        builder.endHead(contentLength: plan.length)
        guard !isHead else { return exchange.send(builder) }
        guard let reader = object.reader else { return damage(exchange, "an object without bytes") }
        stream(exchange, reader, plan, builder)
    }

    private func stream(
        _ exchange: Exchange, _ reader: ObjectReader, _ plan: BodyPlan, _ head: consuming ResponseBuilder
    ) {
        let streamer = ObjectStreamer(
            exchange: exchange, reader: reader, plan: plan, head: head, threads: threads, places: streams,
            onDamage: { exchange, error, isCut in
                if isCut {
                    self.noteDamage(exchange, "\(error)", isCut: true)
                } else {
                    self.damage(exchange, "\(error)")
                }
            })
        if !streamer.start() { refuse(exchange, 503, "Too many requests are waiting.") }
    }

    // MARK: PUT

    private func put(_ exchange: Exchange, _ path: ObjectPath, _ requester: Requester, _ sink: LoopSink) {
        guard let headers = headersOfWrite(exchange) else { return }
        let declared: Int?
        switch exchange.head.framing {
        case .none: declared = 0
        case .length(let length): declared = length
        case .chunked: declared = nil
        }
        service.beginPut(
            path, requester, headers: headers, declaredLength: declared, sink: sink,
            onReady: { exchange.resumeBody() }
        ) { result in
            switch result {
            case .failure(let error): self.refuse(exchange, error, path)
            case .success(let put):
                guard exchange.isOpen else { return put.abort() }
                // Rights come first: who may not write here is not told about lengths.
                if case .none = exchange.head.framing {
                    put.abort()
                    return self.refuse(exchange, .lengthRequired, path)
                }
                guard let place = self.uploads.enter(path.account) else {
                    put.abort()
                    return self.refuse(exchange, 503, "Too many uploads to this account are under way.")
                }
                exchange.streamBody(
                    to: ObjectUpload(exchange: exchange, put: put, place: place) { self.answer($0, $1, path) })
            }
        }
    }

    // MARK: COPY

    /// `COPY` with `Destination`.
    private func copyTo(_ exchange: Exchange, _ source: ObjectPath, _ requester: Requester, _ sink: LoopSink) {
        let head = exchange.head
        do throws(ObjectError) {
            guard let value = head.value("destination") else {
                throw .preconditionFailed("Destination header required")
            }
            var account = source.account
            if let name = head.value("destination-account") {
                account = try CopyAddress.account(name, header: "Destination-Account")
            }
            let destination = try CopyAddress.parse(value, header: "Destination", account: account)
            copy(exchange, from: source, to: destination, requester, sink)
        } catch {
            refuse(exchange, error, source)
        }
    }

    /// `PUT` with `X-Copy-From`.
    private func copyFrom(
        _ exchange: Exchange, _ value: String, _ destination: ObjectPath, _ requester: Requester, _ sink: LoopSink
    ) {
        do throws(ObjectError) {
            var account = destination.account
            if let name = exchange.head.value("x-copy-from-account") {
                account = try CopyAddress.account(name, header: "X-Copy-From-Account")
            }
            let source = try CopyAddress.parse(value, header: "X-Copy-From", account: account)
            copy(exchange, from: source, to: destination, requester, sink)
        } catch {
            refuse(exchange, error, destination)
        }
    }

    private func copy(
        _ exchange: Exchange, from source: ObjectPath, to destination: ObjectPath, _ requester: Requester,
        _ sink: LoopSink
    ) {
        guard let headers = headersOfWrite(exchange) else { return }
        if let refusal = source.lengthRefusal ?? destination.lengthRefusal { return refuse(exchange, 400, refusal) }
        // A copy has no body; that a chunked one is empty shows when it ends.
        exchange.collectBody(max: 0) { result in
            switch result {
            case .success:
                // Held until the copy is over, whether its client waits for that or not.
                guard let place = self.copies.enter(destination.account) else {
                    return self.refuse(exchange, 503, "Too many copies to this account are under way.")
                }
                self.service.copyObject(from: source, to: destination, requester, headers: headers, sink: sink) {
                    place.leave()
                    self.answer(exchange, $0, destination)
                }
            case .failure(.tooLarge): self.refuse(exchange, 400, "A copy request takes no body.")
            case .failure: break
            }
        }
    }
}
