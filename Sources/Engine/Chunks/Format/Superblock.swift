import Codecs
import Disks
import Primitives

/// What identifies a store: two 4 KiB slots in the file SUPER, written alternately; the valid one with the
/// higher sequence counts. See Format.md.
struct Superblock: Sendable {
    static let path = "SUPER"
    static let magic: UInt64 = 0x3152_4550_5553_5041  // "APUSPER1"
    static let version: UInt32 = 1
    private static let sequenceOffset = 56
    /// Feature bits that this version knows. Unknown incompatible ones refuse the store; unknown
    /// read-only-compatible ones allow reading only.
    static let knownIncompatible: UInt64 = layers
    /// There are, or were, volumes: their records are in the log.
    static let layers: UInt64 = 1
    static let knownReadOnlyCompatible: UInt64 = 0

    var compatible: UInt64 = 0
    var readOnlyCompatible: UInt64 = 0
    var incompatible: UInt64 = 0
    var uuid: [UInt8]
    var sequence: UInt64
    /// Closed in order: the index holds everything.
    var isClean: Bool
    var segmentBytes: UInt32
    var secret: HashSecret

    enum ReadFailure: Error {
        case absent
        case damaged
        case otherVersion(UInt32)
        case unknownFeatures(UInt64)
        case disk(DiskError)
    }

    /// The superblock's own hash can't use the secret that it holds.
    private static let fixedSecret = HashSecret((0..<192).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) })

    private func encode() -> [UInt8] {
        var writer = ByteWriter(reserving: 4096)
        writer.put(Self.magic)
        writer.put(Self.version)
        writer.put(segmentBytes)
        writer.put(compatible)
        writer.put(readOnlyCompatible)
        writer.put(incompatible)
        writer.put(raw: uuid)
        writer.put(sequence)
        writer.put(isClean)
        writer.put(raw: [UInt8](repeating: 0, count: 7))
        writer.put(raw: secret.bytes)
        writer.pad(to: 4088)
        let hash = writer.bytes.withUnsafeBytes { XXH3.hash($0, Self.fixedSecret) }
        writer.put(hash)
        return writer.bytes
    }

    private static func decode(_ bytes: [UInt8]) throws(ReadFailure) -> Superblock {
        var reader = ByteReader(bytes)
        guard reader.get(UInt64.self) == magic else { throw .damaged }
        let version = reader.get(UInt32.self)
        // The version is told before the hash is believed, so that a future format gets the right message.
        guard version == Self.version else { throw .otherVersion(version) }
        let hash = bytes.withUnsafeBytes { XXH3.hash(UnsafeRawBufferPointer(rebasing: $0[0..<4088]), fixedSecret) }
        guard bytes.withUnsafeBytes({ $0.u64(4088) }) == hash else { throw .damaged }
        let segmentBytes = reader.get(UInt32.self)
        let compatible = reader.get(UInt64.self)
        let readOnlyCompatible = reader.get(UInt64.self)
        let incompatible = reader.get(UInt64.self)
        let uuid = reader.get(raw: 16)
        let sequence = reader.get(UInt64.self)
        let isClean = reader.getFlag()
        _ = reader.get(raw: 7)
        let secret = reader.get(raw: HashSecret.byteCount)
        guard !reader.failed else { throw .damaged }
        let unknown = incompatible & ~knownIncompatible | readOnlyCompatible & ~knownReadOnlyCompatible
        guard unknown == 0 else { throw .unknownFeatures(unknown) }
        return Superblock(
            compatible: compatible, readOnlyCompatible: readOnlyCompatible, incompatible: incompatible, uuid: uuid,
            sequence: sequence, isClean: isClean, segmentBytes: segmentBytes, secret: HashSecret(secret))
    }

    static func read(_ disk: any Disk) throws(ReadFailure) -> Superblock {
        let buffer = AlignedBuffer(8192)
        var count = 0
        do {
            let file = try disk.open(path, .readDirect)
            count = try file.read(into: buffer.bytes, at: 0)
        } catch {
            if error.isNotFound { throw .absent }
            throw .disk(error)
        }
        var newest: Superblock?
        var refusal: ReadFailure = .damaged
        // A newer program's slot counts although this one can't use it: its records may be in the log.
        var refusedSequence: UInt64 = 0
        for slot in 0..<2 where count >= (slot + 1) * 4096 {
            do throws(ReadFailure) {
                let block = try decode(Array(buffer.range(slot * 4096, 4096)))
                if newest == nil || block.sequence > newest!.sequence { newest = block }
            } catch {
                switch error {
                case .otherVersion, .unknownFeatures:
                    refusal = error
                    refusedSequence = max(refusedSequence, buffer.range(slot * 4096, 4096).u64(sequenceOffset))
                case .absent, .damaged, .disk: break
                }
            }
        }
        guard let newest, newest.sequence > refusedSequence else { throw refusal }
        return newest
    }

    /// Makes the file of a new store: whole, or not there.
    mutating func create(_ disk: any Disk) throws(DiskError) {
        let path = Self.path + ".new"
        try write(disk, path: path)
        // Whatever else the store consists of is durable before the name that makes it one.
        try disk.syncDirectory("")
        try disk.rename(path, to: Self.path)
    }

    /// Writes the other slot and makes it durable.
    mutating func write(_ disk: any Disk) throws(DiskError) { try write(disk, path: Self.path) }

    private mutating func write(_ disk: any Disk, path: String) throws(DiskError) {
        sequence += 1
        let file = try disk.open(path, .writeDirect)
        let buffer = AlignedBuffer(4096)
        encode().withUnsafeBytes { buffer.bytes.copy($0, at: 0) }
        try file.write(UnsafeRawBufferPointer(buffer.bytes), at: Int64(sequence % 2) * 4096)
        try file.sync()
    }
}
