import HTTPFace
import NIOCore
import Objects
import Primitives

extension ObjectResponder {
    func onAccount(
        _ exchange: Exchange, _ action: Endpoint.AccountAction, _ path: ObjectPath, _ requester: Requester
    ) {
        guard let sink = exchange.sink else { return }
        let service = service
        switch action {
        case .get:
            guard let (query, format) = listing(exchange, path) else { return }
            offload(exchange) {
                Result { () throws(ObjectError) in
                    let listing = try service.listAccount(path, requester, query)
                    return Listing(
                        info: listing.info, isEmpty: listing.entries.isEmpty,
                        body: ListingBody.account(path.account, listing, format))
                }
            } then: { exchange, result in
                self.listed(exchange, result, format, path)
            }
        case .head:
            info(exchange, path) { () throws(ObjectError) in try service.accountInfo(path, requester) }
        case .post:
            guard let headers = headersOfWrite(exchange) else { return }
            service.postAccount(path, requester, headers: headers, sink: sink) { self.answer(exchange, $0, path) }
        case .put, .delete:
            refuse(exchange, service.refuseAccountManagement(path, requester), path)
        }
    }

    func onContainer(
        _ exchange: Exchange, _ action: Endpoint.ContainerAction, _ path: ObjectPath, _ requester: Requester
    ) {
        guard let sink = exchange.sink else { return }
        let service = service
        switch action {
        case .get:
            guard let (query, format) = listing(exchange, path) else { return }
            offload(exchange) {
                Result { () throws(ObjectError) in
                    let listing = try service.listContainer(path, requester, query)
                    return Listing(
                        info: listing.info, isEmpty: listing.entries.isEmpty,
                        body: ListingBody.container(path.container ?? "", listing, format))
                }
            } then: { exchange, result in
                self.listed(exchange, result, format, path)
            }
        case .head:
            info(exchange, path) { () throws(ObjectError) in try service.containerInfo(path, requester) }
        case .put:
            guard let headers = headersOfWrite(exchange) else { return }
            service.putContainer(path, requester, headers: headers, sink: sink) { self.answer(exchange, $0, path) }
        case .post:
            guard let headers = headersOfWrite(exchange) else { return }
            service.postContainer(path, requester, headers: headers, sink: sink) { self.answer(exchange, $0, path) }
        case .delete:
            service.deleteContainer(path, requester, sink: sink) { self.answer(exchange, $0, path) }
        }
    }

    /// The request's fields for a write; nil when it was refused for text that is not UTF-8.
    func headersOfWrite(_ exchange: Exchange) -> HeaderList? {
        let head = exchange.head
        if head.hasIllFormedValue(prefix: "x-") || head.hasIllFormedValue(prefix: "content-") {
            refuse(exchange, 400, "A header is not UTF-8.")
            return nil
        }
        return head.fieldList()
    }

    // MARK: Reading

    private struct Listing: Sendable {
        var info: ResourceInfo
        var isEmpty: Bool
        var body: ByteBuffer
    }

    /// The query and the format; nil when the request was refused for one of them.
    private func listing(_ exchange: Exchange, _ path: ObjectPath) -> (ListingQuery, ListingFormat)? {
        let parameters = QueryParameters(exchange.head.query ?? [])
        guard parameters.isWellFormed else {
            refuse(exchange, 400, "Parameter not valid UTF-8")
            return nil
        }
        let format: ListingFormat
        switch ListingFormat.choose(query: parameters.text("format"), accept: exchange.head.list("accept")) {
        case .format(let chosen): format = chosen
        case .malformed:
            refuse(exchange, 400, "Invalid Accept header")
            return nil
        case .notAcceptable:
            refuse(exchange, 406)
            return nil
        }
        do throws(ObjectError) {
            let query = try ListingQuery(items: parameters.items.map { (Bytes($0.name), Bytes($0.value)) })
            return (query, format)
        } catch {
            refuse(exchange, error, path)
            return nil
        }
    }

    private func listed(
        _ exchange: Exchange, _ result: Result<Listing, ObjectError>, _ format: ListingFormat, _ path: ObjectPath
    ) {
        switch result {
        case .failure(let error): refuse(exchange, error, path)
        case .success(let listing):
            let isBare = format == .plain && listing.isEmpty
            var builder = exchange.response(
                isBare ? 204 : 200, reserving: 1024 + min(listing.body.readableBytes, 65_536))
            builder.add(listing.info.headers)
            builder.add("Content-Type", trusted: format.contentType)
            builder.add("Accept-Ranges", trusted: "bytes")
            if !exchange.head.namesFormat { builder.add("Vary", trusted: "Accept") }
            var body = listing.body
            builder.endHead(contentLength: body.readableBytes)
            if body.readableBytes <= 65_536 {
                builder.buffer.writeBuffer(&body)
                exchange.send(builder)
            } else {
                exchange.sendHead(builder, [body])
            }
        }
    }

    private func info(
        _ exchange: Exchange, _ path: ObjectPath,
        _ read: @escaping @Sendable () throws(ObjectError) -> ResourceInfo
    ) {
        // A HEAD is negotiated like the GET it stands for.
        guard let (_, format) = listing(exchange, path) else { return }
        offload(exchange) {
            Result { () throws(ObjectError) in try read() }
        } then: { exchange, result in
            switch result {
            case .failure(let error): self.refuse(exchange, error, path)
            case .success(let info):
                var builder = exchange.response(204, reserving: 1024)
                builder.add(info.headers)
                builder.add("Content-Type", trusted: format.contentType)
                builder.add("Accept-Ranges", trusted: "bytes")
                if !exchange.head.namesFormat { builder.add("Vary", trusted: "Accept") }
                builder.endHead(contentLength: 0)
                exchange.send(builder)
            }
        }
    }
}

extension RequestHead {
    /// Whether the query, rather than `Accept`, chooses the format.
    fileprivate var namesFormat: Bool { query.map { QueryParameters($0).value("format") != nil } ?? false }
}
