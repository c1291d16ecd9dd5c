import Images
import Primitives

/// Images' bytes in memory.
final class MemoryImages: ImageStore {
    private let finished: PosixLocked<[String: [UInt8]]>
    private let hook = PosixLocked<(@Sendable () -> Void)?>(nil)

    init(_ finished: [String: [UInt8]] = [:]) { self.finished = PosixLocked(finished) }

    /// Called behind every change.
    func setHook(_ new: (@Sendable () -> Void)?) { hook.withLock { $0 = new } }
    /// What is there for good.
    var contents: [String: [UInt8]] { finished.withLock { $0 } }
    private func changed() { hook.withLock { $0 }?() }

    var keys: Set<String> { finished.withLock { Set($0.keys) } }
    func bytes(_ key: String) -> [UInt8]? { finished.withLock { $0[key] } }
    /// As a driver that freezes a volume does.
    func put(_ key: String, _ bytes: [UInt8]) {
        finished.withLock { $0[key] = bytes }
        changed()
    }

    private final class Writer: ImageWriter {
        let key: String
        let store: MemoryImages
        let bytes = PosixLocked<[UInt8]>([])

        init(_ key: String, _ store: MemoryImages) {
            self.key = key
            self.store = store
        }

        func write(_ new: UnsafeRawBufferPointer) throws(ImageError) { bytes.withLock { $0 += Array(new) } }
        func skip(_ count: Int64) throws(ImageError) {
            bytes.withLock { $0 += [UInt8](repeating: 0, count: Int(count)) }
        }
        func finish() throws(ImageError) {
            let all = bytes.withLock { $0 }
            store.changed()
            store.finished.withLock { $0[key] = all }
            store.changed()
        }
    }

    private struct Reader: ImageReader {
        let bytes: [UInt8]
        func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(ImageError) {
            buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + buffer.count])
        }
    }

    func begin(_ key: String, byteCount: Int64?) throws(ImageError) -> any ImageWriter { Writer(key, self) }
    func open(_ key: String) throws(ImageError) -> any ImageReader {
        guard let bytes = finished.withLock({ $0[key] }) else { throw .storage("no \(key)") }
        return Reader(bytes: bytes)
    }
    func remove(_ key: String) throws(ImageError) {
        finished.withLock { $0[key] = nil }
        changed()
    }
}
