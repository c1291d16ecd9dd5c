import BlockDevices
import Primitives

// RESERVE and RELEASE of SPC-2, PERSISTENT RESERVE IN and OUT (SPC-4 6.15, 6.16).
extension Exchange {
    func reserve() throws(Sense) -> SCSIResponse {
        try refuseThirdParties()
        return unit.reserveTheOldWay(nexus) ? good() : conflict
    }

    func release() throws(Sense) -> SCSIResponse {
        try refuseThirdParties()
        return unit.releaseTheOldWay(nexus) ? good() : conflict
    }

    /// Neither extents nor reservations for others (3RDPTY, EXTENT).
    private func refuseThirdParties() throws(Sense) {
        guard !cdb.bit(1, 4) else { throw .field(1, bit: 4) }
        guard !cdb.bit(1, 0) else { throw .field(1, bit: 0) }
    }

    func persistentReserveIn() throws(Sense) -> SCSIResponse {
        guard !unit.isReservedTheOldWay else { return conflict }
        let reservations = unit.reservations
        let allocation = Int(cdb.uint16(7))
        switch cdb.serviceAction {
        case 0x00:
            var keys: [UInt8] = []
            for registration in reservations.registrations { keys.put64(registration.key) }
            return reply(list(reservations.generation, keys), allocation: allocation)
        case 0x01:
            guard let reservation = reservations.reservation else {
                return reply(list(reservations.generation, []), allocation: allocation)
            }
            var bytes: [UInt8] = []
            bytes.put64(reservation.holder.flatMap { reservations.key(of: $0) } ?? 0)
            bytes += [0, 0, 0, 0, 0, reservation.type.rawValue, 0, 0]
            return reply(list(reservations.generation, bytes), allocation: allocation)
        case 0x02: return reply(capabilities(reservations), allocation: allocation)
        case 0x03: return reply(list(reservations.generation, fullStatus(reservations)), allocation: allocation)
        default: throw .field(1, bit: 4)
        }
    }

    private func list(_ generation: UInt32, _ content: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.put32(generation)
        bytes.put32(UInt32(content.count))
        return bytes + content
    }

    /// SPC-4 6.15.4: compatible handling of RESERVE, SPEC_I_PT, ALL_TG_PT, APTPL, all six types; ALLOW COMMANDS 001b.
    private func capabilities(_ reservations: PersistentReservations) -> [UInt8] {
        var bytes: [UInt8] = [0, 8, 0x10 | 0x08 | 0x04 | 0x01, 0x80 | 0x10 | (reservations.persists ? 1 : 0)]
        bytes += [0x80 | 0x40 | 0x20 | 0x08 | 0x02, 0x01, 0, 0]
        return bytes
    }

    private func fullStatus(_ reservations: PersistentReservations) -> [UInt8] {
        var bytes: [UInt8] = []
        for registration in reservations.registrations {
            let holds = reservations.holds(registration.nexus)
            let transport = TransportID.encode(registration.nexus.initiator)
            bytes.put64(registration.key)
            bytes += [0, 0, 0, 0, holds ? 0x01 : 0]
            bytes.append(holds ? reservations.reservation?.type.rawValue ?? 0 : 0)
            bytes += [0, 0, 0, 0]
            bytes.put16(registration.relativePort)
            bytes.put32(UInt32(transport.count))
            bytes += transport
        }
        return bytes
    }

    func persistentReserveOut(_ dataOut: UnsafeRawBufferPointer) throws(Sense) -> SCSIResponse? {
        guard !unit.isReservedTheOldWay else { return conflict }
        let length = Int(cdb.uint32(5))
        guard length >= 24, length <= SCSILimits.reservationListBytesMax else { throw .parameterListLength }
        let list = try parameters(dataOut, length: length)
        let order = try ReservationOrder(cdb, list, self)
        // Whatever has to be saved waits for a disk.
        guard unit.mustSave(persists: order.persists) else { return carryOut(order, dataOut: length) }
        return offload { carryOut(order, dataOut: length) }
    }

