private import CLinux

/// An open file of a `SystemDisk`; closed when the last reference goes.
final class SystemFile: DiskFile {
    private let descriptor: Int32
    private let path: String
    private let wantsAlignment: Bool
    /// False after the stated fallback: the file system would not do O_DIRECT.
    let isDirect: Bool

    init(descriptor: Int32, path: String, wantsAlignment: Bool, isDirect: Bool) {
        self.descriptor = descriptor
        self.path = path
        self.wantsAlignment = wantsAlignment
        self.isDirect = isDirect
    }

    deinit { apus_close(descriptor) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int {
        try check("read", buffer.baseAddress, buffer.count, offset)
        var done = 0
        while done < buffer.count {
            let n = unsafe apus_read(descriptor, buffer.baseAddress! + done, buffer.count - done, offset + Int64(done))
            if n < 0 { throw error("read", Int32(-n)) }
            if n == 0 { break }
            done += n
            // A direct read stops short only at the file's end; going on from an odd offset would be refused.
            if isDirect, n & (diskBlockBytes - 1) != 0 { break }
        }
        return done
    }

    func readCached(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int? {
        try check("read", buffer.baseAddress, buffer.count, offset)
        if isDirect { return nil }
        if buffer.count == 0 { return 0 }
        let n = unsafe apus_read_cached(descriptor, buffer.baseAddress!, buffer.count, offset)
        if n == -11 || n == -95 || n == -38 { return nil }  // EAGAIN, EOPNOTSUPP, ENOSYS
        if n < 0 { throw error("read", Int32(-n)) }
        if n == buffer.count { return n }
        return offset + Int64(n) >= (try size()) ? n : nil
    }

    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError) {
        try check("write", buffer.baseAddress, buffer.count, offset)
        var done = 0
        while done < buffer.count {
            let n = unsafe apus_write(descriptor, buffer.baseAddress! + done, buffer.count - done, offset + Int64(done))
            if n < 0 { throw error("write", Int32(-n)) }
            if n == 0 { throw error("write", 5) }  // no progress: EIO
            done += n
        }
    }

    func sync() throws(DiskError) {
        let result = apus_data_sync(descriptor)
        if result < 0 { throw error("fdatasync", -result) }
    }

    func allocate(_ size: Int64) throws(DiskError) {
        guard size >= 0 else { throw error("fallocate", DiskPath.invalid) }
        let old = try self.size()
        if size <= old { return try truncate(size) }
        let result = apus_allocate(descriptor, size)
        if result == -95 {
            // The file system cannot reserve: the size is set, and running out shows at the write instead.
            return try truncate(size)
        }
        if result < 0 {
            // ext4 keeps what it got before it ran out: give that back.
            _ = apus_truncate(descriptor, old)
            throw error("fallocate", -result)
        }
    }

    func truncate(_ size: Int64) throws(DiskError) {
        let result = apus_truncate(descriptor, size)
        if result < 0 { throw error("ftruncate", -result) }
    }

    func prefetch(_ offset: Int64, _ length: Int) { apus_prefetch(descriptor, offset, length) }

    func dataEnd() throws(DiskError) -> Int64 {
        let result = apus_data_end(descriptor)
        if result < 0 { throw error("lseek", Int32(-result)) }
        return result
    }

    func size() throws(DiskError) -> Int64 {
        let result = apus_size(descriptor)
        if result < 0 { throw error("fstat", Int32(-result)) }
        return result
    }

    private func check(_ operation: String, _ address: UnsafeRawPointer?, _ count: Int, _ offset: Int64)
        throws(DiskError)
    {
        guard offset >= 0, !wantsAlignment || isAligned(address, count, offset) else {
            throw error(operation, DiskPath.invalid)
        }
    }

    private func error(_ operation: String, _ code: Int32) -> DiskError {
        DiskError(operation: operation, path: path, code: code)
    }
}
