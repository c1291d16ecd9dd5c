package import BlockDevices
package import Primitives
import Synchronization

/// A disk that initiators see: one device, one identity, and what all nexuses share: reservations, mode parameters, unit
/// attentions. All targets of a volume stand in front of one logical unit.
///
/// It is always LUN 0 of its targets. Commands come through a `Nexus` for each session.
///
/// **Locks.** `mutex` guards what is shared, and is never held over a call of the device, the store or a transport. A
/// command that nothing special is the matter with does not take it: `LogicalUnitNexus.gate` says so.
/// `reservationOrder` puts PERSISTENT RESERVE OUT in a line, store included.
package final class LogicalUnit: Sendable {
    package let identity: LogicalUnitIdentity
    let device: any BlockDevice
    let threads: WorkThreads

    struct State {
        var nexuses: [LogicalUnitNexus] = []
        var reservations: PersistentReservations
        /// Who holds RESERVE(6) or RESERVE(10).
        var legacyHolder: ObjectIdentifier?
        var mode = ModeParameters()
    }

    private let mutex = PosixMutex()
    private let state: PosixGuarded<State>
    private let reservationOrder = PosixMutex()
    private let store: any ReservationStore
    /// `ModeParameters` again, for those who must not wait for the mutex.
    private let modeBits: Atomic<UInt8>

    /// Takes reservations that survived a loss of power over from the store.
    ///
    /// - Parameter threads: where commands wait for disks. Its `queueMax` bounds them: beyond it the answer is BUSY.
    package init(
        device: any BlockDevice, identity: LogicalUnitIdentity, store: any ReservationStore, threads: WorkThreads
    ) throws(ReservationStoreError) {
        self.device = device
        self.identity = identity
        self.store = store
        self.threads = threads
        state = PosixGuarded(State(reservations: try ReservationRecord.decode(store.load())))
        modeBits = Atomic(0)
        device.observeResize { [weak self] in self?.announce(.capacityChanged, but: nil) }
    }

    /// One session begins. Its first command finds the unit attention POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
    ///
    /// - Parameters:
    ///   - isReadOnly: the disk is write-protected for this nexus, whatever it is for others.
    ///   - abort: called when PREEMPT AND ABORT of another nexus ends what is under way here; on any thread. The transport
    ///     aborts the tasks of the session, as ABORT TASK SET does, and calls what it is given when none of them runs any
    ///     more. PERSISTENT RESERVE OUT is left out: two of them could wait for each other.
    package func attach(
        initiator: InitiatorPort, target: TargetPort, isReadOnly: Bool = false,
        abort: @escaping TaskAbort = { $0() }
    ) -> any Nexus {
        let nexus = LogicalUnitNexus(
            unit: self, initiator: initiator, target: target, isReadOnly: isReadOnly, abort: abort)
        mutex.withLock {
            state.value.nexuses.append(nexus)
            nexus.attentions.value = [.powerOn]
            refreshGates()
        }
        return nexus
    }

    /// How many sessions there are.
    package var nexusCount: Int { mutex.withLock { state.value.nexuses.count } }

    func detach(_ nexus: LogicalUnitNexus) {
        mutex.withLock {
            state.value.nexuses.removeAll { $0 === nexus }
            if state.value.legacyHolder == ObjectIdentifier(nexus) { state.value.legacyHolder = nil }
            refreshGates()
        }
        nexus.forgetCopies()
    }

    /// SAM-5 6.3.3: everybody is told, the nexus that asked too; RESERVE(6) and RESERVE(10) are released; mode parameters are
    /// their defaults again. Persistent reservations stay.
    func reset() {
        let nexuses = mutex.withLock { () -> [LogicalUnitNexus] in
            state.value.legacyHolder = nil
            state.value.mode = ModeParameters()
            modeBits.store(state.value.mode.rawValue, ordering: .releasing)
            for nexus in state.value.nexuses { nexus.attentions.value = [.logicalUnitReset] }
            refreshGates()
            return state.value.nexuses
        }
        for nexus in nexuses { nexus.forgetCopies() }
    }

    /// Tells every nexus but one.
    func announce(_ attention: Attention, but exception: LogicalUnitNexus?) {
        mutex.withLock {
            for nexus in state.value.nexuses where nexus !== exception { nexus.add(attention) }
            refreshGates()
        }
    }

    /// The oldest unit attention of a nexus, which is then told.
    func takeAttention(of nexus: LogicalUnitNexus) -> Attention? {
        mutex.withLock {
            guard !nexus.attentions.value.isEmpty else { return nil }
            let first = nexus.attentions.value.removeFirst()
            refreshGates()
            return first
        }
    }

    /// Works out anew what every nexus has to look at before a command.
    private func refreshGates() {
        for nexus in state.value.nexuses {
            var restriction = state.value.reservations.restriction(for: nexus.name)
            if let holder = state.value.legacyHolder {
                restriction = holder == ObjectIdentifier(nexus) ? .none : .legacy
            }
            nexus.set(gate: Gate(hasAttention: !nexus.attentions.value.isEmpty, restriction: restriction))
        }
    }
}

