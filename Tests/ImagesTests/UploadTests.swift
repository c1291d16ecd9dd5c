import Crypto
import Foundation
import Testing

@testable import Images

@Suite("Uploads of images") struct UploadTests {
    @Test(
        "an upload's bytes come back as they went in, with the sums that others compute",
        arguments: [0, 1, 4_096, 1 << 20, (3 << 20) + 5])
    func roundTrip(count: Int) async throws {
        let fixture = try await Fixture()
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        let id = try await fixture.queued()
        try await fixture.upload(bytes, to: id, expected: Int64(count))
        let image = try await fixture.service.image(id, for: fixture.ann).image
        #expect(image.status == .active)
        #expect(image.size == Int64(count))
        #expect(image.checksum == Insecure.MD5.hash(data: bytes).map { String(format: "%02x", $0) }.joined())
        #expect(image.hashValue == SHA512.hash(data: bytes).map { String(format: "%02x", $0) }.joined())
        #expect(try await fixture.bytes(of: id) == bytes)
        try await fixture.end()
    }

    @Test("an upload that is given up leaves the image queued and no bytes")
    func abandoned() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.queued()
        let upload = try await fixture.service.beginUpload(id, store: nil, expected: nil, for: fixture.ann)
        try await Fixture.feed([UInt8](repeating: 7, count: 3 << 20), to: upload)
        await upload.abandon()
        let image = try await fixture.service.image(id, for: fixture.ann).image
        #expect(image.status == .queued)
        #expect(image.dataKey == nil && image.size == nil)
        #expect(fixture.store.keys.isEmpty)
        try await fixture.upload([1], to: id)
        #expect(try await fixture.bytes(of: id) == [1])
        try await fixture.end()
    }

    @Test("an upload that a crash interrupts leaves the image queued, and so does an import")
    func crashed() async throws {
        let fixture = try await Fixture()
        let saving = try await fixture.queued("saving")
        let upload = try await fixture.service.beginUpload(saving, store: nil, expected: nil, for: fixture.ann)
        try await Fixture.feed([1, 2], to: upload)
        let staging = try await fixture.queued("staging")
        let stage = try await fixture.service.beginStaging(staging, expected: nil, for: fixture.ann)
        let staged = try await fixture.queued("staged")
        let done = try await fixture.service.beginStaging(staged, expected: nil, for: fixture.ann)
        try await Fixture.feed([5], to: done)
        try await done.finish()
        let later = try await fixture.restarted()
        #expect(try await later.image(saving, for: fixture.ann).image.status == .queued)
        #expect(try await later.image(staging, for: fixture.ann).image.status == .queued)
        // What was staged to its end still waits for its import.
        #expect(try await later.image(staged, for: fixture.ann).image.status == .uploading)
        later.stop()
        await upload.abandon()
        await stage.abandon()
        try await fixture.end()
    }

    @Test("of uploads to one image at a time one is taken")
    func parallel() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.queued()
        let upload = try await fixture.service.beginUpload(id, store: nil, expected: nil, for: fixture.ann)
        await #expect(throws: ImageError.self) {
            try await fixture.service.beginUpload(id, store: nil, expected: nil, for: fixture.ann)
        }
        try await upload.finish()
        #expect(try await fixture.service.image(id, for: fixture.ann).image.size == 0)
        try await fixture.end()
    }

    @Test("fifty uploads at a time exceed a project's quota together by nothing")
    func quota() async throws {
        let fixture = try await Fixture { $0.projectBytesMax = 1_000 }
        var ids: [String] = []
        for number in 0..<50 { ids.append(try await fixture.queued("image \(number)")) }
        let succeeded = await withTaskGroup(of: Bool.self) { group in
            for id in ids {
                group.addTask {
                    do {
                        try await fixture.upload([UInt8](repeating: 1, count: 100), to: id)
                        return true
                    } catch {
                        return false
                    }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(succeeded == 10)
        #expect(try await fixture.service.usage(for: fixture.ann).bytes == 1_000)
        #expect(fixture.store.keys.count == 10)
        try await fixture.end()
    }

    @Test("an image larger than it may be, or than was announced, is refused and leaves nothing")
    func tooLarge() async throws {
        let fixture = try await Fixture { $0.sizeMax = 1_000 }
        let id = try await fixture.queued()
        await #expect(throws: ImageError.self) { try await fixture.upload([UInt8](repeating: 1, count: 1_001), to: id) }
        await #expect(throws: ImageError.self) {
            try await fixture.upload([1], to: id, expected: 1_001)
        }
        await #expect(throws: ImageError.invalid("5 bytes were announced, and 1 came.")) {
            try await fixture.upload([1], to: id, expected: 5)
        }
        #expect(try await fixture.service.image(id, for: fixture.ann).image.status == .queued)
        #expect(fixture.store.keys.isEmpty)
        try await fixture.end()
    }

    @Test("an image that is deleted under its upload is gone, bytes and all")
    func deletedMeanwhile() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.queued()
        let upload = try await fixture.service.beginUpload(id, store: nil, expected: nil, for: fixture.ann)
        try await Fixture.feed([1], to: upload)
        try await fixture.service.delete(id, for: fixture.ann)
        await #expect(throws: ImageError.self) { try await upload.finish() }
        #expect(fixture.store.keys.isEmpty)
        try await fixture.end()
    }

    @Test("what was staged becomes the image by its import, and another image takes it over without copying")
    func imports() async throws {
        let fixture = try await Fixture()
        let id = try await fixture.queued()
        let stage = try await fixture.service.beginStaging(id, expected: nil, for: fixture.ann)
        try await Fixture.feed([4, 5, 6], to: stage)
        try await stage.finish()
        let request = ImportRequest(
            source: .staged, stores: nil, allStores: false, allMustSucceed: true, input: "{}")
        _ = try await fixture.service.beginImport(request, of: id, for: fixture.ann)
        await fixture.service.settle()
        #expect(try await fixture.service.image(id, for: fixture.ann).image.status == .active)
        #expect(try await fixture.service.tasks(of: id, for: fixture.ann).map(\.status) == [.success])

        let other = try await fixture.queued("other")
        let take = ImportRequest(
            source: .other(image: id, region: "RegionOne", interface: "public"), stores: nil, allStores: false,
            allMustSucceed: true, input: "{}")
        _ = try await fixture.service.beginImport(take, of: other, for: fixture.ann)
        await fixture.service.settle()
        #expect(try await fixture.bytes(of: other) == [4, 5, 6])
        #expect(fixture.store.keys.count == 1)
        // The bytes stay for as long as either has them.
        try await fixture.service.delete(id, for: fixture.ann)
        #expect(try await fixture.bytes(of: other) == [4, 5, 6])
        try await fixture.service.delete(other, for: fixture.ann)
        #expect(fixture.store.keys.isEmpty)
        try await fixture.end()
    }
}
