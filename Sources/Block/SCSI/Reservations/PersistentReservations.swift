/// The persistent reservation of a logical unit and who is registered for it (SPC-4 5.12): values and rules only.
///
/// Every service action of PERSISTENT RESERVE OUT is one method. It changes the value and answers what the other nexuses
/// have to be told, or throws and has changed nothing; so the caller can work on a copy, save it, and only then let it count.
struct PersistentReservations: Sendable, Hashable {
    var generation: UInt32 = 0
    /// Survives a loss of power: the APTPL bit of the last REGISTER.
    var persists = false
    private(set) var registrations: [Registration] = []
    private(set) var reservation: Reservation?

    struct Registration: Sendable, Hashable {
        var nexus: NexusName
        /// What READ FULL STATUS calls the target port.
        var relativePort: UInt16
        var key: UInt64
    }

    struct Reservation: Sendable, Hashable {
        var type: ReservationType
        /// Who holds it; nil for the types that all registrants hold.
        var holder: NexusName?
    }

    /// What others have to be told.
    struct Notice: Sendable, Hashable {
        var nexus: NexusName
        var attention: Attention
    }

    enum Refusal: Error, Sendable, Hashable {
        case conflict
        case sense(Sense)
    }

    func key(of nexus: NexusName) -> UInt64? { registrations.first { $0.nexus == nexus }?.key }

    /// Holds the reservation, alone or as one of all registrants (SPC-4 5.12.10).
    func holds(_ nexus: NexusName) -> Bool {
        guard let reservation else { return false }
        return reservation.holder.map { $0 == nexus } ?? (key(of: nexus) != nil)
    }

    /// What the reservation leaves to a nexus.
    func restriction(for nexus: NexusName) -> Restriction {
        guard let reservation, !holds(nexus) else { return .none }
        if reservation.type.admitsRegistrants, key(of: nexus) != nil { return .none }
        return reservation.type.isExclusive ? .exclusive : .writeExclusive
    }

    init() {}

    /// As a store kept it; nil where it contradicts itself.
    init?(
        generation: UInt32, registrations: [Registration], reservation: Reservation?
    ) {
        guard registrations.count <= SCSILimits.registrationsMax,
            Set(registrations.map(\.nexus)).count == registrations.count
        else { return nil }
        if let reservation {
            guard !registrations.isEmpty, reservation.type.isForAllRegistrants == (reservation.holder == nil),
                reservation.holder.map({ holder in registrations.contains { $0.nexus == holder } }) ?? true
            else { return nil }
        }
        self.generation = generation
        self.registrations = registrations
        self.reservation = reservation
        persists = true
    }
}

// The service actions.
extension PersistentReservations {
    /// REGISTER, and REGISTER AND IGNORE EXISTING KEY where `ignoresKey` (SPC-4 5.12.7). `others` are registered with the
    /// same key (SPEC_I_PT, ALL_TG_PT); the list starts with the nexus itself.
    mutating func register(
        _ nexuses: [Registration], key: UInt64, newKey: UInt64, ignoresKey: Bool, persists: Bool
    ) throws(Refusal) -> [Notice] {
        let nexus = nexuses[0].nexus
        if let current = self.key(of: nexus) {
            guard ignoresKey || key == current else { throw .conflict }
        } else {
            guard ignoresKey || key == 0 else { throw .conflict }
            // Nothing to register, nothing to take back.
            guard newKey != 0 else { return [] }
        }
        var notices: [Notice] = []
        if newKey == 0 {
            notices = remove { $0.nexus == nexus }
        } else {
            var changed = registrations
            for registration in nexuses {
                if let index = changed.firstIndex(where: { $0.nexus == registration.nexus }) {
                    changed[index].key = newKey
                } else {
                    changed.append(
                        Registration(nexus: registration.nexus, relativePort: registration.relativePort, key: newKey))
                }
            }
            guard changed.count <= SCSILimits.registrationsMax else { throw .sense(.insufficientRegistrations) }
            registrations = changed
        }
        self.persists = persists
        generation &+= 1
        return notices
    }

    mutating func reserve(_ nexus: NexusName, key: UInt64, type: ReservationType) throws(Refusal) {
        guard self.key(of: nexus) == key else { throw .conflict }
        guard let reservation else {
            reservation = Reservation(type: type, holder: type.isForAllRegistrants ? nil : nexus)
            return
        }
        guard holds(nexus), reservation.type == type else { throw .conflict }
    }

    mutating func release(_ nexus: NexusName, key: UInt64, type: ReservationType) throws(Refusal) -> [Notice] {
        guard self.key(of: nexus) == key else { throw .conflict }
        guard let reservation, holds(nexus) else { return [] }
        guard reservation.type == type else { throw .sense(.invalidRelease) }
        self.reservation = nil
        guard type.admitsRegistrants else { return [] }
        return registrations.filter { $0.nexus != nexus }.map {
            Notice(nexus: $0.nexus, attention: .reservationsReleased)
        }
    }

    mutating func clear(_ nexus: NexusName, key: UInt64) throws(Refusal) -> [Notice] {
        guard self.key(of: nexus) == key else { throw .conflict }
        let notices = registrations.filter { $0.nexus != nexus }
            .map { Notice(nexus: $0.nexus, attention: .reservationsPreempted) }
        registrations = []
        reservation = nil
        generation &+= 1
        return notices
    }

