import Primitives
import Testing
import VolumeDrivers

@testable import Volumes

@Suite struct AttachmentTests {
    private let instance = "5c0c7d1e-0000-4000-8000-000000000001"
    private let other = "5c0c7d1e-0000-4000-8000-000000000002"

    private func request(_ volume: String, _ instance: String?) -> AttachmentRequest {
        AttachmentRequest(volumeID: volume, instanceID: instance, connector: nil, mode: nil)
    }

    @Test func aHostThatCannotConnectLeavesNothingReserved() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let refused = await refusal {
            _ = try await fixture.service.createAttachment(
                AttachmentRequest(volumeID: volume.id, instanceID: nil, connector: ["host": "h"], mode: nil),
                for: fixture.ann)
        }
        #expect(refused?.isInvalid == true)
        #expect(try await fixture.status(volume.id) == .available)
    }

    @Test func theFlowOfAComputeService() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let reserved = try await fixture.service.createAttachment(request(volume.id, instance), for: fixture.ann)
        #expect(reserved.attachment.status == .reserved && reserved.connection == nil)
        #expect(try await fixture.status(volume.id) == .reserved)
        let id = reserved.attachment.id
        let connected = try await fixture.service.updateAttachment(
            id, connector: Fixture.connector, for: fixture.ann)
        #expect(connected.attachment.status == .attaching && connected.attachment.mode == "rw")
        #expect(connected.connection?.unit == 0 && connected.connection?.chapSecret.bytes.count == 32)
        #expect(fixture.exporter.open.keys.sorted() == [id])
        try await fixture.service.completeAttachment(id, for: fixture.ann)
        let detail = try await fixture.service.volume(volume.id, for: fixture.ann)
        #expect(detail.volume.status == .inUse && detail.volume.attachStatus == .attached)
        #expect(detail.adminMetadata["attached_mode"] == "rw")
        let remaining = try await fixture.service.deleteAttachment(id, for: fixture.ann)
        #expect(remaining.isEmpty && fixture.exporter.open.isEmpty)
        let free = try await fixture.service.volume(volume.id, for: fixture.ann)
        #expect(free.volume.status == .available && free.volume.attachStatus == .detached)
        #expect(free.adminMetadata.isEmpty)
    }

    @Test func everyAttachmentHasATargetAndASecretOfItsOwn() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        var seen: Set<String> = []
        for _ in 0..<3 {
            let made = try await fixture.attached(volume.id)
            let connection = try #require(made.connection)
            #expect(seen.insert(connection.target).inserted)
            #expect(seen.insert(connection.chapName).inserted)
            #expect(seen.insert(String(decoding: connection.chapSecret.bytes, as: UTF8.self)).inserted)
            _ = try await fixture.service.deleteAttachment(made.attachment.id, for: fixture.ann)
        }
        #expect("\(try await fixture.attached(volume.id))".contains("<secret>"))
    }

    @Test func reservingTwiceIsForTheSameInstanceOnly() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        _ = try await fixture.service.createAttachment(request(volume.id, instance), for: fixture.ann)
        #expect(
            await refusal {
                _ = try await fixture.service.createAttachment(request(volume.id, other), for: fixture.ann)
            }?.isInvalid == true)
        #expect(
            await refusal {
                _ = try await fixture.service.createAttachment(request(volume.id, nil), for: fixture.ann)
            }?.isInvalid == true)
        _ = try await fixture.service.createAttachment(request(volume.id, instance), for: fixture.ann)
    }

    @Test func aMovingInstanceMayConnectFromASecondHost() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let source = try await fixture.attached(volume.id)
        let target = try await fixture.service.createAttachment(request(volume.id, instance), for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .inUse)
        #expect(
            await refusal {
                _ = try await fixture.service.updateAttachment(
                    target.attachment.id, connector: Fixture.connector, for: fixture.ann)
            }?.isConflict == true)
        _ = try await fixture.service.updateAttachment(
            target.attachment.id, connector: ["initiator": "iqn.b", "host": "compute2"], for: fixture.ann)
        let remaining = try await fixture.service.deleteAttachment(source.attachment.id, for: fixture.ann)
        #expect(remaining.map(\.attachment.id) == [target.attachment.id])
        try await fixture.service.completeAttachment(target.attachment.id, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .inUse)
    }

    @Test func severalHostsShareAMultiattachVolume() async throws {
        let fixture = try await Fixture()
        _ = try await fixture.service.createType(
            name: "shared", description: nil, isPublic: true, extraSpecs: ["multiattach": "<is> True"])
        let volume = try await fixture.volume { $0.type = "shared" }
        #expect(volume.multiattach)
        let first = try await fixture.attached(volume.id)
        let second = try await fixture.service.createAttachment(
            AttachmentRequest(
                volumeID: volume.id, instanceID: other, connector: ["initiator": "iqn.b", "host": "compute2"],
                mode: nil), for: fixture.ann)
        try await fixture.service.completeAttachment(second.attachment.id, for: fixture.ann)
        #expect(fixture.exporter.open.count == 2)
        _ = try await fixture.service.deleteAttachment(first.attachment.id, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .inUse)
        _ = try await fixture.service.deleteAttachment(second.attachment.id, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .available)
    }

    @Test func badStatesAndConnectorsAreRefused() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let reserved = try await fixture.service.createAttachment(request(volume.id, instance), for: fixture.ann)
        let id = reserved.attachment.id
        #expect(
            await refusal {
                _ = try await fixture.service.updateAttachment(id, connector: ["host": "x"], for: fixture.ann)
            }?.isInvalid == true)
        #expect(fixture.exporter.open.isEmpty)
        try await fixture.service.resetVolume(
            volume.id, .init(status: .error, attachStatus: nil, migrationStatus: nil), for: fixture.admin)
        #expect(
            await refusal {
                _ = try await fixture.service.createAttachment(request(volume.id, instance), for: fixture.ann)
            }?.isInvalid == true)
        #expect(
            await refusal {
                _ = try await fixture.service.updateAttachment(id, connector: Fixture.connector, for: fixture.ann)
            }?.isConflict == true)
        _ = try await fixture.service.deleteAttachment(id, for: fixture.ann)
        #expect(
            await refusal { _ = try await fixture.service.deleteAttachment(id, for: fixture.ann) }?.isNotFound == true)
    }

    @Test func aReadOnlyVolumeIsNeverAttachedForWriting() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        try await fixture.service.setReadOnly(volume.id, true, for: fixture.ann)
        var wanted = request(volume.id, instance)
        wanted.mode = "rw"
        let writing = wanted
        #expect(
            await refusal { _ = try await fixture.service.createAttachment(writing, for: fixture.ann) }?.isInvalid
                == true)
        let made = try await fixture.attached(volume.id)
        #expect(made.attachment.mode == "ro" && made.connection?.accessMode == "ro")
        #expect(fixture.exporter.open[made.attachment.id]?.isReadOnly == true)
    }

    @Test func anInstancesDiskIsGuardedWhereAComputeServiceIsInCharge() async throws {
        let fixture = try await Fixture { $0.guardsInstanceAttachments = true }
        let volume = try await fixture.volume()
        let made = try await fixture.attached(volume.id)
        #expect(
            await refusal {
                _ = try await fixture.service.deleteAttachment(made.attachment.id, for: fixture.ann)
            }?.isConflict == true)
        #expect(
            await refusal {
                try await fixture.service.forceDetach(volume.id, attachmentID: nil, for: fixture.admin)
            }?.isConflict == true)
        var service = fixture.ann
        service.isService = true
        _ = try await fixture.service.deleteAttachment(made.attachment.id, for: service)
        #expect(fixture.exporter.open.isEmpty)
    }

    @Test func aTargetThatWillNotCloseKeepsTheVolumeInUse() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let made = try await fixture.attached(volume.id)
        fixture.exporter.setFailure(.failed("stuck"))
        #expect(
            await refusal { _ = try await fixture.service.deleteAttachment(made.attachment.id, for: fixture.ann) }
                == .backend("stuck"))
        #expect(try await fixture.status(volume.id) == .inUse)
        fixture.exporter.setFailure(nil)
        _ = try await fixture.service.deleteAttachment(made.attachment.id, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .available)
    }

    @Test func theOlderWayEndsWithNothingOpen() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let service = fixture.service
        try await service.reserve(volume.id, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .attaching)
        #expect(await refusal { try await service.reserve(volume.id, for: fixture.ann) }?.isInvalid == true)
        let first = try await service.initializeConnection(volume.id, connector: Fixture.connector, for: fixture.ann)
        let again = try await service.initializeConnection(volume.id, connector: Fixture.connector, for: fixture.ann)
        #expect(first.target == again.target && fixture.exporter.open.count == 1)
        try await service.attach(
            volume.id, instanceID: instance, host: nil, mountpoint: "/dev/vdb", mode: "rw", for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .inUse)
        try await service.beginDetaching(volume.id, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .detaching)
        try await service.rollDetaching(volume.id, for: fixture.ann)
        try await service.beginDetaching(volume.id, for: fixture.ann)
        try await service.terminateConnection(volume.id, connector: Fixture.connector, for: fixture.ann)
        #expect(fixture.exporter.open.isEmpty)
        try await service.detachVolume(volume.id, attachmentID: nil, for: fixture.ann)
        #expect(try await fixture.status(volume.id) == .available)
    }

    @Test func detachingForgetsTargetsThatAHostLeftOpen() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        _ = try await fixture.service.initializeConnection(
            volume.id, connector: Fixture.connector, for: fixture.ann)
        try await fixture.service.attach(
            volume.id, instanceID: nil, host: "compute1", mountpoint: "/mnt", mode: nil, for: fixture.ann)
        try await fixture.service.detachVolume(volume.id, attachmentID: nil, for: fixture.ann)
        #expect(fixture.exporter.open.isEmpty)
        #expect(try await fixture.status(volume.id) == .available)
    }

    @Test func aConnectedHostKeepsTheVolumeInItsProjectAndItsBytes() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let snapshot = try await fixture.snapshot(volume.id)
        _ = try await fixture.service.initializeConnection(
            volume.id, connector: Fixture.connector, for: fixture.ann)
        #expect(
            await refusal {
                _ = try await fixture.service.createTransfer(
                    volumeID: volume.id, name: nil, noSnapshots: false, allowsEncrypted: true, for: fixture.ann)
            }?.isInvalid == true)
        #expect(
            await refusal { try await fixture.service.revert(volume.id, to: snapshot.id, for: fixture.ann) }?.isConflict
                == true)
        try await fixture.service.terminateConnection(volume.id, connector: Fixture.connector, for: fixture.ann)
        try await fixture.service.revert(volume.id, to: snapshot.id, for: fixture.ann)
        await fixture.service.settle()
        #expect(try await fixture.status(volume.id) == .available)
    }

    @Test func hostsAreToldTheirShareOfAPolicy() async throws {
        let fixture = try await Fixture()
        let type = try await fixture.service.createType(
            name: "fast", description: nil, isPublic: true, extraSpecs: [:])
        let policy = try await fixture.service.createPolicy(
            name: "q", consumer: "front-end",
            specs: ["read_iops_sec_per_gb": "100", "write_iops_sec_per_gb": "1", "write_iops_sec_per_gb_min": "50"])
        try await fixture.service.associate(policy.id, typeID: type.id)
        let volume = try await fixture.volume(size: 3) { $0.type = "fast" }
        let made = try await fixture.attached(volume.id)
        #expect(made.connection?.qos == ["read_iops_sec": "300", "write_iops_sec": "50"])
    }
}
