private import Primitives

/// What a test does to a simulated disk from outside.
extension SimulatedDisk {
    // MARK: Faults

    package func inject(_ fault: DiskFault) { mutex.withLock { guarded.value.faults.append((fault, 0)) } }
    /// Errors that were to be reported late are forgotten too.
    package func clearFaults() {
        mutex.withLock {
            guarded.value.faults = []
            for inode in guarded.value.nodes.keys { guarded.value.nodes[inode]?.failsNextSync = false }
        }
    }
    /// How often a fault struck.
    package var faultsHit: Int { mutex.withLock { guarded.value.faultsHit } }
    package var counts: [DiskCall: Int] { mutex.withLock { guarded.value.counts } }
    package func setCapacity(_ bytes: Int64?) { mutex.withLock { guarded.value.capacityBytes = bytes } }
    package var usedBytes: Int64 { mutex.withLock { usedBytes(guarded.value) } }

    /// Every call fails from now on, and changes nothing: the log ends here.
    package func powerOff() { mutex.withLock { guarded.value.isOff = true } }

    /// `kill -9`: locks are free, open files answer EBADF, the page cache stays.
    package func killProcess() {
        mutex.withLock {
            guarded.value.epoch += 1
            guarded.value.locks = []
        }
    }

    // MARK: The log and what a crash leaves

    /// How many operations have changed the disk: a cut point.
    package var cutCount: Int { mutex.withLock { guarded.value.log.count } }
    package var log: [LoggedOperation] { mutex.withLock { guarded.value.log } }

    /// The disk after a power cut behind the first `cut` operations.
    package func crashImage(at cut: Int, _ choice: CrashChoice) -> SimulatedDisk {
        let (initial, log) = mutex.withLock { (guarded.value.initial, guarded.value.log) }
        var state = initial
        for operation in log.prefix(cut) { state.apply(operation) }
        return SimulatedDisk(options: options, from: state.image(choice))
    }

    /// The disk as it was behind the first `cut` operations, the machine still running and no process on it: all
    /// of them can be read, and what was not synced then may still be lost.
    package func rewound(to cut: Int) -> SimulatedDisk {
        let (initial, log) = mutex.withLock { (guarded.value.initial, guarded.value.log) }
        var state = initial
        for operation in log.prefix(cut) { state.apply(operation) }
        let disk = SimulatedDisk(options: options, from: state.image(.all))
        disk.guarded.value.initial = initial
        disk.guarded.value.log = Array(log.prefix(cut))
        disk.guarded.value.nextInode = guarded.value.nextInode
        for entry in state.pending {
            guard let inode = entry.inode else { continue }
            disk.guarded.value.nodes[inode]?.syncedContent = state.media[inode] ?? FileContent()
            if entry.isWrite { disk.guarded.value.nodes[inode]?.dirty.append((entry.writeOffset, entry.writeBytes)) }
        }
        return disk
    }

    /// A copy on which everything that was done is certain.
    package func copy() -> SimulatedDisk { crashImage(at: cutCount, .all) }

    /// One image that a power cut may leave.
    package struct CrashImage: Sendable {
        package let cut: Int
        package let choice: CrashChoice
        package let disk: SimulatedDisk
    }

    /// Builds what a power cut may leave at every cut point of the log as it is now, and hands each to `body`.
    ///
    /// Cut points right behind a sync are taken before the next change only: the states are the same.
    package func forEachCrashImage<E: Error>(
        _ plan: CrashPlan, _ body: (CrashImage) throws(E) -> Void
    ) throws(E) {
        let (initial, log) = mutex.withLock { (guarded.value.initial, guarded.value.log) }
        var state = initial
        var cut = 0
        while true {
            if cut >= plan.firstCut, (cut - plan.firstCut) % plan.cutStride == 0 || cut == log.count {
                for choice in plan.choices(state.pending, cut: cut) {
                    let image = SimulatedDisk(options: options, from: state.image(choice))
                    try body(CrashImage(cut: cut, choice: choice, disk: image))
                }
            }
            if cut == log.count { return }
            state.apply(log[cut])
            cut += 1
        }
    }

    // MARK: The medium

    /// The paths of all files, sorted.
    package var files: [String] { mutex.withLock { guarded.value.names.keys.sorted() } }

    /// A file's bytes as a read sees them; nil if there is none.
    package func contents(_ path: String) -> [UInt8]? {
        mutex.withLock { guarded.value.names[path].flatMap { guarded.value.nodes[$0]?.live.bytes } }
    }

    /// Rot: changes bytes on the medium and in the cache, within the file's size, past all bookkeeping.
    package func rot(_ path: String, at offset: Int, _ bytes: [UInt8]) {
        mutex.withLock {
            guard let inode = guarded.value.names[path], var node = guarded.value.nodes[inode] else { return }
            unsafe bytes.withUnsafeBytes {
                unsafe node.live.writeWithin($0, at: offset)
                unsafe node.medium?.writeWithin($0, at: offset)
                unsafe node.syncedContent.writeWithin($0, at: offset)
            }
            guarded.value.nodes[inode] = node
            guarded.value.log.append(.rot(inode: inode, offset: offset, bytes: bytes))
        }
    }

    /// Flips one bit.
    package func flipBit(_ path: String, at offset: Int, bit: Int) {
        guard let all = contents(path), offset < all.count else { return }
        rot(path, at: offset, [all[offset] ^ (1 << UInt8(bit & 7))])
    }
}
