private import Glibc

/// Files that only the daemon's user may read: 0600 in folders of 0700. Links are never followed at the last component.
package enum PrivateFile {
    /// Makes the folder unless it is there, and sets its mode to 0700 in either case.
    package static func makeFolder(_ path: String) throws(RecordsError) {
        if unsafe mkdir(path, 0o700) != 0, errno != EEXIST { throw failure("mkdir", path) }
        let folder = unsafe open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard folder >= 0 else { throw failure("open", path) }
        defer { close(folder) }
        guard fchmod(folder, 0o700) == 0 else { throw failure("chmod", path) }
    }

    /// Makes an empty file unless it is there, and sets its mode to 0600 in either case; true if it was made.
    package static func create(_ path: String) throws(RecordsError) -> Bool {
        var made = true
        var file = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        if file < 0, errno == EEXIST {
            made = false
            file = unsafe open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
        }
        guard file >= 0 else { throw failure("open", path) }
        defer { close(file) }
        guard fchmod(file, 0o600) == 0 else { throw failure("chmod", path) }
        return made
    }

    /// Puts the bytes in place at once: a temporary file beside it, synced, renamed, and the folder synced.
    package static func replace(_ path: String, with bytes: [UInt8]) throws(RecordsError) {
        let temporary = path + ".tmp"
        let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("open", temporary) }
        defer { close(file) }
        guard fchmod(file, 0o600) == 0 else { throw failure("chmod", temporary) }
        var written = 0
        while written < bytes.count {
            let step = unsafe bytes.withUnsafeBytes { raw in
                unsafe write(file, raw.baseAddress! + written, raw.count - written)
            }
            if step < 0, errno == EINTR { continue }
            guard step > 0 else { throw failure("write", temporary) }
            written += step
        }
        guard fsync(file) == 0 else { throw failure("fsync", temporary) }
        try move(from: temporary, to: path)
    }

    /// Renames over whatever is there and syncs the folder.
    package static func move(from: String, to: String) throws(RecordsError) {
        guard unsafe rename(from, to) == 0 else { throw failure("rename", from) }
        try syncFolder(of: to)
    }

    /// Removes the file; one that isn't there is no failure.
    package static func remove(_ path: String) throws(RecordsError) {
        if unsafe unlink(path) != 0, errno != ENOENT { throw failure("unlink", path) }
    }

    /// Waits until the file's bytes are on the disk.
    package static func sync(_ path: String) throws(RecordsError) {
        let file = unsafe open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { throw failure("open", path) }
        defer { close(file) }
        guard fsync(file) == 0 else { throw failure("fsync", path) }
    }

    /// Waits until the names in the folder that holds `path` are on the disk.
    package static func syncFolder(of path: String) throws(RecordsError) {
        let folderPath = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let folder = unsafe open(folderPath.isEmpty ? "/" : folderPath, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw failure("open", folderPath) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw failure("fsync", folderPath) }
    }

    /// The whole file; nil if there is none. A file longer than `bytesMax` is refused (EFBIG).
    package static func read(_ path: String, bytesMax: Int) throws(RecordsError) -> [UInt8]? {
        let file = unsafe open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        if file < 0, errno == ENOENT { return nil }
        guard file >= 0 else { throw failure("open", path) }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
        var count = 0
        while count < bytes.count {
            let step = unsafe bytes.withUnsafeMutableBytes { raw in
                unsafe Glibc.read(file, raw.baseAddress! + count, raw.count - count)
            }
            if step < 0, errno == EINTR { continue }
            guard step >= 0 else { throw failure("read", path) }
            if step == 0 { break }
            count += step
        }
        guard count <= bytesMax else { throw .file(operation: "read", path: path, errno: EFBIG) }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// The names in a folder, sorted, without `.` and `..`.
    package static func names(in folder: String) throws(RecordsError) -> [String] {
        guard let stream = unsafe opendir(folder) else { throw failure("opendir", folder) }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
                unsafe field.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// When the file was last written, in Unix seconds; nil if there is none.
    package static func modified(_ path: String) throws(RecordsError) -> Int64? {
        var facts = stat()
        if unsafe lstat(path, &facts) != 0 {
            if errno == ENOENT { return nil }
            throw failure("stat", path)
        }
        return Int64(facts.st_mtim.tv_sec)
    }

    /// The permission bits of a file or folder; nil if there is none.
    package static func mode(_ path: String) throws(RecordsError) -> UInt32? {
        var facts = stat()
        if unsafe lstat(path, &facts) != 0 {
            if errno == ENOENT { return nil }
            throw failure("stat", path)
        }
        return facts.st_mode & 0o777
    }

    private static func failure(_ operation: String, _ path: String) -> RecordsError {
        .file(operation: operation, path: path, errno: errno)
    }
}
