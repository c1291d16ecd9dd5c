package import Chunks
package import Codecs
package import Primitives

// The surface that the HTTP faces build on.
//
// Functions that read (`…Info`, `list…`, `open`) may wait for the disk: call them on a work thread, never on an event
// loop. The one named `…Cached` never blocks. Functions that write may be called on an event loop: they hop to the work
// threads themselves. Their completion runs exactly once: on the caller's thread before the call returns when the answer
// needs no waiting (a refusal, mostly), else through the sink.

/// `/v1/{account}[/{container}[/{object}]]`, percent-decoded once, checked for UTF-8, NUL and emptiness by the face.
package struct ObjectPath: Sendable, Hashable {
    package var account: Bytes
    package var container: Bytes?
    package var object: Bytes?
    package init(account: Bytes, container: Bytes? = nil, object: Bytes? = nil) {
        self.account = account
        self.container = container
        self.object = object
    }
}

/// Who asks and from where, as far as access rules look at it.
package struct Requester: Sendable {
    /// nil: anonymous, or a token that did not verify.
    package var caller: Caller?
    package var referer: String?
    package init(caller: Caller?, referer: String?) {
        self.caller = caller
        self.referer = referer
    }
}

/// Header names and values as received, names compared without case (`first(named:)`).
package typealias HeaderList = [(name: String, value: String)]

/// A refusal. Each case is exactly one HTTP status; the text is for people.
package enum ObjectError: Error, Sendable, Hashable {
    /// 304, only from `copy` (a condition on the source); for GET and HEAD the face evaluates `Conditions` itself.
    case notModified
    case badRequest(String)  // 400
    case unauthorized  // 401
    case forbidden  // 403
    case notFound  // 404
    case methodNotAllowed  // 405
    case conflict(String)  // 409
    case lengthRequired  // 411
    case preconditionFailed(String)  // 412
    case tooLarge(String)  // 413
    /// 416, only from `copy` (the source's range).
    case rangeNotSatisfiable(size: Int)
    case unprocessable  // 422: the body's MD5 is not the ETag
    case unavailable(String)  // 503
    case insufficientStorage  // 507
    /// The bytes are damaged: 503 before the first byte of the body, a reset after it.
    case corrupt(String)
}

/// What GET and HEAD of an account or container answer with, body apart. `headers` are complete but for framing,
/// Content-Type, Accept-Ranges and ids: counters, timestamps, metadata, and for an owner the privileged ones.
package struct ResourceInfo: Sendable {
    package var headers: HeaderList
    package var timestamp: Timestamp
    /// The requester may see privileged headers (they are already left out of `headers` otherwise).
    package var isOwner: Bool
    package init(headers: HeaderList, timestamp: Timestamp, isOwner: Bool) {
        self.headers = headers
        self.timestamp = timestamp
        self.isOwner = isOwner
    }
}

/// An object opened for GET or HEAD.
package struct OpenObject: Sendable {
    /// Everything but framing and ids: Content-Type, Etag (bare), Last-Modified, X-Timestamp, Accept-Ranges,
    /// X-Object-Meta-*, Content-Encoding and its like.
    package var headers: HeaderList
    package var size: Int
    package var etag: MD5Digest
    package var contentType: String
    package var modified: Timestamp
    /// nil for HEAD and for an object of no bytes.
    package var reader: ObjectReader?
    package init(
        headers: HeaderList, size: Int, etag: MD5Digest, contentType: String, modified: Timestamp, reader: ObjectReader?
    ) {
        self.headers = headers
        self.size = size
        self.etag = etag
        self.contentType = contentType
        self.modified = modified
        self.reader = reader
    }
}

/// The answer that needs no waiting, if there is one.
package enum CachedOpen: Sendable {
    case opened(OpenObject)
    case refused(ObjectError)
    /// Not in memory: call `open` on a work thread.
    case unknown
}

package enum ContainerListingEntry: Sendable, Hashable {
    case container(name: Bytes, objects: Int, bytes: Int, modified: Timestamp)
    case subdirectory(Bytes)
}