    /// PREEMPT and PREEMPT AND ABORT (SPC-4 5.12.11.3, table 60). Answers also whose registrations it took.
    mutating func preempt(
        _ nexus: NexusName, key: UInt64, victim: UInt64, type: ReservationType?
    ) throws(Refusal) -> (notices: [Notice], preempted: [NexusName]) {
        guard self.key(of: nexus) == key else { throw .conflict }
        guard let reservation else {
            guard victim != 0 else { throw .sense(.parameter(8)) }
            return try evict(victim, by: nexus)
        }
        let takesOver: Bool
        if let holder = reservation.holder {
            takesOver = self.key(of: holder) == victim
            guard takesOver || victim != 0 else { throw .sense(.parameter(8)) }
        } else {
            takesOver = victim == 0
        }
        guard takesOver else { return try evict(victim, by: nexus) }
        guard let type else { throw .sense(.field(2, bit: 3)) }
        // The preempting nexus stays registered, even if it shares the victim's key.
        let gone = registrations.filter { $0.nexus != nexus && (victim == 0 || $0.key == victim) }.map(\.nexus)
        registrations.removeAll { gone.contains($0.nexus) }
        var notices = gone.map { Notice(nexus: $0, attention: .registrationsPreempted) }
        if reservation.type != type {
            notices += registrations.filter { $0.nexus != nexus }
                .map { Notice(nexus: $0.nexus, attention: .reservationsReleased) }
        }
        self.reservation = Reservation(type: type, holder: type.isForAllRegistrants ? nil : nexus)
        generation &+= 1
        return (notices, gone)
    }

    /// REGISTER AND MOVE (SPC-4 5.12.8).
    mutating func move(
        _ nexus: NexusName, key: UInt64, to target: Registration, unregisters: Bool, persists: Bool
    ) throws(Refusal) -> [Notice] {
        guard self.key(of: nexus) == key else { throw .conflict }
        guard let reservation, reservation.holder == nexus else { throw .conflict }
        guard target.key != 0 else { throw .sense(.parameter(8)) }
        guard target.nexus != nexus else { throw .sense(.parameter(24)) }
        var changed = registrations
        if let index = changed.firstIndex(where: { $0.nexus == target.nexus }) {
            changed[index].key = target.key
        } else {
            changed.append(target)
        }
        if unregisters { changed.removeAll { $0.nexus == nexus } }
        guard changed.count <= SCSILimits.registrationsMax else { throw .sense(.insufficientRegistrations) }
        registrations = changed
        self.reservation = Reservation(type: reservation.type, holder: target.nexus)
        self.persists = persists
        generation &+= 1
        return []
    }

    /// Takes the registrations with this key away, and leaves the reservation as it is unless its last holder went.
    private mutating func evict(
        _ victim: UInt64, by nexus: NexusName
    ) throws(Refusal) -> (notices: [Notice], preempted: [NexusName]) {
        let gone = registrations.filter { $0.key == victim }.map(\.nexus)
        guard !gone.isEmpty else { throw .conflict }
        _ = remove { $0.key == victim }
        generation &+= 1
        let others = gone.filter { $0 != nexus }
        return (others.map { Notice(nexus: $0, attention: .registrationsPreempted) }, others)
    }

    /// Unregisters; a reservation whose holder goes is released (SPC-4 5.12.11.2).
    private mutating func remove(_ isGone: (Registration) -> Bool) -> [Notice] {
        registrations.removeAll(where: isGone)
        guard let reservation else { return [] }
        let isHeld = reservation.holder.map { key(of: $0) != nil } ?? !registrations.isEmpty
        guard !isHeld else { return [] }
        self.reservation = nil
        guard reservation.type.admitsRegistrants else { return [] }
        return registrations.map { Notice(nexus: $0.nexus, attention: .reservationsReleased) }
    }
}

/// SPC-4 table 208.
enum ReservationType: UInt8, Sendable, CaseIterable {
    case writeExclusive = 0x1
    case exclusiveAccess = 0x3
    case writeExclusiveRegistrantsOnly = 0x5
    case exclusiveAccessRegistrantsOnly = 0x6
    case writeExclusiveAllRegistrants = 0x7
    case exclusiveAccessAllRegistrants = 0x8

    var isExclusive: Bool {
        switch self {
        case .exclusiveAccess, .exclusiveAccessRegistrantsOnly, .exclusiveAccessAllRegistrants: true
        case .writeExclusive, .writeExclusiveRegistrantsOnly, .writeExclusiveAllRegistrants: false
        }
    }

    var isForAllRegistrants: Bool { self == .writeExclusiveAllRegistrants || self == .exclusiveAccessAllRegistrants }

    /// Who is registered may do what the holder may.
    var admitsRegistrants: Bool { self != .writeExclusive && self != .exclusiveAccess }
}

/// What a nexus must not do because of another's reservation.
enum Restriction: UInt32, Sendable {
    case none = 0
    case writeExclusive = 1
    case exclusive = 2
    /// RESERVE(6) and RESERVE(10) of SPC-2.
    case legacy = 3

    func refuses(_ access: Command.Access) -> Bool {
        switch access {
        case .free: false
        case .query: self == .legacy
        case .read: self == .legacy || self == .exclusive
        case .write: self != .none
        }
    }
}

/// What a registration is kept for: an initiator port and a target port (SPC-4 5.12.1). The relative port identifier is
/// no part of it, since it may be another after a restart.
struct NexusName: Sendable, Hashable {
    var initiator: InitiatorPort
    var targetName: String
    var portalGroupTag: UInt16

    init(initiator: InitiatorPort, target: TargetPort) {
        self.init(initiator: initiator, targetName: target.name, portalGroupTag: target.portalGroupTag)
    }

    init(initiator: InitiatorPort, targetName: String, portalGroupTag: UInt16) {
        self.initiator = initiator
        self.targetName = targetName
        self.portalGroupTag = portalGroupTag
    }
}
