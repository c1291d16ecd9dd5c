import Records
import Testing
import VolumeDrivers

@testable import Volumes

extension Fixture {
    func backup(
        _ volume: String, for asker: Asker? = nil, _ change: (inout BackupRequest) -> Void = { _ in }
    ) async throws -> Backup {
        var request = BackupRequest(volumeID: volume)
        change(&request)
        let made = try await service.createBackup(request, for: asker ?? ann)
        await service.settle()
        return try await service.backup(made.backup.id, for: admin).backup
    }

    func restored(_ backup: String, to volume: String? = nil, name: String? = nil) async throws -> Volume {
        let answer = try await service.restoreBackup(backup, to: volume, name: name, for: ann)
        await service.settle()
        return try await service.volume(answer.volumeID, for: admin).volume
    }

    /// Blocks of 512 bytes.
    func write(_ volume: String, _ blocks: [UInt64: UInt8]) {
        for (block, byte) in blocks { driver.write(volume, block: block, [UInt8](repeating: byte, count: 512)) }
    }

    func first(_ volume: String, _ block: UInt64) -> UInt8? { driver.read(volume, block: block)?.first }

    var place: BackupPlace { BackupPlace(projectID: "work", container: "volumebackups") }

    func backupStatus(_ id: String) async throws -> BackupStatus {
        try await service.backup(id, for: admin).backup.status
    }

    func hasBackup(_ id: String) async -> Bool {
        await refusal { _ = try await service.backup(id, for: admin) }?.isNotFound != true
    }
}

