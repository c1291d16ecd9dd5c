import Codecs
import Primitives

/// The unit of the log: header, descriptors, attributes, then payload extents. See Format.md.
enum GroupLayout {
    static let magic: UInt64 = 0x3147_5247_5355_5041  // "APUSGRG1"
    static let headerBytes = 96
    static let descriptorBytes = 48
    static let alignment = 4096
    static let hashOffset = 88
    /// No writer makes a larger one: whatever claims to be is no group.
    static let totalBytesMax = Limits.groupBytesMax + Limits.groupBytesExtra
}

/// A group's header, decoded and verified.
struct GroupHeader: Sendable, Hashable {
    var totalBytes: Int
    var metaBytes: Int
    var count: Int
    var firstLSN: UInt64
    var syncedLSN: UInt64
    var segment: UInt32
    var offset: UInt32
    var previousHash: UInt64
    var hash: UInt64

    /// An empty group, a SEAL, takes one number too.
    var nextLSN: UInt64 { firstLSN + UInt64(max(1, count)) }
    var lastLSN: UInt64 { nextLSN - 1 }

    /// Reads the lengths of what may be a header, so that the caller can load the rest. nil: certainly none.
    static func peek(_ bytes: UnsafeRawBufferPointer, segmentBytes: Int, offset: Int) -> (
        totalBytes: Int, metaBytes: Int
    )? {
        guard bytes.count >= GroupLayout.headerBytes, bytes.u64(0) == GroupLayout.magic else { return nil }
        let total = Int(bytes.u32(8))
        let meta = Int(bytes.u32(12))
        guard total >= GroupLayout.alignment, total <= GroupLayout.totalBytesMax, total % GroupLayout.alignment == 0,
            offset + total <= segmentBytes,
            meta >= GroupLayout.headerBytes, meta <= total
        else { return nil }
        return (total, meta)
    }

    /// - Parameter bytes: at least the group's meta bytes. nil unless position and hash agree.
    init?(
        _ bytes: UnsafeRawBufferPointer, segment: UInt32, offset: Int, segmentBytes: Int, _ secret: HashSecret,
        checksPosition: Bool = true
    ) {
        guard let (total, meta) = Self.peek(bytes, segmentBytes: segmentBytes, offset: offset), meta <= bytes.count
        else {
            return nil
        }
        if checksPosition {
            guard bytes.u32(40) == segment, Int(bytes.u32(44)) == offset else { return nil }
        }
        let count = Int(bytes.u32(16))
        guard count <= (meta - GroupLayout.headerBytes) / GroupLayout.descriptorBytes else { return nil }
        guard Self.hash(bytes, metaBytes: meta, secret) == bytes.u64(GroupLayout.hashOffset) else { return nil }
        totalBytes = total
        metaBytes = meta
        self.count = count
        firstLSN = bytes.u64(24)
        syncedLSN = bytes.u64(32)
        self.segment = segment
        self.offset = UInt32(offset)
        previousHash = bytes.u64(56)
        hash = bytes.u64(GroupLayout.hashOffset)
    }

    /// The header of a group in an L segment, whose descriptors are there already: it has no LSN and no place in the chain.
    static func writeBulk(
        _ out: UnsafeMutableRawBufferPointer, total: Int, metaBytes: Int, count: Int, segment: UInt32, offset: Int,
        _ secret: HashSecret
    ) {
        out.zero(0, GroupLayout.headerBytes)
        out.set(GroupLayout.magic, at: 0)
        out.set(UInt32(total), at: 8)
        out.set(UInt32(metaBytes), at: 12)
        out.set(UInt32(count), at: 16)
        out.set(segment, at: 40)
        out.set(UInt32(offset), at: 44)
        out.set(hash(UnsafeRawBufferPointer(out), metaBytes: metaBytes, secret), at: GroupLayout.hashOffset)
    }

