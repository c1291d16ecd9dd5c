private import Primitives

/// An open file of a `SimulatedDisk`.
final class SimulatedFile: DiskFile {
    private let disk: SimulatedDisk
    private let inode: Int
    private let path: String
    private let mode: OpenMode
    private let epoch: Int

    init(disk: SimulatedDisk, inode: Int, path: String, mode: OpenMode, epoch: Int) {
        self.disk = disk
        self.inode = inode
        self.path = path
        self.mode = mode
        self.epoch = epoch
    }

    private var isDirect: Bool { mode == .readDirect || mode == .writeDirect }
    private var isWritable: Bool { mode == .readWrite || mode == .writeDirect }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int {
        try check("read", buffer.baseAddress, buffer.count, offset)
        return try call(.read) { state throws(DiskError) in
            guard let node = state.nodes[inode] else { return 0 }
            let content = isDirect ? node.medium ?? node.live : node.live
            return unsafe content.read(into: buffer, at: Int(offset))
        }
    }

    func readCached(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int? {
        try check("read", buffer.baseAddress, buffer.count, offset)
        return try call(.readCached) { state throws(DiskError) in
            if isDirect { return nil }
            // The cache has a page or not as it pleases: one in eight is not there.
            if state.random.oneIn(8) { return nil }
            guard let node = state.nodes[inode] else { return 0 }
            return unsafe node.live.read(into: buffer, at: Int(offset))
        }
    }

    func write(_ buffer: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError) {
        try check("write", buffer.baseAddress, buffer.count, offset)
        try requireWritable("write")
        try disk.mutex.withLock { () throws(DiskError) in
            let fault = disk.strike(.write)
            try requireEpoch("write")
            var count = buffer.count
            if let fault {
                guard fault.isShort else { throw error("write", fault.code) }
                // Some of it, in whole sectors, then the error.
                count = disk.guarded.value.random.below(max(1, buffer.count / 512)) * 512
            }
            if let capacity = disk.guarded.value.capacityBytes {
                let pages = (Int(offset) + count + FileContent.pageBytes - 1) / FileContent.pageBytes
                let grown = max(0, pages - (disk.guarded.value.nodes[inode]?.live.pageCount ?? 0))
                if grown > 0, disk.usedBytes(disk.guarded.value) + Int64(grown * FileContent.pageBytes) > capacity {
                    throw error("write", DiskFault.noSpace)
                }
            }
            if count > 0 {
                let part = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
                disk.guarded.value.log.append(.write(inode: inode, offset: Int(offset), bytes: unsafe Array(part)))
                unsafe disk.guarded.value.nodes[inode]?.live.write(part, at: Int(offset))
                if disk.guarded.value.nodes[inode]?.medium != nil {
                    unsafe disk.guarded.value.nodes[inode]?.medium?.write(part, at: Int(offset))
                }
                disk.guarded.value.nodes[inode]?.dirty.append((Int(offset), count))
            }
            if let fault { throw error("write", fault.code) }
        }
    }

    func sync() throws(DiskError) {
        try disk.mutex.withLock { () throws(DiskError) in
            let fault = disk.strike(.sync)
            try requireEpoch("fdatasync")
            guard var node = disk.guarded.value.nodes[inode] else { return }
            disk.guarded.value.nodes[inode] = nil
            defer { disk.guarded.value.nodes[inode] = node }
            if disk.guarded.value.isOff { throw error("fdatasync", DiskFault.ioError) }
            if fault != nil || node.failsNextSync {
                if !node.failsNextSync, let fault, fault.after == .reportedLate {
                    node.failsNextSync = true
                } else {
                    node.failsNextSync = false
                    lose(&node, keepsCache: fault?.after != .cleanAndReverted)
                    throw error("fdatasync", fault?.code ?? DiskFault.ioError)
                }
            }
            node.dirty = []
            node.syncedContent = node.medium ?? node.live
            disk.guarded.value.log.append(.sync(inode: inode))
        }
    }

    /// A failed sync: some sectors of what was dirty reached the medium, and nothing will ever write the others.
    private func lose(_ node: inout SimulatedDisk.Node, keepsCache: Bool) {
        var medium = node.syncedContent
        medium.resize(node.live.size)
        var survivors: [(offset: Int, bytes: [UInt8])] = []
        let current = node.medium ?? node.live
        for (offset, count) in node.dirty where disk.guarded.value.random.oneIn(3) {
            let reached = min(count, (1 + disk.guarded.value.random.below(count / 512 + 1)) * 512)
            var bytes = [UInt8](repeating: 0, count: reached)
            let read = unsafe bytes.withUnsafeMutableBytes { unsafe current.read(into: $0, at: offset) }
            bytes.removeLast(reached - read)
            unsafe bytes.withUnsafeBytes { unsafe medium.writeWithin($0, at: offset) }
            survivors.append((offset, bytes))
        }
        node.dirty = []
        node.syncedContent = medium
        if keepsCache {
            node.medium = medium
        } else {
            node.live = medium
            node.medium = nil
        }
        disk.guarded.value.log.append(.syncFailed(inode: inode, survivors: survivors))
    }

    func allocate(_ size: Int64) throws(DiskError) {
        guard size >= 0, size < 1 << 40 else { throw error("fallocate", DiskPath.invalid) }
        try requireWritable("fallocate")
        try call(.allocate) { state throws(DiskError) in
            guard var node = state.nodes[inode] else { return }
            if let capacity = state.capacityBytes {
                let pages = (Int(size) + FileContent.pageBytes - 1) / FileContent.pageBytes
                let grown = max(0, pages - node.live.pageCount)
                if disk.usedBytes(state) + Int64(grown * FileContent.pageBytes) > capacity {
                    throw error("fallocate", DiskFault.noSpace)
                }
            }
            setSize(Int(size), &node, &state, stale: disk.options.recyclesOldBytes ? state.graveyard : [])
        }
    }

    func truncate(_ size: Int64) throws(DiskError) {
        guard size >= 0, size < 1 << 40 else { throw error("ftruncate", DiskPath.invalid) }
        try requireWritable("ftruncate")
        try call(.truncate) { state throws(DiskError) in
            guard var node = state.nodes[inode] else { return }
            setSize(Int(size), &node, &state, stale: [])
        }
    }

    private func setSize(
        _ size: Int, _ node: inout SimulatedDisk.Node, _ state: inout SimulatedDisk.State, stale: [[UInt8]]
    ) {
        if size == node.live.size { return }
        node.live.resize(size, filling: stale)
        node.medium?.resize(size, filling: stale)
        state.nodes[inode] = node
        state.log.append(.setSize(inode: inode, size: size, stale: stale))
    }

    func size() throws(DiskError) -> Int64 {
        try call(.size) { state throws(DiskError) in Int64(state.nodes[inode]?.live.size ?? 0) }
    }

    private func call<R>(
        _ kind: DiskCall, _ body: (inout SimulatedDisk.State) throws(DiskError) -> R
    ) throws(DiskError) -> R {
        try disk.call(kind, path) { state throws(DiskError) in
            if state.epoch != epoch { throw error(kind.rawValue, 9) }
            return try body(&state)
        }
    }

    /// Under the disk's mutex.
    private func requireEpoch(_ operation: String) throws(DiskError) {
        if disk.guarded.value.epoch != epoch { throw error(operation, 9) }
    }

    private func requireWritable(_ operation: String) throws(DiskError) {
        if !isWritable { throw error(operation, 9) }
    }

    private func check(_ operation: String, _ address: UnsafeRawPointer?, _ count: Int, _ offset: Int64)
        throws(DiskError)
    {
        guard offset >= 0, offset < 1 << 40, !isDirect || isAligned(address, count, offset) else {
            throw error(operation, DiskPath.invalid)
        }
    }

    private func error(_ operation: String, _ code: Int32) -> DiskError {
        DiskError(operation: operation, path: path, code: code)
    }
}
