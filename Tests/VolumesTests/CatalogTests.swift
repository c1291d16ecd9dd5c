import Primitives
import Testing
import VolumeDrivers

@testable import Volumes

@Suite struct TransferTests {
    @Test func aVolumeChangesHandsWithItsSnapshots() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let snapshot = try await fixture.snapshot(volume.id)
        let offer = try await fixture.service.createTransfer(
            volumeID: volume.id, name: "t", noSnapshots: false, allowsEncrypted: true, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .awaitingTransfer)
        #expect("\(offer)".contains("<secret>"))
        #expect(
            await refusal {
                _ = try await fixture.service.acceptTransfer(offer.transfer.id, key: .init("wrong"), for: fixture.bob)
            }?.isInvalid == true)
        #expect(
            await refusal { _ = try await fixture.service.transfer(offer.transfer.id, for: fixture.bob) }?.isNotFound
                == true)
        _ = try await fixture.service.acceptTransfer(offer.transfer.id, key: offer.key, for: fixture.bob)
        let moved = try await fixture.service.volume(volume.id, for: fixture.bob).volume
        #expect(moved.projectID == "home" && moved.userID == "bob" && moved.status == .available)
        #expect(try await fixture.service.snapshot(snapshot.id, for: fixture.bob).snapshot.projectID == "home")
        #expect(await refusal { _ = try await fixture.service.volume(volume.id, for: fixture.ann) }?.isNotFound == true)
    }

    @Test func theTakersQuotaCounts() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume(size: 5)
        try await fixture.service.setQuotas(of: "home", ["gigabytes": 4], checked: true)
        let offer = try await fixture.service.createTransfer(
            volumeID: volume.id, name: nil, noSnapshots: false, allowsEncrypted: true, for: fixture.ann)
        #expect(
            await refusal {
                _ = try await fixture.service.acceptTransfer(offer.transfer.id, key: offer.key, for: fixture.bob)
            }?.isQuota == true)
        try await fixture.service.deleteTransfer(offer.transfer.id, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .available)
    }
}

@Suite struct TypeTests {
    @Test func privateTypesAreForThoseWithAccess() async throws {
        let fixture = try await Fixture()
        let type = try await fixture.service.createType(
            name: "p", description: nil, isPublic: false, extraSpecs: [:])
        #expect(await refusal { _ = try await fixture.volume { $0.type = "p" } }?.isNotFound == true)
        try await fixture.service.addTypeAccess(type.id, project: "work")
        #expect(
            await refusal { try await fixture.service.addTypeAccess(type.id, project: "work") }?.isConflict == true)
        #expect(try await fixture.volume { $0.type = "p" }.typeID == type.id)
        try await fixture.service.removeTypeAccess(type.id, project: "work")
        #expect(
            await refusal { try await fixture.service.removeTypeAccess(type.id, project: "work") }?.isNotFound == true)
    }

    @Test func namesAreTakenOnceAndTypesInUseStay() async throws {
        let fixture = try await Fixture()
        let type = try await fixture.service.createType(
            name: "a", description: nil, isPublic: true, extraSpecs: ["x": "1"])
        #expect(
            await refusal {
                _ = try await fixture.service.createType(
                    name: "a", description: nil, isPublic: true, extraSpecs: [:])
            }?.isConflict == true)
        _ = try await fixture.volume { $0.type = "a" }
        #expect(await refusal { try await fixture.service.deleteType(type.id) }?.isInvalid == true)
        #expect(await refusal { try await fixture.service.setExtraSpecs(type.id, ["y": "2"]) }?.isInvalid == true)
        let standard = try await fixture.service.type("__DEFAULT__", for: fixture.admin)
        #expect(await refusal { try await fixture.service.deleteType(standard.id) }?.isInvalid == true)
    }

    @Test func aProjectsDefaultComesBeforeTheConfiguredOne() async throws {
        let fixture = try await Fixture()
        let type = try await fixture.service.createType(
            name: "mine", description: nil, isPublic: true, extraSpecs: ["apus:block_bytes": "4096"])
        _ = try await fixture.service.setDefaultType(project: "work", type: "mine", for: fixture.admin)
        let volume = try await fixture.volume()
        #expect(volume.typeID == type.id && volume.blockBytes == 4096)
        try await fixture.service.removeDefaultType(project: "work")
        #expect(try await fixture.volume().blockBytes == 512)
    }

    @Test func encryptionIsSaidBeforeThereAreVolumes() async throws {
        let fixture = try await Fixture()
        let type = try await fixture.service.createType(
            name: "e", description: nil, isPublic: true, extraSpecs: [:])
        let request = EncryptionRequest(
            provider: "luks", cipher: "aes-xts-plain64", keySize: 256, controlLocation: "front-end")
        let record = try await fixture.service.createEncryption(ofType: type.id, request)
        let volume = try await fixture.volume { $0.type = "e" }
        #expect(volume.encrypted && volume.encryptionKeyID != nil)
        #expect(
            await refusal { try await fixture.service.deleteEncryption(ofType: type.id, record.id) }?.isInvalid == true)
        #expect(
            await refusal { try await fixture.service.unmanageVolume(volume.id, for: fixture.admin) }?.isInvalid == true
        )
        #expect(
            await refusal {
                _ = try await fixture.volume {
                    $0.sourceVolumeID = volume.id; $0.type = "__DEFAULT__"
                }
            }?
            .isInvalid == true)
    }
}

