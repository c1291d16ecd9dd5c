import Testing
import VolumeDrivers

@testable import Volumes

@Suite("Volumes from images") struct ImageVolumeTests {
    /// One image, which may take its time.
    private struct OneImage: ImageSource {
        let driver: MemoryVolumes
        let takesTime: Bool
        var failure: DriverError?
        /// Where `fill` stands half-way, and where it stands with the volume made.
        let half = Gate()
        let end = Gate()

        func image(_ reference: String, for asker: Asker) async throws(VolumeError) -> SourceImage? {
            SourceImage(id: reference, size: 1, isActive: true, properties: ["image_id": reference])
        }
        func downloads(_ image: SourceImage) async throws(DriverError) -> Bool { takesTime }
        func fill(
            _ volume: NewVolume, from image: SourceImage, progress: @escaping @Sendable (Int) -> Void
        ) async throws(DriverError) {
            progress(42)
            await half.wait()
            if let failure { throw failure }
            try await driver.create(volume)
            await end.wait()
        }
        func makeImage(_ image: ImageFromVolume, for asker: Asker) async throws(VolumeError) -> String {
            throw .invalid("none")
        }
    }

    private static func begin(_ fixture: Fixture) async throws -> String {
        var request = VolumeRequest()
        request.size = 1
        request.image = "image"
        return try await fixture.service.createVolume(request, for: fixture.ann).volume.id
    }

    private static func progress(_ fixture: Fixture, _ id: String) async throws -> String? {
        try await fixture.service.volume(id, for: fixture.ann).imageMetadata["download_progress"]
    }

    @Test("a volume whose image takes its time is downloading, with percents for its users and the operator")
    func downloading() async throws {
        let driver = MemoryVolumes()
        let images = OneImage(driver: driver, takesTime: true)
        let fixture = try await Fixture(driver: driver, images: images)
        let id = try await Self.begin(fixture)
        await images.half.reached()
        #expect(try await fixture.status(id) == .downloading)
        #expect(try await Self.progress(fixture, id) == "42%")
        #expect(try fixture.service.volumeLines().map(\.status) == ["downloading 42%"])
        images.half.open()
        images.end.open()
        await fixture.service.settle()
        #expect(try await fixture.status(id) == .available)
        #expect(try await Self.progress(fixture, id) == nil)
        #expect(try await fixture.service.volume(id, for: fixture.admin).volume.host != nil)
    }

    @Test("a volume whose image is there at once is never downloading")
    func atOnce() async throws {
        let driver = MemoryVolumes()
        let images = OneImage(driver: driver, takesTime: false)
        let fixture = try await Fixture(driver: driver, images: images)
        let id = try await Self.begin(fixture)
        await images.half.reached()
        #expect(try await fixture.status(id) == .creating)
        images.half.open()
        images.end.open()
        await fixture.service.settle()
        #expect(try await fixture.status(id) == .available)
    }

    @Test("a volume that could not be filled is in error, with a message")
    func failed() async throws {
        let driver = MemoryVolumes()
        let images = OneImage(driver: driver, takesTime: true, failure: .failed("no qemu-img"))
        let fixture = try await Fixture(driver: driver, images: images)
        images.half.open()
        let id = try await Self.begin(fixture)
        await fixture.service.settle()
        #expect(try await fixture.status(id) == .error)
        #expect(try await fixture.service.messages(ListQuery(), for: fixture.ann).items.map(\.resourceID) == [id])
    }

    @Test("one that was downloading when the daemon died is in error if it has no bytes, and available if it has all")
    func crashed() async throws {
        for isFilled in [false, true] {
            let driver = MemoryVolumes()
            let images = OneImage(driver: driver, takesTime: true)
            let fixture = try await Fixture(driver: driver, images: images)
            if isFilled { images.half.open() }
            let id = try await Self.begin(fixture)
            await (isFilled ? images.end : images.half).reached()
            #expect(try await fixture.status(id) == .downloading)
            let (service, report) = try await fixture.restarted()
            #expect(report.ended == 1 && report.strays == 0)
            #expect(try await fixture.status(id) == (isFilled ? .available : .error))
            images.half.open()
            images.end.open()
            await fixture.service.settle()
            service.stop()
        }
    }
}
