private import CLinux
private import Glibc
import Primitives

/// The iSCSI target: listens, gives each connection a thread, and ends sessions when it is told to.
///
/// `stop`, `endSessions` and `endSession` wait; none of them may be called on Swift's cooperative pool.
package final class ISCSIServer: Sendable {
    private struct State {
        var listeners: [Int32] = []
        var isListening = false
        var isStopping = false
        /// Of all connections, the inboxes: how the server reaches them.
        var connections: [UInt64: ConnectionInbox] = [:]
        var lastConnection: UInt64 = 0
        var halfOpen = 0
        var halfOpenByAddress: [String: Int] = [:]
    }

    private let context: ISCSIContext
    private let mutex = PosixMutex()
    private let state = PosixGuarded(State())
    private let stopEvent: Int32

    package init(configuration: ISCSIConfiguration, provider: any TargetProvider) throws(ISCSIError) {
        guard !configuration.portals.isEmpty else { throw .noPortal }
        guard configuration.portals.count <= ISCSILimits.portalsMax else { throw .tooManyPortals }
        context = ISCSIContext(configuration: configuration, provider: provider)
        stopEvent = apus_event_make()
        guard stopEvent >= 0 else { throw .outOfResources(-stopEvent) }
    }

    deinit { apus_close(stopEvent) }

    // MARK: Life

    /// Binds all portals, or none, and starts to accept.
    package func start() throws(ISCSIError) {
        var sockets: [Int32] = []
        var bound: [ISCSIPortal] = []
        for portal in context.configuration.portals {
            let socket = apus_tcp_listen(portal.address, portal.port, ISCSILimits.listenBacklog)
            guard socket >= 0 else {
                for socket in sockets { apus_close(socket) }
                throw .cannotListen("\(portal.address):\(portal.port)", -socket)
            }
            sockets.append(socket)
            var real = portal
            if let port = Self.name(socket, peer: false)?.port { real.port = port }
            bound.append(real)
        }
        context.portals.withLock { [bound] in $0 = bound }
        let listeners = sockets
        mutex.withLock {
            precondition(state.value.listeners.isEmpty && !state.value.isStopping, "a server starts once")
            state.value.listeners = listeners
            state.value.isListening = true
        }
        startThread(name: "iscsi-accept") { [self] in acceptLoop(listeners) }
    }

    /// Takes no more connections, asks initiators to log out, and after `graceMilliseconds` ends what is left. Answers when
    /// the last command has run.
    package func stop(graceMilliseconds: Int) {
        mutex.withLock { state.value.isStopping = true }
        apus_event_signal(stopEvent)
        if graceMilliseconds > 0 {
            context.sessions.order(.askLogout(seconds: UInt16(clamping: (graceMilliseconds + 999) / 1000))) { _, _ in
                true
            }
            _ = context.sessions.waitUntilNone(milliseconds: graceMilliseconds) { _, _ in true }
        }
        mutex.withLock {
            for inbox in state.value.connections.values { inbox.post(.end(.shutDown)) }
            while state.value.isListening || !state.value.connections.isEmpty { mutex.wait() }
        }
    }

    /// As bound: with real ports where 0 was asked for.
    package var boundPortals: [ISCSIPortal] { context.portals.withLock { $0 } }

    // MARK: Sessions

    /// The normal sessions, oldest first.
    package func sessions() -> [ISCSISessionInfo] { context.sessions.all().filter { !$0.target.isEmpty } }

    /// Ends all sessions of a target; returns when none is left and none of their commands runs any more.
    ///
    /// The provider must not know the target any more: a login that is under way asks it last of all.
    package func endSessions(target: String) {
        let name = target.lowercased()
        context.sessions.order(.end(.administrative)) { $1.key.target == name }
        _ = context.sessions.waitUntilNone(milliseconds: nil) { $1.key.target == name }
    }

    /// Ends one session, as `endSessions` does; false if there is none of that id. (Its initiator may come back.)
    package func endSession(id: UInt64) -> Bool {
        guard context.sessions.order(.end(.administrative), where: { other, _ in other == id }) > 0 else {
            return false
        }
        _ = context.sessions.waitUntilNone(milliseconds: nil) { other, _ in other == id }
        return true
    }

    // MARK: Measures

    package func counters() -> ISCSICounters { context.counters.withLock { $0 } }

    package func measures() -> ISCSIMeasures {
        let (all, halfOpen) = connectionCounts()
        return ISCSIMeasures(
            counters: counters(), sessions: context.sessions.count, connections: all, halfOpen: halfOpen)
    }

    /// Open connections, and how many of these have not logged in.
    package func connectionCounts() -> (all: Int, halfOpen: Int) {
        mutex.withLock { (state.value.connections.count, state.value.halfOpen) }
    }

    // MARK: Accepting

    private static let acceptPauseMilliseconds: Int32 = 50
    private static let acceptBurst = 64

    private func acceptLoop(_ listeners: [Int32]) {
        while !mutex.withLock({ state.value.isStopping }) {
            _ = apus_wait_many(listeners, listeners.count, stopEvent, -1)
            for listener in listeners where !drain(listener) {
                // No descriptor is free: to ask again at once would only burn a core.
                _ = apus_wait_many(listeners, 0, stopEvent, Self.acceptPauseMilliseconds)
            }
        }
        for listener in listeners { apus_close(listener) }
        mutex.withLock {
            state.value.isListening = false
            mutex.broadcast()
        }
    }

    /// Takes what waits at a listener; false if the system is short of something.
    private func drain(_ listener: Int32) -> Bool {
        for _ in 0..<Self.acceptBurst {
            let socket = apus_tcp_accept(listener)
            if socket == -EAGAIN { return true }
            if socket == -EMFILE || socket == -ENFILE || socket == -ENOBUFS || socket == -ENOMEM { return false }
            // Others are the connection's own: it was gone before it was taken.
            guard socket >= 0 else { continue }
            welcome(socket)
        }
        return true
    }

    private func welcome(_ socket: Int32) {
        guard let peer = Self.name(socket, peer: true), let local = Self.name(socket, peer: false) else {
            return apus_close(socket)
        }
        let event = apus_event_make()
        guard event >= 0 else { return refuse(socket) }
        let inbox = ConnectionInbox(event: event)
        guard let id = enter(inbox, peer.host) else { return refuse(socket) }
        let connection = Connection(
            context: context, inbox: inbox, endpoints: Connection.Endpoints(peer: peer.host, local: local.host),
            now: MonotonicClock.now() / 1_000_000)
        let thread = ConnectionThread(
            socket: socket, connection: connection, inbox: inbox,
            loggedIn: { [self] in leaveHalfOpen(peer.host) }, ended: { [self] in leave(id) })
        if thread.start() {
            context.counters.withLock { $0.connections += 1 }
        } else {
            // The thread object has closed the socket when it goes.
            leaveHalfOpen(peer.host)
            leave(id)
            context.counters.withLock { $0.refusedConnections += 1 }
        }
    }

    private func refuse(_ socket: Int32) {
        context.counters.withLock { $0.refusedConnections += 1 }
        apus_close(socket)
    }

    /// Counts a connection in; nil if there are enough of its kind.
    private func enter(_ inbox: ConnectionInbox, _ address: String) -> UInt64? {
        let configuration = context.configuration
        return mutex.withLock {
            guard !state.value.isStopping, state.value.connections.count < configuration.connectionsMax,
                state.value.halfOpen < configuration.halfOpenMax,
                state.value.halfOpenByAddress[address, default: 0] < configuration.halfOpenPerAddressMax
            else { return nil }
            state.value.lastConnection += 1
            state.value.connections[state.value.lastConnection] = inbox
            state.value.halfOpen += 1
            state.value.halfOpenByAddress[address, default: 0] += 1
            return state.value.lastConnection
        }
    }

    private func leaveHalfOpen(_ address: String) {
        mutex.withLock {
            state.value.halfOpen -= 1
            let left = state.value.halfOpenByAddress[address, default: 1] - 1
            state.value.halfOpenByAddress[address] = left > 0 ? left : nil
        }
    }

    private func leave(_ id: UInt64) {
        mutex.withLock {
            state.value.connections[id] = nil
            mutex.broadcast()
        }
    }

    private static func name(_ socket: Int32, peer: Bool) -> (host: String, port: UInt16)? {
        var host = [CChar](repeating: 0, count: 64)
        var port: UInt16 = 0
        guard apus_tcp_name(socket, peer ? 1 : 0, &host, &port) == 0 else { return nil }
        return (String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self), port)
    }
}
