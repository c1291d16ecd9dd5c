private import CLinux
private import Glibc
import Primitives

/// The blocking thread of one connection: waits in poll on the socket and the inbox's event, reads into the connection's
/// buffer, lets it work on all PDUs that are there, and sends what came of it with one system call (measured.md section 6).
///
/// Where the initiator waits for a write and for nothing else, this thread commits it itself. Should the disk hang meanwhile,
/// another thread takes the connection over, so that pings and aborts find somebody, and this one goes when the disk lets it.
final class ConnectionThread: @unchecked Sendable {
    // SAFETY: made by the accepting thread, and from `start` on touched by one thread alone: the one of the present term.

    private let socket: Int32
    private let connection: Connection
    private let inbox: ConnectionInbox
    private let vectors = UnsafeMutableBufferPointer<iovec>.allocate(capacity: ISCSILimits.vectorsMax)
    /// Called when the login is over, one way or the other; and when all is over.
    private let loggedIn: @Sendable () -> Void
    private let ended: @Sendable () -> Void
    private var isLoggingIn = true
    private let term = PosixLocked(Term())

    private struct Term {
        /// Counts the threads that have had the connection.
        var number: UInt64 = 0
        /// Counts what the present one has done of the engine's work; and whether it is at it.
        var errand: UInt64 = 0
        var isAway = false
    }

    init(
        socket: Int32, connection: Connection, inbox: ConnectionInbox, loggedIn: @escaping @Sendable () -> Void,
        ended: @escaping @Sendable () -> Void
    ) {
        self.socket = socket
        self.connection = connection
        self.inbox = inbox
        self.loggedIn = loggedIn
        self.ended = ended
    }

    deinit {
        vectors.deallocate()
        apus_close(socket)
    }

    /// False if the system has no thread left; then nothing was started and `ended` is not called.
    func start() -> Bool {
        let context = Unmanaged.passRetained(self)
        let result = apus_thread_start(
            ISCSILimits.threadStackBytes,
            { context in
                if let context {
                    let thread = Unmanaged<ConnectionThread>.fromOpaque(context).takeRetainedValue()
                    _ = apus_name_thread("iscsi")
                    thread.run()
                }
                return nil
            }, context.toOpaque())
        if result != 0 { context.release() }
        return result == 0
    }

    private static func milliseconds() -> UInt64 { MonotonicClock.now() / 1_000_000 }

    private func run() {
        let number = term.withLock { $0.number }
        connection.takeOver()
        var mayHaveMore = false
        var looks = 0
        while connection.phase != .ended {
            connection.now = Self.milliseconds()
            connection.runInbox()
            // The buffer may hold more PDUs than were worked on before the last send.
            let hasBacklog = connection.process()
            send()
            // What has come meanwhile is committed along: a look at the socket costs less than a group of its own.
            if looks < ISCSILimits.looksBeforeCommit, connection.executingCount > 1, !hasBacklog,
                connection.wantsInput, let work = inbox.work, !work.isAmple
            {
                let space = connection.receiveSpace()
                let count = receive(space)
                mayHaveMore = count == space.count
                if count > 0 {
                    looks += 1
                    continue
                }
            }
            looks = 0
            if let (work, isAlone) = inbox.takeWork(),
                !perform(work, number, isBusy: !isAlone || hasBacklog || mayHaveMore)
            {
                return
            }
            let wait = connection.tick(Self.milliseconds())
            noticeLogin()
            if connection.phase == .ended { break }
            if hasBacklog, connection.output.isEmpty { continue }
            // A full buffer's worth was read: there is more, most likely, so poll need not be asked.
            if mayHaveMore, connection.wantsInput, !hasBacklog {
                mayHaveMore = receive()
                continue
            }
            mayHaveMore = waitForSomething(wait, hasBacklog: hasBacklog)
        }
        inbox.borrowNothing()
        inbox.takeWork()?.work.giveBack()
        if connection.isClosedInOrder { apus_tcp_finish(socket) } else { apus_tcp_shutdown(socket) }
        if isLoggingIn { loggedIn() }
        drain()
        if connection.isClosedInOrder { linger() }
        ended()
    }

