import Codecs
import Primitives

/// What a segment is for.
enum SegmentKind: UInt32, Sendable {
    /// The state log: the only ordered one.
    case state = 1
    /// Frames of large bodies.
    case bulk = 2
    /// Survivors of collection (later).
    case survivors = 3
}

/// The first 4 KiB of a segment file. See Format.md.
struct SegmentHeader: Sendable, Hashable {
    static let byteCount = 4096
    static let magic: UInt64 = 0x3147_4553_5355_5041  // "APUSSEG1"
    /// `previous` of the first state segment, and of all others.
    static let none = UInt32.max

    var kind: SegmentKind
    var id: UInt32
    var storeUUID: [UInt8]
    /// Where the state log came from: the previous segment, the offset at which its last valid group ends,
    /// and that group's hash. The proof of a cut.
    var previous: UInt32
    var previousEnd: UInt32
    var previousHash: UInt64
    var firstLSN: UInt64

    func encode(into out: UnsafeMutableRawBufferPointer, _ secret: HashSecret) {
        precondition(out.count == Self.byteCount && storeUUID.count == 16)
        out.zero(0, Self.byteCount)
        out.set(Self.magic, at: 0)
        out.set(kind.rawValue, at: 8)
        out.set(id, at: 12)
        storeUUID.withUnsafeBytes { out.copy($0, at: 16) }
        out.set(previous, at: 32)
        out.set(previousEnd, at: 36)
        out.set(previousHash, at: 40)
        out.set(firstLSN, at: 48)
        let hash = XXH3.hash(UnsafeRawBufferPointer(rebasing: out[0..<Self.byteCount - 8]), secret)
        out.set(hash, at: Self.byteCount - 8)
    }

    /// nil unless it is a header of this store for this file.
    init?(_ bytes: UnsafeRawBufferPointer, id expectedID: UInt32, storeUUID expectedUUID: [UInt8], _ secret: HashSecret)
    {
        guard bytes.count >= Self.byteCount, bytes.u64(0) == Self.magic, let kind = SegmentKind(rawValue: bytes.u32(8)),
            bytes.u32(12) == expectedID,
            XXH3.hash(UnsafeRawBufferPointer(rebasing: bytes[0..<Self.byteCount - 8]), secret)
                == bytes.u64(Self.byteCount - 8),
            bytes[16..<32].elementsEqual(expectedUUID)
        else { return nil }
        self.init(
            kind: kind, id: expectedID, storeUUID: expectedUUID, previous: bytes.u32(32), previousEnd: bytes.u32(36),
            previousHash: bytes.u64(40), firstLSN: bytes.u64(48))
    }

    init(
        kind: SegmentKind, id: UInt32, storeUUID: [UInt8], previous: UInt32, previousEnd: UInt32, previousHash: UInt64,
        firstLSN: UInt64
    ) {
        self.kind = kind
        self.id = id
        self.storeUUID = storeUUID
        self.previous = previous
        self.previousEnd = previousEnd
        self.previousHash = previousHash
        self.firstLSN = firstLSN
    }
}