    private func carryOut(_ order: ReservationOrder, dataOut: Int) -> SCSIResponse? {
        let victims: [LogicalUnitNexus]
        do throws(PersistentReservations.Refusal) {
            victims = try unit.changeReservations(by: nexus) { (reservations) throws(PersistentReservations.Refusal) in
                try order.apply(to: &reservations, nexus.name)
            }
        } catch {
            switch error {
            case .conflict: return SCSIResponse(status: .reservationConflict, dataOutCount: dataOut)
            case .sense(let sense): return fail(sense, dataOut: dataOut)
            }
        }
        guard !victims.isEmpty else { return good(dataOut: dataOut) }
        // Whoever fences a host writes as soon as it is told that it has: nothing of the other's may come after that.
        let left = PosixLocked(victims.count)
        for victim in victims {
            victim.abort {
                let isLast = left.withLock { left in
                    left -= 1
                    return left == 0
                }
                if isLast { finish(good(dataOut: dataOut)) }
            }
        }
        return nil
    }
}

/// A PERSISTENT RESERVE OUT that was understood: its service action with all that the CDB and the list say.
struct ReservationOrder: Sendable {
    enum Action: Sendable {
        case register(registrations: [PersistentReservations.Registration], ignoresKey: Bool)
        case reserve(ReservationType)
        case release(ReservationType)
        case clear
        /// The type counts only if the reservation is taken over, and is looked at only then.
        case preempt(ReservationType?, aborts: Bool)
        case move(to: PersistentReservations.Registration, unregisters: Bool)
    }

    let action: Action
    let key: UInt64
    let newKey: UInt64
    let persists: Bool
    /// TransportIDs came along, which only a first registration may bring.
    private let namesOthers: Bool

    /// Reads the list; the CDB's length of it is at least 24 (SPC-4 6.16.3).
    init(_ cdb: CDB, _ list: [UInt8], _ exchange: Exchange) throws(Sense) {
        key = list.get64(0)
        newKey = list.get64(8)
        let isMove = cdb.serviceAction == 0x07
        let flags = isMove ? list[17] : list[20]
        let registers = [0x00, 0x06, 0x07].contains(cdb.serviceAction)
        persists = registers && flags & 0x01 != 0
        namesOthers = cdb.serviceAction == 0x00 && flags & 0x08 != 0
        // SPEC_I_PT is REGISTER's alone, and it alone makes the list longer; REGISTER AND MOVE has a list of its own.
        guard isMove || flags & 0x08 == 0 || namesOthers else { throw .parameter(20, bit: 3) }
        guard isMove || namesOthers || list.count == 24 else { throw .parameterListLength }
        switch cdb.serviceAction {
        case 0x00, 0x06:
            let others = namesOthers ? try Self.transportIDs(list, exchange) : []
            action = .register(
                registrations: Self.registrations(others, allPorts: flags & 0x04 != 0, exchange),
                ignoresKey: cdb.serviceAction == 0x06)
        case 0x01: action = .reserve(try Self.type(cdb))
        case 0x02: action = .release(try Self.type(cdb))
        case 0x03: action = .clear
        case 0x04, 0x05:
            let type = cdb[2] >> 4 == 0 ? ReservationType(rawValue: cdb[2] & 0x0F) : nil
            action = .preempt(type, aborts: cdb.serviceAction == 0x05)
        default: action = try Self.move(list, newKey, exchange)
        }
    }