@Suite struct GroupTests {
    @Test func aGroupIsSnapshotTogetherAndMadeAgainFromIt() async throws {
        let fixture = try await Fixture()
        let group = try await fixture.group()
        let a = try await fixture.volume("a") { $0.groupID = group.id }
        _ = try await fixture.volume("b", size: 2) { $0.groupID = group.id }
        fixture.driver.write(a.id, block: 1, [5])
        let snapshot = try await fixture.service.createGroupSnapshot(
            groupID: group.id, name: "gs", description: nil, for: fixture.ann)
        await fixture.service.settle()
        #expect(try await fixture.service.groupSnapshot(snapshot.id, for: fixture.ann).status == .available)
        let copy = try await fixture.service.createGroup(
            from: .groupSnapshot(snapshot.id), name: "copy", description: nil, for: fixture.ann)
        await fixture.service.settle()
        let made = try await fixture.service.group(copy.id, for: fixture.ann)
        #expect(made.group.status == .available && made.volumes.count == 2)
        var bytes: [[UInt8]] = []
        for id in made.volumes { bytes.append(fixture.driver.read(id, block: 1) ?? []) }
        #expect(bytes.contains([5]))
        #expect(
            await refusal {
                try await fixture.service.deleteGroup(group.id, deletesVolumes: true, for: fixture.ann)
            }?.isInvalid == true)
        try await fixture.service.deleteGroupSnapshot(snapshot.id, for: fixture.ann)
        await fixture.service.settle()
        #expect(
            await refusal { try await fixture.service.deleteGroup(group.id, deletesVolumes: false, for: fixture.ann) }?
                .isInvalid == true)
        try await fixture.service.deleteGroup(group.id, deletesVolumes: true, for: fixture.ann)
        await fixture.service.settle()
        #expect(await fixture.isGone(a.id))
    }

    @Test func membersComeAndGoAndAreNotDeletedAlone() async throws {
        let fixture = try await Fixture()
        let group = try await fixture.group()
        let volume = try await fixture.volume()
        try await fixture.service.updateGroup(
            group.id, .init(name: nil, description: nil, added: [volume.id], removed: []), for: fixture.ann)
        #expect(try await fixture.service.group(group.id, for: fixture.ann).volumes == [volume.id])
        #expect(
            await refusal {
                try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
            }?.isInvalid == true)
        try await fixture.service.updateGroup(
            group.id, .init(name: .some("n"), description: nil, added: [], removed: [volume.id]), for: fixture.ann)
        #expect(try await fixture.service.group(group.id, for: fixture.ann).volumes.isEmpty)
    }
}

@Suite struct PlacementTests {
    @Test(arguments: [
        ("5", ">= 5", true), ("5", ">= 6", false), ("5", "= 4", true), ("5", "== 5", true), ("5", "!= 5", false),
        ("5", "<= 5", true), ("True", "<is> True", true), ("True", "<is> False", false), ("iSCSI", "<in> CSI", true),
        ("iSCSI", "<or> NFS <or> iSCSI", true), ("iSCSI", "<or> NFS <or> FC", false), ("b", "s== b", true),
        ("b", "s!= b", false), ("b", "s< c", true), ("b", "s>= b", true), ("b", "b", true), ("b", "c", false),
        ("x", ">= 5", false), ("True", "true", true),
    ])
    func specsAreWordsWithMeaning(_ offered: String, _ wanted: String, _ holds: Bool) {
        #expect(Placement.satisfies(offered, wanted) == holds)
    }

