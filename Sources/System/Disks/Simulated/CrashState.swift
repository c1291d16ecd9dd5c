/// One operation that changed a simulated disk, in the order in which they happened.
package enum LoggedOperation: Sendable {
    case write(inode: Int, offset: Int, bytes: [UInt8])
    /// Truncation or allocation; `stale` fills what grew (empty: zeros).
    case setSize(inode: Int, size: Int, stale: [[UInt8]])
    case sync(inode: Int)
    /// A failed fdatasync: the pages became clean, and only `survivors` had reached the medium.
    case syncFailed(inode: Int, survivors: [(offset: Int, bytes: [UInt8])])
    case create(path: String, inode: Int)
    case makeDirectory(path: String)
    case rename(from: String, to: String, inode: Int)
    case remove(path: String, inode: Int)
    case syncDirectory(path: String)
    /// Rot: the medium itself changed.
    case rot(inode: Int, offset: Int, bytes: [UInt8])

    var isBarrier: Bool {
        switch self {
        case .sync, .syncDirectory: true
        default: false
        }
    }

    package var description: String {
        switch self {
        case .write(let inode, let offset, let bytes): "write #\(inode) \(offset)+\(bytes.count)"
        case .setSize(let inode, let size, _): "size #\(inode) \(size)"
        case .sync(let inode): "sync #\(inode)"
        case .syncFailed(let inode, _): "sync failed #\(inode)"
        case .create(let path, let inode): "create \(path) #\(inode)"
        case .makeDirectory(let path): "mkdir \(path)"
        case .rename(let from, let to, let inode): "rename \(from) \(to) #\(inode)"
        case .remove(let path, let inode): "remove \(path) #\(inode)"
        case .syncDirectory(let path): "syncdir '\(path)'"
        case .rot(let inode, let offset, let bytes): "rot #\(inode) \(offset)+\(bytes.count)"
        }
    }
}

/// What a power cut may leave: what is durable for certain, and what is still in or out.
struct CrashState: Sendable {
    /// A change that is not certain yet, with its place in the order of all of them.
    struct Pending: Sendable {
        enum Change: Sendable {
            case write(inode: Int, offset: Int, bytes: [UInt8])
            case setSize(inode: Int, size: Int, stale: [[UInt8]])
            case create(path: String, inode: Int)
            case makeDirectory(path: String)
            case rename(from: String, to: String, inode: Int)
            case remove(path: String, inode: Int)
        }
        var change: Change
        /// Folders whose sync is still owed (name changes only).
        var folders: Set<String> = []

        var isWrite: Bool { if case .write = change { true } else { false } }
        var writeBytes: Int { if case .write(_, _, let bytes) = change { bytes.count } else { 0 } }
        var writeOffset: Int { if case .write(_, let offset, _) = change { offset } else { 0 } }
    }

    var media: [Int: FileContent] = [:]
    var names: [String: Int] = [:]
    var folders: Set<String> = [""]
    var pending: [Pending] = []

    mutating func apply(_ operation: LoggedOperation) {
        switch operation {
        case .write(let inode, let offset, let bytes):
            pending.append(Pending(change: .write(inode: inode, offset: offset, bytes: bytes)))
        case .setSize(let inode, let size, let stale):
            pending.append(Pending(change: .setSize(inode: inode, size: size, stale: stale)))
        case .sync(let inode):
            settleFile(inode)
        case .syncFailed(let inode, let survivors):
            // What the pages held is lost to later syncs; the sizes are metadata and go on as pending.
            var sizes: [Pending] = []
            var size = media[inode, default: FileContent()].size
            for entry in pending {
                switch entry.change {
                case .write(inode, let offset, let bytes) where offset + bytes.count > size:
                    size = offset + bytes.count
                    sizes.append(Pending(change: .setSize(inode: inode, size: size, stale: [])))
                case .setSize(inode, let newSize, _):
                    size = newSize
                    sizes.append(entry)
                default: break
                }
            }
            pending.removeAll { $0.inode == inode }
            pending.append(contentsOf: sizes)
            for (offset, bytes) in survivors {
                pending.append(Pending(change: .write(inode: inode, offset: offset, bytes: bytes)))
            }
        case .create(let path, let inode):
            pending.append(Pending(change: .create(path: path, inode: inode), folders: [DiskPath.folder(of: path)]))
        case .makeDirectory(let path):
            pending.append(Pending(change: .makeDirectory(path: path), folders: [DiskPath.folder(of: path)]))
        case .rename(let from, let to, let inode):
            pending.append(
                Pending(
                    change: .rename(from: from, to: to, inode: inode),
                    folders: [DiskPath.folder(of: from), DiskPath.folder(of: to)]))
        case .remove(let path, let inode):
            pending.append(Pending(change: .remove(path: path, inode: inode), folders: [DiskPath.folder(of: path)]))
        case .syncDirectory(let path):
            settleFolder(path)
        case .rot(let inode, let offset, let bytes):
            unsafe bytes.withUnsafeBytes { media[inode, default: FileContent()].writeWithin($0, at: offset) }
        }
    }

