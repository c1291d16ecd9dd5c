private import Glibc

/// Memory for direct I/O: aligned to 4 KiB, freed with its owner. What is in it at first is undefined unless
/// `zeroed` is asked for: whoever writes it to a disk fills every byte.
final class AlignedBuffer: @unchecked Sendable {
    // SAFETY: raw memory; each buffer has one user at a time by the design of its owner.
    let bytes: UnsafeMutableRawBufferPointer

    init(_ count: Int, zeroed: Bool = false) {
        bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
        if zeroed { bytes.zero(0, count) }
    }

    /// Memory that is used again and again, in large pages where the system has them: what lies in one page of 2 MiB goes to
    /// the disk as one piece instead of hundreds.
    init(pooled count: Int) {
        let page = 2 << 20
        let size = roundUp(count, to: page)
        bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: page)
        // A hint: without it, it is memory all the same.
        _ = madvise(bytes.baseAddress, size, MADV_HUGEPAGE)
        bytes.zero(0, size)
    }

    deinit { bytes.deallocate() }

    func range(_ offset: Int, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }

    func mutableRange(_ offset: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }
}

extension UnsafeRawBufferPointer {
    func u32(_ offset: Int) -> UInt32 { UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
    func u64(_ offset: Int) -> UInt64 { UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
}

extension UnsafeMutableRawBufferPointer {
    func set(_ value: UInt32, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
    }
    func set(_ value: UInt64, at offset: Int) {
        storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt64.self)
    }

    func zero(_ offset: Int, _ count: Int) {
        precondition(offset >= 0 && count >= 0 && offset + count <= self.count)
        // memset: the library's own loop is ten times slower in debug builds, where the rigs run.
        if count > 0 { memset(baseAddress! + offset, 0, count) }
    }

    func copy(_ source: UnsafeRawBufferPointer, at offset: Int) {
        if source.count > 0 {
            UnsafeMutableRawBufferPointer(rebasing: self[offset..<offset + source.count]).copyMemory(from: source)
        }
    }
}

@inline(__always)
func roundUp(_ value: Int, to unit: Int) -> Int { (value + unit - 1) / unit * unit }
