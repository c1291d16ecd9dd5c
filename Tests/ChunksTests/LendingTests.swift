import Disks
import Glibc
import Primitives
import Synchronization
import Testing

@testable import Chunks

/// A thread that does the engine's work itself when it is offered.
final class BorrowingSink: CompletionSink, @unchecked Sendable {
    // SAFETY: the thread never changes.
    private let thread = pthread_self()
    private let mutex = PosixMutex()
    private let work = PosixGuarded<(any LentWork)?>(nil)
    /// Runs where the completions are announced.
    let announced: @Sendable () -> Void

    init(announced: @escaping @Sendable () -> Void = {}) { self.announced = announced }

    func wake(_ completions: [@Sendable () -> Void]) {
        announced()
        for completion in completions { completion() }
    }

    func takes(_ work: any LentWork) -> Bool {
        mutex.withLock {
            guard pthread_equal(thread, pthread_self()) != 0, self.work.value == nil else { return false }
            self.work.value = work
            return true
        }
    }

    func take() -> (any LentWork)? {
        mutex.withLock {
            defer { work.value = nil }
            return work.value
        }
    }
}

@Suite struct LendingTests {
    final class Rig: Sendable {
        let store: ChunkStore
        let volume: LayeredVolume
        private let block = AlignedBuffer(4096, zeroed: true)

        init() throws {
            let disk = SimulatedDisk()
            var configuration = StoreRig.configuration()
            configuration.isThreaded = true
            store = try StoreRig.open(disk, RigIndexes(copies: 2) { disk.cutCount }, configuration)
            try store.createVolume("v", byteCount: 1 << 20, attributes: [])
            volume = try store.volume("v", threads: StoreRig.threads)
        }

        func write(_ sink: any CompletionSink, at block: Int = 0) -> Box<Result<Void, ChunkError>> {
            let outcome = Box<Result<Void, ChunkError>>()
            volume.write(UnsafeRawBufferPointer(self.block.bytes), at: UInt64(4096 * block), sink: sink) {
                outcome.set($0)
            }
            return outcome
        }

        /// A write whose work was taken: the committer may have been awake still, and has done the first ones.
        func lentWrite(
            _ sink: BorrowingSink
        ) throws -> (outcome: Box<Result<Void, ChunkError>>, work: any LentWork) {
            while true {
                let outcome = write(sink)
                if let work = sink.take() { return (outcome, work) }
                try outcome.wait { sched_yield() }.get()
            }
        }
    }

    @Test func whoWaitsForAWriteMayCommitIt() throws {
        let rig = try Rig()
        let thread = PosixLocked<UInt>(0)
        let sink = BorrowingSink { thread.withLock { $0 = UInt(pthread_self()) } }
        var committed = 0
        for _ in 0..<50 {
            let (outcome, work) = try rig.lentWrite(sink)
            work.perform {}
            let isDone = outcome.value != nil
            try outcome.wait {}.get()
            // On a busy machine this thread may have kept it so long that the committer has looked for itself.
            if isDone, thread.withLock({ $0 }) == UInt(pthread_self()) { committed += 1 }
            // A second time there is nothing to do.
            work.perform {}
            work.giveBack()
        }
        #expect(committed > 25)
        try rig.store.close()
    }

    @Test func whatIsGivenBackIsDoneByTheCommitter() throws {
        let rig = try Rig()
        let sink = BorrowingSink()
        for _ in 0..<50 {
            let (outcome, work) = try rig.lentWrite(sink)
            work.giveBack()
            try outcome.wait {}.get()
        }
        try rig.store.close()
    }

    @Test func whatIsNeitherDoneNorGivenBackIsFoundByTheCommitter() throws {
        let rig = try Rig()
        let (outcome, work) = try rig.lentWrite(BorrowingSink())
        try outcome.wait {}.get()
        work.perform {}
        try rig.store.close()
    }

    @Test func othersOperationsAreCommittedAlong() throws {
        let rig = try Rig()
        let (outcome, work) = try rig.lentWrite(BorrowingSink())
        let others = (1..<20).map { rig.write(InlineSink.shared, at: $0) }
        work.perform {}
        try outcome.wait {}.get()
        for other in others { try other.wait {}.get() }
        try rig.store.close()
    }

    /// Also what is queued while another thread commits, and a close in the middle of it.
    @Test func aSlowBorrowerIsToldOfAndKeepsNobodyForGood() throws {
        let rig = try Rig()
        let isStalled = PosixMutex()
        let stalls = PosixGuarded(0)
        let mayGo = PosixGuarded(false)
        let sink = BorrowingSink {
            isStalled.withLock { while !mayGo.value { isStalled.wait() } }
        }
        isStalled.withLock { mayGo.value = true }
        let (outcome, work) = try rig.lentWrite(sink)
        isStalled.withLock { mayGo.value = false }
        let other = Box<Result<Void, ChunkError>>()
        work.perform {
            // On another thread, while this one hangs.
            let late = rig.write(InlineSink.shared, at: 1)
            startThread(name: "closer") {
                do throws(ChunkError) {
                    try rig.store.close()
                    other.set(late.value ?? .failure(.overloaded))
                } catch {
                    other.set(.failure(error))
                }
            }
            isStalled.withLock {
                stalls.value += 1
                mayGo.value = true
                isStalled.broadcast()
            }
        }
        #expect(isStalled.withLock { stalls.value } == 1)
        try #require(try outcome.value?.get() != nil)
        try other.wait {}.get()
    }

    @Test func aFlushMayBeLentToo() throws {
        let rig = try Rig()
        let sink = BorrowingSink()
        while true {
            let outcome = Box<Result<Void, ChunkError>>()
            rig.store.flush(sink: sink) { outcome.set($0) }
            if let work = sink.take() {
                #expect(outcome.value == nil)
                work.perform {}
                try #require(try outcome.value?.get() != nil)
                break
            }
            try outcome.wait { sched_yield() }.get()
        }
        try rig.store.close()
    }
}
