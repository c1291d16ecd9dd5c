import Glibc
import Primitives
import SCSI
private import Synchronization

/// One connection, which is one session, as a state machine: bytes in, bytes out, no socket and no clock of its own.
///
/// ```
///           login ──► admitting ──► fullFeature ──► ending ──► ended
///             └────────────┴──────────────────────────┘
/// ```
///
/// Its driver (`ConnectionThread`; tests) fills `receiveSpace`, calls `process`, sends `output`, and calls `tick` now
/// and then. `ending` sends what is queued and reads nothing more; `ended` does neither, and waits for the commands that
/// the SCSI layer still has.
final class Connection: @unchecked Sendable {
    // SAFETY: touched by one thread, the one in `ownerThread`; others come through the inbox. `SCSITask` says what it may
    // read from elsewhere.

    enum Phase { case login, admitting, fullFeature, ending, ended }

    /// Where the connection comes from and came in.
    struct Endpoints {
        var peer: String
        var local: String
    }

    let context: ISCSIContext
    let inbox: ConnectionInbox
    let endpoints: Endpoints
    /// The thread that this belongs to. Others ask whether they are it.
    private let ownerThread: Atomic<UInt>

    var phase = Phase.login
    /// Milliseconds of the monotonic clock, as the driver last said.
    var now: UInt64
    var login: Login?
    var pendingReply: Login.Reply?
    var parameters = SessionParameters()
    var inputRules = PDUFrame.Rules()
    var outputHeaderDigest = false
    var outputDataDigest = false

    /// All that was to be said was sent: the initiator should get to read it.
    private(set) var isClosedInOrder = false

    // Buffers.

    var input: Buffer?
    var inputStart = 0
    var inputEnd = 0
    var output = SendQueue()
    var pool = BufferPool()

    // The session.

    var ticket: SessionTable.Ticket?
    var handle: SessionHandle?
    var isDiscovery = false
    /// Who it is, for discovery.
    var discoverer = DiscoveringInitiator(name: "", account: nil)
    var connectionID: UInt16 = 0
    /// By logical unit number.
    var units: [AttachedUnit?] = []

    struct AttachedUnit {
        let nexus: any Nexus
        let identity: ObjectIdentifier
    }

    // Sequence numbers.

    var statusNumber: UInt32 = 0
    var expectedCommand: UInt32 = 0

    // Commands.

    var tasks: [UInt32: SCSITask] = [:]
    var spareTasks: [SCSITask] = []
    var executing: SCSITask?
    /// Those with the SCSI layer.
    var executingCount = 0
    /// Those in `tasks` that have a place in the command window.
    var windowed: UInt32 = 0
    var immediates = 0
    var abortedTags: [UInt32] = []
    var abortedTagsNext = 0
    var wantingData: [SCSITask] = []
    var solicitedBytes = 0
    var lastTransferTag: UInt32 = 0
    /// How many of the last commands were writes or flushes, without another between them; and how many came when the initiator
    /// had the answers to all before them.
    private var writesInARow = 0
    private var aloneInARow = 0
    private var isWilling = false

    // Requests that take more than one step.

    var managements: [UInt64: Management] = [:]
    var lastManagement: UInt64 = 0
    var abortWaits: [AbortWait] = []
    var textExchange: TextExchange?
    var pendingLogout: (tag: UInt32, response: UInt8)?

    // Time.

    let startedAt: UInt64
    var heardAt: UInt64
    var pingSentAt: UInt64?
    var pingTag: UInt32 = 0
    var progressAt: UInt64
    var closeBy: UInt64?

    /// Since they were last added to the server's and the session's.
    var counted = ISCSICounters()

    init(context: ISCSIContext, inbox: ConnectionInbox, endpoints: Endpoints, now: UInt64) {
        self.context = context
        self.inbox = inbox
        self.endpoints = endpoints
        self.now = now
        ownerThread = Atomic(UInt(pthread_self()))
        startedAt = now
        heardAt = now
        progressAt = now
        login = Login(context: context, address: endpoints.peer)
    }

    // MARK: What the driver calls

