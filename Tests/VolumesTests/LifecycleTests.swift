import Testing
import VolumeDrivers

@testable import Volumes

@Suite struct LifecycleTests {
    @Test func aVolumeIsCreatingInTheAnswerAndAvailableAfterwards() async throws {
        let fixture = try await Fixture()
        var request = VolumeRequest()
        request.size = 3
        request.metadata = ["k": "v"]
        let answer = try await fixture.service.createVolume(request, for: fixture.ann)
        #expect(answer.volume.status == .creating)
        #expect(answer.typeName == "__DEFAULT__")
        await fixture.service.settle()
        let detail = try await fixture.service.volume(answer.volume.id, for: fixture.ann)
        #expect(detail.volume.status == .available)
        #expect(detail.volume.host == "host1@chunks#chunks")
        #expect(detail.metadata == ["k": "v"])
        #expect(fixture.driver.volumeIDs == [answer.volume.id])
    }

    @Test func strangersSeeNothingOfIt() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let gone = VolumeError.notFound(kind: "Volume", id: volume.id)
        #expect(await refusal { _ = try await fixture.service.volume(volume.id, for: fixture.bob) } == gone)
        #expect(
            await refusal {
                try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.bob)
            } == gone)
        #expect(await refusal { try await fixture.service.reserve(volume.id, for: fixture.bob) } == gone)
        let page = try await fixture.service.volumes(ListQuery(), allProjects: true, for: fixture.bob)
        #expect(page.items.isEmpty)
    }

    @Test func aDriverThatFailsLeavesAnErrorAndAMessage() async throws {
        let fixture = try await Fixture()
        fixture.driver.setHook { step, _ throws(DriverError) in
            if case .create = step { throw .failed("no") }
        }
        let volume = try await fixture.volume()
        #expect(volume.status == .error)
        let messages = try await fixture.service.messages(ListQuery(), for: fixture.ann)
        #expect(messages.items.map(\.resourceID) == [volume.id])
        #expect(messages.items.first?.eventID == "VOLUME_VOLUME_008_001")
        #expect(messages.items.first?.requestID == "req-1")
    }

    @Test func aTypeThatTheBackendDoesNotOfferHasNoPlace() async throws {
        let fixture = try await Fixture()
        _ = try await fixture.service.createType(
            name: "gold", description: nil, isPublic: true, extraSpecs: ["volume_backend_name": "other"])
        let volume = try await fixture.volume { $0.type = "gold" }
        #expect(volume.status == .error)
        let messages = try await fixture.service.messages(ListQuery(), for: fixture.ann)
        #expect(messages.items.first?.eventID == "VOLUME_VOLUME_001_003")
        #expect(fixture.driver.volumeIDs.isEmpty)
    }

    @Test func aCloneHasItsSourcesBytesTypeAndBootFlag() async throws {
        let fixture = try await Fixture()
        let source = try await fixture.volume()
        try await fixture.service.setBootable(source.id, true, for: fixture.ann)
        fixture.driver.write(source.id, block: 7, [9])
        let snapshot = try await fixture.snapshot(source.id)
        fixture.driver.write(source.id, block: 7, [8])
        let clone = try await fixture.volume(size: 2) { $0.snapshotID = snapshot.id }
        #expect(clone.status == .available && clone.bootable && clone.snapshotID == snapshot.id)
        #expect(fixture.driver.read(clone.id, block: 7) == [9])
        let other = try await fixture.volume { request in
            request.size = nil
            request.sourceVolumeID = source.id
        }
        #expect(other.size == 1 && other.status == .available)
        #expect(fixture.driver.read(other.id, block: 7) == [8])
    }

    @Test func badSourcesAreRefused() async throws {
        let fixture = try await Fixture()
        let source = try await fixture.volume(size: 2)
        let snapshot = try await fixture.snapshot(source.id)
        let missing = "00000000-0000-4000-8000-000000000000"
        #expect(
            await refusal { _ = try await fixture.volume(size: 1) { $0.snapshotID = snapshot.id } }?.isInvalid == true)
        #expect(
            await refusal { _ = try await fixture.volume(size: 1) { $0.sourceVolumeID = source.id } }?.isInvalid == true
        )
        #expect(await refusal { _ = try await fixture.volume { $0.snapshotID = missing } }?.isNotFound == true)
        #expect(await refusal { _ = try await fixture.volume { $0.sourceVolumeID = missing } }?.isNotFound == true)
        #expect(await refusal { _ = try await fixture.volume { $0.type = "none" } }?.isNotFound == true)
        #expect(await refusal { _ = try await fixture.volume { $0.zone = "mars" } }?.isInvalid == true)
        #expect(await refusal { _ = try await fixture.volume { $0.image = missing } }?.isInvalid == true)
        #expect(
            await refusal {
                _ = try await fixture.volume(size: 2) {
                    $0.snapshotID = snapshot.id
                    $0.sourceVolumeID = source.id
                }
            }?.isInvalid == true)
    }

    @Test func deletingTakesTheRowAndTheBytes() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(await fixture.isGone(volume.id))
        #expect(fixture.driver.volumeIDs.isEmpty)
    }

    @Test func aVolumeWithSnapshotsIsDeletedOnlyInCascade() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let snapshot = try await fixture.snapshot(volume.id)
        #expect(
            await refusal {
                try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
            }?.isInvalid == true)
        try await fixture.service.deleteVolume(volume.id, cascade: true, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(await fixture.isGone(volume.id))
        #expect(
            await refusal { _ = try await fixture.service.snapshot(snapshot.id, for: fixture.admin) }?.isNotFound
                == true)
        #expect(fixture.driver.volumeIDs.isEmpty)
    }

    @Test func aDeletionThatFailsIsShownAndMayBeTriedAgain() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.driver.setHook { step, _ throws(DriverError) in
            if case .delete = step { throw .failed("no") }
        }
        try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(try await fixture.status(volume.id) == .errorDeleting)
        fixture.driver.setHook(nil)
        try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(await fixture.isGone(volume.id))
    }

    @Test func extendingGrowsAndTellsTheHosts() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        #expect(
            await refusal {
                try await fixture.service.extendVolume(volume.id, to: 1, online: true, for: fixture.ann)
            }?.isInvalid == true)
        _ = try await fixture.attached(volume.id)
        #expect(
            await refusal {
                try await fixture.service.extendVolume(volume.id, to: 4, online: false, for: fixture.ann)
            }?.isInvalid == true)
        try await fixture.service.extendVolume(volume.id, to: 4, online: true, for: fixture.ann)
        await fixture.service.settle()
        let grown = try await fixture.service.volume(volume.id, for: fixture.ann).volume
        #expect(grown.size == 4 && grown.status == .inUse && grown.targetSize == nil)
        #expect(fixture.exporter.sizes == [volume.id: 4 << 30])
    }

    @Test func anExtensionThatFailsIsShown() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.driver.setHook { step, _ throws(DriverError) in
            if case .extend = step { throw .full }
        }
        try await fixture.service.extendVolume(volume.id, to: 4, online: true, for: fixture.ann)
        await fixture.service.settle()
        let failed = try await fixture.service.volume(volume.id, for: fixture.ann).volume
        #expect(failed.size == 1 && failed.status == .errorExtending && failed.targetSize == nil)
    }

    @Test func revertingGoesToTheLatestSnapshotOnly() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.driver.write(volume.id, block: 0, [1])
        let first = try await fixture.snapshot(volume.id)
        fixture.driver.write(volume.id, block: 0, [2])
        let second = try await fixture.snapshot(volume.id)
        fixture.driver.write(volume.id, block: 0, [3])
        #expect(
            await refusal { try await fixture.service.revert(volume.id, to: first.id, for: fixture.ann) }?.isInvalid
                == true)
        try await fixture.service.revert(volume.id, to: second.id, for: fixture.ann)
        await fixture.service.settle()
        #expect(fixture.driver.read(volume.id, block: 0) == [2])
        #expect(try await fixture.status(volume.id) == .available)
        #expect(try await fixture.service.snapshot(second.id, for: fixture.ann).snapshot.status == .available)
        try await fixture.service.reserve(volume.id, for: fixture.ann)
        #expect(
            await refusal { try await fixture.service.revert(volume.id, to: second.id, for: fixture.ann) }?.isConflict
                == true)
    }

    @Test func snapshotsOfVolumesInUseNeedAWord() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        _ = try await fixture.attached(volume.id)
        #expect(await refusal { _ = try await fixture.snapshot(volume.id) }?.isInvalid == true)
        let snapshot = try await fixture.snapshot(volume.id, force: true)
        #expect(snapshot.status == .available && snapshot.progress == "100%")
        #expect(fixture.driver.snapshotIDs(of: volume.id) == [snapshot.id])
        try await fixture.service.deleteSnapshot(snapshot.id, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(fixture.driver.snapshotIDs(of: volume.id).isEmpty)
    }

    @Test func unmanagedVolumesKeepTheirBytesAndCanBeTakenBack() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume(size: 2)
        fixture.driver.write(volume.id, block: 3, [7])
        try await fixture.service.unmanageVolume(volume.id, for: fixture.admin)
        #expect(await fixture.isGone(volume.id))
        let free = try await fixture.service.manageableVolumes(host: "host1@chunks#chunks")
        #expect(free.map(\.reference) == [volume.id] && free[0].managedAs == nil)
        let request = ManageRequest(
            reference: volume.id, host: "host1@chunks#chunks", name: "back", description: nil, type: nil, zone: nil,
            isBootable: false, metadata: [:])
        let answer = try await fixture.service.manageVolume(request, for: fixture.admin)
        await fixture.service.settle()
        #expect(try await fixture.status(answer.volume.id) == .available)
        #expect(fixture.driver.read(answer.volume.id, block: 3) == [7])
        #expect(answer.volume.size == 2)
    }

    @Test func aRetypeChangesTheRowAndQuotaButNotTheState() async throws {
        let fixture = try await Fixture()
        let gold = try await fixture.service.createType(
            name: "gold", description: nil, isPublic: true, extraSpecs: [:])
        let volume = try await fixture.volume()
        try await fixture.service.retype(volume.id, to: "gold", for: fixture.ann)
        let retyped = try await fixture.service.volume(volume.id, for: fixture.ann)
        #expect(retyped.volume.typeID == gold.id && retyped.volume.status == .available)
        #expect(
            await refusal { try await fixture.service.retype(volume.id, to: "gold", for: fixture.ann) }?.isInvalid
                == true)
        #expect(
            await refusal { try await fixture.service.retype(volume.id, to: "none", for: fixture.ann) }?.isInvalid
                == true)
    }

    @Test func aTypeChoosesAmongBackendsAndARetypeMovesOnlyWhereItMay() async throws {
        let fixture = try await Fixture { $0.furtherBackends = ["second"] }
        let service = fixture.service
        for (name, wanted) in [("one", "chunks"), ("two", "second"), ("none", "third")] {
            _ = try await service.createType(
                name: name, description: nil, isPublic: true, extraSpecs: ["volume_backend_name": wanted])
        }
        func make(_ type: String) async throws -> Volume {
            try await fixture.volume { $0.type = type }
        }
        let first = try await make("one")
        #expect(first.host == "host1@chunks#chunks")
        #expect(try await make("two").host == "host1@second#chunks")
        #expect(try await make("none").status == .error)
        // Without leave to move it stays where and what it was.
        try await service.retype(first.id, to: "two", for: fixture.ann)
        var now = try await service.volume(first.id, for: fixture.ann).volume
        #expect(now.host == first.host && now.typeID == first.typeID && now.migrationStatus == nil)
        try await service.retype(first.id, to: "two", mayMove: true, for: fixture.ann)
        now = try await service.volume(first.id, for: fixture.ann).volume
        #expect(now.host == "host1@second#chunks" && now.migrationStatus == "success" && now.status == .available)
        #expect(try await service.pools().map(\.backend) == ["chunks", "second"])
        #expect(try await service.shares(ofHost: "host1@second").map(\.volumes) == [2])
        #expect(try await service.shares(ofHost: "host1@chunks").isEmpty)
        try await service.setService(
            binary: "cinder-volume", host: "host1@second", isDisabled: true, reason: nil)
        #expect(try await make("two").status == .error)
        #expect(try await make("one").status == .available)
    }

    /// The disk that is there has a cache or has none, whatever the type would give to a new one.
    @Test func aRetypeDoesNotPromiseAnotherWriteCacheThanTheVolumeHas() async throws {
        let fixture = try await Fixture()
        for (name, specs) in [("fast", ["apus:write_cache": "<is> True"]), ("plain", [:])] {
            _ = try await fixture.service.createType(
                name: name, description: nil, isPublic: true, extraSpecs: specs)
        }
        let volume = try await fixture.volume()
        #expect(
            await refusal { try await fixture.service.retype(volume.id, to: "fast", for: fixture.ann) }?.isInvalid
                == true)
        #expect(try await fixture.status(volume.id) == .available)
        try await fixture.service.retype(volume.id, to: "plain", for: fixture.ann)
    }

    @Test func aVolumeIsTakenBackOnlyUnderATypeOfItsBlocksAndItsWriteCache() async throws {
        let fixture = try await Fixture()
        for (name, specs) in [
            ("large", ["apus:block_bytes": "4096"]), ("fast", ["apus:write_cache": "true"]), ("plain", [:]),
        ] {
            _ = try await fixture.service.createType(
                name: name, description: nil, isPublic: true, extraSpecs: specs)
        }
        let volume = try await fixture.volume()
        try await fixture.service.unmanageVolume(volume.id, for: fixture.admin)
        func manage(_ type: String) async throws {
            _ = try await fixture.service.manageVolume(
                ManageRequest(
                    reference: volume.id, host: fixture.service.configuration.place, name: nil, description: nil,
                    type: type, zone: nil, isBootable: false, metadata: [:]), for: fixture.admin)
        }
        for type in ["large", "fast"] {
            #expect(await refusal { try await manage(type) }?.isInvalid == true)
        }
        try await manage("plain")
    }
}