package enum ObjectListingEntry: Sendable, Hashable {
    case object(name: Bytes, etag: MD5Digest, bytes: Int, contentType: Bytes, modified: Timestamp)
    case subdirectory(Bytes)
}

/// GET of an account.
package struct AccountListing: Sendable {
    package var info: ResourceInfo
    package var entries: [ContainerListingEntry]
    /// Every container's policy, for `storage_policy`.
    package var policyName: String
    package init(info: ResourceInfo, entries: [ContainerListingEntry], policyName: String) {
        self.info = info
        self.entries = entries
        self.policyName = policyName
    }
}

/// GET of a container.
package struct ContainerListing: Sendable {
    package var info: ResourceInfo
    package var entries: [ObjectListingEntry]
    package init(info: ResourceInfo, entries: [ObjectListingEntry]) {
        self.info = info
        self.entries = entries
    }
}

/// What a successful write tells the client.
package struct WriteOutcome: Sendable {
    /// 201, 202, 204.
    package enum Kind: Sendable, Hashable { case created, accepted, noContent }
    package var kind: Kind
    /// Etag, Last-Modified, X-Copied-From*, ... as the operation has them.
    package var headers: HeaderList
    package init(kind: Kind, headers: HeaderList = []) {
        self.kind = kind
        self.headers = headers
    }
}

package typealias WriteCompletion = @Sendable (Result<WriteOutcome, ObjectError>) -> Void

/// What `append` says of the bytes behind the ones it took.
package enum BodyAppetite: Sendable, Hashable {
    case ready
    /// Stop reading from the socket until `onReady` (given at `beginPut`) is called.
    case pause
    /// The put has failed and holds nothing any more: answer with this, drain or close. No `finish`.
    case refused(ObjectError)
}

/// A body on its way in: `append` until it ends, then `finish` or `abort`, once. One caller at a time, which never blocks.
package protocol ObjectPut: AnyObject, Sendable {
    /// Copies the bytes in.
    func append(_ bytes: UnsafeRawBufferPointer) -> BodyAppetite
    /// The body is complete (the face has checked it against Content-Length). Verifies the ETag, checks again what may
    /// have changed meanwhile, commits, completes through the sink.
    func finish(completion: @escaping WriteCompletion)
    /// The client vanished: nothing is left.
    func abort()
}

/// What the object service is told at start.
package struct ObjectServiceConfiguration: Sendable {
    /// The account of a project is this and the project's id.
    package var resellerPrefix = "AUTH_"
    /// Roles that own their project's account.
    package var operatorRoles: Set<String> = ["admin", "member", "swiftoperator"]
    /// Owner of every account.
    package var resellerAdminRole = "ResellerAdmin"
    /// GET and HEAD in their own project's account.
    package var readerRoles: Set<String> = ["reader"]
    /// Only in this domain do names (not ids) count in access lists.
    package var defaultDomainID = "default"
    package var policyName = "Policy-0"
    package init() {}
}

extension ObjectService {
    // MARK: Accounts. They exist for their owner before they are written (autocreate).

    /// HEAD. Blocks.
    package func accountInfo(_ path: ObjectPath, _ requester: Requester) throws(ObjectError) -> ResourceInfo {
        try readAccount(path, requester).info
    }

    /// GET. Blocks.
    package func listAccount(
        _ path: ObjectPath, _ requester: Requester, _ query: ListingQuery
    ) throws(ObjectError) -> AccountListing {
        try accountListing(path, requester, query)
    }

    /// POST: merges metadata; 204.
    package func postAccount(
        _ path: ObjectPath, _ requester: Requester, headers: HeaderList, sink: any CompletionSink,
        completion: @escaping WriteCompletion
    ) { writeAccount(path, requester, headers, sink, completion) }

