private import CLinux

/// A folder of the machine's file system.
///
/// Every path is resolved from a descriptor of the folder, so that renaming or replacing the folder's own name
/// does not move the store. Files are made 0600, folders 0700; a symbolic link in a path's last part is refused.
package final class SystemDisk: Disk {
    package let root: String
    private let rootDescriptor: Int32

    /// Opens the folder, which is made if only its last part is absent.
    package init(root: String) throws(DiskError) {
        self.root = root
        let made = unsafe apus_folder_make(apus_cwd(), root)
        // A root that is a link to a folder is the operator's choice: only opening it decides.
        if made < 0, made != -20 { throw DiskError(operation: "mkdir", path: root, code: -made) }
        rootDescriptor = unsafe apus_folder_open(apus_cwd(), root, 1)
        if rootDescriptor < 0 { throw DiskError(operation: "open", path: root, code: -rootDescriptor) }
    }

    deinit {
        if rootDescriptor >= 0 { apus_close(rootDescriptor) }
    }

    package func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        try DiskPath.check(path, "open")
        let writable: Int32 = mode == .readWrite || mode == .writeDirect ? 1 : 0
        let wantsDirect = mode == .readDirect || mode == .writeDirect
        var isDirect = wantsDirect
        var descriptor = unsafe apus_file_open(rootDescriptor, path, writable, writable, wantsDirect ? 1 : 0)
        if descriptor == -22, wantsDirect {
            // The file system refuses O_DIRECT (tmpfs, some overlays): buffered, and `sync` is what makes it durable.
            isDirect = false
            descriptor = unsafe apus_file_open(rootDescriptor, path, writable, writable, 0)
        }
        if descriptor < 0 { throw DiskError(operation: "open", path: path, code: -descriptor) }
        // Without O_DIRECT the nearest thing to reading the medium is to drop what is cached and clean.
        if mode == .readDirect, !isDirect { apus_drop_cache(descriptor) }
        return SystemFile(descriptor: descriptor, path: path, wantsAlignment: wantsDirect, isDirect: isDirect)
    }

    package func rename(_ from: String, to: String) throws(DiskError) {
        try DiskPath.check(from, "rename")
        try DiskPath.check(to, "rename")
        let result = unsafe apus_rename(rootDescriptor, from, to)
        if result < 0 { throw DiskError(operation: "rename", path: "\(from) to \(to)", code: -result) }
    }

    package func remove(_ path: String) throws(DiskError) {
        try DiskPath.check(path, "remove")
        let result = unsafe apus_unlink(rootDescriptor, path)
        if result < 0 { throw DiskError(operation: "remove", path: path, code: -result) }
    }

    package func makeDirectory(_ path: String) throws(DiskError) {
        try DiskPath.check(path, "mkdir")
        let result = unsafe apus_folder_make(rootDescriptor, path)
        if result < 0 { throw DiskError(operation: "mkdir", path: path, code: -result) }
    }

    package func list(_ path: String) throws(DiskError) -> [String] {
        try DiskPath.checkFolder(path, "list")
        let folder = try openFolder(path, "list")
        var names: [String] = []
        // The descriptor is the callee's from here on.
        let result = unsafe withUnsafeMutablePointer(to: &names) { names in
            unsafe apus_folder_list(folder, names) { context, name in
                guard let context, let name else { return }
                unsafe context.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
            }
        }
        if result < 0 { throw DiskError(operation: "list", path: path, code: -result) }
        return names
    }

    package func syncDirectory(_ path: String) throws(DiskError) {
        try DiskPath.checkFolder(path, "fsync")
        let folder = try openFolder(path, "fsync")
        defer { apus_close(folder) }
        let result = apus_full_sync(folder)
        if result < 0 { throw DiskError(operation: "fsync", path: path, code: -result) }
    }

    package func space() throws(DiskError) -> (free: Int64, total: Int64) {
        var free: Int64 = 0
        var total: Int64 = 0
        let result = unsafe apus_space(rootDescriptor, &free, &total)
        if result < 0 { throw DiskError(operation: "statvfs", path: root, code: -result) }
        return (free, total)
    }

    package func lock(_ path: String) throws(DiskError) -> any DiskLock {
        try DiskPath.check(path, "lock")
        let descriptor = unsafe apus_file_open(rootDescriptor, path, 1, 1, 0)
        if descriptor < 0 { throw DiskError(operation: "lock", path: path, code: -descriptor) }
        let result = apus_lock(descriptor)
        if result < 0 {
            apus_close(descriptor)
            throw DiskError(operation: "lock", path: path, code: -result)
        }
        return SystemLock(descriptor: descriptor)
    }

    private func openFolder(_ path: String, _ operation: String) throws(DiskError) -> Int32 {
        let folder = unsafe apus_folder_open(rootDescriptor, path.isEmpty ? "." : path, 0)
        if folder < 0 { throw DiskError(operation: operation, path: path, code: -folder) }
        return folder
    }
}

/// The lock lives as long as its descriptor.
private final class SystemLock: DiskLock {
    private let descriptor: Int32
    init(descriptor: Int32) { self.descriptor = descriptor }
    deinit {
        // Closing alone would leave the lock with any child that was forked and hasn't started its program yet.
        apus_unlock(descriptor)
        apus_close(descriptor)
    }
}