    private mutating func settleFile(_ inode: Int) {
        var content = media[inode] ?? FileContent()
        media[inode] = nil  // one owner, so that the pages are written in place
        for entry in pending { entry.write(to: &content, inode: inode) }
        media[inode] = content
        pending.removeAll { $0.inode == inode }
    }

    private mutating func settleFolder(_ path: String) {
        var kept: [Pending] = []
        kept.reserveCapacity(pending.count)
        for var entry in pending {
            guard entry.folders.remove(path) != nil, entry.folders.isEmpty else {
                kept.append(entry)
                continue
            }
            rename(entry.change)
        }
        pending = kept
    }

    private mutating func rename(_ change: Pending.Change) {
        switch change {
        case .create(let path, let inode): names[path] = inode
        case .makeDirectory(let path): folders.insert(path)
        case .rename(let from, let to, let inode):
            if names[from] == inode { names[from] = nil }
            names[to] = inode
        case .remove(let path, let inode):
            if names[path] == inode { names[path] = nil }
        case .write, .setSize: break
        }
    }

    /// The image that this choice of the pending changes leaves; whatever it holds is durable.
    func image(_ choice: CrashChoice) -> CrashState {
        var result = self
        result.pending = []
        var sizesStillIn: [Int: Bool] = [:]
        for (index, entry) in pending.enumerated() {
            switch entry.change {
            case .write(let inode, let offset, let bytes):
                var content = result.media[inode] ?? FileContent()
                result.media[inode] = nil
                if offset + bytes.count > content.size {
                    // The size that this write made may be lost though its bytes are not, and the other way round.
                    // Sizes form a history: once one is lost, so are those after it.
                    if choice.includesSize(index), sizesStillIn[inode] != false {
                        content.resize(offset + bytes.count)
                    } else {
                        sizesStillIn[inode] = false
                    }
                }
                for range in choice.ranges(index, offset: offset, count: bytes.count) {
                    unsafe bytes.withUnsafeBytes {
                        unsafe content.writeWithin(
                            UnsafeRawBufferPointer(rebasing: $0[range]), at: offset + range.lowerBound)
                    }
                }
                result.media[inode] = content
            case .setSize(let inode, let size, let stale):
                if choice.includesSize(index), sizesStillIn[inode] != false {
                    result.media[inode, default: FileContent()].resize(size, filling: stale)
                } else {
                    sizesStillIn[inode] = false
                }
            default:
                if choice.includes(index) { result.rename(entry.change) }
            }
        }
        // A file below a folder that did not make it cannot be reached.
        result.names = result.names.filter { result.hasFolders(of: $0.key) }
        result.folders = result.folders.filter { $0.isEmpty || result.hasFolders(of: $0) }
        let reachable = Set(result.names.values)
        result.media = result.media.filter { reachable.contains($0.key) }
        for inode in reachable where result.media[inode] == nil { result.media[inode] = FileContent() }
        return result
    }

    private func hasFolders(of path: String) -> Bool {
        var folder = DiskPath.folder(of: path)
        while !folder.isEmpty {
            if !folders.contains(folder) { return false }
            folder = DiskPath.folder(of: folder)
        }
        return true
    }
}

extension CrashState.Pending {
    /// Set for changes of a file's bytes or size.
    var inode: Int? {
        switch change {
        case .write(let inode, _, _), .setSize(let inode, _, _): inode
        default: nil
        }
    }

    func write(to content: inout FileContent, inode wanted: Int) {
        switch change {
        case .write(wanted, let offset, let bytes):
            unsafe bytes.withUnsafeBytes { unsafe content.write($0, at: offset) }
        case .setSize(wanted, let size, let stale):
            content.resize(size, filling: stale)
        default: break
        }
    }
}