    func apply(to reservations: inout PersistentReservations, _ nexus: NexusName)
        throws(PersistentReservations.Refusal) -> ReservationOutcome
    {
        switch action {
        case .register(let registrations, let ignoresKey):
            if namesOthers, reservations.key(of: nexus) != nil { throw .sense(.parameter(20, bit: 3)) }
            return ReservationOutcome(
                notices: try reservations.register(
                    registrations, key: key, newKey: newKey, ignoresKey: ignoresKey, persists: persists))
        case .reserve(let type):
            try reservations.reserve(nexus, key: key, type: type)
            return ReservationOutcome()
        case .release(let type):
            return ReservationOutcome(notices: try reservations.release(nexus, key: key, type: type))
        case .clear: return ReservationOutcome(notices: try reservations.clear(nexus, key: key))
        case .preempt(let type, let aborts):
            let (notices, preempted) = try reservations.preempt(nexus, key: key, victim: newKey, type: type)
            return ReservationOutcome(notices: notices, aborted: aborts ? preempted : [])
        case .move(let target, let unregisters):
            return ReservationOutcome(
                notices: try reservations.move(
                    nexus, key: key, to: target, unregisters: unregisters, persists: persists))
        }
    }

    /// SCOPE must be the logical unit.
    private static func type(_ cdb: CDB) throws(Sense) -> ReservationType {
        guard cdb[2] >> 4 == 0 else { throw .field(2, bit: 7) }
        guard let type = ReservationType(rawValue: cdb[2] & 0x0F) else { throw .field(2, bit: 3) }
        return type
    }

    /// The nexus itself comes first; ALL_TG_PT means the target ports that are in use now.
    private static func registrations(_ others: [InitiatorPort], allPorts: Bool, _ exchange: Exchange)
        -> [PersistentReservations.Registration]
    {
        let own = exchange.nexus.target
        let ports = [own] + (allPorts ? exchange.unit.targetPorts.filter { $0 != own } : [])
        let initiators = [exchange.nexus.initiator] + others.filter { $0 != exchange.nexus.initiator }
        return initiators.flatMap { initiator in
            ports.map { port in
                .init(nexus: NexusName(initiator: initiator, target: port), relativePort: port.relativeID, key: 0)
            }
        }
    }

    /// SPEC_I_PT: a length, then TransportIDs one after the other.
    private static func transportIDs(_ list: [UInt8], _ exchange: Exchange) throws(Sense) -> [InitiatorPort] {
        guard list.count >= 28 else { throw .parameterListLength }
        let length = Int(list.get32(24))
        guard length == list.count - 28 else { throw .parameterListLength }
        var ports: [InitiatorPort] = []
        var position = 28
        while position < list.count {
            ports += try Self.ports(list, at: position, exchange)
            guard ports.count <= SCSILimits.registrationsMax else { throw .insufficientRegistrations }
            guard let (_, count) = TransportID.decode(list[position...]) else { throw .parameter(position) }
            position += count
        }
        return ports
    }

    private static func ports(_ list: [UInt8], at position: Int, _ exchange: Exchange) throws(Sense) -> [InitiatorPort]
    {
        guard let (id, _) = TransportID.decode(list[position...]) else { throw .parameter(position) }
        switch id {
        case .port(let port): return [port]
        case .device(let name):
            // A name alone stands for the ports of that initiator; only those that are here are known.
            let ports = exchange.unit.initiatorPorts(named: name)
            guard !ports.isEmpty else { throw .parameter(position) }
            return ports
        }
    }

    private static func move(_ list: [UInt8], _ newKey: UInt64, _ exchange: Exchange) throws(Sense) -> Action {
        let length = Int(list.get32(20))
        guard length == list.count - 24 else { throw .parameterListLength }
        let relative = list.get16(18)
        guard let port = exchange.unit.targetPorts.first(where: { $0.relativeID == relative }) else {
            throw .parameter(18)
        }
        let ports = try Self.ports(list, at: 24, exchange)
        // One TransportID, and it names one port.
        guard ports.count == 1, let (_, count) = TransportID.decode(list[24...]), count == length else {
            throw .parameter(24)
        }
        return .move(
            to: .init(nexus: NexusName(initiator: ports[0], target: port), relativePort: relative, key: newKey),
            unregisters: list[17] & 0x02 != 0)
    }
}
