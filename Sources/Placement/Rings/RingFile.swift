private import Codecs

/// Ring files (`.ring.gz`, version 1) as bytes; where they lie and how they are replaced is the caller's business.
///
/// See `Rings.docc/Rings.md` for the format.
package enum RingFile {
    /// How a file's 16-bit ids are written.
    package enum ByteOrder: String, Sendable {
        case little, big
    }

    /// Reads a whole file; refuses with a typed error whatever is not a ring within `RingLimits`.
    package static func decode(_ file: [UInt8]) throws(RingError) -> Ring {
        let content: [UInt8]
        do {
            content = try Gzip.inflate(file, limit: RingLimits.contentBytesMax)
        } catch {
            throw .gzip(error)
        }
        return try decodeContent(content)
    }

    /// The whole file: the same bytes for the same ring (and zlib).
    package static func encode(_ ring: Ring) -> [UInt8] {
        Gzip.deflate(encodeContent(ring, byteOrder: .little), modificationTime: modificationTime)
    }

    /// Reads what is inside the gzip.
    package static func decodeContent(_ content: [UInt8]) throws(RingError) -> Ring {
        guard content.starts(with: magic.prefix(content.count)), !content.isEmpty else { throw .badMagic }
        guard content.count >= headerBytes else { throw .truncated }
        let format = Int(content[4]) << 8 | Int(content[5])
        guard format == 1 else { throw .unsupportedVersion(format) }
        let length = content[6..<10].reduce(0) { $0 << 8 | Int($1) }
        guard length <= RingLimits.metadataBytesMax else { throw .metadataTooLong(length) }
        guard length <= content.count - headerBytes else { throw .truncated }
        var reader = JSONReader(content, headerBytes..<headerBytes + length)
        let metadata = try RingMetadata(&reader)

        let entryBytes = content.count - headerBytes - length
        let partitions = 1 << metadata.partPower
        let entries = entryBytes / 2
        // All rows are full but the last, which has something.
        guard entryBytes % 2 == 0, entries <= metadata.rowCount * partitions,
            entries > (metadata.rowCount - 1) * partitions
        else { throw .wrongTableSize(entries: entries) }
        let first = metadata.byteOrder == .little ? 0 : 1
        let start = headerBytes + length
        let table = (0..<entries).map { index in
            UInt16(content[start + 2 * index + first]) | UInt16(content[start + 2 * index + 1 - first]) << 8
        }
        return try Ring(
            devices: metadata.devices, partPower: metadata.partPower, table: table, version: metadata.version,
            nextPartPower: metadata.nextPartPower)
    }

    /// Writes what is inside the gzip.
    package static func encodeContent(_ ring: Ring, byteOrder: ByteOrder) -> [UInt8] {
        let metadata = RingMetadata(ring, byteOrder: byteOrder).json
        var content = magic + [0, 1]
        content.reserveCapacity(headerBytes + metadata.count + 2 * ring.table.count)
        for shift in [24, 16, 8, 0] { content.append(UInt8(truncatingIfNeeded: metadata.count >> shift)) }
        content += metadata
        for id in ring.table {
            let low = UInt8(truncatingIfNeeded: id)
            let high = UInt8(truncatingIfNeeded: id >> 8)
            content.append(byteOrder == .little ? low : high)
            content.append(byteOrder == .little ? high : low)
        }
        return content
    }

    private static let magic = Array("R1NG".utf8)
    private static let headerBytes = 10
    /// Always this one, so that a ring's file depends on the ring alone.
    private static let modificationTime: UInt32 = 1_300_507_380
}
