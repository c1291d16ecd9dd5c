import Codecs
import Glibc
import SCSI

// How PDUs are built into the send queue, and their numbers.

extension Connection {
    /// Queues one PDU whose data, if any, is short or was made for it.
    func emit(
        _ opcode: UInt8, _ flags: UInt8, _ data: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
        _ fill: (HeaderWriter) -> Void
    ) {
        let place = output.open(ISCSILimits.headerBytes + padded(data.count) + 2 * ISCSILimits.digestBytes)
        let header = HeaderWriter(place, opcode: opcode, flags: flags)
        fill(header)
        header.put(dataBytes: data.count)
        let start = sealHeader(place)
        if let source = data.baseAddress, data.count > 0 { memcpy(place + start, source, data.count) }
        output.commit(start + sealData(place + start, data.count))
    }

    var headerSpace: Int { ISCSILimits.headerBytes + (outputHeaderDigest ? ISCSILimits.digestBytes : 0) }

    /// Puts the header's digest behind it; answers where the data begins.
    func sealHeader(_ place: UnsafeMutableRawPointer) -> Int {
        guard outputHeaderDigest else { return ISCSILimits.headerBytes }
        let sum = CRC32C.checksum(UnsafeRawBufferPointer(start: place, count: ISCSILimits.headerBytes))
        place.storeBytes(of: sum.littleEndian, toByteOffset: ISCSILimits.headerBytes, as: UInt32.self)
        return ISCSILimits.headerBytes + ISCSILimits.digestBytes
    }

    /// Pads the data with zeros and puts its digest behind; answers how long it has become.
    func sealData(_ place: UnsafeMutableRawPointer, _ count: Int) -> Int {
        guard count > 0 else { return 0 }
        let full = padded(count)
        if full > count { memset(place + count, 0, full - count) }
        guard outputDataDigest else { return full }
        let sum = CRC32C.checksum(UnsafeRawBufferPointer(start: place, count: full))
        place.storeBytes(of: sum.littleEndian, toByteOffset: full, as: UInt32.self)
        return full + ISCSILimits.digestBytes
    }

    /// The last command that the initiator may send: never less than it was, since a command takes its place with the number
    /// that it uses up.
    var maximumCommand: UInt32 { expectedCommand &+ (ISCSILimits.commandsMax - windowed) &- 1 }

    /// For PDUs with a status: takes a StatSN.
    func stampStatus(_ header: HeaderWriter) {
        stampWindow(header)
        statusNumber &+= 1
    }

    /// For PDUs that only tell the next StatSN.
    func stampWindow(_ header: HeaderWriter) {
        header.put(word: statusNumber, at: 24)
        header.put(word: expectedCommand, at: 28)
        header.put(word: maximumCommand, at: 32)
    }

    /// RFC 7143 11.17: the header of what was refused goes back.
    func reject(_ refused: BasicHeader, _ reason: RejectReason) {
        counted.rejects += 1
        emit(Opcode.reject, 0x80, UnsafeRawBufferPointer(start: refused.base, count: ISCSILimits.headerBytes)) {
            header in
            header.put(reason.rawValue, at: 2)
            header.put(tag: reservedTag)
            stampStatus(header)
        }
    }

    /// Refuses what breaks the protocol, and ends the connection: at error recovery level 0 nothing less is sure to bring
    /// both sides together again (RFC 7143 7.1.4.1).
    func rejectAndEnd(_ refused: BasicHeader, _ reason: RejectReason = .protocolError) {
        reject(refused, reason)
        fail()
    }
}
