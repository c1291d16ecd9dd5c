import Chunks
import Primitives

extension ObjectService {
    func readContainer(
        _ path: ObjectPath, _ requester: Requester
    ) throws(ObjectError) -> (info: ResourceInfo, row: ContainerRow) {
        try blocking { () throws(Stop) in
            let row = try containerRow(path, .mayBlock)
            let access = try authorize(.readContainer, path, requester, container: row, .mayBlock)
            guard let row else { throw .refused(.notFound) }
            return (try describe(row, access), row)
        }
    }

    func containerListing(
        _ path: ObjectPath, _ requester: Requester, _ query: ListingQuery
    ) throws(ObjectError) -> ContainerListing {
        let (info, row) = try readContainer(path, requester)
        let store = store(path)
        let walk = ListingWalk<ObjectRow>(query: query) { $0.name }
        let items = try walk.collect { (range, limit) throws(ObjectError) -> Page<ObjectRow> in
            do throws(ChunkError) {
                return try store.objects(in: row.id, range, reverse: query.reverse, limit: limit)
            } catch { throw ObjectError(error) }
        }
        let entries = items.map { item -> ObjectListingEntry in
            switch item {
            case .row(let row):
                .object(
                    name: row.name, etag: row.etag, bytes: row.size, contentType: row.contentType,
                    modified: row.modified)
            case .subdirectory(let name): .subdirectory(name)
            }
        }
        return ContainerListing(info: info, entries: entries)
    }

    /// PUT (`create`) and POST.
    func writeContainer(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, create: Bool, _ sink: any CompletionSink,
        _ completion: @escaping WriteCompletion
    ) {
        guard let name = path.container else { return completion(.failure(.notFound)) }
        perform(sink, completion) { [self] () throws(Stop) in
            let access = try authorize(.writeContainer, path, requester, container: nil, .mayBlock)
            let isOwner = access == .owner
            try rule { () throws(ObjectError) in
                if create {
                    try Self.checkContainerName(name)
                    try checkPolicy(headers)
                }
                try MetadataHeaders.checkHeaderSizes(headers)
                if isOwner { try UnannouncedFeatures.checkContainer(headers) }
            }
            let store = store(path)
            store.latchContainer(path.account, name, on: threads) { [self] hold in
                latched(hold, sink, completion) { () throws(Stop) in
                    let row = try engine { () throws(ChunkError) in try store.container(path.account, name) }
                    guard create || row != nil else { throw .refused(.notFound) }
                    var list = try attributes(row?.attributes ?? [])
                    try rule { () throws(ObjectError) in
                        try MetadataHeaders.merge(headers, into: &list, .container, isOwner: isOwner)
                        if isOwner { try mergeAccessLists(headers, requester, into: &list) }
                    }
                    let operation = Operation.putContainer(
                        account: path.account, name: name, id: row?.id ?? store.nextID(), existing: row,
                        timestamp: timestamp(after: row?.modified), attributes: list.encoded())
                    let kind: WriteOutcome.Kind = create ? (row == nil ? .created : .accepted) : .noContent
                    submit(operation, store, hold, sink, WriteOutcome(kind: kind), completion)
                }
            }
        }
    }

    func removeContainer(
        _ path: ObjectPath, _ requester: Requester, _ sink: any CompletionSink, _ completion: @escaping WriteCompletion
    ) {
        guard let name = path.container else { return completion(.failure(.notFound)) }
        perform(sink, completion) { [self] () throws(Stop) in
            _ = try authorize(.writeContainer, path, requester, container: nil, .mayBlock)
            let store = store(path)
            store.latchContainer(path.account, name, on: threads) { [self] hold in
                latched(hold, sink, completion) { () throws(Stop) in
                    guard let row = try engine({ () throws(ChunkError) in try store.container(path.account, name) })
                    else {
                        throw .refused(.notFound)
                    }
                    // The counter says so, and the listing: nothing that is there may go with its container.
                    let first = try engine({ () throws(ChunkError) in
                        try store.objects(in: row.id, NameRange(), reverse: false, limit: 1)
                    })
                    guard row.objectCount == 0, first.rows.isEmpty else {
                        throw .refused(.conflict("There was a conflict: the container is not empty"))
                    }
                    let operation = Operation.deleteContainer(row, timestamp: timestamp(after: row.modified))
                    submit(operation, store, hold, sink, WriteOutcome(kind: .noContent), completion)
                }
            }
        }
    }

    /// Access lists from X-Container-Read and -Write: an empty one, or its X-Remove- header, clears.
    private func mergeAccessLists(
        _ headers: HeaderList, _ requester: Requester, into list: inout AttributeList
    ) throws(ObjectError) {
        typealias Tag = AttributeList.Tag
        func write(_ normal: String, _ access: UInt8, _ namesCount: UInt8) {
            list.set(access, normal.isEmpty ? nil : Array(normal.utf8))
            // Names mean the default domain's, if that is where whoever writes this list comes from.
            let count = !normal.isEmpty && requester.caller.map(isOfDefaultDomain) == true
            list.set(namesCount, count ? [] : nil)
        }
        if headers.first(named: "x-remove-container-read") != nil { write("", Tag.readAccess, Tag.readNamesCount) }
        if headers.first(named: "x-remove-container-write") != nil { write("", Tag.writeAccess, Tag.writeNamesCount) }
        if let text = headers.first(named: "x-container-read") {
            let normal = try AccessList.normalize(text, forWriting: false)
            write(normal, Tag.readAccess, Tag.readNamesCount)
        }
        if let text = headers.first(named: "x-container-write") {
            let normal = try AccessList.normalize(text, forWriting: true)
            write(normal, Tag.writeAccess, Tag.writeNamesCount)
        }
    }

    /// The one policy, by name in any case.
    private func checkPolicy(_ headers: HeaderList) throws(ObjectError) {
        guard let asked = headers.first(named: "x-storage-policy"), !asked.isEmpty else { return }
        guard asked.lowercased() == configuration.policyName.lowercased() else {
            throw .badRequest("Invalid X-Storage-Policy '\(asked.prefix(64))'")
        }
    }

    private static func checkContainerName(_ name: Bytes) throws(ObjectError) {
        guard name.count <= ObjectLimits.containerNameBytesMax else {
            throw .badRequest(
                "Container name length of \(name.count) longer than \(ObjectLimits.containerNameBytesMax)")
        }
        guard !name.isEmpty, !name.storage.contains(UInt8(ascii: "/")) else {
            throw .badRequest("A container's name may not be empty or contain a slash")
        }
    }

    private func describe(_ row: ContainerRow, _ access: Access) throws(Stop) -> ResourceInfo {
        let isOwner = access == .owner
        var headers: HeaderList = [
            ("X-Container-Object-Count", String(row.objectCount)),
            ("X-Container-Bytes-Used", String(row.byteCount)),
            ("X-Timestamp", row.created.description),
            ("X-Put-Timestamp", row.modified.description),
            ("Last-Modified", HTTPDate.lastModified(row.modified)),
            ("X-Storage-Policy", configuration.policyName),
        ]
        let list = try attributes(row.attributes)
        MetadataHeaders.show(list, .container, isOwner: isOwner, into: &headers)
        if isOwner {
            if let text = list.value(AttributeList.Tag.readAccess) {
                headers.append(("X-Container-Read", String(decoding: text, as: UTF8.self)))
            }
            if let text = list.value(AttributeList.Tag.writeAccess) {
                headers.append(("X-Container-Write", String(decoding: text, as: UTF8.self)))
            }
        }
        return ResourceInfo(headers: headers, timestamp: row.created, isOwner: isOwner)
    }
}