    /// Whether more bytes from the initiator have a place.
    var wantsInput: Bool {
        (phase == .login || phase == .fullFeature) && output.unsentBytes < ISCSILimits.unsentBytesMax
    }

    /// Makes the calling thread the one that this belongs to.
    func takeOver() {
        ownerThread.store(UInt(pthread_self()), ordering: .relaxed)
        inbox.borrow()
    }

    var isOnOwnThread: Bool { ownerThread.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// Whether this thread may commit what it waits for itself: it was willing to when it took it, and still is.
    var mayCommit: Bool {
        phase == .fullFeature && isWilling && output.isEmpty && solicitedBytes == 0 && managements.isEmpty
            && abortWaits.isEmpty
    }

    /// An initiator that has one command at a time, or nothing but writes, loses nothing when nobody hears it while this thread
    /// commits. Looks at what kind it is, before each command.
    func notice(isWrite: Bool, isAlone: Bool) {
        aloneInARow = isAlone ? aloneInARow &+ 1 : 0
        writesInARow = isWrite ? writesInARow &+ 1 : 0
        let wasWilling = isWilling
        isWilling = max(aloneInARow, writesInARow) >= ISCSILimits.commitAfterCommands
        if isWilling != wasWilling { inbox.set(isWilling: isWilling) }
    }

    /// Where the next bytes go: never empty, since a whole PDU always fits.
    func receiveSpace() -> UnsafeMutableRawBufferPointer {
        let buffer = input ?? Buffer(count: ISCSILimits.receiveBufferBytes)
        input = buffer
        if inputStart == inputEnd {
            inputStart = 0
            inputEnd = 0
        } else if inputStart > 0, buffer.count - inputEnd < buffer.count / 2 {
            // The front half of a PDU: its rest, at most half of the buffer, has to fit behind it.
            memmove(buffer.base, buffer.base + inputStart, inputEnd - inputStart)
            inputEnd -= inputStart
            inputStart = 0
        }
        return UnsafeMutableRawBufferPointer(start: buffer.base + inputEnd, count: buffer.count - inputEnd)
    }

    func received(_ count: Int) {
        inputEnd += count
        heardAt = now
        pingSentAt = nil
        counted.bytesIn += UInt64(count)
    }

    /// Works on the PDUs that are there. True: there are more, but what is queued should be sent first.
    func process() -> Bool {
        while phase == .login || phase == .fullFeature {
            guard let input, inputEnd > inputStart else { return false }
            guard output.unsentBytes < ISCSILimits.batchBytes else { return true }
            let bytes = UnsafeRawBufferPointer(start: input.base + inputStart, count: inputEnd - inputStart)
            switch PDUFrame.parse(bytes, inputRules) {
            case .incomplete: return false
            case .brokenHeaderDigest:
                counted.digestErrors += 1
                fail()
            case .oversized(let header):
                // Its end is known, but an initiator that breaks its word on lengths isn't one to go on with.
                if phase == .fullFeature { reject(header, .protocolError) }
                fail()
            case .frame(let frame):
                inputStart += frame.byteCount
                handle(frame)
            }
        }
        return false
    }

    /// Runs what other threads left in the inbox.
    func runInbox() {
        let (completions, orders) = inbox.take()
        for completion in completions { completion() }
        for order in orders { obey(order) }
    }

    func sent(_ count: Int) {
        guard count > 0 else { return }
        output.sent(count, reusing: &pool)
        progressAt = now
        counted.bytesOut += UInt64(count)
    }

    /// Looks at the clock. Answers in how many milliseconds it wants to look again.
    func tick(_ time: UInt64) -> UInt64 {
        now = time
        if output.isEmpty { progressAt = now }
        var next = UInt64.max
        /// True if it is time.
        func isDue(_ since: UInt64, _ wait: UInt64) -> Bool {
            let due = since + wait
            if now >= due { return true }
            next = min(next, due - now)
            return false
        }
        if !output.isEmpty, isDue(progressAt, ISCSILimits.sendStallMilliseconds) { abandon() }
        switch phase {
        case .login, .admitting:
            if isDue(startedAt, ISCSILimits.loginMilliseconds) { giveUpLogin() }
        case .fullFeature:
            keepAlive(isDue)
            if holdsIdleMemory, isDue(heardAt, ISCSILimits.idleMilliseconds) { releaseMemory() }
        case .ending:
            isClosedInOrder = output.isEmpty
            if output.isEmpty || isDue(closeBy ?? now, 0) { abandon() }
        case .ended: break
        }
        publishCounters()
        return next
    }

    /// The socket is gone, or not wanted any more.
    func abandon() {
        guard phase != .ended else { return }
        end()
        phase = .ended
        output.discard()
        input = nil
        inputStart = 0
        inputEnd = 0
    }

    /// Once `ended`: gives back what the session holds, if none of its commands runs any more. True when it has.
    func leave() -> Bool {
        guard phase == .ended, executingCount == 0 else { return false }
        for order in inbox.close() { obey(order) }
        for unit in units { unit?.nexus.detach() }
        units = []
        publishCounters()
        if let ticket { context.sessions.leave(ticket) }
        ticket = nil
        return true
    }

    // MARK: Ending

    /// The initiator broke the protocol: what is queued (a reject, often) is sent, and that was it.
    func fail() {
        if phase == .fullFeature || phase == .login { counted.protocolErrors += 1 }
        if login?.identity != nil { reportFailure("what it sent is no login") }
        end()
    }

    /// Reads nothing more, and closes when what is queued is sent.
    func end() {
        guard phase != .ending, phase != .ended else { return }
        phase = .ending
        closeBy = now + ISCSILimits.closeMilliseconds
        login = nil
        pendingReply = nil
        textExchange = nil
        pendingLogout = nil
        abortTasks(where: { _ in true }, done: nil)
    }

    private func obey(_ order: ConnectionInbox.Order) {
        switch order {
        case .end(let reason):
            if phase == .fullFeature, !isDiscovery, reason != .reinstated { announceEnd() }
            end()
        case .askLogout(let seconds):
            if phase == .fullFeature, !isDiscovery { askLogout(seconds: seconds) } else { end() }
        case .proceed:
            if phase == .admitting { finishLogin() }
        case .abortTasks(let identities, let notify, let management):
            abortTasks(
                where: { task in unit(task.lun).map { identities.contains($0.identity) } ?? false },
                done: .elsewhere(notify, management))
        case .abortedElsewhere(let management):
            managementStep(management)
        case .preempted(let identity, let done):
            // A PERSISTENT RESERVE OUT touches no block, and may itself wait for the one that preempts.
            abortTasks(
                where: { unit($0.lun)?.identity == identity && $0.command.cdb[0] != Self.reserveOut },
                done: .preempted(done))
        }
    }

    private static let reserveOut: UInt8 = 0x5f

    private func keepAlive(_ isDue: (UInt64, UInt64) -> Bool) {
        guard wantsInput else {
            // Nothing is read, so silence says nothing; whether the initiator takes what it asked for does.
            heardAt = now
            pingSentAt = nil
            return
        }
        let interval = context.configuration.keepaliveMilliseconds
        if let pingSentAt {
            if isDue(pingSentAt, interval) { abandon() }
        } else if !isDiscovery, isDue(heardAt, interval) {
            ping()
            pingSentAt = now
            _ = isDue(now, interval)
        } else if isDiscovery, isDue(heardAt, 4 * interval) {
            // Nobody holds a discovery session open for a reason.
            end()
        }
    }

    // MARK: Memory

    private var holdsIdleMemory: Bool {
        (input != nil || output.hasMemory) && inputStart == inputEnd && output.isEmpty && tasks.isEmpty
    }

    /// Nobody talks: a thousand idle sessions should cost a thousand stacks' first pages, not a gigabyte.
    private func releaseMemory() {
        input = nil
        inputStart = 0
        inputEnd = 0
        output.release()
        pool.clear()
        spareTasks = []
    }

    private func publishCounters() {
        guard counted != ISCSICounters() else { return }
        context.counters.withLock { $0.add(counted) }
        handle?.traffic.withLock { traffic in
            traffic.commands += counted.commands
            traffic.bytesIn += counted.bytesIn
            traffic.bytesOut += counted.bytesOut
        }
        counted = ISCSICounters()
    }
}
