import Chunks
import Primitives

extension ObjectService {
    func readAccount(
        _ path: ObjectPath, _ requester: Requester
    ) throws(ObjectError) -> (info: ResourceInfo, row: AccountRow?) {
        try Self.checkAccountName(path)
        return try blocking { () throws(Stop) in
            let access = try authorize(.readAccount, path, requester, container: nil, .mayBlock)
            let row = try engine { () throws(ChunkError) in try store(path).account(path.account) }
            return (try describe(row, access), row)
        }
    }

    func accountListing(
        _ path: ObjectPath, _ requester: Requester, _ query: ListingQuery
    ) throws(ObjectError) -> AccountListing {
        let info = try readAccount(path, requester).info
        let store = store(path)
        var query = query
        query.path = nil
        let walk = ListingWalk<ContainerRow>(query: query) { $0.name }
        let items = try walk.collect { (range, limit) throws(ObjectError) -> Page<ContainerRow> in
            do throws(ChunkError) {
                return try store.containers(of: path.account, in: range, reverse: query.reverse, limit: limit)
            } catch { throw ObjectError(error) }
        }
        let entries = items.map { item -> ContainerListingEntry in
            switch item {
            case .row(let row):
                .container(
                    name: row.name, objects: row.objectCount, bytes: row.byteCount, modified: row.modified)
            case .subdirectory(let name): .subdirectory(name)
            }
        }
        return AccountListing(info: info, entries: entries, policyName: configuration.policyName)
    }

    func writeAccount(
        _ path: ObjectPath, _ requester: Requester, _ headers: HeaderList, _ sink: any CompletionSink,
        _ completion: @escaping WriteCompletion
    ) {
        do throws(ObjectError) { try Self.checkAccountName(path) } catch { return completion(.failure(error)) }
        perform(sink, completion) { [self] () throws(Stop) in
            _ = try authorize(.writeAccount, path, requester, container: nil, .mayBlock)
            try rule { () throws(ObjectError) in
                try MetadataHeaders.checkHeaderSizes(headers)
                try UnannouncedFeatures.checkAccount(headers)
            }
            let store = store(path)
            store.latchAccount(path.account, on: threads) { [self] hold in
                latched(hold, sink, completion) { () throws(Stop) in
                    let row = try engine { () throws(ChunkError) in try store.account(path.account) }
                    var list = try attributes(row?.attributes ?? [])
                    try rule { () throws(ObjectError) in
                        try MetadataHeaders.merge(headers, into: &list, .account, isOwner: true)
                        try mergeAccountAccess(headers, requester, into: &list)
                    }
                    let operation = Operation.putAccount(
                        name: path.account, timestamp: timestamp(after: row?.modified), attributes: list.encoded())
                    submit(operation, store, hold, sink, WriteOutcome(kind: .noContent), completion)
                }
            }
        }
    }

    func accountManagementRefusal(_ path: ObjectPath, _ requester: Requester) -> ObjectError {
        standing(requester.caller, path.account) == .owner ? .methodNotAllowed : denial(requester)
    }

    private func mergeAccountAccess(
        _ headers: HeaderList, _ requester: Requester, into list: inout AttributeList
    ) throws(ObjectError) {
        guard let text = headers.first(named: "x-account-access-control") else { return }
        guard !trimmed(text).isEmpty else {
            list.set(AttributeList.Tag.accountAccess, nil)
            list.set(AttributeList.Tag.accountNamesCount, nil)
            return
        }
        let access = try AccountAccess(json: text)
        let json = access.json
        guard json.utf8.count <= ObjectLimits.headerValueBytesMax else {
            throw .badRequest("X-Account-Access-Control is too long")
        }
        list.set(AttributeList.Tag.accountAccess, Array(json.utf8))
        list.set(AttributeList.Tag.accountNamesCount, requester.caller.map(isOfDefaultDomain) == true ? [] : nil)
    }

    private func describe(_ row: AccountRow?, _ access: Access) throws(Stop) -> ResourceInfo {
        let isOwner = access == .owner
        // An account that nobody wrote looks like an empty one that is as old as the question.
        let now = Timestamp(ticks: TimestampClock.systemTicks())
        let created = row?.created ?? now
        let containers = row?.containerCount ?? 0
        let objects = row?.objectCount ?? 0
        let bytes = row?.byteCount ?? 0
        var headers: HeaderList = [
            ("X-Account-Container-Count", String(containers)),
            ("X-Account-Object-Count", String(objects)),
            ("X-Account-Bytes-Used", String(bytes)),
            ("X-Timestamp", created.description),
            ("X-Put-Timestamp", (row?.modified ?? now).description),
        ]
        if row != nil {
            let policy = "X-Account-Storage-Policy-\(configuration.policyName)-"
            headers.append((policy + "Container-Count", String(containers)))
            headers.append((policy + "Object-Count", String(objects)))
            headers.append((policy + "Bytes-Used", String(bytes)))
        }
        let list = try attributes(row?.attributes ?? [])
        MetadataHeaders.show(list, .account, isOwner: isOwner, into: &headers)
        if isOwner, let json = list.value(AttributeList.Tag.accountAccess) {
            headers.append(("X-Account-Access-Control", String(decoding: json, as: UTF8.self)))
        }
        return ResourceInfo(headers: headers, timestamp: created, isOwner: isOwner)
    }

    private static func checkAccountName(_ path: ObjectPath) throws(ObjectError) {
        if let refusal = path.lengthRefusal { throw .badRequest(refusal) }
    }
}
