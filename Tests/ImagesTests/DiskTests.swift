import Foundation
import GRDB
import ImageFormats
import Testing

@testable import Images

@Suite("Disks and images") struct DiskTests {
    private static let sample = [UInt8](
        (0..<300_032).map { UInt8(truncatingIfNeeded: $0 / 100_000 == 1 ? 0 : $0 &* 31) })

    /// A qcow2 of that disk.
    private static func qcow2(_ disk: [UInt8]) async -> [UInt8] {
        var map = QCOW2Layout.Map(virtualBytes: UInt64(disk.count))
        let size = QCOW2Layout.clusterBytes
        for cluster in 0..<(disk.count + size - 1) / size { map.mark(cluster: cluster) }
        let layout = QCOW2Layout(virtualBytes: UInt64(disk.count), map: map)
        var file: [UInt8] = []
        for index in 0..<layout.metadataClusters { file += layout.metadata(index) }
        await layout.forEachDataCluster { cluster in
            let bytes = disk[cluster * size..<min((cluster + 1) * size, disk.count)]
            file += bytes + [UInt8](repeating: 0, count: size - bytes.count)
        }
        return file
    }

    private static func image(_ fixture: Fixture, _ bytes: [UInt8], _ format: String) async throws -> String {
        let id = try await fixture.queued { $0.diskFormat = format }
        try await fixture.upload(bytes, to: id)
        return id
    }

    @Test("a raw image is a disk as it is")
    func raw() async throws {
        let fixture = try await Fixture()
        let id = try await Self.image(fixture, Self.sample, "raw")
        let key = try await fixture.service.diskKey(of: id)
        #expect(fixture.store.keys == [key])
        try await fixture.end()
    }

    @Test("the disk in a qcow2 is read out once, whoever asks at the same time, and goes with its image")
    func once() async throws {
        let fixture = try await Fixture()
        let id = try await Self.image(fixture, await Self.qcow2(Self.sample), "qcow2")
        let keys = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<10 { group.addTask { try await fixture.service.diskKey(of: id) } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(keys.count == 1)
        #expect(fixture.store.keys.count == 2)
        #expect(fixture.store.bytes(try #require(keys.first)) == Self.sample)
        #expect(try await fixture.service.image(id, for: fixture.ann).image.virtualSize == Int64(Self.sample.count))
        try await fixture.service.delete(id, for: fixture.ann)
        #expect(fixture.store.keys.isEmpty)
        try await fixture.end()
    }

    @Test("an image that can't be read as its format makes no disk, and leaves nothing of one")
    func unreadable() async throws {
        let fixture = try await Fixture { $0.requiresFormatMatch = false }
        let id = try await Self.image(fixture, [UInt8](repeating: 5, count: 5_000), "qcow2")
        await #expect(throws: ImageError.self) { try await fixture.service.diskKey(of: id) }
        #expect(fixture.store.keys.count == 1)
        let vmdk = try await Self.image(fixture, [UInt8](repeating: 5, count: 5_000), "vmdk")
        await #expect(throws: ImageError.self) { try await fixture.service.diskKey(of: vmdk) }
        try await fixture.end()
    }

    @Test("a disk that was being read out when the daemon died is made anew, and its beginning removed")
    func crashed() async throws {
        let fixture = try await Fixture()
        let id = try await Self.image(fixture, await Self.qcow2(Self.sample), "qcow2")
        let key = try #require(try await fixture.service.image(id, for: fixture.ann).image.dataKey)
        fixture.store.put("disk/half", [1, 2, 3])
        try await fixture.service.write { db in
            try db.execute(
                sql: "INSERT INTO image_disks (data_key, disk_key, virtual_size) VALUES (?, 'disk/half', NULL)",
                arguments: [key])
        }
        let later = try await fixture.restarted()
        #expect(fixture.store.keys == [key])
        later.stop()
        let disk = try await fixture.service.diskKey(of: id)
        #expect(fixture.store.bytes(disk) == Self.sample)
        try await fixture.end()
    }

    @Test("a volume's bytes become an image that is saving until they are hashed", arguments: ["raw", "qcow2"])
    func adopted(format: String) async throws {
        let fixture = try await Fixture()
        var new = NewImage()
        new.diskFormat = format
        new.containerFormat = "bare"
        let id = try await fixture.service.adopt(new, byteCount: Int64(Self.sample.count), for: fixture.ann) { key in
            fixture.store.put(key, Self.sample)
        }
        await fixture.service.settle()
        let image = try await fixture.service.image(id, for: fixture.ann).image
        #expect(image.status == .active)
        #expect(image.virtualSize == Int64(Self.sample.count))
        #expect(image.checksum?.count == 32 && image.hashValue?.count == 128)
        let disk = try await fixture.service.diskKey(of: id)
        #expect(fixture.store.bytes(disk) == Self.sample)
        try await fixture.service.delete(id, for: fixture.ann)
        #expect(fixture.store.keys.isEmpty)
        try await fixture.end()
    }

    @Test("a volume that holds what reaches outside itself becomes no image, and leaves nothing")
    func attack() async throws {
        let fixture = try await Fixture()
        var bytes = await Self.qcow2(Self.sample)
        bytes[15] = 64  // a backing file
        let held = bytes
        var new = NewImage()
        new.diskFormat = "raw"
        new.containerFormat = "bare"
        let id = try await fixture.service.adopt(new, byteCount: Int64(held.count), for: fixture.ann) { key in
            fixture.store.put(key, held)
        }
        await fixture.service.settle()
        await #expect(throws: ImageError.noImage(id)) { try await fixture.service.image(id, for: fixture.ann) }
        #expect(fixture.store.keys.isEmpty)
        try await fixture.end()
    }

    @Test("a freeze that fails leaves no image")
    func freezeFails() async throws {
        let fixture = try await Fixture()
        var new = NewImage()
        new.diskFormat = "qcow2"
        new.containerFormat = "bare"
        await #expect(throws: ImageError.full) {
            try await fixture.service.adopt(new, byteCount: 4_096, for: fixture.ann) {
                (_) async throws(ImageError) in throw .full
            }
        }
        #expect(try await fixture.service.images(ImageQuery(), for: fixture.ann).isEmpty)
        #expect(fixture.store.keys.isEmpty)
        try await fixture.end()
    }
}
