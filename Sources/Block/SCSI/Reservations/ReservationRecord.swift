import Primitives

/// Persistent reservations as bytes for a `ReservationStore`.
///
/// Little-endian: version (u8), generation (u32), registrations (u32 count; each key u64, initiator name, ISID u64,
/// target name, portal group tag u16, relative port u16), type (u8, 0: no reservation), holder (u32, its index among the
/// registrations, or all ones). Strings are a u32 length and UTF-8. Nothing to keep: no bytes at all.
enum ReservationRecord {
    private static let version: UInt8 = 1
    private static let allRegistrants = UInt32.max

    static func encode(_ value: PersistentReservations) -> [UInt8] {
        guard value.persists, !value.registrations.isEmpty else { return [] }
        var writer = ByteWriter()
        writer.put(version)
        writer.put(value.generation)
        writer.put(UInt32(value.registrations.count))
        for registration in value.registrations {
            writer.put(registration.key)
            writer.put([UInt8](registration.nexus.initiator.name.utf8))
            writer.put(registration.nexus.initiator.isid)
            writer.put([UInt8](registration.nexus.targetName.utf8))
            writer.put(registration.nexus.portalGroupTag)
            writer.put(registration.relativePort)
        }
        writer.put(value.reservation?.type.rawValue ?? 0)
        let holder = value.reservation?.holder
        let index = value.registrations.firstIndex { $0.nexus == holder }
        writer.put(index.map { UInt32($0) } ?? allRegistrants)
        return writer.bytes
    }

    /// Throws rather than forgets: a logical unit that comes up without its fences would let two hosts write.
    static func decode(_ bytes: [UInt8]?) throws(ReservationStoreError) -> PersistentReservations {
        guard let bytes, !bytes.isEmpty else { return PersistentReservations() }
        var reader = ByteReader(bytes)
        guard reader.get(UInt8.self) == version else { throw ReservationStoreError("unknown version") }
        let generation = reader.get(UInt32.self)
        let count = reader.get(UInt32.self)
        guard count <= UInt32(SCSILimits.registrationsMax) else {
            throw ReservationStoreError("too many registrations")
        }
        var registrations: [PersistentReservations.Registration] = []
        for _ in 0..<count {
            let key = reader.get(UInt64.self)
            let initiator = string(&reader)
            let isid = reader.get(UInt64.self)
            let target = string(&reader)
            let portalGroupTag = reader.get(UInt16.self)
            let relativePort = reader.get(UInt16.self)
            let nexus = NexusName(
                initiator: InitiatorPort(name: initiator, isid: isid), targetName: target,
                portalGroupTag: portalGroupTag)
            registrations.append(.init(nexus: nexus, relativePort: relativePort, key: key))
        }
        let code = reader.get(UInt8.self)
        let holder = reader.get(UInt32.self)
        guard reader.isComplete else { throw ReservationStoreError("truncated or too long") }
        var reservation: PersistentReservations.Reservation?
        if code != 0 {
            guard let type = ReservationType(rawValue: code) else { throw ReservationStoreError("unknown type") }
            guard type.isForAllRegistrants || holder < count else { throw ReservationStoreError("no holder") }
            reservation = .init(type: type, holder: type.isForAllRegistrants ? nil : registrations[Int(holder)].nexus)
        }
        guard
            let value = PersistentReservations(
                generation: generation, registrations: registrations, reservation: reservation)
        else { throw ReservationStoreError("contradicts itself") }
        return value
    }

    private static func string(_ reader: inout ByteReader) -> String {
        let bytes = reader.getString()
        guard let text = String(validating: bytes, as: UTF8.self) else {
            reader.fail()
            return ""
        }
        return text
    }
}
