import Codecs
package import Primitives
import Synchronization

/// The size of a frame: a large object's unit of storage and verification.
package let frameBytes = 131_072
/// The largest object body that rides inside its own record.
package let inlineBytesMax = 131_072

/// One change of state. Each is atomic, and all counters of container and account change with it.
package enum Operation: Sendable {
    /// Creates or replaces the account's own attributes. `created` is kept if it exists.
    case putAccount(name: Bytes, timestamp: Timestamp, attributes: [UInt8])
    /// Creates (with `id` from `nextID()`, `existing` nil) or replaces the attributes of `existing`.
    case putContainer(
        account: Bytes, name: Bytes, id: UInt64, existing: ContainerRow?, timestamp: Timestamp, attributes: [UInt8])
    /// The caller holds it exclusively and found it empty.
    case deleteContainer(ContainerRow, timestamp: Timestamp)
    case putObject(container: ContainerRow, name: Bytes, draft: ObjectDraft, body: NewBody, replacing: ObjectRow?)
    /// Replaces content type, attributes and `modified`; the bytes stay.
    case setObjectMetadata(
        container: ContainerRow, row: ObjectRow, timestamp: Timestamp, contentType: Bytes, attributes: [UInt8])
    case deleteObject(container: ContainerRow, row: ObjectRow, timestamp: Timestamp)

    package enum NewBody: Sendable {
        /// At most `inlineBytesMax` bytes; compressed and hashed on the calling thread.
        case inline([UInt8])
        case uploaded(UploadedBody)
    }
}

extension ChunkStore {
    /// A fresh id, never handed out before: for a container that is being made.
    package func nextID() -> UInt64 { ids.add(1, ordering: .relaxed).oldValue }

    // MARK: Latches

    /// Takes the container shared and the object's name exclusively, then runs `then`: at once on this thread if
    /// both are free, else later on `threads`. Hold both from looking the rows up until the write is applied:
    /// hand the hold to `submit`, or `release()` it.
    package func latchObject(
        _ account: Bytes, _ container: Bytes, _ object: Bytes, on threads: WorkThreads,
        then: @escaping @Sendable (LatchHold) -> Void
    ) {
        var first: LatchHold.Part? = LatchHold.Part(
            table: containerLatches, key: latchKey(account, container, nil), mode: .shared)
        var second: LatchHold.Part? = LatchHold.Part(
            table: objectLatches, key: latchKey(account, container, object), mode: .exclusive)
        #if DEBUG
            if configuration.mutant == .dropContainerLatch { first = nil }
            if configuration.mutant == .dropObjectLatch { second = nil }
        #endif
        take(first, second, threads, then)
    }

    /// Takes the container exclusively (PUT, POST, DELETE of the container itself).
    package func latchContainer(
        _ account: Bytes, _ container: Bytes, on threads: WorkThreads, then: @escaping @Sendable (LatchHold) -> Void
    ) {
        var wanted: LatchHold.Part? = LatchHold.Part(
            table: containerLatches, key: latchKey(account, container, nil), mode: .exclusive)
        #if DEBUG
            if configuration.mutant == .dropContainerLatch { wanted = nil }
        #endif
        take(wanted, nil, threads, then)
    }

    /// Takes the account's own row exclusively (POST of its metadata). Does not exclude writes to containers.
    package func latchAccount(
        _ account: Bytes, on threads: WorkThreads, then: @escaping @Sendable (LatchHold) -> Void
    ) {
        take(
            LatchHold.Part(table: containerLatches, key: latchKey(account, nil, nil), mode: .exclusive), nil, threads,
            then)
    }

    /// One latch after the other, always container before object, so that no two requests wait for each other.
    private func take(
        _ first: LatchHold.Part?, _ second: LatchHold.Part?, _ threads: WorkThreads,
        _ then: @escaping @Sendable (LatchHold) -> Void
    ) {
        take(first, threads) { [self] in
            take(second, threads) { then(LatchHold(first, second)) }
        }
    }

    /// Runs `then` with the latch taken: at once on this thread, or later on `threads`.
    private func take(_ part: LatchHold.Part?, _ threads: WorkThreads, _ then: @escaping @Sendable () -> Void) {
        guard let part else { return then() }
        if part.table.tryTake(part.key, part.mode) { return then() }
        if part.table.take(part.key, part.mode, grant: { threads.resume(then) }) { then() }
    }

