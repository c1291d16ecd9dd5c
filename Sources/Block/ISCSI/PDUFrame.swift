import Codecs

/// One whole PDU in the receive buffer.
///
/// Nothing is used before it was checked: the header's digest before its lengths, the lengths before the bytes that they
/// cover.
struct PDUFrame {
    let header: BasicHeader
    /// The data segment without its padding.
    let data: UnsafeRawBufferPointer
    /// From the header's first byte to the last digest's end.
    let byteCount: Int
    /// The data's digest was right, or there is none to check.
    let isDataIntact: Bool

    /// What both sides agreed on, or what holds before they do.
    struct Rules {
        var headerDigest = false
        var dataDigest = false
        var dataBytesMax = ISCSILimits.loginDataSegmentBytesMax
    }

    enum Parsed {
        /// At least this many bytes must be there, counted from the header's start.
        case incomplete(Int)
        case frame(PDUFrame)
        /// Where the next PDU begins can't be known: the connection has to end (RFC 7143 7.7, 7.8).
        case brokenHeaderDigest
        /// The data segment is longer than this side declared that it takes.
        case oversized(BasicHeader)
    }

    static func parse(_ bytes: UnsafeRawBufferPointer, _ rules: Rules) -> Parsed {
        let headerBytes = ISCSILimits.headerBytes
        guard bytes.count >= headerBytes, let base = bytes.baseAddress else { return .incomplete(headerBytes) }
        let header = BasicHeader(base: base)
        var position = headerBytes + header.additionalBytes
        if rules.headerDigest {
            guard bytes.count >= position + ISCSILimits.digestBytes else {
                return .incomplete(position + ISCSILimits.digestBytes)
            }
            let sum = CRC32C.checksum(UnsafeRawBufferPointer(start: base, count: position))
            guard sum == storedDigest(base + position) else { return .brokenHeaderDigest }
            position += ISCSILimits.digestBytes
        }
        let dataBytes = header.dataBytes
        guard dataBytes <= rules.dataBytesMax else { return .oversized(header) }
        let dataStart = position
        position += padded(dataBytes)
        let hasDataDigest = rules.dataDigest && dataBytes > 0
        let end = position + (hasDataDigest ? ISCSILimits.digestBytes : 0)
        guard bytes.count >= end else { return .incomplete(end) }
        var isIntact = true
        if hasDataDigest {
            // The padding is covered, too (RFC 7143 11.2.3).
            let covered = UnsafeRawBufferPointer(start: base + dataStart, count: padded(dataBytes))
            isIntact = CRC32C.checksum(covered) == storedDigest(base + position)
        }
        return .frame(
            PDUFrame(
                header: header, data: UnsafeRawBufferPointer(start: base + dataStart, count: dataBytes),
                byteCount: end, isDataIntact: isIntact))
    }

    /// A digest lies on the wire with its least significant byte first, unlike all other fields (RFC 7143 13.1).
    private static func storedDigest(_ place: UnsafeRawPointer) -> UInt32 {
        UInt32(littleEndian: place.loadUnaligned(as: UInt32.self))
    }
}