    /// PUT and DELETE of an account: always refused (account management is off), 401, 403 or 405. Does not block.
    package func refuseAccountManagement(_ path: ObjectPath, _ requester: Requester) -> ObjectError {
        accountManagementRefusal(path, requester)
    }

    // MARK: Containers.

    /// HEAD. Blocks.
    package func containerInfo(_ path: ObjectPath, _ requester: Requester) throws(ObjectError) -> ResourceInfo {
        try readContainer(path, requester).info
    }

    /// GET. Blocks.
    package func listContainer(
        _ path: ObjectPath, _ requester: Requester, _ query: ListingQuery
    ) throws(ObjectError) -> ContainerListing {
        try containerListing(path, requester, query)
    }

    /// PUT: 201, or 202 when it is already there.
    package func putContainer(
        _ path: ObjectPath, _ requester: Requester, headers: HeaderList, sink: any CompletionSink,
        completion: @escaping WriteCompletion
    ) { writeContainer(path, requester, headers, create: true, sink, completion) }

    /// POST: merges metadata; 204.
    package func postContainer(
        _ path: ObjectPath, _ requester: Requester, headers: HeaderList, sink: any CompletionSink,
        completion: @escaping WriteCompletion
    ) { writeContainer(path, requester, headers, create: false, sink, completion) }

    /// DELETE: 204; 409 while it holds anything.
    package func deleteContainer(
        _ path: ObjectPath, _ requester: Requester, sink: any CompletionSink, completion: @escaping WriteCompletion
    ) { removeContainer(path, requester, sink, completion) }

    // MARK: Objects.

    /// GET and HEAD from memory only: never blocks, for event loops.
    package func openCached(_ path: ObjectPath, _ requester: Requester, isHead: Bool) -> CachedOpen {
        openFromMemory(path, requester, isHead: isHead)
    }

    /// GET and HEAD. Blocks. The face then evaluates `Conditions` and `RangeRequest`; on `.notFound`,
    /// `Conditions.failsOnAbsent` turns 404 into 412.
    package func open(_ path: ObjectPath, _ requester: Requester, isHead: Bool) throws(ObjectError) -> OpenObject {
        try openFromStore(path, requester, isHead: isHead)
    }

    /// PUT: runs every check that needs no body (rights, container, headers, length, `If-None-Match`), so that the face
    /// knows the verdict before it says 100 Continue.
    ///
    /// - Parameters:
    ///   - declaredLength: Content-Length; nil when the body is chunked. (Neither: the face answers 411.)
    ///   - sink: where this put's completions, and `onReady`, are announced.
    ///   - onReady: called after an `append` that answered `.pause`, when there is room again.
    package func beginPut(
        _ path: ObjectPath, _ requester: Requester, headers: HeaderList, declaredLength: Int?,
        sink: any CompletionSink, onReady: @escaping @Sendable () -> Void,
        completion: @escaping @Sendable (Result<any ObjectPut, ObjectError>) -> Void
    ) { admitPut(path, requester, headers, declaredLength, sink, onReady, completion) }

    /// POST: replaces all metadata; 202.
    package func postObject(
        _ path: ObjectPath, _ requester: Requester, headers: HeaderList, sink: any CompletionSink,
        completion: @escaping WriteCompletion
    ) { writeObjectMetadata(path, requester, headers, sink, completion) }

    /// DELETE: 204.
    package func deleteObject(
        _ path: ObjectPath, _ requester: Requester, headers: HeaderList, sink: any CompletionSink,
        completion: @escaping WriteCompletion
    ) { removeObject(path, requester, headers, sink, completion) }

    /// COPY, and PUT with X-Copy-From (paths by `CopyAddress`): 201 with X-Copied-From and its like.
    ///
    /// - Parameter headers: the request's: conditions and Range apply to the source, metadata overrides the source's.
    package func copyObject(
        from source: ObjectPath, to destination: ObjectPath, _ requester: Requester, headers: HeaderList,
        sink: any CompletionSink, completion: @escaping WriteCompletion
    ) { copy(source, destination, requester, headers, sink, completion) }
}
