import Testing
import VolumeDrivers

@testable import Volumes

@Suite struct DeletionTests {
    @Test func aVolumeThatHadNoPlaceIsGoneWhenItsDeletionIsAnswered() async throws {
        let fixture = try await Fixture()
        _ = try await fixture.service.createType(
            name: "elsewhere", description: nil, isPublic: true, extraSpecs: ["vendor_name": "nobody"])
        let volume = try await fixture.volume { $0.type = "elsewhere" }
        #expect(volume.status == .error && volume.host == nil)
        try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        #expect(await fixture.isGone(volume.id))
    }

    @Test func aForcedDeletionTakesAVolumeThatIsStillBeingMade() async throws {
        let fixture = try await Fixture()
        let (making, deleted) = (Gate(), Gate())
        deleted.open()
        fixture.driver.setHook { step, moment throws(DriverError) in
            if case .create = step, moment == .before { await making.wait() }
            if case .delete = step, moment == .after { await deleted.wait() }
        }
        var request = VolumeRequest()
        request.size = 1
        let id = try await fixture.service.createVolume(request, for: fixture.ann).volume.id
        await making.reached()
        try await fixture.service.deleteVolume(id, cascade: false, force: true, for: fixture.admin)
        await deleted.reached()
        making.open()
        await fixture.service.settle()
        #expect(await fixture.isGone(id))
        #expect(fixture.driver.volumeIDs.isEmpty)
    }

    @Test func aForcedDeletionTakesASnapshotThatIsStillBeingMade() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let (making, deleted) = (Gate(), Gate())
        deleted.open()
        fixture.driver.setHook { step, moment throws(DriverError) in
            if case .snapshot = step, moment == .before { await making.wait() }
            if case .deleteSnapshot = step, moment == .after { await deleted.wait() }
        }
        let id = try await fixture.service.createSnapshot(
            SnapshotRequest(volumeID: volume.id, name: nil, description: nil, metadata: [:], allowsInUse: false),
            for: fixture.ann
        ).snapshot.id
        await making.reached()
        try await fixture.service.deleteSnapshot(id, force: true, for: fixture.admin)
        await deleted.reached()
        making.open()
        await fixture.service.settle()
        #expect(await refusal { _ = try await fixture.service.snapshot(id, for: fixture.ann) }?.isNotFound == true)
        #expect(try await fixture.driver.inventory().snapshots.isEmpty)
    }

    @Test func forceAlsoEndsWhatWasSetToDeleting() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let snapshot = try await fixture.snapshot(volume.id)
        try await fixture.service.resetSnapshot(snapshot.id, to: .deleting, for: fixture.admin)
        try await fixture.service.deleteSnapshot(snapshot.id, force: true, for: fixture.admin)
        await fixture.service.settle()
        #expect(
            await refusal { _ = try await fixture.service.snapshot(snapshot.id, for: fixture.ann) }?.isNotFound == true)
        try await fixture.service.resetVolume(
            volume.id, .init(status: .deleting, attachStatus: nil, migrationStatus: nil), for: fixture.admin)
        try await fixture.service.deleteVolume(volume.id, cascade: true, force: true, for: fixture.admin)
        await fixture.service.settle()
        #expect(await fixture.isGone(volume.id))
    }

    @Test func unmanagedSnapshotsOutliveTheirVolumesRow() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let snapshot = try await fixture.snapshot(volume.id)
        try await fixture.service.unmanageSnapshot(snapshot.id, for: fixture.admin)
        try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(await fixture.isGone(volume.id))
        let held = try await fixture.driver.inventory()
        #expect(held.volumes.count == 1 && held.snapshots.count == 1)
        #expect(try await fixture.service.sweep().strays == 2)
    }

    @Test func whatIsUnmanagedIsTakenBackByTheNameThatClientsGiveIt() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let snapshot = try await fixture.snapshot(volume.id)
        try await fixture.service.unmanageSnapshot(snapshot.id, for: fixture.admin)
        let taken = try await fixture.service.manageSnapshot(
            "_snapshot-\(snapshot.id)",
            SnapshotRequest(volumeID: volume.id, name: "again", description: nil, metadata: [:], allowsInUse: true),
            for: fixture.admin
        ).snapshot.id
        await fixture.service.settle()
        #expect(try await fixture.service.snapshot(taken, for: fixture.admin).snapshot.status == .available)
        try await fixture.service.deleteSnapshot(taken, force: false, for: fixture.admin)
        await fixture.service.settle()
        try await fixture.service.unmanageVolume(volume.id, for: fixture.admin)
        func manage(_ reference: String) async throws -> Volume {
            try await fixture.service.manageVolume(
                ManageRequest(
                    reference: reference, host: fixture.service.configuration.place, name: nil, description: nil,
                    type: nil, zone: nil, isBootable: false, metadata: [:]), for: fixture.admin
            ).volume
        }
        #expect(await refusal { _ = try await manage("volume-") }?.isInvalid == true)
        #expect(await refusal { _ = try await manage(volume.id + "x") }?.isInvalid == true)
        let again = try await manage("volume-\(volume.id)")
        await fixture.service.settle()
        #expect(try await fixture.status(again.id) == .available)
        #expect(fixture.driver.volumeIDs == [again.id])
    }
}