    /// Covers everything up to `metaBytes` but the hash's own 8 bytes.
    static func hash(_ bytes: UnsafeRawBufferPointer, metaBytes: Int, _ secret: HashSecret) -> UInt64 {
        let front = XXH3.hash(UnsafeRawBufferPointer(rebasing: bytes[0..<GroupLayout.hashOffset]), secret)
        let back = XXH3.hash(UnsafeRawBufferPointer(rebasing: bytes[GroupLayout.headerBytes..<metaBytes]), secret)
        return front &* 0x9E37_79B9_7F4A_7C15 ^ back
    }
}

/// One descriptor and where its attributes lie.
struct GroupEntry: Sendable {
    var type: UInt8
    var flags: UInt8
    var lsnDelta: UInt32
    var owner: UInt64
    var logical: UInt64
    var rawBytes: UInt32
    var storedBytes: UInt32
    var payloadOffset: UInt32
    var payloadHash: UInt64
    var attributes: [UInt8]

    static let lz4Flag: UInt8 = 1
    static let transactionEndFlag: UInt8 = 2
    static let zeroFlag: UInt8 = 4
}

/// Reads the entries of a group whose header has been verified; nil if they contradict each other.
struct GroupView {
    let header: GroupHeader
    let bytes: UnsafeRawBufferPointer

    func entries() -> [GroupEntry]? {
        var out: [GroupEntry] = []
        out.reserveCapacity(header.count)
        var attributesAt = GroupLayout.headerBytes + header.count * GroupLayout.descriptorBytes
        for index in 0..<header.count {
            let at = GroupLayout.headerBytes + index * GroupLayout.descriptorBytes
            let length = Int(bytes.u32(at + 4))
            guard length <= header.metaBytes - attributesAt else { return nil }
            let entry = GroupEntry(
                type: bytes[at], flags: bytes[at + 1], lsnDelta: bytes.u32(at + 8), owner: bytes.u64(at + 24),
                logical: bytes.u64(at + 32), rawBytes: bytes.u32(at + 12), storedBytes: bytes.u32(at + 16),
                payloadOffset: bytes.u32(at + 20), payloadHash: bytes.u64(at + 40),
                attributes: Array(bytes[attributesAt..<attributesAt + length]))
            if entry.storedBytes > 0 {
                guard entry.storedBytes % 512 == 0, entry.storedBytes <= UInt32(Limits.recordPayloadMax),
                    entry.payloadOffset % 512 == 0,
                    Int(entry.payloadOffset) >= header.metaBytes,
                    Int(entry.payloadOffset) + Int(entry.storedBytes) <= header.totalBytes
                else { return nil }
            }
            attributesAt += length
            out.append(entry)
        }
        return out
    }

    /// Every payload matches its hash. Needs all of the group's bytes.
    func verifyPayloads(_ entries: [GroupEntry], _ secret: HashSecret) -> Bool {
        guard bytes.count >= header.totalBytes else { return false }
        for entry in entries where entry.storedBytes > 0 {
            let start = Int(entry.payloadOffset)
            let payload = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(entry.storedBytes)])
            if XXH3.hash(payload, secret) != entry.payloadHash { return false }
        }
        return true
    }
}

/// What a group is made of: anything that has a record ready for it.
protocol GroupMember {
    var encoded: EncodedRecord { get }
}

/// A record on its way into a group: attributes encoded, payload stored form.
struct EncodedRecord: Sendable, GroupMember {
    var encoded: EncodedRecord { self }
    var type: UInt8
    var flags: UInt8 = GroupEntry.transactionEndFlag
    var owner: UInt64
    var logical: UInt64
    var rawBytes: Int = 0
    var attributes: [UInt8]
    /// Whole sectors, zero padded; empty if there is none.
    var payload: [UInt8] = []
    var payloadHash: UInt64 = 0

    /// What it adds to a group at most.
    var footprint: Int {
        GroupLayout.descriptorBytes + attributes.count + roundUp(payload.count, to: Limits.sectorBytes)
            + Limits.sectorBytes
    }
}

