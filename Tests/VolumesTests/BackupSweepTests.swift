import Testing
import VolumeDrivers

@testable import Volumes

/// The daemon dies in the middle of a backup, a restore or a deletion: as `SweepTests`.
@Suite struct BackupSweepTests {
    /// Where a backup stands still.
    enum Phase: Sendable, CaseIterable {
        case beforeTheCut, behindTheCut, preparing, reading, writing, describing
    }

    private func stop(_ fixture: Fixture, at phase: Phase) -> Gate {
        let gate = Gate()
        fixture.driver.setHook { step, moment throws(DriverError) in
            switch (phase, step, moment) {
            case (.beforeTheCut, .snapshot, .before), (.behindTheCut, .snapshot, .after),
                (.reading, .readImage, .before):
                await gate.wait()
            default: break
            }
        }
        fixture.backups.setHook { step throws(DriverError) in
            switch (phase, step) {
            case (.preparing, .prepare): await gate.wait()
            case (.writing, .append(let name)) where name.hasSuffix("-00002"): await gate.wait()
            case (.describing, .append(let name)) where name.hasSuffix("_metadata"): await gate.wait()
            default: break
            }
        }
        return gate
    }

    @Test(arguments: Phase.allCases) func backingUp(_ phase: Phase) async throws {
        let fixture = try await Fixture { $0.backupObjectBytes = 1 << 20 }
        let volume = try await fixture.volume()
        // Two objects: the first is finished when the second is begun.
        for block in stride(from: UInt64(0), to: 2_200, by: 100) { fixture.write(volume.id, [block: 3]) }
        let gate = stop(fixture, at: phase)
        let backup = try await fixture.service.createBackup(
            BackupRequest(volumeID: volume.id), for: fixture.ann
        ).backup
        await gate.reached()
        #expect(try await fixture.status(volume.id) == .backingUp)
        #expect(try await fixture.backupStatus(backup.id) == .creating)
        #expect(
            await refusal {
                try await fixture.service.deleteVolume(volume.id, cascade: true, force: false, for: fixture.ann)
            }?.isInvalid == true)
        let (service, report) = try await fixture.restarted()
        #expect(report.ended == 1 && report.strays == 0)
        let after = try await service.backup(backup.id, for: fixture.ann).backup
        #expect(after.status == .error && after.failReason != nil)
        #expect(try await fixture.status(volume.id) == .available)
        #expect(fixture.backups.objectCount == 0)
        #expect(fixture.driver.snapshotIDs(of: volume.id).isEmpty)
        // The one that died was only asleep: what it still does must not be left lying about either.
        gate.open()
        await fixture.service.settle()
        try await service.deleteBackup(backup.id, force: false, for: fixture.ann)
        let runner = Task { await service.run { _ in } }
        await service.settle()
        runner.cancel()
        await runner.value
        #expect(await !fixture.hasBackup(backup.id))
        #expect(fixture.backups.objectCount == 0)
        _ = try await fixture.service.sweep()
        #expect(fixture.driver.snapshotIDs(of: volume.id).isEmpty)
        service.stop()
    }

    @Test func backingUpASnapshot() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [0: 1])
        let snapshot = try await fixture.snapshot(volume.id)
        let gate = stop(fixture, at: .reading)
        var request = BackupRequest(volumeID: volume.id)
        request.snapshotID = snapshot.id
        _ = try await fixture.service.createBackup(request, for: fixture.ann)
        await gate.reached()
        #expect(try await fixture.service.snapshot(snapshot.id, for: fixture.ann).snapshot.status == .backingUp)
        let (service, _) = try await fixture.restarted()
        #expect(try await service.snapshot(snapshot.id, for: fixture.ann).snapshot.status == .available)
        #expect(fixture.driver.snapshotIDs(of: volume.id) == [snapshot.id])
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    enum Target: Sendable, CaseIterable { case existing, new, created }

    @Test(arguments: Target.allCases, [false, true])
    func restoring(_ target: Target, _ isFilling: Bool) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [0: 1])
        let backup = try await fixture.backup(volume.id)
        let gate = Gate()
        fixture.backups.setHook { step throws(DriverError) in
            if case .open(let name) = step, name.hasSuffix("_metadata") != isFilling { await gate.wait() }
        }
        let id: String
        switch target {
        case .existing:
            id = try await fixture.service.restoreBackup(backup.id, to: volume.id, name: nil, for: fixture.ann).volumeID
        case .new:
            id = try await fixture.service.restoreBackup(backup.id, to: nil, name: nil, for: fixture.ann).volumeID
        case .created:
            var request = VolumeRequest()
            request.backupID = backup.id
            id = try await fixture.service.createVolume(request, for: fixture.ann).volume.id
        }
        await gate.reached()
        #expect(try await fixture.status(id) == (target == .created ? .creating : .restoringBackup))
        #expect(try await fixture.backupStatus(backup.id) == (target == .created ? .available : .restoring))
        #expect(
            await refusal { try await fixture.service.deleteBackup(backup.id, force: true, for: fixture.ann) }?
                .isInvalid == true)
        let (service, _) = try await fixture.restarted()
        #expect(try await fixture.status(id) == (target == .created ? .error : .errorRestoring))
        #expect(try await fixture.backupStatus(backup.id) == .available)
        gate.open()
        await fixture.service.settle()
        // What the sweeper has said stays said.
        #expect(try await fixture.status(id) == (target == .created ? .error : .errorRestoring))
        try await fixture.service.deleteVolume(id, cascade: false, force: false, for: fixture.ann)
        try await fixture.service.deleteBackup(backup.id, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(await fixture.isGone(id))
        #expect(fixture.backups.objectCount == 0)
        service.stop()
    }

    @Test func deleting() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [0: 1])
        let backup = try await fixture.backup(volume.id)
        let gate = Gate()
        fixture.backups.setHook { step throws(DriverError) in
            if case .delete(let name) = step, name.hasSuffix("_metadata") { await gate.wait() }
        }
        try await fixture.service.deleteBackup(backup.id, force: false, for: fixture.ann)
        await gate.reached()
        #expect(try await fixture.backupStatus(backup.id) == .deleting)
        let (service, report) = try await fixture.restarted()
        #expect(report.ended == 1)
        #expect(await !fixture.hasBackup(backup.id))
        #expect(fixture.backups.objectCount == 0)
        #expect(fixture.driver.snapshotIDs(of: volume.id).isEmpty)
        gate.open()
        await fixture.service.settle()
        service.stop()
    }

    /// Yesterday's `control.db` was put back: the snapshots of today's backups are nobody's.
    @Test func aSnapshotThatNoBackupNamesGoes() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let backup = try await fixture.backup(volume.id)
        let lost = BackupBase.id(of: "5c0c7d1e-0000-4000-8000-00000000000c")
        try await fixture.driver.snapshot([SnapshotCut(id: lost, volume: volume.id)])
        #expect(try await fixture.service.sweep().strays == 0)
        #expect(fixture.driver.snapshotIDs(of: volume.id) == [BackupBase.id(of: backup.id)])
        // And without a sweep in between the volume can be deleted, too.
        try await fixture.driver.snapshot([SnapshotCut(id: lost, volume: volume.id)])
        try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(await fixture.isGone(volume.id))
        #expect(fixture.driver.volumeIDs.isEmpty)
    }

    @Test func whatIsUnderWayIsLeftAlone() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [0: 1])
        let gate = stop(fixture, at: .reading)
        let backup = try await fixture.service.createBackup(
            BackupRequest(volumeID: volume.id), for: fixture.ann
        ).backup
        await gate.reached()
        #expect(try await fixture.service.sweep().isQuiet)
        gate.open()
        await fixture.service.settle()
        #expect(try await fixture.backupStatus(backup.id) == .available)
        #expect(try await fixture.status(volume.id) == .available)
    }
}
