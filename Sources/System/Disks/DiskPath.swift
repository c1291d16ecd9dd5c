/// The rules for a path inside a disk's folder: relative, `/`-separated, every part a plain name.
enum DiskPath {
    static let invalid: Int32 = 22  // EINVAL

    /// Refuses absolute paths, empty parts, `.`, `..` and NUL.
    static func check(_ path: String, _ operation: String) throws(DiskError) {
        let bytes = path.utf8
        guard !bytes.isEmpty, bytes.count < 4096, !bytes.contains(0) else {
            throw DiskError(operation: operation, path: path, code: invalid)
        }
        for part in bytes.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            let isDots = part.allSatisfy { $0 == UInt8(ascii: ".") } && part.count <= 2
            if isDots || part.count > 255 { throw DiskError(operation: operation, path: path, code: invalid) }
        }
    }

    /// As `check`; "" is the disk's own folder.
    static func checkFolder(_ path: String, _ operation: String) throws(DiskError) {
        if !path.isEmpty { try check(path, operation) }
    }

    /// The folder that a path's last part lies in; "" for the disk's own.
    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return String(path[..<slash])
    }

    static func name(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return path }
        return String(path[path.index(after: slash)...])
    }
}

/// Direct modes want all three aligned on every disk, so that a mistake shows on those that would forgive it.
func isAligned(_ address: UnsafeRawPointer?, _ count: Int, _ offset: Int64) -> Bool {
    (Int(bitPattern: address) | count | Int(offset)) & (diskBlockBytes - 1) == 0
}