/// Lays a group out in aligned memory.
struct GroupBuilder {
    let buffer: AlignedBuffer

    /// The size of a group of these records.
    static func totalBytes(_ records: ArraySlice<some GroupMember>) -> Int {
        var meta = GroupLayout.headerBytes
        var payload = 0
        // By index, here and below: a record that is copied is counted, reference by reference.
        for i in records.indices {
            meta += GroupLayout.descriptorBytes + records[i].encoded.attributes.count
            payload += records[i].encoded.payload.count
        }
        return roundUp(roundUp(meta, to: Limits.sectorBytes) + payload, to: GroupLayout.alignment)
    }

    /// Writes the group at the buffer's start; returns its size, its hash, and each payload's offset in the group (0 if none).
    func build(
        _ records: ArraySlice<some GroupMember>, firstLSN: UInt64, syncedLSN: UInt64, segment: UInt32, offset: Int,
        previousHash: UInt64, secret: HashSecret, at base: Int = 0
    ) -> (totalBytes: Int, hash: UInt64, payloadOffsets: [Int]) {
        let total = Self.totalBytes(records)
        let out = buffer.mutableRange(base, total)
        var meta = GroupLayout.headerBytes + records.count * GroupLayout.descriptorBytes
        for i in records.indices {
            records[i].encoded.attributes.withUnsafeBytes { out.copy($0, at: meta) }
            meta += records[i].encoded.attributes.count
        }
        var payloadAt = roundUp(meta, to: Limits.sectorBytes)
        out.zero(meta, payloadAt - meta)
        var offsets: [Int] = []
        offsets.reserveCapacity(records.count)
        var descriptorAt = GroupLayout.headerBytes
        var delta: UInt32 = 0
        for i in records.indices {
            let payloadOffset = records[i].encoded.payload.isEmpty ? 0 : payloadAt
            out[descriptorAt] = records[i].encoded.type
            out[descriptorAt + 1] = records[i].encoded.flags
            out.storeBytes(of: 0, toByteOffset: descriptorAt + 2, as: UInt16.self)
            out.set(UInt32(records[i].encoded.attributes.count), at: descriptorAt + 4)
            out.set(delta, at: descriptorAt + 8)
            out.set(UInt32(records[i].encoded.rawBytes), at: descriptorAt + 12)
            out.set(UInt32(records[i].encoded.payload.count), at: descriptorAt + 16)
            out.set(UInt32(payloadOffset), at: descriptorAt + 20)
            out.set(records[i].encoded.owner, at: descriptorAt + 24)
            out.set(records[i].encoded.logical, at: descriptorAt + 32)
            out.set(records[i].encoded.payloadHash, at: descriptorAt + 40)
            records[i].encoded.payload.withUnsafeBytes { out.copy($0, at: payloadAt) }
            offsets.append(payloadOffset)
            payloadAt += records[i].encoded.payload.count
            descriptorAt += GroupLayout.descriptorBytes
            delta += 1
        }
        out.zero(payloadAt, total - payloadAt)
        out.set(GroupLayout.magic, at: 0)
        out.set(UInt32(total), at: 8)
        out.set(UInt32(meta), at: 12)
        out.set(UInt32(records.count), at: 16)
        out.set(UInt32(0), at: 20)
        out.set(firstLSN, at: 24)
        out.set(syncedLSN, at: 32)
        out.set(segment, at: 40)
        out.set(UInt32(offset), at: 44)
        out.set(UInt32(records.count), at: 48)
        out.set(UInt32(0), at: 52)
        out.set(previousHash, at: 56)
        out.zero(64, 32)
        let hash = GroupHeader.hash(UnsafeRawBufferPointer(out), metaBytes: meta, secret)
        out.set(hash, at: GroupLayout.hashOffset)
        return (total, hash, offsets)
    }
}
