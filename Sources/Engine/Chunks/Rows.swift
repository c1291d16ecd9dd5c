package import Codecs
package import Primitives

/// An account as the log knows it. Absent means: empty, never written.
package struct AccountRow: Sendable, Hashable {
    package var name: Bytes
    /// When the account was first written, and last PUT or POSTed.
    package var created: Timestamp
    package var modified: Timestamp
    /// What the object service keeps with it; opaque here, at most `Limits.attributeBytesMax`.
    package var attributes: [UInt8]
    package var containerCount: Int
    package var objectCount: Int
    package var byteCount: Int
}

/// A container. Its id is never used again, so a container made anew under the same name starts empty.
package struct ContainerRow: Sendable, Hashable {
    package var account: Bytes
    package var name: Bytes
    package var id: UInt64
    package var created: Timestamp
    package var modified: Timestamp
    package var attributes: [UInt8]
    package var objectCount: Int
    package var byteCount: Int
}

/// One object: the current version.
package struct ObjectRow: Sendable, Hashable {
    package var name: Bytes
    /// The id of this version's bytes.
    package var owner: UInt64
    /// When the data was PUT, and when the metadata was last written (equal until a POST).
    package var created: Timestamp
    package var modified: Timestamp
    package var size: Int
    package var etag: MD5Digest
    package var contentType: Bytes
    package var attributes: [UInt8]
    package var body: Body

    /// Where the bytes are.
    package enum Body: Sendable, Hashable {
        case empty
        /// At most one frame, kept in the state log with its record.
        case inline(Extent)
        /// Frames named by the leaves of the owner's map.
        case mapped
    }
}

/// What a caller says of an object that it writes; the engine adds the owner and where the bytes are.
package struct ObjectDraft: Sendable {
    package var timestamp: Timestamp
    package var size: Int
    package var etag: MD5Digest
    package var contentType: Bytes
    package var attributes: [UInt8]

    package init(timestamp: Timestamp, size: Int, etag: MD5Digest, contentType: Bytes, attributes: [UInt8]) {
        self.timestamp = timestamp
        self.size = size
        self.etag = etag
        self.contentType = contentType
        self.attributes = attributes
    }
}

/// A page of a listing, in the order asked for.
package struct Page<Row: Sendable>: Sendable {
    package var rows: [Row]
    /// False when the range was exhausted; true when there may be more behind the last row.
    package var mayHaveMore: Bool
}

/// A range of names, both ends exclusive unless said: `after` < name < `before`, and name >= `from`.
package struct NameRange: Sendable {
    /// Inclusive lower bound.
    package var from: Bytes?
    /// Exclusive lower bound.
    package var after: Bytes?
    /// Exclusive upper bound.
    package var before: Bytes?

    package init(from: Bytes? = nil, after: Bytes? = nil, before: Bytes? = nil) {
        self.from = from
        self.after = after
        self.before = before
    }

    package func contains(_ name: Bytes) -> Bool {
        if let from, name < from { return false }
        if let after, name <= after { return false }
        if let before, name >= before { return false }
        return true
    }
}