    private func latchKey(_ account: Bytes, _ container: Bytes?, _ object: Bytes?) -> UInt64 {
        var hash = account.storage.withUnsafeBytes { XXH3.hash($0, secret) }
        if let container {
            hash = hash &* 0x9E37_79B9_7F4A_7C15 ^ container.storage.withUnsafeBytes { XXH3.hash($0, secret) } &+ 1
        }
        if let object {
            hash = hash &* 0xC2B2_AE3D_27D4_EB4F ^ object.storage.withUnsafeBytes { XXH3.hash($0, secret) } &+ 2
        }
        return hash
    }

    // MARK: Submitting

    /// Enqueues one operation. Never blocks for the disk.
    ///
    /// `completion` runs through `sink` after the operation is durable and visible (I1), or has failed and
    /// changed nothing. The hold is released at that moment, before `completion` runs.
    /// - Precondition: names, attributes and inline bodies are within `Limits`.
    package func submit(
        _ operation: Operation, holding hold: LatchHold, sink: any CompletionSink,
        completion: @escaping @Sendable (Result<Void, ChunkError>) -> Void
    ) {
        let (record, body, needsSpace) = record(of: operation)
        var encoded = record.encoded()
        precondition(encoded.attributes.count <= Limits.recordAttributesMax, "attributes beyond their bound")
        if case .inline(let bytes) = body {
            precondition(bytes.count <= inlineBytesMax)
            encoded.rawBytes = bytes.count
            if !bytes.isEmpty {
                let stored = FrameCodec.encode(bytes, secret)
                encoded.payload = stored.bytes
                encoded.payloadHash = stored.hash
                if stored.isLZ4 { encoded.flags |= GroupEntry.lz4Flag }
            }
        }
        var completion = completion
        if case .uploaded(let uploaded) = body {
            // Refused, the body is nobody's: give it up now rather than at the next start.
            completion = { [self, completion] result in
                if case .failure = result { abandonUpload(uploaded.owner) }
                completion(result)
            }
        }
        let submission = Submission(record: record, encoded: encoded, hold: hold, sink: sink, completion: completion)
        if needsSpace, counters.spaceRefused.load(ordering: .relaxed) {
            finish([submission], .failure(.noSpace))
        } else {
            enqueue(submission)
        }
    }

    /// The log's form of an operation; what it needs bytes for; whether it is refused at the reserve.
    private func record(of operation: Operation) -> (Record, Operation.NewBody?, needsSpace: Bool) {
        switch operation {
        case .putAccount(let name, let timestamp, let attributes):
            return (.putAccount(name: name, timestamp: timestamp, attributes: attributes), nil, true)
        case .putContainer(let account, let name, let id, let existing, let timestamp, let attributes):
            let key = ContainerKey(account: account, name: name)
            precondition(!account.storage.contains(0) && !name.storage.contains(0), "names hold no NUL")
            return (
                .putContainer(
                    key, id: existing?.id ?? id, isNew: existing == nil, created: existing?.created ?? timestamp,
                    timestamp: timestamp, attributes: attributes), nil, true
            )
        case .deleteContainer(let row, let timestamp):
            return (
                .deleteContainer(ContainerKey(account: row.account, name: row.name), id: row.id, timestamp: timestamp),
                nil, false
            )
        case .putObject(let container, let name, let draft, let body, let replacing):
            let owner: UInt64
            let place: ObjectRow.Body
            switch body {
            case .inline:
                owner = nextID()
                place = .empty  // The group entry says where the payload lies.
            case .uploaded(let uploaded):
                uploaded.markNamed()
                owner = uploaded.owner
                place = uploaded.size == 0 ? .empty : .mapped
            }
            let row = ObjectRow(
                name: name, owner: owner, created: draft.timestamp, modified: draft.timestamp, size: draft.size,
                etag: draft.etag,
                contentType: draft.contentType, attributes: draft.attributes, body: place)
            return (
                .putObject(
                    ContainerKey(account: container.account, name: container.name), id: container.id, row,
                    replaced: replacing.map(Record.Replaced.init)), body, true
            )
        case .setObjectMetadata(let container, var row, let timestamp, let contentType, let attributes):
            row.modified = timestamp
            row.contentType = contentType
            row.attributes = attributes
            return (
                .setObjectMetadata(
                    ContainerKey(account: container.account, name: container.name), id: container.id, row), nil, true
            )
        case .deleteObject(let container, let row, let timestamp):
            return (
                .deleteObject(
                    ContainerKey(account: container.account, name: container.name), id: container.id, name: row.name,
                    timestamp: timestamp, replaced: Record.Replaced(row)), nil, false
            )
        }
    }
}
