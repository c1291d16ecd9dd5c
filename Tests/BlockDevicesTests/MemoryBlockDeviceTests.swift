import BlockDevices
import Primitives
import Testing

private let geometries = [
    BlockGeometry(byteCount: 4 << 20),
    BlockGeometry(byteCount: 4 << 20, logicalBlockBytes: 4096),
    BlockGeometry(byteCount: (4 << 20) + 512, granularityBytes: 512),
    BlockGeometry(byteCount: (4 << 20) + 1536, granularityBytes: 65_536),
    BlockGeometry(byteCount: 4 << 20, isThin: false),
    BlockGeometry(byteCount: 4 << 20, hasWriteCache: true),
]

@Suite struct MemoryBlockDeviceTests {
    @Test(arguments: geometries, BlockDeviceContract.claims)
    func theContractIsKept(_ geometry: BlockGeometry, _ claim: BlockDeviceContract.Claim) throws {
        try claim.check(MemoryBlockDevice(geometry))
    }

    @Test(arguments: BlockDeviceContract.claims)
    func theContractIsKeptWhenAnotherThreadCompletes(_ claim: BlockDeviceContract.Claim) throws {
        let device = MemoryBlockDevice(geometries[0], announces: true)
        try claim.check(device)
        device.stop()
    }

    @Test(arguments: geometries) func theContractIsKeptWithoutACache(_ geometry: BlockGeometry) throws {
        for claim in BlockDeviceContract.claims {
            let device = MemoryBlockDevice(geometry)
            device.cache(false)
            try claim.check(device)
        }
    }

    @Test func completionsAreHeldBackUntilTheyAreReleasedAndComeInOrder() {
        let device = MemoryBlockDevice(geometries[0])
        device.complete(.heldBack)
        let told = PosixLocked<[Int]>([])
        for index in 0..<3 {
            device.flush(sink: InlineSink.shared) { _ in told.withLock { $0.append(index) } }
        }
        #expect(told.withLock { $0 }.isEmpty)
        #expect(device.heldCount == 3)
        #expect(device.release(1) == 1)
        #expect(told.withLock { $0 } == [0])
        #expect(device.release() == 2)
        #expect(told.withLock { $0 } == [0, 1, 2])
    }

    @Test func aSpoiledBlockIsUnreadableUntilItIsWritten() throws {
        let device = MemoryBlockDevice(geometries[0])
        device.spoil(1024)
        var buffer = [UInt8](repeating: 0, count: 4096)
        #expect(throws: BlockError.unreadable(offset: 1024)) {
            try buffer.withUnsafeMutableBytes { try device.read(at: 0, into: $0) }
        }
        let answered = try buffer.withUnsafeMutableBytes { try device.readCached(at: 0, into: $0) }
        #expect(!answered)
        let waiter = CompletionWaiter()
        [UInt8](repeating: 1, count: 512).withUnsafeBytes {
            device.write($0, at: 1024, durability: .device, sink: InlineSink.shared, completion: waiter.completion)
        }
        try waiter.wait().get()
        try buffer.withUnsafeMutableBytes { try device.read(at: 0, into: $0) }
        #expect(buffer[1024] == 1)
    }

    @Test(arguments: [BlockError.noSpace, .writeFailed, .overloaded, .gone, .readOnly])
    func anOrderedFailureHappensOnceAndChangesNothing(_ error: BlockError) throws {
        let device = MemoryBlockDevice(geometries[0])
        device.failNext(.write, with: error)
        func write() -> BlockError? {
            let waiter = CompletionWaiter()
            [UInt8](repeating: 7, count: 512).withUnsafeBytes {
                device.write($0, at: 0, durability: .device, sink: InlineSink.shared, completion: waiter.completion)
            }
            if case .failure(let error) = waiter.wait() { return error }
            return nil
        }
        #expect(write() == error)
        #expect(device.space?.used == 0)
        #expect(write() == nil)
        #expect(device.space?.used == 4096)
    }

    @Test func aFullDeviceTakesOnlyWritesThatNeedNoSpace() throws {
        let device = MemoryBlockDevice(geometries[0])
        device.limit(to: 4096)
        func write(_ offset: UInt64) throws {
            let waiter = CompletionWaiter()
            [UInt8](repeating: 7, count: 512).withUnsafeBytes {
                device.write(
                    $0, at: offset, durability: .device, sink: InlineSink.shared, completion: waiter.completion)
            }
            try waiter.wait().get()
        }
        try write(0)
        try write(512)
        #expect(throws: BlockError.noSpace) { try write(4096) }
        #expect(device.space == BlockSpace(used: 4096, available: 0))
    }

    @Test func aNewSizeIsToldOfAndWhatWasCutOffComesBackAsZeros() throws {
        let device = MemoryBlockDevice(geometries[0])
        let calls = PosixLocked(0)
        device.observeResize { calls.withLock { $0 += 1 } }
        let waiter = CompletionWaiter()
        [UInt8](repeating: 7, count: 4096).withUnsafeBytes {
            device.write(
                $0, at: (4 << 20) - 4096, durability: .device, sink: InlineSink.shared, completion: waiter.completion)
        }
        try waiter.wait().get()
        device.resize(to: (4 << 20) - 2048)
        device.resize(to: 4 << 20)
        #expect(calls.withLock { $0 } == 2)
        var buffer = [UInt8](repeating: 9, count: 4096)
        try buffer.withUnsafeMutableBytes { try device.read(at: (4 << 20) - 4096, into: $0) }
        #expect(buffer[2047] == 7 && buffer[2048...].allSatisfy { $0 == 0 })
    }
}
