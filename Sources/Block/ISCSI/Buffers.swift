private import Glibc

/// Memory that goes back to the system when the last owner lets go of it.
///
/// Large pieces are mapped: what `free` takes back stays in the process as a rule, and a thousand connections that each
/// were busy once would keep a thousand buffers.
final class Buffer: @unchecked Sendable {
    // SAFETY: who may touch the bytes, and when, is its owners' contract; the address and size never change.
    let base: UnsafeMutableRawPointer
    let count: Int
    private let isMapped: Bool

    private static let mappedBytesMin = 131_072

    init(count: Int) {
        self.count = max(count, 16)
        if self.count >= Self.mappedBytesMin,
            let place = mmap(nil, self.count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            place != MAP_FAILED
        {
            base = place
            isMapped = true
        } else {
            base = .allocate(byteCount: self.count, alignment: 16)
            isMapped = false
        }
    }

    deinit {
        if isMapped { munmap(base, count) } else { base.deallocate() }
    }
}

/// A few buffers that a busy connection uses again: mapping a fresh one costs a page fault per 4 KiB.
struct BufferPool {
    private var spares: [Buffer] = []
    private var spareBytes = 0

    /// A buffer of at least this size.
    mutating func take(_ count: Int) -> Buffer {
        // Not one that is far too large: a few small commands would hold all of the memory there is.
        if let index = spares.lastIndex(where: { $0.count >= count && $0.count / 4 <= count }) {
            let buffer = spares.remove(at: index)
            spareBytes -= buffer.count
            return buffer
        }
        return Buffer(count: count)
    }

    mutating func give(_ buffer: Buffer) {
        guard spareBytes + buffer.count <= ISCSILimits.spareBytesMax else { return }
        spares.append(buffer)
        spareBytes += buffer.count
    }

    mutating func clear() {
        spares = []
        spareBytes = 0
    }
}
