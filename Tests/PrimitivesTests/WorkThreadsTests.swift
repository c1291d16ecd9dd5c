import Primitives
import Testing

/// Holds threads back until it is opened.
private final class Gate: Sendable {
    private let mutex = PosixMutex()
    private let state = PosixGuarded((isOpen: false, waiting: 0))

    func pass() {
        mutex.withLock {
            state.value.waiting += 1
            mutex.broadcast()
            while !state.value.isOpen { mutex.wait() }
        }
    }

    /// Returns when that many threads stand before the gate.
    func awaitWaiting(_ count: Int) {
        mutex.withLock {
            while state.value.waiting < count { mutex.wait() }
        }
    }

    func open() {
        mutex.withLock {
            state.value.isOpen = true
            mutex.broadcast()
        }
    }
}

private final class Journal: Sendable {
    private let mutex = PosixMutex()
    private let list = PosixGuarded<[Int]>([])
    func add(_ number: Int) { mutex.withLock { list.value.append(number) } }
    var entries: [Int] { mutex.withLock { list.value } }
}

@Suite struct WorkThreadsTests {
    @Test func jobsStartInTheirOrderAlsoAcrossACompactionOfTheQueue() {
        let threads = WorkThreads(name: "test", count: 1, queueMax: 5000)
        let gate = Gate()
        let journal = Journal()
        #expect(threads.run { gate.pass() })
        gate.awaitWaiting(1)
        for number in 0..<5000 { #expect(threads.run { journal.add(number) }) }
        gate.open()
        threads.stop()
        #expect(journal.entries == Array(0..<5000))
    }

    @Test func theQueueHoldsItsBoundAndContinuationsAreNeverRefused() {
        let threads = WorkThreads(name: "test", count: 1, queueMax: 3)
        let gate = Gate()
        let journal = Journal()
        #expect(threads.run { gate.pass() })
        // The job that runs no longer counts as waiting.
        gate.awaitWaiting(1)
        for number in 0..<3 { #expect(threads.run { journal.add(number) }) }
        #expect(!threads.run { journal.add(-1) })
        threads.resume { journal.add(3) }
        #expect(!threads.run { journal.add(-1) })
        gate.open()
        threads.stop()
        #expect(journal.entries == [0, 1, 2, 3])
    }

    @Test func aQueueThatWasFullTakesJobsAgain() {
        let threads = WorkThreads(name: "test", count: 1, queueMax: 1)
        let first = Gate()
        let second = Gate()
        let journal = Journal()
        #expect(threads.run { first.pass() })
        first.awaitWaiting(1)
        #expect(threads.run { second.pass() })
        #expect(!threads.run { journal.add(-1) })
        first.open()
        second.awaitWaiting(1)
        #expect(threads.run { journal.add(1) })
        second.open()
        threads.stop()
        #expect(journal.entries == [1])
    }

    @Test func asManyJobsRunAtOnceAsThereAreThreadsAndNoMore() {
        let threads = WorkThreads(name: "test", count: 3, queueMax: 10)
        let gate = Gate()
        let journal = Journal()
        for number in 0..<4 {
            #expect(
                threads.run {
                    journal.add(number)
                    gate.pass()
                })
        }
        gate.awaitWaiting(3)
        #expect(journal.entries.sorted() == [0, 1, 2])
        gate.open()
        threads.stop()
        #expect(journal.entries.sorted() == [0, 1, 2, 3])
    }

    @Test func stoppingFinishesWhatWasAdmittedAndAdmitsNothingMore() {
        let threads = WorkThreads(name: "test", count: 2, queueMax: 100)
        let journal = Journal()
        for number in 0..<100 { #expect(threads.run { journal.add(number) }) }
        threads.stop()
        #expect(journal.entries.sorted() == Array(0..<100))
        #expect(!threads.run { journal.add(-1) })
        #expect(!journal.entries.contains(-1))
    }
}
