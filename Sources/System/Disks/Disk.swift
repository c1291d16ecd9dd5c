/// The only way to the file system for the engine: a folder on one disk.
///
/// Real (`SystemDisk`) or simulated (`SimulatedDisk`, which forgets, tears and fails on command). Paths are
/// relative to the folder, `/`-separated, made by the engine itself and never from a name a tenant chose.
/// All calls block; call them on threads of your own. All are safe to call from several threads.
package protocol Disk: AnyObject, Sendable {
    /// Opens a file. Creation is durable only after `syncDirectory` on its folder.
    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile
    /// Atomic replacement; durable only after `syncDirectory` on both folders.
    func rename(_ from: String, to: String) throws(DiskError)
    /// Removing an absent file is an error (`ENOENT`).
    func remove(_ path: String) throws(DiskError)
    /// Makes one folder; it may exist already.
    func makeDirectory(_ path: String) throws(DiskError)
    /// Names in a folder, unsorted, without `.` and `..`. "" is the disk's own folder.
    func list(_ path: String) throws(DiskError) -> [String]
    /// Makes creations, renames and removals in the folder durable.
    func syncDirectory(_ path: String) throws(DiskError)
    /// Bytes that this process may still allocate, and the size of the file system.
    func space() throws(DiskError) -> (free: Int64, total: Int64)
    /// Takes the exclusive advisory lock on a file, made if absent; held until the returned object dies.
    /// Throws `EWOULDBLOCK` when another process (or another holder) has it.
    func lock(_ path: String) throws(DiskError) -> any DiskLock
}

package enum OpenMode: Sendable, Hashable {
    /// Existing file, cached reads.
    case read
    /// Existing file, reads that bypass the page cache where the file system allows it: buffer, offset and
    /// length must be multiples of `diskBlockBytes`. What a recovery reads is what the medium holds.
    case readDirect
    /// Existing or new file, cached reads and writes.
    case readWrite
    /// Existing or new file, writes that bypass the page cache where the file system allows it, same alignment.
    case writeDirect
}

/// Alignment of direct I/O, and of every group in the log.
package let diskBlockBytes = 4096

package protocol DiskFile: AnyObject, Sendable {
    /// Reads until the buffer is full or the file ends; returns the bytes read. EINTR and short reads are retried inside.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int
    /// As `read`, but only from memory: nil if the read would have to wait for the disk.
    func readCached(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int?
    /// Writes all of it, or throws; after a throw any part of the range may have been written.
    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError)
    /// fdatasync. After a throw nothing that was written since the last success may be believed (never retry).
    func sync() throws(DiskError)
    /// Reserves the blocks of the whole file and sets its size; ENOSPC leaves it as it was.
    func allocate(_ size: Int64) throws(DiskError)
    func truncate(_ size: Int64) throws(DiskError)
    func size() throws(DiskError) -> Int64
    /// Where what was ever written ends, as far as the file system can tell: at most `size`, and never less than it is.
    func dataEnd() throws(DiskError) -> Int64
    /// A hint: this range will be read soon. Returns at once; never fails.
    func prefetch(_ offset: Int64, _ length: Int)
}

extension DiskFile {
    package func dataEnd() throws(DiskError) -> Int64 { try size() }
    package func prefetch(_ offset: Int64, _ length: Int) {}
}

package protocol DiskLock: AnyObject, Sendable {}

/// An operating system's refusal: the call, the path, and errno.
package struct DiskError: Error, Sendable, Hashable, CustomStringConvertible {
    package var operation: String
    package var path: String
    package var code: Int32

    package init(operation: String, path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    package static let noSpace: Int32 = 28  // ENOSPC
    package var isNoSpace: Bool { code == Self.noSpace || code == 122 }  // or EDQUOT
    package var isNotFound: Bool { code == 2 }  // ENOENT

    package var description: String { "\(operation) \(path): errno \(code)" }
}