// Mode parameters.
extension LogicalUnit {
    var mode: ModeParameters { ModeParameters(rawValue: modeBits.load(ordering: .acquiring)) }

    /// MODE SELECT took effect: the others are told (SPC-4 6.13).
    func set(mode: ModeParameters, by nexus: LogicalUnitNexus) {
        mutex.withLock {
            guard state.value.mode != mode else { return }
            state.value.mode = mode
            modeBits.store(mode.rawValue, ordering: .releasing)
            for other in state.value.nexuses where other !== nexus { other.add(.modeParametersChanged) }
            refreshGates()
        }
    }
}

// Reservations.
extension LogicalUnit {
    var reservations: PersistentReservations { mutex.withLock { state.value.reservations } }

    /// Somebody holds RESERVE(6) or RESERVE(10); then persistent reservations are out of the question (SPC-2 5.5.1).
    var isReservedTheOldWay: Bool { mutex.withLock { state.value.legacyHolder != nil } }

    /// RESERVE(6) and RESERVE(10): true, if the nexus may take it for granted (SPC-4 5.12.3 for CRH).
    func reserveTheOldWay(_ nexus: LogicalUnitNexus) -> Bool {
        mutex.withLock {
            if let verdict = compatibleVerdict(nexus) { return verdict }
            guard state.value.legacyHolder == nil || state.value.legacyHolder == ObjectIdentifier(nexus) else {
                return false
            }
            state.value.legacyHolder = ObjectIdentifier(nexus)
            refreshGates()
            return true
        }
    }

    /// RELEASE(6) and RELEASE(10): of somebody else's reservation, it does nothing and says so to nobody.
    func releaseTheOldWay(_ nexus: LogicalUnitNexus) -> Bool {
        mutex.withLock {
            if let verdict = compatibleVerdict(nexus) { return verdict }
            if state.value.legacyHolder == ObjectIdentifier(nexus) {
                state.value.legacyHolder = nil
                refreshGates()
            }
            return true
        }
    }

    /// With registrations about, the old commands change nothing: good for whom the persistent reservation admits, a
    /// conflict for all others. nil: there are no registrations.
    private func compatibleVerdict(_ nexus: LogicalUnitNexus) -> Bool? {
        let reservations = state.value.reservations
        guard !reservations.registrations.isEmpty else { return nil }
        if reservations.holds(nexus.name) { return true }
        guard let type = reservations.reservation?.type, type.admitsRegistrants else { return false }
        return reservations.key(of: nexus.name) != nil
    }

    /// The target ports that sessions come through now.
    var targetPorts: [TargetPort] { mutex.withLock { unique(state.value.nexuses.map(\.target)) } }

    /// The initiator ports of one name that are here now.
    func initiatorPorts(named name: String) -> [InitiatorPort] {
        mutex.withLock { unique(state.value.nexuses.map(\.initiator).filter { $0.name == name }) }
    }

    private func unique<Element: Hashable>(_ elements: [Element]) -> [Element] {
        var seen: Set<Element> = []
        return elements.filter { seen.insert($0).inserted }
    }

    /// Whether a change has to reach the store before it counts, and so may wait for a disk.
    func mustSave(persists: Bool) -> Bool { persists || reservations.persists }

    /// Changes the reservations: on a copy, which is saved if it is to survive a loss of power, and counts from then on.
    /// Answers the nexuses whose tasks have to end before the command does.
    func changeReservations(
        by nexus: LogicalUnitNexus,
        _ change: (inout PersistentReservations) throws(PersistentReservations.Refusal) -> ReservationOutcome
    ) throws(PersistentReservations.Refusal) -> [LogicalUnitNexus] {
        let outcome = try reservationOrder.withLock { () throws(PersistentReservations.Refusal) -> ReservationOutcome in
            let old = reservations
            var new = old
            let outcome = try change(&new)
            if old.persists || new.persists {
                do throws(ReservationStoreError) {
                    try store.save(ReservationRecord.encode(new))
                } catch { throw .sense(.internalFailure) }
            }
            mutex.withLock {
                state.value.reservations = new
                for notice in outcome.notices {
                    for other in state.value.nexuses where other !== nexus && other.name == notice.nexus {
                        other.add(notice.attention)
                    }
                }
                refreshGates()
            }
            return outcome
        }
        guard !outcome.aborted.isEmpty else { return [] }
        return mutex.withLock { state.value.nexuses.filter { outcome.aborted.contains($0.name) } }
    }
}

/// What a change of reservations means for others.
struct ReservationOutcome: Sendable {
    var notices: [PersistentReservations.Notice] = []
    /// PREEMPT AND ABORT: whose tasks end.
    var aborted: [NexusName] = []
}

/// What can be changed by MODE SELECT. Shared by all nexuses (SPC-4 7.5.10, TST zero).
struct ModeParameters: OptionSet, Sendable {
    let rawValue: UInt8
    /// Sense data in descriptor format.
    static let descriptorSense = ModeParameters(rawValue: 1)
    /// Software write protect.
    static let writeProtected = ModeParameters(rawValue: 2)
}
