import Primitives
import Synchronization
import Testing
import VolumeDrivers

@testable import Volumes

/// The daemon dies in the middle: the operation stands still at one of its steps for ever, and another service starts on
/// the same tables and the same volumes.
@Suite struct SweepTests {
    enum Place: String, Sendable, CaseIterable {
        case before, after
        var moment: MemoryVolumes.Moment { self == .before ? .before : .after }
    }

    /// Has every such step stand still at that moment.
    private func stop(
        _ fixture: Fixture, at place: Place, _ isStep: @escaping @Sendable (MemoryVolumes.Step) -> Bool
    ) -> Gate {
        let gate = Gate()
        fixture.driver.setHook { step, moment throws(DriverError) in
            if isStep(step), moment == place.moment { await gate.wait() }
        }
        return gate
    }

    @Test(arguments: Place.allCases) func creation(_ place: Place) async throws {
        let fixture = try await Fixture()
        let gate = stop(fixture, at: place) { if case .create = $0 { true } else { false } }
        var request = VolumeRequest()
        request.size = 1
        let id = try await fixture.service.createVolume(request, for: fixture.ann).volume.id
        await gate.reached()
        #expect(try await fixture.status(id) == .creating)
        let (service, report) = try await fixture.restarted()
        #expect(report.ended == 1 && report.strays == 0)
        #expect(try await fixture.status(id) == (place == .before ? .error : .available))
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func cloning(_ place: Place) async throws {
        let fixture = try await Fixture()
        let source = try await fixture.volume()
        let gate = stop(fixture, at: place) { if case .clone = $0 { true } else { false } }
        var request = VolumeRequest()
        request.sourceVolumeID = source.id
        let id = try await fixture.service.createVolume(request, for: fixture.ann).volume.id
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        #expect(try await fixture.status(id) == (place == .before ? .error : .available))
        #expect(try await fixture.status(source.id) == .available)
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func deletion(_ place: Place) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let gate = stop(fixture, at: place) { if case .delete = $0 { true } else { false } }
        try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        await gate.reached()
        #expect(try await fixture.status(volume.id) == .deleting)
        let (service, report) = try await fixture.restarted()
        #expect(report.ended == 1)
        #expect(await fixture.isGone(volume.id))
        #expect(fixture.driver.volumeIDs.isEmpty)
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func cascadingDeletion(_ place: Place) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        _ = try await fixture.snapshot(volume.id)
        _ = try await fixture.snapshot(volume.id)
        let gate = stop(fixture, at: place) { if case .deleteSnapshot = $0 { true } else { false } }
        try await fixture.service.deleteVolume(volume.id, cascade: true, force: false, for: fixture.ann)
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        #expect(await fixture.isGone(volume.id))
        #expect(fixture.driver.volumeIDs.isEmpty)
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func extending(_ place: Place) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let gate = stop(fixture, at: place) { if case .extend = $0 { true } else { false } }
        try await fixture.service.extendVolume(volume.id, to: 5, online: false, for: fixture.ann)
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        let after = try await service.volume(volume.id, for: fixture.ann).volume
        #expect(after.status == .available && after.targetSize == nil)
        #expect(after.size == (place == .before ? 1 : 5))
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func snapshotting(_ place: Place) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let gate = stop(fixture, at: place) { if case .snapshot = $0 { true } else { false } }
        let made = try await fixture.service.createSnapshot(
            SnapshotRequest(volumeID: volume.id, name: nil, description: nil, metadata: [:], allowsInUse: false),
            for: fixture.ann)
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        let after = try await service.snapshot(made.snapshot.id, for: fixture.ann).snapshot
        #expect(after.status == (place == .before ? .error : .available))
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func deletingASnapshot(_ place: Place) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let snapshot = try await fixture.snapshot(volume.id)
        let gate = stop(fixture, at: place) { if case .deleteSnapshot = $0 { true } else { false } }
        try await fixture.service.deleteSnapshot(snapshot.id, force: false, for: fixture.ann)
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        #expect(
            await refusal { _ = try await service.snapshot(snapshot.id, for: fixture.ann) }?.isNotFound == true)
        #expect(fixture.driver.snapshotIDs(of: volume.id).isEmpty)
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func reverting(_ place: Place) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.driver.write(volume.id, block: 0, [1])
        let snapshot = try await fixture.snapshot(volume.id)
        fixture.driver.write(volume.id, block: 0, [2])
        let gate = stop(fixture, at: place) { if case .revert = $0 { true } else { false } }
        try await fixture.service.revert(volume.id, to: snapshot.id, for: fixture.ann)
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        #expect(try await fixture.status(volume.id) == .available)
        #expect(try await service.snapshot(snapshot.id, for: fixture.ann).snapshot.status == .available)
        #expect(fixture.driver.read(volume.id, block: 0) == (place == .before ? [2] : [1]))
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func managing(_ place: Place) async throws {
        let fixture = try await Fixture()
        fixture.driver.plant("lv", bytes: 2 << 30)
        let gate = stop(fixture, at: place) { if case .adopt = $0 { true } else { false } }
        let made = try await fixture.service.manageVolume(
            ManageRequest(
                reference: "lv", host: "host1@chunks", name: nil, description: nil, type: nil, zone: nil,
                isBootable: false, metadata: [:]), for: fixture.admin)
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        #expect(try await fixture.status(made.volume.id) == (place == .before ? .errorManaging : .available))
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test func volumesOfAGroupThatIsBeingMadeAreLeftAlone() async throws {
        let fixture = try await Fixture()
        let group = try await fixture.group()
        for name in ["a", "b"] { _ = try await fixture.volume(name) { $0.groupID = group.id } }
        let gate = stop(fixture, at: .before) { if case .clone = $0 { true } else { false } }
        let copy = try await fixture.service.createGroup(
            from: .group(group.id), name: nil, description: nil, for: fixture.ann)
        await gate.reached()
        let members = try await fixture.service.group(copy.id, for: fixture.ann).volumes
        #expect(members.count == 2)
        #expect(try await fixture.service.sweep().ended == 0)
        for member in members { #expect(try await fixture.status(member) == .creating) }
        gate.open()
        await fixture.service.settle()
        for member in members { #expect(try await fixture.status(member) == .available) }
        #expect(try await fixture.service.group(copy.id, for: fixture.ann).group.status == .available)
    }

    /// The sweep takes its time over one volume, and meanwhile an administrator saves the next.
    @Test func whatIsAvailableByNowIsNotDeletedForWhatItWas() async throws {
        let fixture = try await Fixture()
        let volumes = [try await fixture.volume("a").id, try await fixture.volume("b").id]
        func reset(_ id: String, _ status: VolumeStatus) async throws {
            try await fixture.service.resetVolume(
                id, .init(status: status, attachStatus: nil, migrationStatus: nil), for: fixture.admin)
        }
        for id in volumes { try await reset(id, .deleting) }
        let first = Mutex<String?>(nil)
        let gate = Gate()
        fixture.driver.setHook { step, moment throws(DriverError) in
            guard case .delete(let id) = step, moment == .before else { return }
            first.withLock { $0 = $0 ?? id }
            await gate.wait()
        }
        async let report = fixture.service.sweep()
        await gate.reached()
        let saved = try #require(volumes.first { id in first.withLock { $0 != id } })
        try await reset(saved, .available)
        gate.open()
        #expect(try await report.ended == 1)
        #expect(try await fixture.status(saved) == .available)
        #expect(fixture.driver.volumeIDs == [saved])
    }

    /// Closing a target stands still at a gate, the first time.
    private final class SlowExports: VolumeExporter {
        let inner: MemoryExports
        let gate = Gate()
        let first = Mutex<String?>(nil)

        init(_ inner: MemoryExports) { self.inner = inner }
        func export(_ export: VolumeExport) async throws(DriverError) -> [ExportPortal] {
            try await inner.export(export)
        }
        func unexport(_ id: String) async throws(DriverError) {
            first.withLock { $0 = $0 ?? id }
            await gate.wait()
            try await inner.unexport(id)
        }
        func resized(_ volume: String, to bytes: UInt64) async { await inner.resized(volume, to: bytes) }
        func exports() async -> [String: Bool] { await inner.exports() }
    }

    @Test func aHostThatCameInTheLastMomentKeepsItsVolume() async throws {
        let fixture = try await Fixture()
        var attachments: [String] = []
        for name in ["a", "b"] {
            let volume = try await fixture.volume(name)
            let made = try await fixture.service.createAttachment(
                AttachmentRequest(
                    volumeID: volume.id, instanceID: nil, connector: Fixture.connector, mode: nil), for: fixture.ann)
            attachments.append(made.attachment.id)
        }
        fixture.clock.advance(seconds: 4_000)
        let slow = SlowExports(fixture.exporter)
        let service = VolumeService(
            records: fixture.records, driver: fixture.driver, exporter: slow, images: NoImages(),
            configuration: Fixture.configuration(fixture.clock))
        async let report = service.sweep()
        await slow.gate.reached()
        let late = try #require(attachments.first { id in slow.first.withLock { $0 != id } })
        try await service.completeAttachment(late, for: fixture.ann)
        slow.gate.open()
        #expect(try await report.released == 1)
        #expect(try await service.attachment(late, for: fixture.ann).attachment.status == .attached)
        #expect(Set(fixture.exporter.open.keys) == [late])
        service.stop()
    }

    @Test(arguments: Place.allCases) func groupDeletion(_ place: Place) async throws {
        let fixture = try await Fixture()
        let group = try await fixture.group()
        let volume = try await fixture.volume { $0.groupID = group.id }
        let gate = stop(fixture, at: place) { if case .delete = $0 { true } else { false } }
        try await fixture.service.deleteGroup(group.id, deletesVolumes: true, for: fixture.ann)
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        #expect(await fixture.isGone(volume.id))
        #expect(await refusal { _ = try await service.group(group.id, for: fixture.ann) }?.isNotFound == true)
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test(arguments: Place.allCases) func groupSnapshotting(_ place: Place) async throws {
        let fixture = try await Fixture()
        let group = try await fixture.group()
        _ = try await fixture.volume { $0.groupID = group.id }
        let gate = stop(fixture, at: place) { if case .snapshot = $0 { true } else { false } }
        let made = try await fixture.service.createGroupSnapshot(
            groupID: group.id, name: nil, description: nil, for: fixture.ann)
        await gate.reached()
        let (service, _) = try await fixture.restarted()
        let after = try await service.groupSnapshot(made.id, for: fixture.ann)
        #expect(after.status == (place == .before ? .error : .available))
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    @Test func whatIsUnderWayIsLeftAlone() async throws {
        let fixture = try await Fixture()
        let gate = stop(fixture, at: .before) { if case .create = $0 { true } else { false } }
        var request = VolumeRequest()
        request.size = 1
        let id = try await fixture.service.createVolume(request, for: fixture.ann).volume.id
        await gate.reached()
        let report = try await fixture.service.sweep()
        #expect(report.isQuiet)
        #expect(try await fixture.status(id) == .creating)
        gate.open()
        await fixture.service.settle()
        #expect(try await fixture.status(id) == .available)
    }

    @Test func whatNoRowNamesIsKeptAndShown() async throws {
        let fixture = try await Fixture()
        try await fixture.driver.create(NewVolume(id: "lost", bytes: 1 << 30, blockBytes: 512, writeCache: false))
        try await fixture.driver.snapshot([SnapshotCut(id: "lost-s", volume: "lost")])
        #expect(try await fixture.service.sweep().strays == 2)
        #expect(try await fixture.service.sweep().strays == 0)
        #expect(Set(try await fixture.service.strays().map(\.reference)) == ["lost", "lost-s"])
        #expect(fixture.driver.volumeIDs == ["lost"])
        try await fixture.driver.deleteSnapshot("lost-s", of: "lost")
        _ = try await fixture.service.sweep()
        #expect(try await fixture.service.strays().map(\.reference) == ["lost"])
    }

    @Test func rowsWithoutBytesAreCountedAndLeft() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        try await fixture.driver.delete(volume.id)
        #expect(try await fixture.service.sweep().missing == 1)
        #expect(try await fixture.status(volume.id) == .available)
    }

    @Test func aDriverThatCannotListChangesNothing() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.driver.setHook { step, _ throws(DriverError) in if step == .inventory { throw .failed("away") } }
        #expect(await refusal { _ = try await fixture.service.sweep() } == .backend("away"))
        #expect(try await fixture.status(volume.id) == .available)
    }

    @Test func targetsAreOpenAgainAfterARestartUnderTheSameNames() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let made = try await fixture.attached(volume.id)
        let before = try #require(fixture.exporter.open[made.attachment.id])
        fixture.exporter.forgetAll()
        let (service, report) = try await fixture.restarted()
        #expect(report.reopened == 1)
        let after = try #require(fixture.exporter.open[made.attachment.id])
        #expect(after.target == before.target && after.chapName == before.chapName)
        #expect(after.chapSecret.bytes == before.chapSecret.bytes)
        service.stop()
    }

    @Test func targetsWithoutARowAreClosed() async throws {
        let fixture = try await Fixture()
        _ = try await fixture.exporter.export(
            VolumeExport(
                id: "stray", volumeID: "x", target: "iqn.x", chapName: "n", chapSecret: .init("s"), isReadOnly: false,
                initiator: nil))
        #expect(try await fixture.service.sweep().closed == 1)
        #expect(fixture.exporter.open.isEmpty)
    }

    @Test func aClientThatWentAwayHalfwayLeavesNothingAttaching() async throws {
        let fixture = try await Fixture()
        let older = try await fixture.volume()
        try await fixture.service.reserve(older.id, for: fixture.ann)
        let volume = try await fixture.volume()
        let made = try await fixture.service.createAttachment(
            AttachmentRequest(volumeID: volume.id, instanceID: nil, connector: Fixture.connector, mode: nil),
            for: fixture.ann)
        let used = try await fixture.volume()
        let live = try await fixture.service.createAttachment(
            AttachmentRequest(volumeID: used.id, instanceID: nil, connector: Fixture.connector, mode: nil),
            for: fixture.ann)
        fixture.exporter.logIn(live.attachment.id)
        #expect(try await fixture.service.sweep().released == 0)
        fixture.clock.advance(seconds: 4_000)
        #expect(try await fixture.service.sweep().released == 3)
        #expect(try await fixture.status(older.id) == .available)
        #expect(try await fixture.status(volume.id) == .reserved)
        #expect(try await fixture.status(used.id) == .inUse)
        #expect(fixture.exporter.open.keys.sorted() == [live.attachment.id])
        #expect(made.attachment.status == .attaching)
    }

    @Test func aVolumeLeftDetachingIsInUseAgain() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        _ = try await fixture.attached(volume.id)
        try await fixture.service.beginDetaching(volume.id, for: fixture.ann)
        fixture.clock.advance(seconds: 4_000)
        #expect(try await fixture.service.sweep().released == 1)
        #expect(try await fixture.status(volume.id) == .inUse)
    }
}

extension Fixture {
    func group() async throws -> VolumeGroup {
        try await service.createGroup(
            name: "g", description: nil, type: "default_cgsnapshot_type", volumeTypes: ["__DEFAULT__"], zone: nil,
            for: ann)
    }
}
