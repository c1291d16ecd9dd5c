import Glibc
import Primitives
import SCSI

@testable import ISCSI

/// A logical unit that keeps bytes in memory and does what the tests say, when they say it.
///
/// READ(10) and WRITE(10) with 512-byte blocks, TEST UNIT READY, and INQUIRY of 36 bytes; everything else is refused.
final class FakeUnit: LogicalUnitSource {
    struct State {
        var bytes = [UInt8](repeating: 0, count: 4 << 20)
        /// Commands wait until `release`.
        var holds = false
        /// Whether held commands reserve their memory from the releasing thread.
        var reservesLate = false
        var held: [@Sendable () -> Void] = []
        /// Held commands offer this to whoever waits for them.
        var work: FakeWork?
        var executed: [SCSICommand] = []
        /// Called when so many have been executed, on the connection's thread.
        var whenExecuted: (count: Int, call: @Sendable () -> Void)?
        var attached: [InitiatorPort] = []
        var aborts: [TaskAbort] = []
        var readers = 0
        var detached = 0
        var resets = 0
        var clears = 0
        /// If set, every command ends so.
        var answer: SCSIResponse?
    }

    let state = PosixLocked(State())

    func attach(
        initiator: InitiatorPort, target: TargetPort, isReadOnly: Bool, abort: @escaping TaskAbort
    ) -> any Nexus {
        state.withLock {
            if isReadOnly { $0.readers += 1 }
            $0.attached.append(initiator)
            $0.aborts.append(abort)
        }
        return FakeNexus(unit: self)
    }

    /// Finishes what is held, in order, as the committer would; and holds no more, unless it goes on to.
    func release(goesOnHolding: Bool = false) {
        let held = state.withLock { state in
            defer { state.held = [] }
            state.holds = goesOnHolding
            return state.held
        }
        for finish in held { finish() }
    }

    var heldCount: Int { state.withLock { $0.held.count } }
    var executedCount: Int { state.withLock { $0.executed.count } }
    var isAttached: Bool { state.withLock { $0.attached.count > $0.detached } }
}

final class FakeNexus: Nexus {
    let unit: FakeUnit

    init(unit: FakeUnit) { self.unit = unit }

    func execute(
        _ command: SCSICommand, dataOut: UnsafeRawBufferPointer, dataIn: any DataInBuffer, sink: any CompletionSink,
        completion: @escaping @Sendable (SCSIResponse) -> Void
    ) -> SCSIResponse? {
        let (holds, reservesLate, call) = unit.state.withLock { state in
            state.executed.append(command)
            let call = state.whenExecuted.flatMap { $0.count == state.executed.count ? $0.call : nil }
            return (state.holds, state.reservesLate, call)
        }
        call?()
        let out = Array(dataOut)
        guard holds else { return respond(command, out, dataIn) }
        if reservesLate {
            let unit = self.unit
            let finish: @Sendable () -> Void = { [self] in
                let response = respond(command, out, dataIn)
                sink.wake([{ completion(response) }])
            }
            unit.state.withLock { $0.held.append(finish) }
        } else {
            let response = respond(command, out, dataIn)
            unit.state.withLock { $0.held.append { sink.wake([{ completion(response) }]) } }
        }
        unit.state.withLock { $0.work }?.offer(to: sink)
        return nil
    }

    private func respond(_ command: SCSICommand, _ out: [UInt8], _ dataIn: any DataInBuffer) -> SCSIResponse {
        if let answer = unit.state.withLock({ $0.answer }) { return answer }
        let cdb = command.cdb
        let start = (Int(cdb[2]) << 24 | Int(cdb[3]) << 16 | Int(cdb[4]) << 8 | Int(cdb[5])) * 512
        let count = (Int(cdb[7]) << 8 | Int(cdb[8])) * 512
        if cdb[0] == 0x28 || cdb[0] == 0x2a, start + count > unit.state.withLock({ $0.bytes.count }) {
            return SCSIResponse(status: .checkCondition, sense: Sense.fixed(key: 5, 0x21, 0))
        }
        switch cdb[0] {
        case 0x00: return SCSIResponse(status: .good)
        case 0x12:
            dataIn.reserve(36).initializeMemory(as: UInt8.self, repeating: 7)
            return SCSIResponse(status: .good, dataInCount: 36)
        case 0x28:
            let place = dataIn.reserve(count)
            unit.state.withLock { state in
                state.bytes.withUnsafeBytes { bytes in
                    place.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
                }
            }
            return SCSIResponse(status: .good, dataInCount: count)
        case 0x2a:
            unit.state.withLock { state in
                let taken = min(count, out.count)
                state.bytes.replaceSubrange(start..<start + taken, with: out[..<taken])
            }
            return SCSIResponse(status: .good, dataOutCount: count)
        default:
            return SCSIResponse(status: .checkCondition, sense: Sense.fixed(key: 5, 0x20, 0))
        }
    }

