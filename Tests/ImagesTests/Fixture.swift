import Foundation
import Primitives
import Records
import Synchronization
import Testing

@testable import Images

/// A service on a folder of its own, over bytes in memory.
final class Fixture: Sendable {
    let folder: String
    let records: RecordStore
    let store: MemoryImages
    let service: ImageService
    private let runner: Mutex<Task<Void, Never>?>
    let ann = ImageAsker(
        userID: "ann", projectID: "work", roles: ["member", "reader"], isService: false, requestID: "req-1")
    let rita = ImageAsker(userID: "rita", projectID: "work", roles: ["reader"], isService: false, requestID: "req-4")
    let bob = ImageAsker(
        userID: "bob", projectID: "home", roles: ["member", "reader"], isService: false, requestID: "req-2")
    let admin = ImageAsker(
        userID: "root", projectID: "admin", roles: ["admin", "member", "reader"], isService: false, requestID: "req-3")

    init(store: MemoryImages = MemoryImages(), change: (inout ImageConfiguration) -> Void = { _ in }) async throws {
        folder = NSTemporaryDirectory() + "apus-images-" + UUID().uuidString
        try PrivateFile.makeFolder(folder)
        self.store = store
        records = try RecordStore(path: folder + "/control.db", migrations: ImageService.migrations)
        service = ImageService(
            records: records, store: store, web: NoWeb(), configuration: Self.configuration(change))
        runner = Mutex(nil)
        try await service.start()
        let service = service
        runner.withLock { $0 = Task { await service.run() } }
    }

    private static func configuration(_ change: (inout ImageConfiguration) -> Void) -> ImageConfiguration {
        let clock = Atomic<Int64>(1_800_000_000)
        var configuration = ImageConfiguration(now: { clock.add(1, ordering: .relaxed).newValue }) { count in
            var generator = SystemRandomNumberGenerator()
            return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        }
        configuration.importMethods = ["glance-direct", "glance-download", "copy-image"]
        change(&configuration)
        return configuration
    }

    /// Another service on the same rows and bytes, as after the daemon was killed and started again.
    func restarted() async throws -> ImageService {
        let service = ImageService(
            records: records, store: store, web: NoWeb(), configuration: Self.configuration { _ in })
        try await service.start()
        return service
    }

    func end() async throws {
        runner.withLock { $0 }?.cancel()
        await runner.withLock { $0 }?.value
        service.stop()
        try records.close()
        try FileManager.default.removeItem(atPath: folder)
    }

    // MARK: Short cuts

    func queued(_ name: String = "image", change: (inout NewImage) -> Void = { _ in }) async throws -> String {
        var new = NewImage()
        new.name = name
        new.diskFormat = "raw"
        new.containerFormat = "bare"
        change(&new)
        return try await service.create(new, for: ann).image.id
    }

    func upload(_ bytes: [UInt8], to id: String, expected: Int64? = nil) async throws {
        let upload = try await service.beginUpload(id, store: nil, expected: expected, for: ann)
        try await Self.feed(bytes, to: upload)
        try await upload.finish()
    }

    static func feed(_ bytes: [UInt8], to upload: ImageUpload) async throws {
        var start = 0
        while start < bytes.count {
            try await upload.makeRoom()
            start += bytes[start...].withUnsafeBytes { upload.take($0) }
        }
    }

    func active(_ bytes: [UInt8] = [1, 2, 3]) async throws -> String {
        let id = try await queued()
        try await upload(bytes, to: id)
        return id
    }

    func bytes(of id: String, for asker: ImageAsker? = nil) async throws -> [UInt8]? {
        guard let data = try await service.data(of: id, for: asker ?? ann) else { return nil }
        return try await data.onThread { () throws(ImageError) in
            var bytes = [UInt8](repeating: 0, count: Int(data.byteCount))
            var failure: ImageError?
            bytes.withUnsafeMutableBytes { buffer in
                do throws(ImageError) { try data.readHere(at: 0, into: buffer) } catch { failure = error }
            }
            if let failure { throw failure }
            return bytes
        }
    }
}