@Suite struct BackupTests {
    @Test func whatWasBackedUpComesBack() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume("data") {
            $0.metadata = ["tier": "gold"]
            $0.description = "of old"
        }
        fixture.write(volume.id, [0: 1, 1: 2, 70_000: 3, 2_097_151: 4])
        let backup = try await fixture.backup(volume.id) { $0.name = "b" }
        #expect(backup.status == .available && backup.size == 1 && backup.objectCount == 1)
        #expect(backup.parentID == nil && backup.dataTimestamp == backup.createdAt)
        #expect(try await fixture.status(volume.id) == .available)
        #expect(
            Set(fixture.backups.objects(in: fixture.place).keys) == [
                backup.prefix + "-00001", backup.prefix + "_metadata",
            ])
        #expect(backup.prefix.hasPrefix("volume_\(volume.id)/20"))
        #expect(backup.prefix.hasSuffix("/az_nova_backup_\(backup.id)"))
        fixture.write(volume.id, [0: 9, 5: 9])
        let new = try await fixture.restored(backup.id)
        #expect(new.status == .available && new.name == "data" && new.description == "of old" && new.size == 1)
        #expect(
            [0, 1, 2, 5, 70_000, 2_097_151].map { fixture.first(new.id, $0) } == [1, 2, 0, 0, 3, 4])
        #expect(try await fixture.service.volume(new.id, for: fixture.ann).metadata == ["tier": "gold"])
        #expect(try await fixture.backupStatus(backup.id) == .available)
        let same = try await fixture.restored(backup.id, to: volume.id)
        #expect(same.status == .available)
        #expect([0, 1, 5, 70_000].map { fixture.first(volume.id, $0) } == [1, 2, 0, 3])
        #expect(try await fixture.restored(backup.id, name: "mine").name == "mine")
    }

    @Test func aVolumeThatHoldsNothingCostsItsMetadataOnly() async throws {
        let fixture = try await Fixture { $0.quotaDefaults = [:] }
        let volume = try await fixture.volume(size: 10_000)
        let backup = try await fixture.backup(volume.id)
        #expect(backup.objectCount == 0 && backup.size == 10_000)
        #expect(fixture.backups.objects(in: fixture.place).values.map(\.count).allSatisfy { $0 < 1_024 })
        #expect(try await fixture.restored(backup.id).status == .available)
    }

    @Test func anIncrementalBackupHoldsWhatDiffersOnly() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [0: 1, 1_000_000: 2, 2_000_000: 3])
        let full = try await fixture.backup(volume.id)
        fixture.write(volume.id, [1_000_000: 7, 1_500_000: 8, 2_000_000: 0])
        let next = try await fixture.backup(volume.id) { $0.isIncremental = true }
        #expect(next.parentID == full.id && next.status == .available)
        let objects = fixture.backups.objects(in: fixture.place)
        #expect(objects[next.prefix + "-00001"]?.count == 1_024)
        fixture.write(volume.id, [0: 5])
        let last = try await fixture.backup(volume.id) { $0.isIncremental = true }
        #expect(last.parentID == next.id)
        let blocks: [UInt64] = [0, 1_000_000, 1_500_000, 2_000_000]
        func bytes(_ backup: String) async throws -> [UInt8?] {
            let volume = try await fixture.restored(backup)
            return blocks.map { fixture.first(volume.id, $0) }
        }
        #expect(try await bytes(full.id) == [1, 2, 0, 3])
        #expect(try await bytes(next.id) == [1, 7, 8, 0])
        #expect(try await bytes(last.id) == [5, 7, 8, 0])
        // Only the latest keeps a snapshot, which no list shows.
        #expect(fixture.driver.snapshotIDs(of: volume.id) == [BackupBase.id(of: last.id)])
        #expect(try await fixture.service.manageableSnapshots(host: "host1@chunks").isEmpty)
        #expect(try await fixture.service.sweep().isQuiet)
        #expect(fixture.driver.snapshotIDs(of: volume.id) == [BackupBase.id(of: last.id)])
        // Nor does it keep the volume from being deleted, or the backups from being there afterwards.
        try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(await fixture.isGone(volume.id))
        #expect(!fixture.driver.volumeIDs.contains(volume.id))
        #expect(try await bytes(last.id) == [5, 7, 8, 0])
    }

    enum Loss: CaseIterable, Sendable { case snapshot, row, revert }

    /// Objects whose hashes are still right are not stored again; the others are.
    @Test(arguments: Loss.allCases) func withoutTheParentsSnapshotHashesAreCompared(_ loss: Loss) async throws {
        let objectBytes: UInt64 = 1 << 20
        let fixture = try await Fixture { $0.backupObjectBytes = objectBytes }
        let volume = try await fixture.volume()
        let cell = objectBytes / 512
        // Two objects of the full size each, so that one may stay as it is.
        var content: [UInt64: UInt8] = [:]
        for block in stride(from: 0, to: 2 * cell, by: 64) {
            content[block] = UInt8(truncatingIfNeeded: block / 64) | 1
        }
        fixture.write(volume.id, content)
        let before = try await fixture.snapshot(volume.id)
        let full = try await fixture.backup(volume.id)
        #expect(full.objectCount == 2)
        switch loss {
        case .snapshot: try await fixture.driver.deleteSnapshot(BackupBase.id(of: full.id), of: volume.id)
        case .row:
            _ = try fixture.records.write(failing: VolumeError.self) { db in
                try Table.update(db, "volume_backups", ["base_volume_id": nil], where: "1 = 1", [])
            }
        case .revert:
            try await fixture.service.revert(volume.id, to: before.id, for: fixture.ann)
            await fixture.service.settle()
            try await fixture.driver.deleteSnapshot(BackupBase.id(of: full.id), of: volume.id)
        }
        fixture.write(volume.id, [64: 200, 128: 0, 3 * cell: 77])
        let next = try await fixture.backup(volume.id) { $0.isIncremental = true }
        #expect(next.status == .available && next.parentID == full.id)
        let stored = fixture.backups.objects(in: fixture.place).filter { $0.key.hasPrefix(next.prefix + "-") }
        #expect(stored.values.reduce(0) { $0 + $1.count } <= Int(objectBytes) + 4_096)
        let copy = try await fixture.restored(next.id)
        content.merge([64: 200, 128: 0, 3 * cell: 77]) { $1 }
        #expect(content.allSatisfy { fixture.first(copy.id, $0.key) == $0.value })
    }

    @Test func aSnapshotIsBackedUpAsItWas() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [7: 1])
        let snapshot = try await fixture.snapshot(volume.id)
        fixture.write(volume.id, [7: 2])
        let backup = try await fixture.backup(volume.id) { $0.snapshotID = snapshot.id }
        #expect(backup.snapshotID == snapshot.id && backup.dataTimestamp == snapshot.createdAt)
        #expect(fixture.driver.snapshotIDs(of: volume.id) == [snapshot.id])
        #expect(try await fixture.service.snapshot(snapshot.id, for: fixture.ann).snapshot.status == .available)
        let next = try await fixture.backup(volume.id) { $0.isIncremental = true }
        #expect(next.parentID == backup.id)
        #expect(fixture.first(try await fixture.restored(backup.id).id, 7) == 1)
        #expect(fixture.first(try await fixture.restored(next.id).id, 7) == 2)
        // Nothing is older than the snapshot to build on.
        #expect(
            await refusal {
                _ = try await fixture.backup(volume.id) {
                    $0.snapshotID = snapshot.id
                    $0.isIncremental = true
                }
            }?.isInvalid == true)
    }

    @Test func aDriverThatMakesNoFurtherSnapshotIsReadAtRest() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [7: 1])
        fixture.driver.setHook { step, moment throws(DriverError) in
            if case .snapshot = step, moment == .before { throw .failed("too many stand on one another") }
        }
        let backup = try await fixture.backup(volume.id)
        #expect(backup.status == .available)
        #expect(fixture.first(try await fixture.restored(backup.id).id, 7) == 1)
        let next = try await fixture.backup(volume.id) { $0.isIncremental = true }
        #expect(next.status == .available && next.objectCount == 0)
        // Under a host that writes nothing shows one moment.
        _ = try await fixture.attached(volume.id)
        let failed = try await fixture.backup(volume.id) { $0.allowsInUse = true }
        #expect(failed.status == .error && failed.failReason == "too many stand on one another")
        #expect(try await fixture.status(volume.id) == .inUse)
    }

    @Test func theLastSnapshotsAreLeftToUsers() async throws {
        let driver = MemoryVolumes(snapshotsMax: Limits.backupSnapshotsLeftMin - 1)
        let fixture = try await Fixture(driver: driver)
        let volume = try await fixture.volume()
        fixture.write(volume.id, [7: 1])
        let full = try await fixture.backup(volume.id)
        #expect(full.status == .available && driver.snapshotIDs(of: volume.id).isEmpty)
        fixture.write(volume.id, [9: 2])
        let next = try await fixture.backup(volume.id) { $0.isIncremental = true }
        let copy = try await fixture.restored(next.id)
        #expect([7, 9].map { fixture.first(copy.id, $0) } == [1, 2])
        // A host may write to it: only a snapshot shows one moment.
        _ = try await fixture.attached(volume.id)
        #expect(try await fixture.backup(volume.id) { $0.allowsInUse = true }.status == .available)
        #expect(driver.snapshotIDs(of: volume.id).count == 1)
    }

    @Test func whatCannotBeBackedUpIsRefusedAndNothingChanges() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let other = try await fixture.volume("other")
        let snapshot = try await fixture.snapshot(other.id)
        func refused(_ volume: String, _ change: (inout BackupRequest) -> Void = { _ in }) async -> VolumeError? {
            await refusal { _ = try await fixture.backup(volume, change) }
        }
        #expect(await refused(volume.id) { $0.isIncremental = true }?.isInvalid == true)
        #expect(await refused(volume.id) { $0.snapshotID = snapshot.id }?.isInvalid == true)
        #expect(await refused(volume.id) { $0.container = "a/b" }?.isInvalid == true)
        #expect(
            await refused(volume.id) { $0.zone = "mars" }
                == .unavailable("Service cinder-backup could not be found."))
        #expect(await refused("none")?.isNotFound == true)
        #expect(
            await refusal { _ = try await fixture.backup(volume.id, for: fixture.bob) }?.isNotFound == true)
        _ = try await fixture.attached(volume.id)
        #expect(await refused(volume.id)?.isInvalid == true)
        #expect(try await fixture.status(volume.id) == .inUse)
        let forced = try await fixture.backup(volume.id) { $0.allowsInUse = true }
        #expect(forced.status == .available)
        #expect(try await fixture.status(volume.id) == .inUse)
        #expect(fixture.backups.objectCount == 1)
        try await fixture.service.setService(
            binary: "cinder-backup", host: "host1", isDisabled: true, reason: nil)
        #expect(
            await refused(volume.id) { $0.allowsInUse = true }
                == .unavailable("Service cinder-backup could not be found."))
    }

    @Test func eachProjectHasParentsOfItsOwn() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let theirs = try await fixture.backup(volume.id, for: fixture.admin)
        #expect(theirs.projectID == "admin")
        #expect(
            await refusal { _ = try await fixture.backup(volume.id) { $0.isIncremental = true } }?.isInvalid == true)
        let mine = try await fixture.backup(volume.id)
        let next = try await fixture.backup(volume.id, for: fixture.admin) { $0.isIncremental = true }
        #expect(next.parentID == theirs.id)
        #expect(try await fixture.service.backup(mine.id, for: fixture.ann).hasDependents == false)
        #expect(try await fixture.service.backup(theirs.id, for: fixture.admin).hasDependents)
        #expect(await refusal { _ = try await fixture.service.backup(theirs.id, for: fixture.ann) }?.isNotFound == true)
    }

    @Test func quotasAreExactHoweverManyAskAtOnce() async throws {
        let fixture = try await Fixture()
        var volumes: [String] = []
        for index in 0..<10 { volumes.append(try await fixture.volume("v\(index)", size: 3).id) }
        try await fixture.service.setQuotas(of: "work", ["backups": 4, "backup_gigabytes": 9], checked: true)
        let (service, ann) = (fixture.service, fixture.ann)
        let made = await withTaskGroup(of: Bool.self) { group in
            for volume in volumes {
                group.addTask {
                    await refusal { _ = try await service.createBackup(BackupRequest(volumeID: volume), for: ann) }
                        == nil
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        await fixture.service.settle()
        #expect(made == 3)
        let usage = try await fixture.service.quotas(of: "work")
        #expect(usage.first { $0.kind == .backups }?.usage == QuotaUsage(limit: 4, inUse: 3, reserved: 0))
        #expect(usage.first { $0.kind == .backupGigabytes }?.usage == QuotaUsage(limit: 9, inUse: 9, reserved: 0))
        #expect(usage.first { $0.kind == .snapshots }?.usage.inUse == 0)
        for volume in volumes { #expect(try await fixture.status(volume) == .available) }
    }

    @Test func soManyAreCarriedOutAtATime() async throws {
        let fixture = try await Fixture()
        let gate = Gate()
        fixture.backups.setHook { step throws(DriverError) in if case .prepare = step { await gate.wait() } }
        var volumes: [String] = []
        for index in 0..<Limits.backupsAtOnceMax + 2 { volumes.append(try await fixture.volume("v\(index)").id) }
        var ids: [String] = []
        for volume in volumes {
            let made = try await fixture.service.createBackup(BackupRequest(volumeID: volume), for: fixture.ann)
            ids.append(made.backup.id)
        }
        await gate.reached()
        for id in ids { #expect(try await fixture.backupStatus(id) == .creating) }
        #expect(gate.arrivals <= Limits.backupsAtOnceMax)
        gate.open()
        await fixture.service.settle()
        for id in ids { #expect(try await fixture.backupStatus(id) == .available) }
    }

    @Test func deletingTakesTheObjectsAndTheSnapshotButNotAParent() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [0: 1])
        let full = try await fixture.backup(volume.id)
        let next = try await fixture.backup(volume.id) { $0.isIncremental = true }
        fixture.backups.change(full.prefix + "-x", in: fixture.place, [1])
        func delete(_ id: String, force: Bool = false) async -> VolumeError? {
            let refused = await refusal { try await fixture.service.deleteBackup(id, force: force, for: fixture.ann) }
            await fixture.service.settle()
            return refused
        }
        #expect(await delete(full.id)?.isInvalid == true)
        #expect(await delete(full.id, force: true)?.isInvalid == true)
        #expect(await delete(next.id) == nil)
        #expect(await delete(full.id) == nil)
        let hasBoth = await (fixture.hasBackup(next.id), fixture.hasBackup(full.id))
        #expect(hasBoth == (false, false))
        // What only begins with its name is somebody else's.
        #expect(Set(fixture.backups.objects(in: fixture.place).keys) == [full.prefix + "-x"])
        #expect(fixture.driver.snapshotIDs(of: volume.id).isEmpty)
    }

    @Test func whatCannotBeDeletedIsAnErrorAndCanBeTriedAgain() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let backup = try await fixture.backup(volume.id)
        fixture.backups.setHook { step throws(DriverError) in if case .delete = step { throw .failed("no") } }
        try await fixture.service.deleteBackup(backup.id, force: false, for: fixture.ann)
        await fixture.service.settle()
        let failed = try await fixture.service.backup(backup.id, for: fixture.ann).backup
        #expect(failed.status == .error && failed.failReason == "no")
        fixture.backups.setHook(nil)
        try await fixture.service.deleteBackup(backup.id, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(await !fixture.hasBackup(backup.id))
    }

    @Test(arguments: [true, false]) func aDamagedObjectIsNeverAVolume(_ isMetadata: Bool) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [0: 1, 9: 2])
        let backup = try await fixture.backup(volume.id)
        let name = backup.prefix + (isMetadata ? "_metadata" : "-00001")
        var data = try #require(fixture.backups.objects(in: fixture.place)[name])
        data[isMetadata ? 0 : 700] ^= 1
        fixture.backups.change(name, in: fixture.place, data)
        #expect(try await fixture.restored(backup.id).status == .errorRestoring)
        #expect(try await fixture.restored(backup.id, to: volume.id).status == .errorRestoring)
        #expect(try await fixture.backupStatus(backup.id) == .available)
        let made = try await fixture.volume("from") { $0.backupID = backup.id }
        #expect(made.status == .error)
        #expect(try await fixture.service.messages(ListQuery(), for: fixture.ann).items.count == 3)
    }

    @Test func restoringIsRefusedWhereItCannotBe() async throws {
        let fixture = try await Fixture()
        let large = try await fixture.volume(size: 2)
        let small = try await fixture.volume("small")
        let backup = try await fixture.backup(large.id)
        func refused(_ target: String?, for asker: Asker? = nil) async -> VolumeError? {
            await refusal {
                _ = try await fixture.service.restoreBackup(
                    backup.id, to: target, name: nil, for: asker ?? fixture.ann)
            }
        }
        #expect(await refused(small.id)?.isInvalid == true)
        #expect(await refused("none")?.isNotFound == true)
        #expect(await refused(nil, for: fixture.bob)?.isNotFound == true)
        try await fixture.service.setQuotas(of: "work", ["volumes": 2], checked: true)
        #expect(await refused(nil)?.isQuota == true)
        _ = try await fixture.attached(large.id)
        #expect(await refused(large.id)?.isInvalid == true)
        try await fixture.service.resetBackup(backup.id, to: .error, for: fixture.admin)
        #expect(await refused(nil)?.isInvalid == true)
        #expect(try await fixture.backupStatus(backup.id) == .error)
    }

    @Test func aVolumeIsMadeFromABackup() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [3: 1])
        let backup = try await fixture.backup(volume.id)
        let made = try await fixture.volume("new", size: 2) { $0.backupID = backup.id }
        #expect(made.status == .available && made.size == 2 && made.name == "new" && made.host != nil)
        #expect(fixture.first(made.id, 3) == 1)
        #expect(
            await refusal { _ = try await fixture.volume(size: 1) { $0.backupID = "none" } }?.isNotFound == true)
    }

    @Test func aBackupIsImportedAfterItsRowWasLost() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        fixture.write(volume.id, [3: 1])
        let backup = try await fixture.backup(volume.id) { $0.metadata = ["a": "b"] }
        let record = try await fixture.service.exportBackup(backup.id, for: fixture.admin)
        #expect(
            await refusal { _ = try await fixture.service.importBackup(record, for: fixture.admin) }?.isInvalid == true)
        // Under another id its objects are shared: they go with the last of the two.
        var copy = record
        copy.backup.id = "5c0c7d1e-0000-4000-8000-00000000000b"
        let twin = try await fixture.service.importBackup(copy, for: fixture.admin)
        #expect(twin.backup.status == .available && twin.backup.projectID == "admin" && twin.metadata == ["a": "b"])
        try await fixture.service.deleteBackup(backup.id, force: false, for: fixture.ann)
        await fixture.service.settle()
        #expect(fixture.backups.objectCount == 2)
        let again = try await fixture.service.importBackup(record, for: fixture.admin)
        #expect(again.backup.id == backup.id && again.backup.status == .available)
        #expect(fixture.first(try await fixture.restoredByAdmin(backup.id), 3) == 1)
        for id in [backup.id, copy.backup.id] {
            try await fixture.service.deleteBackup(id, force: false, for: fixture.admin)
            await fixture.service.settle()
        }
        #expect(fixture.backups.objectCount == 0)
        let lost = try await fixture.service.importBackup(record, for: fixture.admin)
        #expect(lost.backup.status == .error && lost.backup.failReason != nil)
    }
}

extension Fixture {
    fileprivate func restoredByAdmin(_ backup: String) async throws -> String {
        let answer = try await service.restoreBackup(backup, to: nil, name: nil, for: admin)
        await service.settle()
        return answer.volumeID
    }
}
