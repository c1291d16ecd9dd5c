package import Disks

/// Why the engine would not, or could not.
package enum ChunkError: Error, Sendable, Hashable {
    /// The store takes no writes any more in this process: an I/O error, damage, or it was closed.
    case readOnly(ReadOnlyReason)
    /// Writing would go below the reserve of free bytes, or above the store's capacity. Deletes still work.
    case noSpace
    /// More waits than the named bound allows.
    case overloaded
    /// Bytes on the medium do not match their checksum, after a second direct read.
    case corrupt(segment: UInt32, offset: Int64)
    /// An index row does not match its own hash, or cannot be decoded.
    case corruptIndex(String)
    case disk(DiskError)
    case index(String)
    case cancelled
    /// Another process, or another store in this one, has the folder open.
    case locked
    /// The folder can't be opened as it is; the text says what to do.
    case unusable(String)
}

/// Why a store stopped taking writes.
package enum ReadOnlyReason: Sendable, Hashable {
    case ioError(DiskError)
    /// Committed records do not verify: `segment`, from `offset`.
    case damaged(segment: UInt32, offset: Int64)
    /// The index is ahead of the log: the disk lost acknowledged data (I5).
    case logBehindIndex(indexLSN: UInt64, logLSN: UInt64)
    case checkpointFailed(String)
    case closed
}