    /// Does the engine's work, if there is nothing else to do meanwhile. False if it took so long that another thread has the
    /// connection now.
    private func perform(_ work: any LentWork, _ number: UInt64, isBusy: Bool) -> Bool {
        guard !isBusy, connection.mayCommit else {
            work.giveBack()
            return true
        }
        let errand = term.withLock { term -> UInt64 in
            term.isAway = true
            term.errand += 1
            return term.errand
        }
        work.perform { [self] in
            term.withLock { term in
                guard term.isAway, term.number == number, term.errand == errand else { return }
                let present = term
                term = Term(number: number + 1)
                // Without a thread to spare, the connection waits for the disk.
                if !start() { term = present }
            }
        }
        return term.withLock { term in
            guard term.number == number else { return false }
            term.isAway = false
            return true
        }
    }

    /// Waits for the initiator's end of the connection: a socket that is closed with unread bytes in it resets the
    /// connection, and the last answer (a reject, a refusal) may be lost on some systems. The session is over by now.
    private func linger() {
        connection.now = Self.milliseconds()
        let deadline = connection.now + ISCSILimits.lingerMilliseconds
        while connection.now < deadline {
            let found = apus_wait(socket, 1, 0, -1, Int32(clamping: deadline - connection.now))
            connection.now = Self.milliseconds()
            guard found > 0 else { return }
            var scratch: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
            var count = 0
            repeat {
                count = withUnsafeMutableBytes(of: &scratch) { apus_tcp_receive(socket, $0.baseAddress, $0.count) }
            } while count > 0 && Self.milliseconds() < deadline
            guard count == -Int(EAGAIN) else { return }
        }
    }

    private func noticeLogin() {
        guard isLoggingIn, connection.phase != .login, connection.phase != .admitting else { return }
        isLoggingIn = false
        loggedIn()
    }

    /// Polls; reads if there is something to read. True if there may be more.
    private func waitForSomething(_ wait: UInt64, hasBacklog: Bool) -> Bool {
        guard inbox.park() else { return false }
        defer { inbox.awake() }
        let wantsInput = connection.wantsInput && !hasBacklog
        let wantsOutput = !connection.output.isEmpty
        let found = apus_wait(
            socket, wantsInput ? 1 : 0, wantsOutput ? 1 : 0, inbox.event, Int32(clamping: min(wait, 3_600_000)))
        guard found >= 0 else {
            connection.abandon()
            return false
        }
        let events = Int(found)
        if events & APUS_SIGNALLED != 0 { apus_event_clear(inbox.event) }
        connection.now = Self.milliseconds()
        if events & APUS_READABLE != 0 { return receive() }
        if events & APUS_BROKEN != 0 { connection.abandon() }
        return false
    }

    /// Reads once. True if all of the space was filled.
    private func receive() -> Bool {
        let space = connection.receiveSpace()
        return receive(space) == space.count
    }

    /// Reads once; the count, or what the system had against it.
    private func receive(_ space: UnsafeMutableRawBufferPointer) -> Int {
        let count = apus_tcp_receive(socket, space.baseAddress, space.count)
        if count > 0 {
            connection.received(count)
        } else if count != -Int(EAGAIN) {
            connection.abandon()
        }
        return count
    }

    /// Sends what is queued, as far as the socket takes it now.
    private func send() {
        while !connection.output.isEmpty {
            let count = connection.output.fill(vectors)
            let sent = apus_tcp_send(socket, vectors.baseAddress, count)
            if sent == -Int(EAGAIN) { return }
            guard sent > 0 else { return connection.abandon() }
            connection.sent(sent)
        }
    }

    /// Waits for the commands that the SCSI layer still has: until then the session isn't over.
    private func drain() {
        while true {
            connection.runInbox()
            if connection.leave() { return }
            if inbox.park() {
                _ = apus_wait(-1, 0, 0, inbox.event, -1)
                apus_event_clear(inbox.event)
                inbox.awake()
            }
        }
    }
}