    func resetLogicalUnit() { unit.state.withLock { $0.resets += 1 } }
    func clearedTaskSet() { unit.state.withLock { $0.clears += 1 } }
    func detach() { unit.state.withLock { $0.detached += 1 } }
}

/// A disk's work: whoever does it waits until it may go, and then finishes what the unit holds.
final class FakeWork: LentWork {
    struct State {
        var performers: Set<UInt> = []
        var performed = 0
        var givenBack = 0
        /// Whoever does the work hangs, and says so.
        var hangs = false
        var isAmple = false
        /// Somebody has taken it and is on the way to it.
        var isTaken = false
    }

    private unowned let unit: FakeUnit
    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())

    init(_ unit: FakeUnit) { self.unit = unit }

    var now: State { mutex.withLock { state.value } }

    func set(hangs: Bool) {
        mutex.withLock {
            state.value.hangs = hangs
            mutex.broadcast()
        }
    }

    /// Once, until it is done: as the store calls somebody to its queue.
    func offer(to sink: any CompletionSink) {
        let isTaken = mutex.withLock {
            defer { state.value.isTaken = true }
            return state.value.isTaken
        }
        if !isTaken, !sink.takes(self) { giveBack() }
    }

    func perform(stalled: @escaping @Sendable () -> Void) {
        mutex.lock()
        state.value.isTaken = false
        state.value.performed += 1
        state.value.performers.insert(UInt(pthread_self()))
        if state.value.hangs { startThread(name: "watch") { stalled() } }
        while state.value.hangs { mutex.wait() }
        mutex.unlock()
        finish()
    }

    var isAmple: Bool { now.isAmple }

    func set(isAmple: Bool) { mutex.withLock { state.value.isAmple = isAmple } }

    func giveBack() {
        mutex.withLock {
            state.value.givenBack += 1
            state.value.isTaken = false
        }
        finish()
    }

    private func finish() { unit.release(goesOnHolding: true) }
}

/// Targets that the tests put in and take away.
final class FakeProvider: TargetProvider {
    struct State {
        var targets: [String: ISCSITarget] = [:]
        var discoveryAccounts: [String: CHAPAccount] = [:]
        var discoveryNeedsAuthentication = false
        var knowsAllTargets = true
        /// By CHAP name, or "" for none.
        var visible: [String: [String]] = [:]
    }

    let state = PosixLocked(State())

    func target(named name: String) -> ISCSITarget? { state.withLock { $0.targets[name] } }
    var knowsAllTargets: Bool { state.withLock { $0.knowsAllTargets } }
    var discoveryNeedsAuthentication: Bool { state.withLock { $0.discoveryNeedsAuthentication } }
    func discoveryAccount(named name: String) -> CHAPAccount? { state.withLock { $0.discoveryAccounts[name] } }
    func visibleTargets(to initiator: DiscoveringInitiator) -> [String] {
        state.withLock { $0.visible[initiator.account ?? ""] ?? [] }
    }

    func add(_ target: ISCSITarget) { state.withLock { $0.targets[target.name] = target } }
    func remove(_ name: String) { state.withLock { $0.targets[name] = nil } }
}

enum Names {
    static let target = "iqn.2024-01.org.apus:one"
    static let initiator = "iqn.2024-01.org.example:host"
    static let account = CHAPAccount(
        name: "joe", secret: Secret("sixteen-or-more-1"),
        mutual: CHAPAccount.Mutual(name: "apus", secret: Secret("another-sixteen-2")))
}

/// A target side without sockets: one unit at LUN 0, and as many connections as a test opens.
final class Bench {
    let unit = FakeUnit()
    let provider = FakeProvider()
    let context: ISCSIContext
    var wires: [MemoryWire] = []

    init(account: CHAPAccount? = nil, _ change: (inout ISCSIConfiguration) -> Void = { _ in }) {
        provider.add(ISCSITarget(name: Names.target, account: account, units: [0: unit]))
        provider.state.withLock { $0.visible[""] = [Names.target] }
        var configuration = ISCSIConfiguration(
            portals: [ISCSIPortal(address: "192.0.2.1", port: 3260)], now: { 1_700_000_000 })
        change(&configuration)
        context = ISCSIContext(configuration: configuration, provider: provider)
    }

    func connect(from address: String = "192.0.2.9") -> TestInitiator {
        let wire = MemoryWire(context: context, address: address)
        wires.append(wire)
        return TestInitiator(wire)
    }

    /// Logged in, with what the test wants to negotiate.
    func loggedIn(_ offers: [(String, String)] = [], isid: UInt64 = 1) throws -> TestInitiator {
        let initiator = connect()
        initiator.isid = isid
        try initiator.logIn(offers)
        return initiator
    }

    /// Lets all connections look into their inboxes until nothing moves any more.
    func settle() {
        for _ in 0..<4 {
            for wire in wires { wire.turn() }
        }
    }
}
