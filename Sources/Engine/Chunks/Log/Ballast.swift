import Disks
import Primitives

/// Space held for a full disk: a file of two segments that is dropped when the log needs a segment, or the index room
/// for a checkpoint, and there is none, so that deletes go on and the store starts. Made again when there is room.
final class Ballast: Sendable {
    static let path = "BALLAST"

    private let disk: any Disk
    let byteCount: Int64
    private let mutex = PosixMutex()
    private let isHeld: PosixGuarded<Bool>

    /// - Parameter byteCount: 0: none is kept.
    init(disk: any Disk, byteCount: Int64) throws(DiskError) {
        self.disk = disk
        self.byteCount = byteCount
        var isHeld = false
        if try disk.list("").contains(Self.path) {
            if byteCount > 0 { isHeld = try disk.open(Self.path, .read).size() >= byteCount }
            // Half of one, from a power cut while it was made, would be space that nobody can have.
            if !isHeld { try disk.remove(Self.path) }
        }
        self.isHeld = PosixGuarded(isHeld)
    }

    /// False when there was none to give up.
    @discardableResult
    func release() -> Bool {
        mutex.withLock {
            guard isHeld.value else { return false }
            isHeld.value = false
            do throws(DiskError) {
                try disk.remove(Self.path)
                return true
            } catch {
                return false
            }
        }
    }

    /// Takes the space if it is not held; may fail with ENOSPC. From the maintenance thread.
    func hold() throws(DiskError) {
        // Under the mutex: who needs space while it is being taken waits, and gets it.
        try mutex.withLock { () throws(DiskError) in
            guard byteCount > 0, !isHeld.value else { return }
            try disk.open(Self.path, .readWrite).allocate(byteCount)
            isHeld.value = true
        }
    }
}
