package import Disks

/// Small text files of the data folder, for the owner only, replaced whole: a reader finds the old one or the new
/// one, after a power cut too.
package struct PrivateFiles: Sendable {
    /// More than any of these files needs; a larger one is refused.
    package static let bytesMax = 1 << 20
    package static let temporarySuffix = ".new"

    private let disk: any Disk

    package init(disk: any Disk) { self.disk = disk }

    /// nil: there is no such file.
    package func read(_ name: String) throws(DaemonError) -> String? {
        try readBytes(name).map { String(decoding: $0, as: UTF8.self) }
    }

    package func readBytes(_ name: String) throws(DaemonError) -> [UInt8]? {
        do throws(DiskError) {
            let file = try disk.open(name, .read)
            let size = try file.size()
            guard size <= Self.bytesMax else { throw DiskError(operation: "read", path: name, code: 27) }
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, Int(size)), alignment: 16)
            defer { unsafe buffer.deallocate() }
            let count = try unsafe file.read(into: buffer, at: 0)
            return unsafe Array(UnsafeRawBufferPointer(rebasing: buffer[..<min(count, Int(size))]))
        } catch {
            if error.isNotFound { return nil }
            throw DaemonError("The file \(name) of the data folder can't be read (\(error)).")
        }
    }

    package func write(_ name: String, _ text: String) throws(DaemonError) { try write(name, Array(text.utf8)) }

    package func write(_ name: String, _ bytes: [UInt8]) throws(DaemonError) {
        do {
            let temporary = name + Self.temporarySuffix
            let file = try disk.open(temporary, .readWrite)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 16)
            defer { unsafe buffer.deallocate() }
            unsafe buffer.copyBytes(from: bytes)
            try file.truncate(0)
            try unsafe file.write(UnsafeRawBufferPointer(rebasing: buffer[..<bytes.count]), at: 0)
            try file.sync()
            try disk.rename(temporary, to: name)
            try disk.syncDirectory(Self.folder(of: name))
        } catch {
            throw DaemonError("The file \(name) of the data folder can't be written (\(error)).")
        }
    }

    /// For good, also after a power cut. That it isn't there is as good.
    package func remove(_ name: String) throws(DaemonError) {
        do throws(DiskError) {
            do throws(DiskError) {
                try disk.remove(name)
            } catch {
                guard error.isNotFound else { throw error }
                return
            }
            try disk.syncDirectory(Self.folder(of: name))
        } catch {
            throw DaemonError("The file \(name) of the data folder can't be removed (\(error)).")
        }
    }

    private static func folder(of name: String) -> String {
        name.lastIndex(of: "/").map { String(name[..<$0]) } ?? ""
    }
}
