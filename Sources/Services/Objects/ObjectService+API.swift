package import Chunks
package import Codecs
package import Primitives

// The surface that the HTTP faces build on. Bodies live beside what they belong to.
//
// Functions that read may wait for the disk: call them on a work thread, never on an event loop (the ones
// named `…Cached` never block). Functions that write return at once; their completion runs through the sink.

/// `/v1/{account}[/{container}[/{object}]]`, percent-decoded once, checked for UTF-8, NUL and length.
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

/// Header names and values as received, names compared without case.
package typealias HeaderList = [(name: String, value: String)]

/// A refusal. Each case is exactly one HTTP status; the text is for people.
package enum ObjectError: Error, Sendable, Hashable {
    case badRequest(String)  // 400
    case unauthorized  // 401
    case forbidden  // 403
    case notFound  // 404
    case methodNotAllowed  // 405
    case conflict(String)  // 409
    case lengthRequired  // 411
    case preconditionFailed(String)  // 412
    case tooLarge(String)  // 413
    case unprocessable  // 422: the body's MD5 is not the ETag
    case unavailable(String)  // 503
    case insufficientStorage  // 507
    /// The bytes are damaged: 503 before the first byte of the body, a reset after it.
    case corrupt(String)
}

/// What GET and HEAD answer with, body apart. `headers` are complete but for framing, ranges and ids.
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
    /// Content-Type, Etag (bare), Last-Modified, X-Timestamp, X-Object-Meta-*, Content-Encoding and its like, Accept-Ranges.
    package var headers: HeaderList
    package var size: Int
    package var etag: MD5Digest
    package var contentType: String
    package var modified: Timestamp
    package var reader: ObjectReader
    package init(
        headers: HeaderList, size: Int, etag: MD5Digest, contentType: String, modified: Timestamp, reader: ObjectReader
    ) {
        self.headers = headers
        self.size = size
        self.etag = etag
        self.contentType = contentType
        self.modified = modified
        self.reader = reader
    }
}

/// The query of a listing (object-api.md 5.1), parsed and bounded.
package struct ListingQuery: Sendable {
    package var limit = 10_000
    package var marker: Bytes?
    package var endMarker: Bytes?
    package var prefix: Bytes?
    package var delimiter: Bytes?
    /// Legacy: children of a pseudo-directory (containers only).
    package var path: Bytes?
    package var reverse = false
    package init() {}
}

package enum ContainerListingEntry: Sendable {
    case container(name: Bytes, objects: Int, bytes: Int, modified: Timestamp)
    case subdirectory(Bytes)
}

package enum ObjectListingEntry: Sendable {
    case object(name: Bytes, etag: MD5Digest, bytes: Int, contentType: Bytes, modified: Timestamp)
    case subdirectory(Bytes)
}

/// What a successful write tells the client.
package struct WriteOutcome: Sendable {
    package enum Kind: Sendable, Hashable { case created, accepted, noContent }
    package var kind: Kind
    /// Etag, Last-Modified, X-Copied-From*, ... as the operation has them.
    package var headers: HeaderList
    package init(kind: Kind, headers: HeaderList) {
        self.kind = kind
        self.headers = headers
    }
}

package typealias WriteCompletion = @Sendable (Result<WriteOutcome, ObjectError>) -> Void

/// A body on its way in: `append` until it ends, then `finish` or `abort`. One caller at a time, which never blocks.
package protocol ObjectPut: AnyObject, Sendable {
    /// False: stop reading from the socket until `onReady` (set at `beginPut`) is called.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool
    /// The body is complete. Verifies length and ETag, commits, completes through the sink.
    func finish(completion: @escaping WriteCompletion)
    /// The client vanished: nothing is left.
    func abort()
}