    @Test func thinPoolsPromiseSoManyTimesTheirSize() async throws {
        let fixture = try await Fixture(driver: MemoryVolumes(totalBytes: 10 << 30)) { $0.overSubscriptionMax = 2 }
        #expect(try await fixture.volume(size: 15).status == .available)
        #expect(try await fixture.volume(size: 5).status == .available)
        #expect(try await fixture.volume(size: 1).status == .error)
    }

    @Test func whatIsReservedIsNotPromised() async throws {
        let driver = MemoryVolumes(totalBytes: 10 << 30)
        let fixture = try await Fixture(driver: driver) { configuration in
            configuration.overSubscriptionMax = 1
            configuration.reservedPercentage = 50
        }
        #expect(try await fixture.volume(size: 5).status == .available)
        #expect(try await fixture.volume(size: 1).status == .error)
    }

    /// There is one backend in one zone: what was made under other names belongs to it all the same.
    @Test func namesInTheConfigurationMayChange() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        var configuration = Fixture.configuration(fixture.clock)
        configuration.host = "host2"
        configuration.backend = "fast"
        configuration.zone = "north"
        let service = VolumeService(
            records: fixture.records, driver: fixture.driver, exporter: fixture.exporter, images: NoImages(),
            configuration: configuration)
        _ = try await service.start()
        let after = try await service.volume(volume.id, for: fixture.ann).volume
        #expect(after.host == "host2@fast#chunks" && after.zone == "north")
        #expect(Set(try await service.services().map(\.host)) == ["host2", "host2@fast"])
        #expect(try await service.shares(ofHost: "host2@fast").map(\.volumes) == [1])
        service.stop()
    }

    @Test func aDisabledBackendTakesNoVolumes() async throws {
        let fixture = try await Fixture()
        try await fixture.service.setService(
            binary: "cinder-volume", host: "host1@chunks", isDisabled: true, reason: "broken")
        #expect(try await fixture.volume().status == .error)
    }
}

@Suite struct ListingTests {
    @Test func pagesFollowOneAnotherWithoutGapOrRepeat() async throws {
        let fixture = try await Fixture()
        var made: [String] = []
        for index in 0..<7 { made.append(try await fixture.volume("v\(index % 3)").id) }
        for key in ["created_at", "name", "size", "id"] {
            var seen: [String] = []
            var query = ListQuery()
            query.limit = 3
            query.order = [(key, true)]
            query.wantsCount = true
            while true {
                let page = try await fixture.service.volumes(query, allProjects: false, for: fixture.ann)
                #expect(page.count == 7)
                seen += page.items.map(\.volume.id)
                guard page.isFull else { break }
                query.marker = seen.last
            }
            #expect(seen.count == 7 && Set(seen) == Set(made))
        }
        var lost = ListQuery()
        lost.marker = "none"
        let query = lost
        #expect(
            await refusal { _ = try await fixture.service.volumes(query, allProjects: false, for: fixture.ann) }
                == .notFound(kind: "Volume", id: "none"))
    }

    @Test func filtersMeanWhatTheySay() async throws {
        let fixture = try await Fixture()
        let a = try await fixture.volume("50%_off") { $0.metadata = ["k": "v"] }
        _ = try await fixture.volume("50 off")
        func ids(_ condition: ListQuery.Condition) async throws -> [String] {
            var query = ListQuery()
            query.conditions = [condition]
            return try await fixture.service.volumes(query, allProjects: false, for: fixture.ann).items.map(\.volume.id)
        }
        #expect(try await ids(.contains("name", "%_")) == [a.id])
        #expect(try await ids(.contains("name", "off")).count == 2)
        #expect(try await ids(.metadata("k", "v")) == [a.id])
        #expect(try await ids(.metadata("k", "w")).isEmpty)
        #expect(try await ids(.compare("name", .equal, .text("50%_off' OR 1=1 --"))).isEmpty)
        #expect(try await ids(.never).isEmpty)
    }
}
