import Codecs
import Glibc

/// What is to be sent, in order: pieces of send blocks, and memory of others.
///
/// PDUs are built where they are sent from. In the usual case a command's answer is laid down whole (header, data, padding)
/// behind the one before it, and a batch of answers is one piece of one block.
struct SendQueue {
    private struct Part {
        var base: UnsafeRawPointer
        var count: Int
        /// Keeps the memory until this is sent.
        var owner: Buffer?
    }

    private var parts: [Part] = []
    /// The first part not yet sent whole.
    private var head = 0
    private(set) var unsentBytes = 0

    private var block: Buffer?
    private var used = 0

    var isEmpty: Bool { unsentBytes == 0 }
    var hasMemory: Bool { block != nil }

    /// Room for `count` bytes in one piece; nothing is sent until they are committed.
    mutating func open(_ count: Int) -> UnsafeMutableRawPointer {
        if let block, block.count - used >= count { return block.base + used }
        let fresh = Buffer(count: max(count, ISCSILimits.sendBlockBytes))
        block = fresh
        used = 0
        return fresh.base
    }

    /// Queues the first `count` bytes of what was opened last.
    mutating func commit(_ count: Int) {
        guard let block else { preconditionFailure("nothing was opened") }
        append(UnsafeRawPointer(block.base + used), count, owner: block)
        used += count
    }

    /// Takes `count` bytes of what was opened last out of the order: their owner appends them later.
    mutating func detach(_ count: Int) -> Buffer {
        guard let block else { preconditionFailure("nothing was opened") }
        used += count
        return block
    }

    /// Queues memory that `owner` keeps alive and unchanged.
    mutating func append(_ base: UnsafeRawPointer, _ count: Int, owner: Buffer) {
        guard count > 0 else { return }
        unsentBytes += count
        if let last = parts.indices.last, last >= head, parts[last].owner === owner,
            parts[last].base + parts[last].count == base
        {
            parts[last].count += count
        } else {
            parts.append(Part(base: base, count: count, owner: owner))
        }
    }

    /// The first unsent pieces, for one system call.
    func fill(_ vectors: UnsafeMutableBufferPointer<iovec>) -> Int {
        var count = 0
        var index = head
        while index < parts.count, count < vectors.count {
            vectors[count] = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: parts[index].base), iov_len: parts[index].count)
            count += 1
            index += 1
        }
        return count
    }

    /// So many bytes are on their way; memory of commands that nobody needs any more goes to `pool`.
    mutating func sent(_ count: Int, reusing pool: inout BufferPool) {
        unsentBytes -= count
        var left = count
        while left > 0 {
            if left < parts[head].count {
                parts[head].base += left
                parts[head].count -= left
                break
            }
            left -= parts[head].count
            // The piece lets go first: a command's data goes out in several, and the last one finds the memory free.
            var owner = parts[head].owner
            parts[head].owner = nil
            if owner !== block, isKnownUniquelyReferenced(&owner), let owner { pool.give(owner) }
            head += 1
        }
        guard unsentBytes == 0 else {
            // What was sent need not wait for the rest to be.
            if head >= 64 {
                parts.removeFirst(head)
                head = 0
            }
            return
        }
        parts.removeAll(keepingCapacity: parts.capacity <= ISCSILimits.vectorsMax)
        head = 0
        // A block that a command still has its data in stays as it is; the next PDU goes behind.
        if block != nil, isKnownUniquelyReferenced(&block) { used = 0 }
    }

    /// Gives the memory back; only when nothing is queued.
    mutating func release() {
        precondition(isEmpty)
        parts = []
        head = 0
        block = nil
        used = 0
    }

    mutating func discard() {
        unsentBytes = 0
        release()
    }
}
