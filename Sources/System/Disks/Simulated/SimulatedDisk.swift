import Primitives

/// A disk in memory that forgets, tears and fails on command, and logs every operation that changed it.
///
/// It behaves as a POSIX file system may at its worst: bytes and sizes are certain only after the file's
/// `sync`, names only after `syncDirectory` on their folder, and a file's sync says nothing of its name.
/// `forEachCrashImage` builds what a power cut may leave at each point of the log. Everything is
/// deterministic, given `seed` and the order of the calls.
package final class SimulatedDisk: Disk {
    struct Node: Sendable {
        /// What buffered reads see.
        var live = FileContent()
        /// What reads that bypass the cache see, where a failed sync made that differ.
        var medium: FileContent?
        /// What was written since the last sync, for a sync that fails.
        var dirty: [(offset: Int, count: Int)] = []
        var syncedContent = FileContent()
        var failsNextSync = false
    }

    struct State: Sendable {
        var nodes: [Int: Node] = [:]
        var names: [String: Int] = [:]
        var folders: Set<String> = [""]
        var nextInode = 1
        var locks: Set<String> = []
        var initial = CrashState()
        var log: [LoggedOperation] = []
        var counts: [DiskCall: Int] = [:]
        var faults: [(fault: DiskFault, seen: Int)] = []
        var faultsHit = 0
        /// Handles of an earlier epoch answer EBADF: their process is gone.
        var epoch = 0
        var capacityBytes: Int64?
        var graveyard: [[UInt8]] = []
        var random: SplitMix64
        var isOff = false
    }

    /// How a simulated disk differs from the plainest one.
    package struct Options: Sendable {
        /// Space that allocation adds shows pages of removed files, as recycled blocks may, instead of zeros.
        package var recyclesOldBytes = false
        /// ENOSPC behind this many bytes of files, in whole pages.
        package var capacityBytes: Int64?
        package var seed: UInt64 = 1
        package init() {}
    }

    let mutex = PosixMutex()
    let guarded: PosixGuarded<State>
    package let options: Options

    package convenience init(options: Options = Options()) {
        self.init(options: options, from: CrashState())
    }

    /// A disk on which all of this is certain.
    init(options: Options, from image: CrashState) {
        self.options = options
        var state = State(random: SplitMix64(seed: options.seed))
        state.initial = image
        state.names = image.names
        state.folders = image.folders
        state.capacityBytes = options.capacityBytes
        for (inode, content) in image.media {
            state.nodes[inode] = Node(live: content, syncedContent: content)
            state.nextInode = max(state.nextInode, inode + 1)
        }
        guarded = PosixGuarded(state)
    }

    // MARK: Disk

    package func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        try DiskPath.check(path, "open")
        return try call(.open, path) { state throws(DiskError) in
            let creates = mode == .readWrite || mode == .writeDirect
            let inode: Int
            if let found = state.names[path] {
                inode = found
            } else {
                guard creates, state.folders.contains(DiskPath.folder(of: path)) else { throw missing("open", path) }
                if state.folders.contains(path) { throw DiskError(operation: "open", path: path, code: 21) }
                inode = state.nextInode
                state.nextInode += 1
                state.nodes[inode] = Node()
                state.names[path] = inode
                state.log.append(.create(path: path, inode: inode))
            }
            return SimulatedFile(disk: self, inode: inode, path: path, mode: mode, epoch: state.epoch)
        }
    }

    package func rename(_ from: String, to: String) throws(DiskError) {
        try DiskPath.check(from, "rename")
        try DiskPath.check(to, "rename")
        try call(.rename, from) { state throws(DiskError) in
            guard let inode = state.names[from], state.folders.contains(DiskPath.folder(of: to)) else {
                throw missing("rename", from)
            }
            if state.folders.contains(to) { throw DiskError(operation: "rename", path: to, code: 21) }
            if from == to { return }
            state.names[from] = nil
            if let replaced = state.names.updateValue(inode, forKey: to) { bury(replaced, &state) }
            state.log.append(.rename(from: from, to: to, inode: inode))
        }
    }

    package func remove(_ path: String) throws(DiskError) {
        try DiskPath.check(path, "remove")
        try call(.remove, path) { state throws(DiskError) in
            guard let inode = state.names.removeValue(forKey: path) else { throw missing("remove", path) }
            bury(inode, &state)
            state.log.append(.remove(path: path, inode: inode))
        }
    }

    package func makeDirectory(_ path: String) throws(DiskError) {
        try DiskPath.check(path, "mkdir")
        try call(.makeDirectory, path) { state throws(DiskError) in
            if state.folders.contains(path) { return }
            if state.names[path] != nil { throw DiskError(operation: "mkdir", path: path, code: 20) }
            guard state.folders.contains(DiskPath.folder(of: path)) else { throw missing("mkdir", path) }
            state.folders.insert(path)
            state.log.append(.makeDirectory(path: path))
        }
    }

    package func list(_ path: String) throws(DiskError) -> [String] {
        try DiskPath.checkFolder(path, "list")
        return try call(.list, path) { state throws(DiskError) in
            guard state.folders.contains(path) else { throw missing("list", path) }
            let all = Array(state.names.keys) + state.folders.filter { !$0.isEmpty }
            // Sorted, since the order of a hash table differs between runs.
            return all.filter { DiskPath.folder(of: $0) == path }.map { DiskPath.name(of: $0) }.sorted()
        }
    }

    package func syncDirectory(_ path: String) throws(DiskError) {
        try DiskPath.checkFolder(path, "fsync")
        try call(.syncDirectory, path) { state throws(DiskError) in
            guard state.folders.contains(path) else { throw missing("fsync", path) }
            state.log.append(.syncDirectory(path: path))
        }
    }

    package func space() throws(DiskError) -> (free: Int64, total: Int64) {
        try call(.space, "") { state throws(DiskError) in
            let total = state.capacityBytes ?? 1 << 40
            return (max(0, total - usedBytes(state)), total)
        }
    }

    package func lock(_ path: String) throws(DiskError) -> any DiskLock {
        try DiskPath.check(path, "lock")
        return try call(.lock, path) { state throws(DiskError) in
            guard state.folders.contains(DiskPath.folder(of: path)) else { throw missing("lock", path) }
            if state.locks.contains(path) { throw DiskError(operation: "lock", path: path, code: 11) }
            if state.names[path] == nil {
                state.nodes[state.nextInode] = Node()
                state.names[path] = state.nextInode
                state.log.append(.create(path: path, inode: state.nextInode))
                state.nextInode += 1
            }
            state.locks.insert(path)
            return SimulatedLock(disk: self, path: path, epoch: state.epoch)
        }
    }

    func unlock(_ path: String, epoch: Int) {
        mutex.withLock {
            if guarded.value.epoch == epoch { guarded.value.locks.remove(path) }
        }
    }

    // MARK: Shared by disk and files

    /// Counts a call, lets the faults have it, then runs it; one at a time.
    func call<R>(_ kind: DiskCall, _ path: String, _ body: (inout State) throws(DiskError) -> R) throws(DiskError) -> R
    {
        try mutex.withLock { () throws(DiskError) -> R in
            if let fault = strike(kind) { throw DiskError(operation: kind.rawValue, path: path, code: fault.code) }
            return try body(&guarded.value)
        }
    }

    /// Under the mutex: counts the call; the fault that it meets, if any.
    func strike(_ kind: DiskCall) -> (code: Int32, isShort: Bool, after: DiskFault.AfterFailedSync)? {
        guarded.value.counts[kind, default: 0] += 1
        if guarded.value.isOff { return (DiskFault.ioError, false, .cleanAndKept) }
        var hit: DiskFault?
        for index in guarded.value.faults.indices {
            let fault = guarded.value.faults[index].fault
            if let calls = fault.calls, !calls.contains(kind) { continue }
            let seen = guarded.value.faults[index].seen
            guarded.value.faults[index].seen += 1
            if hit == nil, seen == fault.index || (fault.isSticky && seen > fault.index) { hit = fault }
        }
        guard let hit else { return nil }
        guarded.value.faultsHit += 1
        switch hit.effect {
        case .error(let code): return (code, false, hit.afterFailedSync)
        case .short(let code): return (code, true, hit.afterFailedSync)
        }
    }

    func usedBytes(_ state: State) -> Int64 {
        var pages = 0
        for inode in state.names.values { pages += state.nodes[inode]?.live.pageCount ?? 0 }
        return Int64(pages * FileContent.pageBytes)
    }

    /// Keeps pages of a file that lost its name, for allocations to find again.
    private func bury(_ inode: Int, _ state: inout State) {
        guard options.recyclesOldBytes, let node = state.nodes[inode] else { return }
        state.graveyard = Array((node.live.allPages + state.graveyard).prefix(1024))
    }

    private func missing(_ operation: String, _ path: String) -> DiskError {
        DiskError(operation: operation, path: path, code: 2)
    }
}

private final class SimulatedLock: DiskLock {
    private let disk: SimulatedDisk
    private let path: String
    private let epoch: Int
    init(disk: SimulatedDisk, path: String, epoch: Int) {
        self.disk = disk
        self.path = path
        self.epoch = epoch
    }
    deinit { disk.unlock(path, epoch: epoch) }
}
