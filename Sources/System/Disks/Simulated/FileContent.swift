private import Glibc

/// The bytes of one simulated file in pages that copies share until one of them writes.
struct FileContent: Sendable {
    static let pageBytes = 4096
    static let zeroPage = [UInt8](repeating: 0, count: pageBytes)

    private(set) var size = 0
    private var pages: [[UInt8]] = []

    var pageCount: Int { pages.count }

    /// Bytes behind `size` in the last page are always zero.
    mutating func resize(_ newSize: Int, filling stale: [[UInt8]] = []) {
        let count = (newSize + Self.pageBytes - 1) / Self.pageBytes
        if count < pages.count {
            pages.removeLast(pages.count - count)
        } else {
            while pages.count < count {
                pages.append(stale.isEmpty ? Self.zeroPage : stale[pages.count % stale.count])
            }
        }
        size = newSize
        let used = newSize % Self.pageBytes
        if used != 0, !pages.isEmpty {
            pages[pages.count - 1].replaceSubrange(used..., with: repeatElement(0, count: Self.pageBytes - used))
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
        guard offset < size else { return 0 }
        let total = min(buffer.count, size - offset)
        var done = 0
        while done < total {
            let at = offset + done
            let inPage = at % Self.pageBytes
            let count = min(Self.pageBytes - inPage, total - done)
            unsafe pages[at / Self.pageBytes].withUnsafeBytes { page in
                _ = unsafe memcpy(buffer.baseAddress! + done, page.baseAddress! + inPage, count)
            }
            done += count
        }
        return total
    }

    /// Grows the file when the range ends behind it.
    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        if bytes.isEmpty { return }
        if offset + bytes.count > size { resize(offset + bytes.count) }
        var done = 0
        while done < bytes.count {
            let at = offset + done
            let inPage = at % Self.pageBytes
            let count = min(Self.pageBytes - inPage, bytes.count - done)
            unsafe pages[at / Self.pageBytes].withUnsafeMutableBytes { page in
                _ = unsafe memcpy(page.baseAddress! + inPage, bytes.baseAddress! + done, count)
            }
            done += count
        }
    }

    /// As `write`, clipped to the file's present size.
    mutating func writeWithin(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        let count = min(bytes.count, size - offset)
        if count > 0 { unsafe write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: offset) }
    }

    var bytes: [UInt8] {
        var all: [UInt8] = []
        all.reserveCapacity(size)
        for page in pages { all.append(contentsOf: page.prefix(size - all.count)) }
        return all
    }

    var allPages: [[UInt8]] { pages }
}
