import Testing
import VolumeDrivers

@testable import Volumes

@Suite struct RaceTests {
    /// How many of so many tries at once went through.
    private func winners(_ count: Int, _ body: @escaping @Sendable (Int) async throws -> Void) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            for index in 0..<count {
                group.addTask { await refusalOfAnyKind { try await body(index) } == nil }
            }
            var won = 0
            for await success in group where success { won += 1 }
            return won
        }
    }

    @Test func quotasAreExactHoweverManyAskAtOnce() async throws {
        let fixture = try await Fixture()
        try await fixture.service.setQuotas(of: "work", ["volumes": 7, "gigabytes": 100], checked: true)
        let made = await winners(40) { _ in
            var request = VolumeRequest()
            request.size = 1
            _ = try await fixture.service.createVolume(request, for: fixture.ann)
        }
        await fixture.service.settle()
        #expect(made == 7)
        #expect(fixture.driver.volumeIDs.count == 7)
        try await fixture.service.setQuotas(of: "work", ["volumes": -1, "gigabytes": 20], checked: true)
        let more = await winners(20) { _ in
            var request = VolumeRequest()
            request.size = 3
            _ = try await fixture.service.createVolume(request, for: fixture.ann)
        }
        #expect(more == 4)
    }

    @Test func ofTwoExtensionsOneFits() async throws {
        let fixture = try await Fixture()
        let (a, b) = (try await fixture.volume("a"), try await fixture.volume("b"))
        try await fixture.service.setQuotas(of: "work", ["gigabytes": 10], checked: true)
        let gate = Gate()
        fixture.driver.setHook { step, moment throws(DriverError) in
            if case .extend = step, moment == .before { await gate.wait() }
        }
        try await fixture.service.extendVolume(a.id, to: 6, online: true, for: fixture.ann)
        #expect(
            await refusal {
                try await fixture.service.extendVolume(b.id, to: 6, online: true, for: fixture.ann)
            }?.isQuota == true)
        let usage = try await fixture.service.quotas(of: "work").first { $0.kind == .gigabytes }?.usage
        #expect(usage == QuotaUsage(limit: 10, inUse: 2, reserved: 5))
        gate.open()
        await fixture.service.settle()
        let after = try await fixture.service.quotas(of: "work").first { $0.kind == .gigabytes }?.usage
        #expect(after == QuotaUsage(limit: 10, inUse: 7, reserved: 0))
    }

    @Test func ofManyDeletionsOneIsAccepted() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let won = await winners(8) { _ in
            try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
        }
        await fixture.service.settle()
        #expect(won == 1)
        #expect(await fixture.isGone(volume.id))
    }

    @Test(arguments: 0..<10) func aVolumeIsEitherAttachedOrDeleted(_ round: Int) async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let won = await winners(2) { index in
            if index == round % 2 {
                try await fixture.service.deleteVolume(volume.id, cascade: false, force: false, for: fixture.ann)
            } else {
                _ = try await fixture.service.createAttachment(
                    AttachmentRequest(
                        volumeID: volume.id, instanceID: nil, connector: Fixture.connector, mode: nil),
                    for: fixture.ann)
            }
        }
        await fixture.service.settle()
        #expect(won == 1)
        let isGone = await fixture.isGone(volume.id)
        #expect(isGone == fixture.exporter.open.isEmpty)
    }

    @Test func aReservationIsGivenOnce() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let won = await winners(12) { index in
            if index % 2 == 0 {
                try await fixture.service.reserve(volume.id, for: fixture.ann)
            } else {
                _ = try await fixture.service.createAttachment(
                    AttachmentRequest(volumeID: volume.id, instanceID: nil, connector: nil, mode: nil),
                    for: fixture.ann)
            }
        }
        #expect(won == 1)
    }

    @Test func aTransferIsAcceptedOnce() async throws {
        let fixture = try await Fixture()
        let volume = try await fixture.volume()
        let offer = try await fixture.service.createTransfer(
            volumeID: volume.id, name: nil, noSnapshots: false, allowsEncrypted: true, for: fixture.ann)
        let won = await winners(6) { _ in
            _ = try await fixture.service.acceptTransfer(offer.transfer.id, key: offer.key, for: fixture.bob)
        }
        #expect(won == 1)
    }

    @Test func tooManyOperationsAreRefusedAndNothingOfThemRemains() async throws {
        let operations = Operations()
        let runner = Task { await operations.run() }
        let gate = Gate()
        for _ in 0..<Limits.operationsMax {
            _ = try await operations.begin(["x"]) { () async throws(VolumeError) in
                1
            } work: { _ in
                await gate.wait()
            }
        }
        #expect(
            await refusal {
                _ = try await operations.begin(["y"]) { () async throws(VolumeError) in
                    1
                } work: { _ in
                }
            } == .busy)
        #expect(operations.isHeld("x") && !operations.isHeld("y"))
        gate.open()
        await operations.settle()
        #expect(!operations.isHeld("x"))
        operations.finish()
        await runner.value
    }
}

private func refusalOfAnyKind(_ body: () async throws -> Void) async -> (any Error)? {
    do {
        try await body()
        return nil
    } catch { return error }
}
